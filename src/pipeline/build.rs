//! The quantized engine, and its check against the oracle.

use super::calibrate::Calibrated;
use super::import::Network;
use super::ranges;
use crate::base::codes::engine as codes;
use crate::base::{Diagnostic, Monitor, Result};
use crate::config::Job;
use crate::device::Device;
use crate::device::interp::Interp;
use crate::engine::{self, Engine, Origin, Session};
use crate::eval::Drift;
use crate::ir::{Graph, Value};
use crate::quant;
use crate::tune::{TimingCache, Tuner};
use std::path::PathBuf;

/// Signal to noise of an engine with float islands against the oracle, at least: f32 against f64 between 8-bit nodes
/// moves a few integers by one.
const LEAST_SQNR_DB: f64 = 30.0;

/// Where a run keeps its timing cache: where it is told to, else beside the engine.
pub fn timing_path(job: &Job) -> PathBuf {
    job.build.timing_cache.clone().unwrap_or_else(|| job.output.dir.join("timing.cache"))
}

/// The timing cache to begin with. A damaged one is an error where the configuration names it, else it is made anew.
pub fn timings(job: &Job, monitor: &dyn Monitor) -> Result<TimingCache> {
    match TimingCache::load(&timing_path(job)) {
        Err(e) if job.build.timing_cache.is_none() => {
            monitor.note(&format!("tuning anew, the timing cache is of no use: {}", e.what));
            Ok(TimingCache::default())
        }
        loaded => loaded,
    }
}

/// The graph with scales.
pub fn annotated(job: &Job, net: &Network, calibrated: &Calibrated) -> Graph {
    let mut g = net.graph.clone();
    let params = ranges::params_of(&g, &calibrated.cache);
    quant::annotate(&mut g, &params);
    if job.precision.bias_correction {
        let means = |v: &Value| calibrated.cache.tensors.get(&v.name).map(|e| e.stats.all().means.values());
        quant::correct_bias(&mut g, |v| means(v).unwrap_or_default());
    }
    g
}

/// The largest batch of the engine: the one that the configuration names, for which its kernels are chosen; else what the
/// stages here use.
pub fn engine_batch(job: &Job) -> usize {
    let asked = job.model.inputs.iter().filter_map(|(_, shape)| shape.first().copied());
    asked.max().unwrap_or_else(|| stages_batch(job))
}

/// The largest batch that the stages of a run use: that of the reference.
pub fn stages_batch(job: &Job) -> usize {
    job.calibration.batch.max(job.evaluation.as_ref().map_or(1, |e| e.batch))
}

/// Builds the engine of an annotated graph.
pub fn build(
    job: &Job,
    net: &Network,
    graph: &Graph,
    device: &dyn Device,
    cache: TimingCache,
    monitor: &dyn Monitor,
) -> Result<(Engine, TimingCache)> {
    let mut tuner = Tuner::new(device, cache, job.build.budget);
    let eval = job.evaluation.as_ref();
    let settings = engine::Settings { max_batch: engine_batch(job), stage: "build INT8 engine" };
    let labels = match (&job.model.classes, eval) {
        (Some(classes), _) => classes.clone(),
        (None, Some(e)) => e.dataset()?.classes().map(<[_]>::to_vec).unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    let origin = Origin {
        model: net.graph.name.clone(),
        model_digest: Some(net.digest),
        calibration_digest: None,
        labels,
        preprocess: Some(job.preprocess.clone()),
        probabilities: net.probabilities,
    };
    let engine = engine::build(graph, device, &mut tuner, settings, origin, monitor)?;
    Ok((engine, tuner.into_cache()))
}

/// Runs the engine beside the oracle on `input` (one image): bit for bit where every node that computes is
/// 8-bit, within rounding where there are float islands. Returns a sentence on what was found equal.
pub fn self_check(engine: &Engine, graph: &Graph, device: &dyn Device, input: &[f32]) -> Result<String> {
    let oracle = engine::build_unchecked(graph, &Interp)?;
    let (mut fast, mut slow) = (Session::new(engine, device)?, Session::new(&oracle, &Interp)?);
    for s in [&mut fast, &mut slow] {
        s.input_mut(0, 1).copy_from_slice(input);
        s.step(1, None)?;
    }
    let islands = engine.plan.steps.iter().any(|s| s.problem.op().is_some() && !s.is_int8());
    for (i, p) in engine.plan.outputs.iter().enumerate() {
        let (a, b) = (slow.output_slice(i, 1), fast.output_slice(i, 1));
        let mut drift = Drift::default();
        drift.update(a, b);
        let equal = a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits());
        let sqnr = drift.sqnr_db().unwrap_or(f64::INFINITY);
        if !equal && (!islands || sqnr < LEAST_SQNR_DB) {
            let what = format!("output {} differs from the reference arithmetic ({sqnr:.1} dB)", p.name);
            let want = match islands {
                true => format!("at least {LEAST_SQNR_DB:.0} dB"),
                false => "equality to the last bit".into(),
            };
            return Err(Diagnostic::new(codes::SELF_CHECK, what).expected(want));
        }
    }
    Ok(match islands {
        true => "outputs within rounding of the oracle".into(),
        false => "outputs equal to the oracle bit for bit".into(),
    })
}
