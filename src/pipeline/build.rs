//! The quantized engine, and its check against the oracle.

use super::calibrate::Calibrated;
use super::import::Network;
use super::{mixed, ranges};
use crate::base::codes::engine as codes;
use crate::base::{Diagnostic, Monitor, Result};
use crate::config::Job;
use crate::config::job::Fallback;
use crate::device::interp::Interp;
use crate::device::{Device, Floats};
use crate::engine::{self, Engine, Origin, Session};
use crate::eval::Drift;
use crate::ir::{Graph, NodeId, Precision, Value};
use crate::quant;
use crate::tune::{TimingCache, Tuner};
use std::path::PathBuf;

/// Signal to noise of an engine with float islands against the oracle, at least: f32 against f64 between 8-bit nodes
/// moves a few integers by one, and halves by their last bit.
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

/// What an engine is built from.
#[derive(Clone, Copy)]
pub struct Building<'a> {
    /// What was asked for.
    pub job: &'a Job,
    /// The network, its nodes with precisions.
    pub net: &'a Network,
    /// Its ranges.
    pub calibrated: &'a Calibrated,
    /// Where it shall run.
    pub device: &'a dyn Device,
}

impl Building<'_> {
    /// The graph with scales, some of its nodes perhaps in another precision than was decided.
    pub fn graph(&self, moved: impl Fn(NodeId) -> Option<Precision>) -> Graph {
        let mut g = self.net.graph.clone();
        let ids: Vec<NodeId> = g.nodes().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(precision) = moved(id) {
                g.node_mut(id).precision = Some(precision);
            }
        }
        let cache = &self.calibrated.cache;
        let params = ranges::params_of(&g, cache);
        quant::annotate(&mut g, &params);
        if self.job.precision.bias_correction {
            let means = |v: &Value| cache.tensors.get(&v.name).map(|e| e.stats.all().means.values());
            quant::correct_bias(&mut g, |v| means(v).unwrap_or_default());
        }
        g
    }

    /// The engine of a graph with scales.
    pub fn engine(
        &self,
        graph: &Graph,
        tuner: &mut Tuner,
        stage: &'static str,
        monitor: &dyn Monitor,
    ) -> Result<Engine> {
        let (job, net) = (self.job, self.net);
        let floats = floats(job.precision.fallback);
        let settings = engine::Settings { max_batch: engine_batch(job), stage, floats };
        let labels = match (&job.model.classes, job.evaluation.as_ref()) {
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
        engine::build(graph, self.device, tuner, settings, origin, monitor)
    }
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

/// How an engine stores and multiplies what is not in 8 bits.
pub fn floats(fallback: Fallback) -> Floats {
    match fallback {
        Fallback::Fp32 => Floats::F32,
        Fallback::Tf32 => Floats::Tf32,
        Fallback::Fp16 => Floats::F16,
    }
}

/// Builds the engine of a run, and the graph that it computes: with FP16 beside INT8 ([`mixed`]) some nodes are in float
/// that could be in INT8.
pub fn build(
    building: &Building,
    cache: TimingCache,
    monitor: &dyn Monitor,
) -> Result<(Engine, Graph, TimingCache)> {
    let job = building.job;
    let mut tuner = Tuner::new(building.device, cache, job.build.budget);
    let graph = building.graph(|_| None);
    let (engine, graph) = match job.precision.fallback {
        Fallback::Fp16 => mixed::build(building, graph, &mut tuner, monitor)?,
        Fallback::Fp32 | Fallback::Tf32 => {
            (building.engine(&graph, &mut tuner, "build INT8 engine", monitor)?, graph)
        }
    };
    Ok((engine, graph, tuner.into_cache()))
}

/// Runs the engine beside the oracle on `input` (one image): bit for bit where every node that computes is
/// 8-bit, within rounding where there are float islands. Returns a sentence on what was found equal.
pub fn self_check(engine: &Engine, graph: &Graph, device: &dyn Device, input: &[f32]) -> Result<String> {
    let floats = if engine.plan.has_halves() { Floats::F16 } else { Floats::F32 };
    let oracle = engine::build_unchecked(graph, &Interp, floats)?;
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
