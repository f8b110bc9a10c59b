//! From a graph with precisions to an engine: lower, tune, place, pack, check.

use super::{Engine, Origin};
use crate::base::codes::engine;
use crate::base::{Aligned, Diagnostic, Digest, Monitor, Result, Silent};
use crate::device::{Device, Floats};
use crate::ir::Graph;
use crate::plan::lower::Draft;
use crate::plan::{Entry, Plan, Step, check, lower, memory, pixels, views};
use crate::tune::{Choice, TimingCache, Tuner};
use std::collections::HashMap;
use std::ops::Range;

/// How an engine is built.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most images of a run.
    pub max_batch: usize,
    /// What the stage is called towards the monitor.
    pub stage: &'static str,
    /// How floats are stored between nodes, and multiplied.
    pub floats: Floats,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_batch: 1, stage: "", floats: Floats::F32 }
    }
}

/// Has the device these floats?
///
/// # Errors
/// `NO_FLOATS`: it has not.
pub fn has_floats(device: &dyn Device, floats: Floats) -> Result<()> {
    if device.computes(floats) {
        return Ok(());
    }
    let what = format!("{} has no kernels for {floats:?}, which `precision.fallback` asks for", device.id());
    Err(Diagnostic::new(engine::NO_FLOATS, what)
        .help("set `precision.fallback: fp32`, or `target: cuda` where there is a GPU"))
}

/// Builds an engine of `graph` for `device`, with tactics from `tuner`.
///
/// # Errors
/// `BAD_GRAPH` where `graph` breaks an invariant ([`Graph::verify`]): everything below relies on them. Those of
/// [`has_floats`].
pub fn build(
    graph: &Graph,
    device: &dyn Device,
    tuner: &mut Tuner,
    settings: Settings,
    origin: Origin,
    monitor: &dyn Monitor,
) -> Result<Engine> {
    graph.verify().map_err(|all| {
        let e = Diagnostic::new(engine::BAD_GRAPH, format!("the graph {} does not fit together", graph.name));
        all.into_iter().take(10).fold(e, |e, v| e.detail(v))
    })?;
    has_floats(device, settings.floats)?;
    let mut lowered = lower(graph, settings.floats)?;
    views::store(&mut lowered, device);
    views::share(&mut lowered, device);
    if let Some(preprocess) = &origin.preprocess {
        pixels::enter(&mut lowered, preprocess)?;
    }
    let arena = memory::place(&mut lowered, settings.max_batch);
    monitor.stage(settings.stage, "steps", lowered.drafts.len() + usize::from(lowered.entry.is_some()));
    tuner.set_batch(settings.max_batch);
    let entry = lowered.entry.take();
    let computed = lowered.drafts.iter().filter(|d| !d.view).chain(entry.as_ref().map(|e| &e.draft));
    tuner.warm(&computed.map(|d| (&d.problem, &d.numerics)).collect::<Vec<_>>());
    let mut weights = Weights::default();
    let mut finish = |d: Draft| -> Result<Step> {
        monitor.check()?;
        let (choice, packed) = match d.view {
            true => (Choice::view(), Vec::new()),
            false => {
                let choice = tuner.best(&d.problem, &d.numerics, &d.tensors)?;
                let packed = device.pack(&d.problem, &d.numerics, &choice.tactic, &d.tensors)?;
                (choice, packed)
            }
        };
        let constants = packed.into_iter().map(|blob| weights.place(&blob)).collect();
        monitor.advance(1);
        Ok(Step {
            name: d.name,
            problem: d.problem,
            numerics: d.numerics,
            choice,
            inputs: d.inputs,
            outputs: d.outputs,
            constants,
            precision: d.precision,
            origin: d.origin,
            macs: d.macs,
        })
    };
    let steps = lowered.drafts.into_iter().map(&mut finish).collect::<Result<Vec<_>>>()?;
    let entry = match entry {
        Some(e) => Some(Entry { port: e.port, step: finish(e.draft)?, instead: e.instead }),
        None => None,
    };
    let plan = Plan {
        device: device.id(),
        max_batch: settings.max_batch,
        steps,
        buffers: lowered.buffers,
        inputs: lowered.inputs,
        outputs: lowered.outputs,
        entry,
        arena,
    };
    check::check(&plan, graph).map_err(|all| {
        let e = Diagnostic::new(engine::BAD_PLAN, "the plan does not compute its graph");
        all.into_iter().take(10).fold(e, |e, v| e.detail(v))
    })?;
    Ok(Engine::new(origin, plan, Aligned::copy(&weights.bytes).into()))
}

/// Packed constants of all steps, equal ones once: kernels made for one problem serve every step that has it.
#[derive(Default)]
struct Weights {
    bytes: Vec<u8>,
    known: HashMap<Digest, Range<usize>>,
}

impl Weights {
    fn place(&mut self, blob: &[u8]) -> Range<usize> {
        let place = || {
            self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
            let start = self.bytes.len();
            self.bytes.extend(blob);
            start..self.bytes.len()
        };
        self.known.entry(Digest::of(blob)).or_insert_with(place).clone()
    }
}

/// Builds an engine for one image with the device's first tactic for every problem, neither checked nor timed: what
/// the oracle or a single node computes, to be compared with something else. Floats are `floats`.
pub fn build_unchecked(graph: &Graph, device: &dyn Device, floats: Floats) -> Result<Engine> {
    let mut tuner = Tuner::new(device, TimingCache::default(), None).unchecked();
    let settings = Settings { floats, ..Settings::default() };
    build(graph, device, &mut tuner, settings, Origin::default(), &Silent)
}
