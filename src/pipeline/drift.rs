//! Where the engine departs from FP32, layer by layer: cumulative (the engine as it runs) and local (each node alone
//! in 8 bits, fed what FP32 feeds it).

use super::taps::{Collect, nodes};
use crate::base::{Monitor, Result};
use crate::data::{Dataset, Preprocess};
use crate::device::Floats;
use crate::device::cpu::Cpu;
use crate::engine::{self, Engine, Session};
use crate::eval::drift::Drift;
use crate::ir::{Graph, NodeId};
use crate::plan::wants_int8;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Samples looked at.
const SAMPLES: usize = 8;

/// The drift of one layer's output.
#[derive(Clone, Default)]
pub struct LayerDrift {
    /// In the engine as it runs.
    pub cumulative: Drift,
    /// The layer alone.
    pub local: Drift,
}

/// Drift by node name over samples spread evenly over a dataset (a folder is in the order of its classes), and how many
/// they were.
pub fn measure(
    graph: &Graph,
    (reference, fp32): (&Engine, &mut Session),
    (engine, int8): (&Engine, &mut Session),
    (dataset, preprocess): (&Dataset, &Preprocess),
    monitor: &dyn Monitor,
) -> Result<(BTreeMap<String, LayerDrift>, u64)> {
    let count = dataset.len().min(SAMPLES);
    monitor.stage("drift", "images", count);
    let mut alone = Alone::of(graph)?;
    let mut layers: BTreeMap<String, LayerDrift> = BTreeMap::new();
    let mut measured = 0;
    for i in spread(dataset.len(), count) {
        monitor.check()?;
        let Ok(sample) = dataset.load(i, preprocess) else { continue };
        measured += 1;
        let (exact, engine_values) =
            (collect(reference, fp32, &sample.values)?, collect(engine, int8, &sample.values)?);
        for (_, s) in nodes(&engine.plan) {
            let name = engine.plan.buffer(s.outputs[0]).value.as_str();
            if let (Some(x), Some(y)) = (exact.get(name), engine_values.get(name)) {
                layers.entry(s.name.clone()).or_default().cumulative.update(x, y);
            }
        }
        for (name, drift) in alone.run(&exact)? {
            layers.entry(name).or_default().local.merge(&drift);
        }
        monitor.advance(1);
    }
    Ok((layers, measured))
}

/// `count` of the numbers below `len`, evenly: the middles of so many equal parts.
fn spread(len: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |k| (2 * k + 1) * len / (2 * count))
}

fn collect<'e>(
    engine: &'e Engine,
    session: &mut Session,
    input: &[f32],
) -> Result<HashMap<&'e str, Vec<f32>>> {
    session.input_mut(0, 1).copy_from_slice(input);
    let mut c = Collect::new(&engine.plan);
    c.input(0, input);
    session.step(1, Some(&mut c))?;
    Ok(c.values)
}

/// Every 8-bit node as an engine of its own.
struct Alone<'g> {
    graph: &'g Graph,
    /// For each value: does the engine store it in 8 bits, where it has a scale?
    stored_int8: Vec<bool>,
    nodes: Vec<(NodeId, Engine, Session)>,
}

impl<'g> Alone<'g> {
    fn of(graph: &'g Graph) -> Result<Self> {
        let device = Cpu { threads: 1, ..Cpu::host() };
        let int8: Vec<NodeId> = graph.nodes().filter(|(_, n)| n.is_int8()).map(|(id, _)| id).collect();
        let build = |&id: &NodeId| {
            let e = engine::build_unchecked(&graph.only(id), &device, Floats::F32)?;
            let s = Session::new(&e, &device)?;
            Ok((id, e, s))
        };
        Ok(Alone {
            graph,
            stored_int8: wants_int8(graph),
            nodes: int8.par_iter().map(build).collect::<Result<_>>()?,
        })
    }

    /// One sample through every node; what the node would store is rounded as it would be.
    fn run(&mut self, exact: &HashMap<&str, Vec<f32>>) -> Result<Vec<(String, Drift)>> {
        let (graph, stored_int8) = (self.graph, &self.stored_int8);
        let one = |(id, engine, session): &mut (NodeId, Engine, Session)| -> Result<(String, Drift)> {
            let node = graph.node(*id);
            let mut drift = Drift::default();
            for (i, p) in engine.plan.inputs.iter().enumerate() {
                let Some(x) = exact.get(p.name.as_str()) else { return Ok((node.name.clone(), drift)) };
                session.input_mut(i, 1).copy_from_slice(x);
            }
            session.step(1, None)?;
            let value = graph.value(node.outputs[0]);
            let stored = value.quant.filter(|_| stored_int8[node.outputs[0].index()]);
            let y: Vec<f32> = session
                .output_slice(0, 1)
                .iter()
                .map(|&v| stored.map_or(v, |q| q.dequantize(q.quantize(v))))
                .collect();
            if let Some(x) = exact.get(value.name.as_str()) {
                drift.update(x, &y);
            }
            Ok((node.name.clone(), drift))
        };
        self.nodes.par_iter_mut().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn samples_are_spread_over_the_whole_set() {
        assert_eq!(spread(1200, 8).collect::<Vec<_>>(), [75, 225, 375, 525, 675, 825, 975, 1125]);
        assert_eq!(spread(3, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(0, 0).count(), 0);
    }
}
