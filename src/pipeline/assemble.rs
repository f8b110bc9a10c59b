//! The report from what the stages left.

use super::Options;
use super::calibrate::Calibrated;
use super::chain::shown;
use super::doubts;
use super::drift::LayerDrift;
use super::evaluate::Evaluated;
use super::import::Network;
use super::latency::Timed;
use super::ranges;
use super::taps::{Profile, nodes};
use crate::base::digest::Digest;
use crate::base::{Result, machine};
use crate::calib::flags::clipped_share;
use crate::calib::histogram::BINS;
use crate::calib::methods::{self, METHODS};
use crate::calib::noise::Noise;
use crate::config::Job;
use crate::device::Device;
use crate::engine::Engine;
use crate::eval::latency::{noisy, summarize};
use crate::ir::Graph;
use crate::plan::Step;
use crate::report::Report;
use crate::report::model::*;
use crate::rewrite::Verdict as RewriteVerdict;
use crate::tune::Verdict;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The bytes of an engine's file, with their digest: made once, used several times.
pub struct EngineFile {
    /// The file.
    pub bytes: Vec<u8>,
    /// Of the bytes.
    pub digest: Digest,
}

impl EngineFile {
    /// The file of an engine.
    pub fn of(engine: &Engine) -> Result<Self> {
        let bytes = engine.to_bytes()?;
        Ok(EngineFile { digest: Digest::of(&bytes), bytes })
    }
}

/// What the stages left.
pub struct Parts<'a> {
    job: &'a Job,
    options: &'a Options,
    net: &'a Network,
    calibrated: &'a Calibrated,
    /// The quantized engine and its file.
    pub engine: Option<(&'a Engine, &'a EngineFile)>,
    /// The annotated graph.
    pub graph: Option<&'a Graph>,
    /// The float engine.
    pub reference: Option<&'a Engine>,
    /// Accuracy.
    pub evaluated: Option<Evaluated>,
    /// Drift by node, and how many samples it is of.
    pub drift: (BTreeMap<String, LayerDrift>, u64),
    /// Latencies and profiles.
    pub timed: Option<Timed>,
}

impl<'a> Parts<'a> {
    /// What there is after calibration.
    pub fn new(job: &'a Job, options: &'a Options, net: &'a Network, calibrated: &'a Calibrated) -> Self {
        Parts {
            job,
            options,
            net,
            calibrated,
            engine: None,
            graph: None,
            reference: None,
            evaluated: None,
            drift: (BTreeMap::new(), 0),
            timed: None,
        }
    }
}

impl Parts<'_> {
    /// What was asked for.
    pub fn job(&self) -> &Job {
        self.job
    }

    /// What the calibration left.
    pub fn calibrated(&self) -> &Calibrated {
        self.calibrated
    }
}

/// Fills a report. `files` are those written so far, with what they are.
pub fn fill(r: &mut Report, mut p: Parts, device: &dyn Device, files: &[(&str, PathBuf)]) -> Result<()> {
    let gate = Gate {
        max_drop_top1: p.job.gate.max_drop,
        min_top1: p.job.gate.min_top1,
        min_agreement_top1: p.job.gate.min_agreement,
    };
    r.gate = (gate != Gate::default()).then_some(gate);
    r.warnings = p.net.warnings.clone();
    r.warnings.extend(doubts::doubts(&p));
    r.warnings.extend(left_out("calibration", p.calibrated.cache.skipped));
    r.rewrites = rewrites(p.net);
    r.calibration = Some(calibration(&p));
    r.tensors = tensors(&p);
    r.provenance = provenance(&p, device)?;
    r.size_bytes = SizeBytes { model: Some(p.net.bytes), engine: None };
    if let Some((e, file)) = p.engine {
        r.layers = layers(&p, e);
        r.drift_samples = (p.drift.1 > 0).then_some(p.drift.1);
        r.coverage = Coverage::of(&r.layers);
        r.memory_bytes.arena = Some(e.plan.arena as u64);
        r.memory_bytes.activations_sum = Some(e.plan.buffers_sum() as u64);
        r.size_bytes.engine = Some(file.bytes.len() as u64);
        r.provenance.engine_digest = Some(file.digest.to_string());
    }
    r.memory_bytes.peak_rss = peak_rss();
    if let Some(e) = p.evaluated.take() {
        r.accuracy = e.accuracy;
        r.metrics = e.scores;
        r.warnings.extend(left_out("evaluation", e.skipped.len() as u64));
    }
    if let Some(t) = &p.timed {
        let [a, b] = &t.millis;
        let noise = [("FP32", a), ("the engine", b)].into_iter();
        let noise: Vec<String> = noise
            .filter_map(|(whose, times)| Some(format!("latency of {whose}: {}", noisy(times)?)))
            .collect();
        r.warnings.extend(noise.iter().cloned());
        r.latency_ms = Latencies { reference: summarize(a), engine: summarize(b), noise };
    }
    r.files = files.iter().map(file).collect();
    r.not_checked = not_checked(&p);
    Ok(())
}

