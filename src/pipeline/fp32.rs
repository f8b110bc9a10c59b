//! The FP32 reference: the same runtime at precision F32.

use crate::base::{Monitor, Result};
use crate::device::Device;
use crate::engine::{self, Engine, Origin};
use crate::ir::Graph;
use crate::quant::{self, Settings};
use crate::tune::{TimingCache, Tuner};

/// The graph with every node in float.
fn float_graph(graph: &Graph) -> Graph {
    let mut g = graph.clone();
    quant::decide(&mut g, &Settings { int8: false, ..Settings::default() }, |_| false);
    g
}

/// A float engine of `graph`. Its tactics are the device's first right ones, not the fastest measured: f32 kernels
/// differ in their last bits, and two calibrations must see the same activations.
pub fn engine(graph: &Graph, device: &dyn Device, max_batch: usize, monitor: &dyn Monitor) -> Result<Engine> {
    let mut tuner = Tuner::new(device, TimingCache::default(), None).in_order();
    let origin = Origin { model: graph.name.clone(), ..Origin::default() };
    let settings = engine::Settings { max_batch, stage: "build FP32 reference" };
    engine::build(&float_graph(graph), device, &mut tuner, settings, origin, monitor)
}

/// A float engine of a few nodes, whose speed does not matter.
pub fn small_engine(graph: &Graph, device: &dyn Device) -> Result<Engine> {
    engine::build_unchecked(&float_graph(graph), device)
}
