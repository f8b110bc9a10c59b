//! Models: ONNX files and the text form of graphs.

use crate::base::codes::model::{MALFORMED, OPEN_SHAPE};
use crate::base::{Diagnostic, Place, Result, files};
use crate::cli::page::{Cell, Page, Table};
use crate::ir::{Graph, ValueId};
use crate::onnx::{self, Batch, ImportOptions, import};
use crate::report::words::large;
use std::collections::BTreeMap;
use std::path::Path;

/// Describes an ONNX model, as it is after import: for one image, constants folded.
pub fn onnx(path: &Path, page: &mut Page) -> Result<()> {
    let model = match import(path, &ImportOptions::default()) {
        Err(e) if e.code == OPEN_SHAPE => return open_shapes(path, &e, page),
        model => model?,
    };
    page.fact("name", model.graph.name.as_str());
    page.fact("producer", model.producer.as_str());
    page.fact("opset", Cell::new(model.opset.to_string(), model.opset));
    page.fact(
        "batch",
        match model.batch {
            Batch::Dynamic => "any".into(),
            Batch::Fixed(n) => Cell::count(n as u64),
        },
    );
    let nodes =
        format!("{} in the file, {} of them computed at import", model.file_nodes, model.folded_nodes);
    page.fact("nodes", Cell::new(nodes, model.file_nodes));
    graph(&model.graph, Some(model.batch), page);
    model.warnings.into_iter().for_each(|w| page.note(w));
    Ok(())
}

/// What can be said of a model whose inputs have open sizes, and what to write into the configuration.
fn open_shapes(path: &Path, e: &Diagnostic, page: &mut Page) -> Result<()> {
    let (inputs, outputs) = onnx::ports(path)?;
    for (key, ports) in [("inputs", &inputs), ("outputs", &outputs)] {
        let mut t = Table::new(key, &["name", "type", "shape"]);
        for p in ports {
            t.row([p.name.as_str().into(), p.dtype.as_str().into(), p.shape.as_str().into()]);
        }
        page.table(t);
    }
    page.note(format!(
        "Nothing more is known until the sizes of the inputs are ({}: {}).",
        e.code.id, e.what
    ));
    page.note("State them in the configuration, such as:\n");
    page.note(format!("model:\n  path: {}\n  inputs:", path.display()));
    inputs.iter().for_each(|p| page.note(format!("    {}: {}", p.name, p.example)));
    Ok(())
}

/// Lists the nodes of an ONNX model by the names that `precision.rules` match.
pub fn onnx_nodes(path: &Path, page: &mut Page) -> Result<()> {
    page.table(nodes(&import(path, &ImportOptions::default())?.graph));
    Ok(())
}

/// Lists the nodes of a graph in text form.
pub fn graph_text_nodes(path: &Path, page: &mut Page) -> Result<()> {
    page.table(nodes(&parsed(path)?));
    Ok(())
}

/// Describes a graph in text form.
pub fn graph_text(path: &Path, page: &mut Page) -> Result<()> {
    let g = parsed(path)?;
    page.fact("name", g.name.as_str());
    graph(&g, None, page);
    Ok(())
}

fn parsed(path: &Path) -> Result<Graph> {
    let g = Graph::parse(&files::read_text(path)?).map_err(|mut e| {
        // the parser knows the line, not the file
        if let Some(Place::File { path: p, .. }) = &mut e.place {
            *p = path.into();
        }
        e
    })?;
    g.verify().map_err(|violations| {
        let e = Diagnostic::new(MALFORMED, "the graph contradicts itself").at(Place::file(path));
        violations.into_iter().take(10).fold(e, |e, v| e.detail(v.to_string()))
    })?;
    Ok(g)
}

fn graph(g: &Graph, batch: Option<Batch>, page: &mut Page) {
    let constants = g.live_values().into_iter().filter_map(|v| g.value(v).constant.as_ref());
    let (count, bytes) =
        constants.fold((0, 0), |(n, b), t| (n + t.numel() as u64, b + t.bytes().len() as u64));
    page.fact("parameters", Cell::new(large(count as f64), count));
    page.fact("parameter bytes", Cell::bytes(bytes));
    let macs: u64 = g.nodes().map(|(_, n)| g.macs(n)).sum();
    page.fact("macs", Cell::new(large(macs as f64), macs));
    let names = |g: &Graph, v: ValueId| g.value(v).name.clone();
    let inputs: Vec<_> = g.inputs.iter().map(|&v| (names(g, v), v)).collect();
    let outputs: Vec<_> = g.output_names.iter().cloned().zip(g.outputs.iter().copied()).collect();
    page.table(ports("inputs", g, &inputs, batch));
    page.table(ports("outputs", g, &outputs, batch));
    page.table(operators(g));
}

/// Where any batch will do, axis 0 says so.
fn ports(key: &'static str, g: &Graph, ports: &[(String, ValueId)], batch: Option<Batch>) -> Table {
    let mut t = Table::new(key, &["name", "type", "shape"]);
    for (name, v) in ports {
        let fact = &g.value(*v).fact;
        let shown = match batch {
            Some(Batch::Dynamic) => fact.shape.to_string().replacen("[1", "[batch", 1),
            _ => fact.shape.to_string(),
        };
        t.row([name.as_str().into(), fact.dtype.name().into(), Cell::new(shown, fact.shape.0.clone())]);
    }
    t
}

fn operators(g: &Graph) -> Table {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (_, n) in g.nodes() {
        let (count, macs) = kinds.entry(n.op.kind()).or_default();
        (*count, *macs) = (*count + 1, *macs + g.macs(n));
    }
    let mut t = Table::new("operators", &["operator", "nodes", "macs"]);
    for (kind, (count, macs)) in kinds {
        t.row([kind.into(), Cell::count(count), Cell::new(large(macs as f64), macs)]);
    }
    t
}

fn nodes(g: &Graph) -> Table {
    let mut t = Table::new("nodes", &["operator", "macs", "output", "name"]);
    for (_, n) in g.nodes() {
        let shape = n.outputs.first().map(|v| &g.value(*v).fact.shape);
        t.row([
            n.op.kind().into(),
            Cell::new(large(g.macs(n) as f64), g.macs(n)),
            Cell::new(
                shape.map(|s| s.to_string()).unwrap_or_default(),
                shape.map(|s| s.0.clone()).unwrap_or_default(),
            ),
            n.name.as_str().into(),
        ]);
    }
    t
}