fn left_out(role: &str, samples: u64) -> Option<String> {
    (samples > 0).then(|| format!("{samples} {role} samples could not be decoded and were left out"))
}

fn file((what, path): &(&str, PathBuf)) -> OutputFile {
    let bytes = std::fs::metadata(path).ok().map(|m| m.len());
    OutputFile { what: what.to_string(), path: shown(path), bytes }
}

fn not_checked(p: &Parts) -> Vec<String> {
    let mut out = Vec::new();
    if p.job.evaluation.is_none() {
        out.push("accuracy: the configuration has no `evaluation`".into());
    }
    out.push("sensitivity: no layer was tried in float one at a time".into());
    out.push("other machines: latency was measured here, on this device alone".into());
    out
}

fn rewrites(net: &Network) -> Vec<Rewrite> {
    let mut rows: BTreeMap<&str, Rewrite> = BTreeMap::new();
    for e in &net.record.rows {
        let row =
            rows.entry(&e.rule).or_insert_with(|| Rewrite { rule: e.rule.clone(), ..Rewrite::default() });
        match &e.outcome {
            RewriteVerdict::Done => row.done += 1,
            RewriteVerdict::Blocked(reason) => match row.blocked.iter_mut().find(|b| b.reason == *reason) {
                Some(b) => {
                    b.count += 1;
                    b.nodes.push(e.node.clone());
                }
                None => row.blocked.push(RewriteBlocked {
                    reason: reason.clone(),
                    count: 1,
                    nodes: vec![e.node.clone()],
                }),
            },
        }
    }
    rows.into_values().collect()
}

fn calibration(p: &Parts) -> CalibrationInfo {
    let c = p.calibrated;
    CalibrationInfo {
        method: p.job.calibration.method.clone(),
        samples: c.cache.done,
        skipped: c.cache.skipped,
        source: c.source,
        cache_digest: Some(Digest::of(c.text.as_bytes()).to_string()),
        preprocessing: p.job.calibration.data.as_ref().map(|d| d.preprocess.describe()),
    }
}

/// How a tensor is called: with the name of each node that reads it.
fn consumers(p: &Parts) -> BTreeMap<String, Vec<String>> {
    let g = p.graph.unwrap_or(&p.net.graph);
    let readers = g.consumers();
    let names = |v: crate::ir::ValueId| readers[v.index()].iter().map(|n| g.node(*n).name.clone()).collect();
    g.live_values().into_iter().map(|v| (g.value(v).name.clone(), names(v))).collect()
}

