//! The FP32 reference: the same runtime at precision F32.

use crate::base::{Monitor, Result};
use crate::device::{Device, Floats};
use crate::engine::{self, Engine, Origin, Session};
use crate::ir::Graph;
use crate::quant::{self, Settings};
use crate::tune::{TimingCache, Tuner};
use std::sync::Arc;

/// The graph with every node in float.
fn float_graph(graph: &Graph) -> Graph {
    let mut g = graph.clone();
    quant::decide(&mut g, &Settings { int8: false, ..Settings::default() }, |_| false);
    g
}

/// A float engine of `graph`, and what was learned. Its tactics are the device's first right ones, not the fastest
/// measured: f32 kernels differ in their last bits, and two calibrations must see the same activations.
pub fn engine(
    graph: &Graph,
    device: &dyn Device,
    max_batch: usize,
    cache: TimingCache,
    monitor: &dyn Monitor,
) -> Result<(Engine, TimingCache)> {
    let mut tuner = Tuner::new(device, cache, None).in_order();
    let origin = Origin { model: graph.name.clone(), ..Origin::default() };
    let settings =
        engine::Settings { max_batch, stage: "build FP32 reference", ..engine::Settings::default() };
    let engine = engine::build(&float_graph(graph), device, &mut tuner, settings, origin, monitor)?;
    Ok((engine, tuner.into_cache()))
}

/// The reference of a run, built when it is first asked for: with a finished calibration a build needs none.
pub struct Reference<'a> {
    device: Arc<dyn Device>,
    max_batch: usize,
    timings: TimingCache,
    monitor: &'a dyn Monitor,
    built: Option<(Engine, Session)>,
}

impl<'a> Reference<'a> {
    /// A reference for so many images at once, not yet built. What earlier builds learned is in `timings`.
    pub fn new(
        device: Arc<dyn Device>,
        max_batch: usize,
        timings: TimingCache,
        monitor: &'a dyn Monitor,
    ) -> Self {
        Reference { device, max_batch, timings, monitor, built: None }
    }

    /// The engine of `graph`, the same graph every time, with its session.
    pub fn of(&mut self, graph: &Graph) -> Result<(&Engine, &mut Session)> {
        let (engine, session) = match self.built.take() {
            Some(built) => self.built.insert(built),
            None => {
                let timings = std::mem::take(&mut self.timings);
                let (engine, timings) = engine(graph, &*self.device, self.max_batch, timings, self.monitor)?;
                self.timings = timings;
                let session = Session::new(&engine, &*self.device)?;
                self.built.insert((engine, session))
            }
        };
        Ok((engine, session))
    }

    /// What is known about tactics now, for the next engine. The reference must not be built after this.
    pub fn take_timings(&mut self) -> TimingCache {
        std::mem::take(&mut self.timings)
    }
}

/// A float engine of a few nodes, whose speed does not matter.
pub fn small_engine(graph: &Graph, device: &dyn Device) -> Result<Engine> {
    engine::build_unchecked(&float_graph(graph), device, Floats::F32)
}
