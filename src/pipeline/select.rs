//! `auto`: for each tensor the method whose threshold costs least at the outputs of the nodes that read it, measured
//! on held-out calibration samples (every fifth, left out of the statistics that the thresholds come from here). The
//! mixture then competes with each method used throughout, in [`super::finals`].

use super::finals::Finals;
use super::fp32::small_engine;
use super::ranges::{Winners, range_of};
use super::taps::Collect;
use crate::base::digest::Digest;
use crate::base::quant::QuantParams;
use crate::base::{Monitor, Result};
use crate::calib::cache::Cache;
use crate::calib::methods::{self, METHODS, Options};
use crate::calib::shards::Fold;
use crate::data::{Dataset, Preprocess};
use crate::device::cpu::Cpu;
use crate::engine::{Engine, Session};
use crate::ir::{Graph, NodeId, ValueId};
use crate::quant::Coding;
use crate::quant::annotate::params;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Mutex;

/// No more than so many samples are looked at.
const MOST: usize = 64;

/// A tensor with its candidates and what their errors add up to.
struct Contest {
    value: ValueId,
    readers: Vec<NodeId>,
    /// Methods with the same parameters share a row.
    candidates: Vec<(Vec<&'static str>, QuantParams)>,
    errors: Vec<f64>,
}

/// Runs the contest; errors are put into the cache's candidates.
#[allow(clippy::too_many_arguments)] // one call, from the calibration
pub fn select(
    g: &Graph,
    codings: &[Option<Coding>],
    cache: &mut Cache,
    options: &Options,
    (engine, session): (&Engine, &mut Session),
    (dataset, preprocess): (&Dataset, &Preprocess),
    (probabilities, bias_correction): (bool, bool),
    monitor: &dyn Monitor,
) -> Result<Winners> {
    let mut contests = contests(g, codings, cache, options);
    let held_out: Vec<usize> =
        (0..dataset.len()).filter(|&i| Fold::of(i) == Fold::HeldOut).take(MOST).collect();
    monitor.stage("choose methods", "images", held_out.len());
    let engines = readers(g, &contests)?;
    for i in held_out {
        monitor.check()?;
        let Ok(sample) = dataset.load(i, preprocess) else { continue }; // skipped before, skipped now
        session.input_mut(0, 1).copy_from_slice(&sample.values);
        let mut collect = Collect::new(&engine.plan);
        collect.input(0, &sample.values);
        session.step(1, Some(&mut collect))?;
        let values = collect.values;
        contests.par_iter_mut().try_for_each(|c| c.add(g, &values, &engines))?;
        monitor.advance(1);
    }
    let mixed: Winners = contests.into_iter().map(|c| c.finish(g, cache)).collect();
    let finals = Finals { graph: g, codings, cache, options, probabilities, bias_correction };
    finals.best(mixed, session, (dataset, preprocess), monitor)
}

/// The values that have something to choose: how each is coded, and the nodes that read it in 8 bits.
fn contested(g: &Graph, codings: &[Option<Coding>]) -> Vec<(ValueId, Coding, Vec<NodeId>)> {
    let consumers = g.consumers();
    let int8 = |n: &NodeId| g.node(*n).is_int8();
    let of = |v: ValueId| {
        let mut readers: Vec<NodeId> = consumers[v.index()].iter().copied().filter(int8).collect();
        readers.dedup();
        let open = !readers.is_empty() && g.value(v).quant.is_none();
        open.then_some((v, codings[v.index()]?, readers))
    };
    g.live_values().into_iter().filter_map(of).collect()
}

/// Digest of everything about a graph, beside the model and the statistics, that the contest depends on: a cache with
/// another one has winners of another contest.
pub fn readers_digest(g: &Graph, codings: &[Option<Coding>]) -> Digest {
    let mut text = String::from(
        "tensor by tensor, then whole networks over all folds, of bounded methods; channels have means\n",
    );
    for m in METHODS {
        text += &format!("method {}\n", m.name());
    }
    for (v, coding, readers) in contested(g, codings) {
        text += &format!("{:?} {coding:?}\n", g.value(v).name);
        for n in readers {
            let node = g.node(n);
            let reads: Vec<&str> = node.inputs.iter().map(|&i| g.value(i).name.as_str()).collect();
            text += &format!(" {:?} {:?} {reads:?}\n", node.name, node.op);
        }
    }
    Digest::of(text.as_bytes())
}

fn contests(g: &Graph, codings: &[Option<Coding>], cache: &Cache, options: &Options) -> Vec<Contest> {
    let contest = |(v, coding, readers): (ValueId, Coding, Vec<NodeId>)| {
        let entry = cache.tensors.get(&g.value(v).name)?;
        let kept = entry.stats.without(Fold::HeldOut);
        let mut candidates: Vec<(Vec<&'static str>, QuantParams)> = Vec::new();
        for m in METHODS.iter().filter(|m| m.is_bounded()) {
            let q = params(coding, range_of(&kept, *m, coding, options));
            match candidates.iter_mut().find(|(_, known)| *known == q) {
                Some((names, _)) => names.push(m.name()),
                None => candidates.push((vec![m.name()], q)),
            }
        }
        let errors = vec![0.0; candidates.len()];
        Some(Contest { value: v, readers, candidates, errors })
    };
    contested(g, codings).into_par_iter().filter_map(contest).collect()
}

type Engines = HashMap<NodeId, (Engine, Mutex<Vec<Session>>)>;

/// A float engine for each node that reads a contested tensor, with idle sessions.
fn readers(g: &Graph, contests: &[Contest]) -> Result<Engines> {
    let mut nodes: Vec<NodeId> = contests.iter().flat_map(|c| c.readers.clone()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let device = Cpu { threads: 1, ..Cpu::host() };
    let build = |n: &NodeId| Ok((*n, (small_engine(&g.only(*n), &device)?, Mutex::new(Vec::new()))));
    nodes.par_iter().map(build).collect()
}

impl Contest {
    /// Adds the errors of one sample: for each reader, the energy of what quantizing the tensor changes at its
    /// output, relative to the output's own.
    fn add(&mut self, g: &Graph, values: &HashMap<&str, Vec<f32>>, engines: &Engines) -> Result<()> {
        for n in &self.readers {
            let (engine, idle) = &engines[n];
            let taken = idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
            let mut session = match taken {
                Some(s) => s,
                None => Session::new(engine, &Cpu { threads: 1, ..Cpu::host() })?,
            };
            let exact = evaluate(&mut session, engine, values, None)?;
            let energy: f64 = exact.iter().map(|&v| f64::from(v).powi(2)).sum();
            let name = &g.value(self.value).name;
            for ((_, q), error) in self.candidates.iter().zip(&mut self.errors) {
                let rounded = evaluate(&mut session, engine, values, Some((name, q)))?;
                let difference =
                    exact.iter().zip(&rounded).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
                *error += difference.sum::<f64>() / energy.max(f64::MIN_POSITIVE);
            }
            idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(session);
        }
        Ok(())
    }

    fn finish(self, g: &Graph, cache: &mut Cache) -> (String, &'static str) {
        let name = g.value(self.value).name.clone();
        let rows: Vec<(usize, f64)> = self.errors.iter().copied().enumerate().collect();
        let winner = methods::choose(&rows).map_or(0, |(i, _)| i);
        if let Some(entry) = cache.tensors.get_mut(&name) {
            for ((names, _), error) in self.candidates.iter().zip(&self.errors) {
                for n in names {
                    if let Some(c) = entry.candidates.get_mut(*n) {
                        c.error = Some(*error);
                    }
                }
            }
        }
        (name, self.candidates[winner].0[0])
    }
}

/// The node's first output, with one of its inputs rounded to 8 bits and back where asked for.
fn evaluate(
    session: &mut Session,
    engine: &Engine,
    values: &HashMap<&str, Vec<f32>>,
    rounded: Option<(&str, &QuantParams)>,
) -> Result<Vec<f32>> {
    for (i, p) in engine.plan.inputs.iter().enumerate() {
        let to = session.input_mut(i, 1);
        let Some(from) = values.get(p.name.as_str()) else { continue };
        match rounded.filter(|(name, _)| *name == p.name) {
            Some((_, q)) => to.iter_mut().zip(from).for_each(|(t, &x)| *t = q.dequantize(q.quantize(x))),
            None => to.copy_from_slice(from),
        }
    }
    session.step(1, None)?;
    Ok(session.output_slice(0, 1).to_vec())
}