fn tensors(p: &Parts) -> Vec<TensorReport> {
    let options = methods::Options { percentile: p.job.calibration.percentile };
    let mut flags = ranges::flags(&p.calibrated.cache, &options);
    // the table of all methods takes a while: it is for who judges them
    let others = if p.evaluated.is_some() { METHODS } else { &[] };
    let mut thresholds = ranges::thresholds(&p.calibrated.cache, &options, others);
    let consumers = consumers(p);
    let mut sharing = ranges::sharing(&p.net.graph, &p.calibrated.cache);
    // in the order of the graph, which is that of execution
    let order: Vec<String> =
        p.net.graph.live_values().into_iter().map(|v| p.net.graph.value(v).name.clone()).collect();
    let of = |name: &String| {
        let e = p.calibrated.cache.tensors.get(name)?;
        let (found, halves) = flags.remove(name).unwrap_or_default();
        let all = e.stats.all();
        let h = all.abs_histogram();
        let chosen = e.chosen.as_ref();
        let spread = halves.map(|[a, b]| {
            let (a, b) = (f64::from(a.amax()), f64::from(b.amax()));
            if a.max(b) > 0.0 { (a - b).abs() / a.max(b) } else { 0.0 }
        });
        Some(TensorReport {
            name: name.clone(),
            consumers: consumers.get(name).cloned().unwrap_or_default(),
            min: all.min,
            max: all.max,
            amax: all.amax(),
            amax_sample: all.amax_sample.as_deref().map(String::from),
            flags: found.iter().map(|f| f.to_string()).collect(),
            thresholds: thresholds.remove(name).unwrap_or_default(),
            method: chosen.map(|c| c.method.clone()).unwrap_or_default(),
            threshold: chosen.map(|c| c.range.amax()),
            dtype: chosen.map(|c| c.params.dtype.to_string()).unwrap_or_else(|| "f32".into()),
            scale: chosen.map(|c| c.params.scale.get()),
            zero_point: chosen.map(|c| c.params.zero_point),
            clipped: chosen.map(|c| clipped_share(&all, c.range)),
            sqnr_db: chosen.and_then(|c| Noise::of(&all, c.range).sqnr_db()),
            shared_with: sharing.remove(name),
            zero_code: chosen.map(|c| zero_code(&all, c.params.scale.get())),
            half_spread: spread,
            histogram: (all.count > all.zeros)
                .then(|| Bars::merged(h.exp() - BINS.ilog2() as i32, h.bins(), all.zeros)),
        })
    };
    order.iter().filter_map(of).collect()
}

/// The share of the values that are stored as zero: those within half a step of it.
fn zero_code(stats: &crate::calib::stats::Stats, scale: f32) -> f64 {
    let beyond = stats.abs_histogram().count_from(f64::from(scale) / 2.0);
    if stats.count == 0 { 0.0 } else { 1.0 - beyond as f64 / stats.count as f64 }
}

fn layers(p: &Parts, e: &Engine) -> Vec<Layer> {
    let reference: BTreeMap<&str, f64> = match (p.reference, &p.timed) {
        (Some(r), Some(t)) => {
            let times = nodes(&r.plan).filter_map(|(i, s)| Some((s.name.as_str(), t.profiles[0].of(i)?)));
            times.collect()
        }
        _ => BTreeMap::new(),
    };
    let profile = p.timed.as_ref().map(|t| &t.profiles[1]);
    nodes(&e.plan).map(|(i, s)| layer(p, e, i, s, profile, reference.get(s.name.as_str()).copied())).collect()
}

fn layer(
    p: &Parts,
    e: &Engine,
    i: usize,
    s: &Step,
    profile: Option<&Profile>,
    reference: Option<f64>,
) -> Layer {
    let buffer = e.plan.buffer(s.outputs[0]);
    let drift = p.drift.0.get(&s.name).cloned().unwrap_or_default();
    let reason = s.precision.as_ref().map(|p| &p.reason);
    let tensor = p.calibrated.cache.tensors.get(&buffer.value);
    let clipped = buffer.quant.and(tensor).and_then(|t| {
        let chosen = t.chosen.as_ref()?;
        Some(clipped_share(&t.stats.all(), chosen.range))
    });
    Layer {
        name: s.name.clone(),
        op: s.problem.kind().to_string(),
        precision: precision(s),
        reason: reason.map(|r| r.to_string()).unwrap_or_default(),
        reason_code: reason.map(|r| r.code().to_string()),
        sqnr_db: drift.cumulative.sqnr_db(),
        local_sqnr_db: if s.is_int8() { drift.local.sqnr_db() } else { None },
        rmse_over_scale: buffer.quant.and_then(|q| drift.local.rmse_over_scale(q.scale.get())),
        time_us: profile.and_then(|t| t.of(i)),
        reference_time_us: reference,
        macs: s.macs,
        output: buffer.value.clone(),
        dtype: buffer.operand.dtype.to_string(),
        scale: buffer.quant.map(|q| q.scale.get()),
        zero_point: buffer.quant.map(|q| q.zero_point),
        clipped,
        weight_scale_ratio: weight_scale_ratio(p, s),
        tactic: Some(tactic(s)),
        origin: s.origin.clone(),
    }
}

