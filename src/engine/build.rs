//! From a graph with precisions to an engine: lower, tune, place, pack, check.

use super::{Engine, Origin};
use crate::base::codes::engine;
use crate::base::{Aligned, Diagnostic, Digest, Monitor, Result, Silent};
use crate::device::{Device, Floats, Tactic};
use crate::ir::Graph;
use crate::plan::lower::{Draft, Lowered};
use crate::plan::pairs::{self, Computed};
use crate::plan::{Entry, Plan, Step, check, in_place, lower, memory, pixels, views};
use crate::tune::{Choice, Task, TimingCache, Tuner};
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
    let mut lowered = lowered(graph, device, settings, &origin)?;
    monitor.stage(settings.stage, "steps", lowered.drafts.len() + usize::from(lowered.entry.is_some()));
    tuner.set_batch(settings.max_batch);
    warm(&lowered, tuner);
    join_pairs(&mut lowered, tuner, monitor)?;
    let mut choose = |d: &Draft, c: &Computed| -> Result<Choice> {
        monitor.check()?;
        let choice = match (d.view, d.joined) {
            (_, true) => Choice::idle(Tactic::joined()),
            (true, _) => Choice::idle(Tactic::view()),
            _ => tuner.best(&c.problem, &c.numerics, &c.tensors)?,
        };
        monitor.advance(1);
        Ok(choice)
    };
    let each = lowered.drafts.iter().enumerate();
    let choices = each.map(|(i, d)| choose(d, &pairs::computed(&lowered, i))).collect::<Result<Vec<_>>>()?;
    let of_entry = lowered.entry.iter().map(|e| choose(&e.draft, &Computed::of(&e.draft)));
    let of_entry = of_entry.collect::<Result<Vec<_>>>()?.pop();
    in_place::overwrite(&mut lowered, |problem, i| device.in_place(problem, &choices[i].tactic));
    let arena = memory::place(&mut lowered, settings.max_batch);
    let mut weights = Weights::default();
    let mut finish = |d: &Draft, c: &Computed, choice: Choice| -> Result<Step> {
        let packed = match d.computes() {
            true => device.pack(&c.problem, &c.numerics, &choice.tactic, &c.tensors)?,
            false => vec![],
        };
        let constants = packed.into_iter().map(|blob| weights.place(&blob)).collect();
        Ok(step(d, choice, constants))
    };
    let each = lowered.drafts.iter().enumerate().zip(choices);
    let steps = each.map(|((i, d), choice)| finish(d, &pairs::computed(&lowered, i), choice));
    let steps = steps.collect::<Result<Vec<_>>>()?;
    let entry = match lowered.entry.iter().zip(of_entry).next() {
        Some((e, choice)) => {
            let step = finish(&e.draft, &Computed::of(&e.draft), choice)?;
            Some(Entry { port: e.port.clone(), step, instead: e.instead })
        }
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

/// The graph as drafts for this device: with views, and a way in for pixels.
fn lowered(graph: &Graph, device: &dyn Device, settings: Settings, origin: &Origin) -> Result<Lowered> {
    let mut lowered = lower(graph, settings.floats)?;
    views::store(&mut lowered, device);
    views::share(&mut lowered, device);
    if let Some(preprocess) = &origin.preprocess {
        pixels::enter(&mut lowered, preprocess)?;
    }
    Ok(lowered)
}

/// Lets the device get ready for all that it will be asked, pairs too.
fn warm(l: &Lowered, tuner: &Tuner) {
    let pairs = pairs::candidates(l).into_iter().filter_map(|(a, b)| pairs::pair(l, a, b));
    let alone = l.drafts.iter().filter(|d| d.computes()).chain(l.entry.iter().map(|e| &e.draft));
    let all: Vec<Computed> = alone.map(Computed::of).chain(pairs).collect();
    tuner.warm(&all.iter().map(|c| (&*c.problem, &*c.numerics)).collect::<Vec<_>>());
}

/// A step from its draft.
fn step(d: &Draft, choice: Choice, constants: Vec<Range<usize>>) -> Step {
    Step {
        name: d.name.clone(),
        problem: d.problem.clone(),
        numerics: d.numerics.clone(),
        choice,
        inputs: d.inputs.clone(),
        outputs: d.outputs.clone(),
        with: d.with,
        constants,
        precision: d.precision.clone(),
        origin: d.origin.clone(),
        macs: d.macs,
    }
}

/// Makes one step of two where that takes less time. No step is in two pairs.
fn join_pairs(l: &mut Lowered, tuner: &mut Tuner, monitor: &dyn Monitor) -> Result<()> {
    for (first, second) in pairs::candidates(l) {
        monitor.check()?;
        let taken = |i: usize| l.drafts[i].joined || l.drafts[i].with.is_some();
        let Some(both) = pairs::pair(l, first, second).filter(|_| !taken(first) && !taken(second)) else {
            continue;
        };
        let alone = [first, second].map(|i| pairs::computed(l, i));
        if tuner.beats(task(&both), [task(&alone[0]), task(&alone[1])])? {
            pairs::join(l, first, second);
        }
    }
    Ok(())
}

fn task<'c>(c: &'c Computed) -> Task<'c> {
    (&c.problem, &c.numerics, &c.tensors)
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
