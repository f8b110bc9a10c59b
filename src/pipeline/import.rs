//! The model as a fused float graph.

use crate::base::codes::model::{INPUTS, OPEN_SHAPE};
use crate::base::digest::Digest;
use crate::base::{DType, Diagnostic, Place, Result, files};
use crate::config::job::Model;
use crate::ir::ops::{Cast, Role};
use crate::ir::{Fact, Graph, Node, Op, Value, ValueId};
use crate::onnx::{ImportOptions, Imported};
use crate::rewrite::{RULES, Record};
use std::path::Path;

/// A model, imported and rewritten.
#[derive(Clone, Debug)]
pub struct Network {
    /// The fused float graph.
    pub graph: Graph,
    /// What the rewrites did and could not do.
    pub record: Record,
    /// What the importer has to say.
    pub warnings: Vec<String>,
    /// Of the file and every constant, wherever its data lies.
    pub digest: Digest,
    /// Size of the model file and its external data.
    pub bytes: u64,
    /// Does it end in a softmax?
    pub probabilities: bool,
}

/// Imports a model and rewrites its graph.
pub fn import(model: &Model) -> Result<Network> {
    let mut options = ImportOptions::default();
    for (name, shape) in &model.inputs {
        options.input_shapes.insert(name.clone(), shape.to_vec());
    }
    let file = files::map(&model.path)?;
    let Imported { mut graph, warnings, data_files, .. } =
        crate::onnx::import(&model.path, &options).map_err(|e| with_line(e, model))?;
    one_f32_input(&graph).map_err(|e| e.at(Place::file(&model.path)))?;
    let digest = digest(&file, &graph);
    let record = crate::rewrite::run(&mut graph, RULES)?;
    tracing::info!(nodes = graph.order().len(), "imported and rewritten");
    float_outputs(&mut graph);
    Ok(Network {
        probabilities: ends_in_softmax(&graph),
        graph,
        record,
        warnings,
        digest,
        bytes: file.len() as u64 + size_of_all(&model.path, &data_files),
    })
}

/// Adds where the configuration states shapes, or should, to an error about them.
fn with_line(e: Box<Diagnostic>, model: &Model) -> Box<Diagnostic> {
    match &model.inputs_at {
        Some(Place::File { path, position: Some((line, _)), .. }) if e.code == OPEN_SHAPE => {
            e.detail(format!("the shapes belong under `model`, here: {}:{line}", path.display()))
        }
        _ => e,
    }
}

/// Bytes of the files of external data, which lie beside the model.
fn size_of_all(model: &Path, data_files: &[String]) -> u64 {
    let folder = model.parent().unwrap_or(Path::new("."));
    data_files.iter().filter_map(|f| std::fs::metadata(folder.join(f)).ok()).map(|m| m.len()).sum()
}

/// Is the first output a softmax, maybe moved about?
fn ends_in_softmax(g: &Graph) -> bool {
    let producers = g.producers();
    let mut at = g.outputs.first().copied();
    while let Some(n) = at.and_then(|v| producers[v.index()]).map(|n| g.node(n)) {
        match &n.op {
            Op::Softmax(s) => return !s.log,
            op if op.role() == Role::Move => at = n.inputs.first().copied(),
            _ => return false,
        }
    }
    false
}

/// Engines give f32: an output of another type (the index of an ArgMax) gets a cast.
fn float_outputs(g: &mut Graph) {
    for i in 0..g.outputs.len() {
        let v = g.outputs[i];
        let Fact { dtype, shape } = g.value(v).fact.clone();
        if dtype != DType::F32 {
            let name = format!("{} as f32", g.output_names[i]);
            let y = g.add_value(Value::new(name.clone(), Fact::f32(shape)));
            g.add_node(Node::new(name, Op::Cast(Cast { to: DType::F32 }), vec![v], vec![y]));
            g.outputs[i] = y;
        }
    }
}

/// A run feeds one input, from images or arrays.
fn one_f32_input(g: &Graph) -> Result<()> {
    let shown =
        |&v: &ValueId| format!("{} ({}{})", g.value(v).name, g.value(v).fact.dtype, g.value(v).fact.shape);
    let inputs: Vec<String> = g.inputs.iter().map(shown).collect();
    let what = match g.inputs[..] {
        [x] if g.value(x).fact.dtype == DType::F32 => return Ok(()),
        [_] => format!("its input is {}", inputs[0]),
        _ => format!("it has {} inputs: {}", inputs.len(), inputs.join(", ")),
    };
    Err(Diagnostic::new(INPUTS, format!("this model cannot be fed: {what}")).expected("one f32 input").help(
        "fold the other inputs into constants, or a Cast in front, with the tool that exported the model",
    ))
}

/// External data is not in the file: its tensors are added.
fn digest(file: &[u8], graph: &Graph) -> Digest {
    let constants = graph.live_values().into_iter().filter_map(|v| graph.value(v).constant.as_ref());
    let digests: Vec<String> = constants.map(|t| Digest::of(t.bytes()).to_string()).collect();
    Digest::of_parts(std::iter::once(file).chain(digests.iter().map(|d| d.as_bytes())))
}
