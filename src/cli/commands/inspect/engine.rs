//! An engine: what it runs, why in this precision, where it came from.

use crate::base::Result;
use crate::cli::page::{Cell, Page, Table};
use crate::engine::Engine;
use crate::plan::{Port, Step};
use crate::report::words::{large, plural, share};
use serde_json::Value;
use std::path::Path;

/// Describes an engine.
pub fn describe(path: &Path, page: &mut Page) -> Result<()> {
    let engine = Engine::load(path)?;
    let plan = &engine.plan;
    page.fact("model", engine.origin.model.as_str());
    page.fact("device", format!("{}/{}", plan.device.kind, plan.device.arch));
    let threads = (plan.device.kind == "cpu").then(|| plural(plan.device.width as u64, "thread"));
    page.maybe("tuned for", threads);
    page.fact("largest batch", Cell::count(plan.max_batch as u64));
    let (nodes, macs) = plan.coverage();
    let words = format!("{} of multiplying nodes, {} of MACs", share(Some(nodes)), share(Some(macs)));
    page.fact("int8", Cell::new(words, serde_json::json!({ "nodes": nodes, "macs": macs })));
    page.fact("weights", Cell::bytes(engine.weights().len() as u64));
    page.fact("arena", Cell::bytes(plan.arena as u64));
    page.fact("activations", Cell::bytes(plan.buffers_sum() as u64));
    provenance(&engine, page);
    page.table(ports("inputs", &plan.inputs));
    if let Some(e) = &plan.entry {
        page.table(ports("pixels instead", std::slice::from_ref(&e.port)));
    }
    page.table(ports("outputs", &plan.outputs));
    page.table(layers(&plan.steps));
    Ok(())
}

fn provenance(engine: &Engine, page: &mut Page) {
    let origin = &engine.origin;
    page.maybe("model digest", origin.model_digest.map(|d| d.to_string()));
    page.maybe("calibration digest", origin.calibration_digest.map(|d| d.to_string()));
    match &origin.preprocess {
        Some(p) => page.fact("preprocessing", p.describe()),
        None => page.fact("preprocessing", Cell::new("none recorded: it takes arrays only", Value::Null)),
    }
    let first = origin.labels.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
    let more = if origin.labels.len() > 4 { ", ..." } else { "" };
    page.fact(
        "classes",
        match origin.labels.len() {
            0 => Cell::new("not named", origin.labels.clone()),
            n => Cell::new(format!("{n}: {first}{more}"), origin.labels.clone()),
        },
    );
    page.fact("outputs are", if origin.probabilities { "probabilities" } else { "logits or plain numbers" });
}

fn ports(key: &'static str, ports: &[Port]) -> Table {
    let mut t = Table::new(key, &["name", "shape"]);
    for p in ports {
        t.row([p.name.as_str().into(), Cell::new(p.shape.to_string(), p.shape.0.clone())]);
    }
    t
}

fn layers(steps: &[Step]) -> Table {
    let mut t = Table::new("layers", &["op", "precision", "macs", "tactic", "name", "reason"]);
    for s in steps {
        let float = if s.is_half() { "fp16" } else { "float" };
        let (precision, reason) = match &s.precision {
            Some(p) => (if p.int8 { "int8" } else { float }, format!("{}: {}", p.reason.code(), p.reason)),
            None => ("", "conversion".into()),
        };
        t.row([
            s.problem.kind().into(),
            precision.into(),
            Cell::new(large(s.macs as f64), s.macs),
            s.choice.tactic.to_string().into(),
            s.name.as_str().into(),
            reason.into(),
        ]);
    }
    t
}