/// What a step computes in.
pub fn precision(s: &Step) -> Precision {
    match () {
        () if s.is_int8() => Precision::Int8,
        () if s.is_half() => Precision::Fp16,
        () if s.is_tf32() => Precision::Tf32,
        () => Precision::Fp32,
    }
}

/// Largest over smallest weight scale of the layer's channels.
fn weight_scale_ratio(p: &Parts, s: &Step) -> Option<f64> {
    let g = p.graph?;
    let (_, n) = g.nodes().find(|(_, n)| n.name == s.name)?;
    let scales = &g.value(*n.inputs.get(1)?).channels.as_ref()?.scales;
    let (lo, hi) =
        scales.iter().fold((f32::INFINITY, 0f32), |(lo, hi), s| (lo.min(s.get()), hi.max(s.get())));
    Some(f64::from(hi) / f64::from(lo))
}

fn tactic(s: &Step) -> Tactic {
    let others = s.choice.candidates.iter().filter(|c| c.tactic != s.choice.tactic);
    let alternative = |c: &crate::tune::Candidate| Alternative {
        name: c.tactic.to_string(),
        time_us: match c.verdict {
            Verdict::Time(ns) => Some(ns as f64 / 1e3),
            _ => None,
        },
        verdict: match &c.verdict {
            Verdict::Time(_) => "slower".into(),
            other => other.to_string(),
        },
    };
    Tactic { name: s.choice.tactic.to_string(), alternatives: others.map(alternative).collect() }
}

fn provenance(p: &Parts, device: &dyn Device) -> Result<Provenance> {
    let id = device.id();
    let c = &p.calibrated.cache.provenance;
    let mut datasets = Vec::new();
    if let Some(data) = &p.job.calibration.data {
        datasets.push(Dataset {
            role: "calibration".into(),
            path: source_path(&data.source),
            samples: c.samples,
            digest: c.data_content.to_string(),
        });
    }
    if let (Some(e), Some(digest)) = (&p.job.evaluation, p.evaluated.as_ref().and_then(|e| e.dataset)) {
        datasets.push(Dataset {
            role: "evaluation".into(),
            path: source_path(&e.data.source),
            samples: e.dataset()?.len() as u64,
            digest: digest.to_string(),
        });
    }
    Ok(Provenance {
        version: env!("CARGO_PKG_VERSION").into(),
        command: p.options.command.clone(),
        created: Some(machine::now()),
        model_path: shown(&p.job.model.path),
        model_digest: p.net.digest.to_string(),
        engine_digest: None,
        config_digest: Digest::of(p.options.config_text.as_bytes()).to_string(),
        config: p.options.config_text.clone(),
        datasets,
        machine: [format!("{} {}", std::env::consts::ARCH, std::env::consts::OS)]
            .into_iter()
            .chain(machine::processor())
            .collect::<Vec<_>>()
            .join(", "),
        device: id.kind,
        isa: id.arch,
        threads: Some(id.width as u64),
        seeds: [("calibration.seed".to_string(), p.job.calibration.seed)].into(),
    })
}

fn source_path(source: &crate::data::Source) -> String {
    use crate::data::Form;
    match &source.form {
        Form::Folder(p) | Form::List(p) | Form::Array(p) => shown(p),
        Form::Files(files) => format!("{} files", files.len()),
    }
}

/// Largest resident set of this process so far, in bytes.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
