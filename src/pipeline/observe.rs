//! Statistics of every activation over the calibration samples: streaming, in fixed memory, resumable.

use super::feed;
use super::taps::{Writers, channels};
use crate::base::codes::calibration::NOT_FINITE;
use crate::base::{DType, Diagnostic, Monitor, Place, Result};
use crate::calib::cache::{Cache, Entry};
use crate::calib::shards::TensorStats;
use crate::data::loader::{Loader, Skipped};
use crate::data::{Dataset, Preprocess};
use crate::device::Tap;
use crate::engine::{Engine, Session};
use crate::plan::BufferId;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When the first checkpoint is written, and how long it is at most until the next: each wait is twice the last.
const FIRST_CHECKPOINT: Duration = Duration::from_millis(250);
const CHECKPOINT: Duration = Duration::from_secs(10);

/// What the samples are and how they come.
pub struct Samples<'a> {
    /// The samples.
    pub dataset: &'a Dataset,
    /// How each becomes the input.
    pub preprocess: &'a Preprocess,
    /// So many at once.
    pub batch: usize,
    /// Threads that decode.
    pub threads: usize,
}

/// Runs the samples through the float engine and adds them to `cache`, from `cache.done` on; a checkpoint is written
/// to `path` every few seconds and when the user stops. Returns what could not be decoded.
pub fn observe(
    engine: &Engine,
    session: &mut Session,
    samples: &Samples,
    cache: &mut Cache,
    path: &Path,
    monitor: &dyn Monitor,
) -> Result<Vec<Skipped>> {
    let mut watch = Watch::new(engine, cache);
    let mut skipped = Vec::new();
    let (mut saved, mut wait) = (Instant::now(), FIRST_CHECKPOINT);
    monitor.stage("calibrate", "images", samples.dataset.len());
    monitor.advance(cache.done as usize);
    let loader = Loader::new(samples.dataset, samples.preprocess, samples.batch)
        .starting_at(cache.done as usize)
        .threads(samples.threads)
        .expect_shape(feed::input_shape(session));
    let (mut waiting, mut running) = (Duration::ZERO, Duration::ZERO);
    let mut waits = Instant::now();
    for batch in loader {
        let batch = batch?;
        waiting += waits.elapsed();
        let runs = Instant::now();
        let n = batch.samples.len();
        watch.indices = batch.samples.iter().map(|s| s.index).collect();
        watch.names = batch.samples.iter().map(|s| s.name.as_str().into()).collect();
        if n > 0 {
            feed::fill(session, batch.samples.iter().map(|s| &s.values[..]));
            watch.inputs(engine, session, n);
            watch.check()?;
            session.step(n, Some(&mut watch))?;
            watch.check()?;
        }
        running += runs.elapsed();
        cache.done += (n + batch.skipped.len()) as u64;
        cache.skipped += batch.skipped.len() as u64;
        monitor.advance(n + batch.skipped.len());
        skipped.extend(batch.skipped);
        if monitor.cancelled() || (saved.elapsed() > wait && !cache.is_complete()) {
            watch.write_to(cache);
            cache.save(path)?;
            (saved, wait) = (Instant::now(), CHECKPOINT.min(2 * wait));
            monitor.check()?;
        }
        waits = Instant::now();
    }
    watch.write_to(cache);
    let seconds = |d: Duration| format!("{:.2} s", d.as_secs_f64());
    let (forward, counting) = (seconds(running.saturating_sub(watch.counting)), seconds(watch.counting));
    tracing::info!("forward pass {forward}, statistics {counting}, waiting for images {}", seconds(waiting));
    Ok(skipped)
}

/// A tap that counts.
struct Watch {
    writers: Writers,
    tensors: Vec<Option<Tensor>>,
    /// List positions and names of the images in the batch.
    indices: Vec<usize>,
    names: Vec<Arc<str>>,
    /// How long statistics took.
    counting: Duration,
    /// The first value that was not finite.
    fault: Option<Box<Diagnostic>>,
}

/// A watched value.
struct Tensor {
    name: String,
    node: String,
    stride: usize,
    inner: usize,
    stats: TensorStats,
}

impl Watch {
    /// Watches every f32 value; goes on from what the cache holds.
    fn new(engine: &Engine, cache: &mut Cache) -> Self {
        let plan = &engine.plan;
        let mut watch = Watch {
            writers: Writers::of(plan),
            tensors: plan.buffers.iter().map(|_| None).collect(),
            indices: Vec::new(),
            names: Vec::new(),
            counting: Duration::ZERO,
            fault: None,
        };
        let of_steps = plan.steps.iter().enumerate().flat_map(|(i, s)| {
            let outputs = s.outputs.iter().enumerate();
            outputs.map(move |(o, &b)| (i, o, b, format!("node {} ({})", s.name, s.problem.kind())))
        });
        let written = of_steps.filter(|(i, o, ..)| watch.writers.buffer(*i, *o).is_some());
        let inputs = plan.inputs.iter().map(|p| (0, 0, p.buffer, format!("input {}", p.name)));
        for (.., id, node) in inputs.chain(written.collect::<Vec<_>>()) {
            let b = plan.buffer(id);
            if b.operand.dtype != DType::F32 {
                continue;
            }
            let (count, inner) = channels(&b.operand.shape, b.operand.layout);
            let known = cache.tensors.remove(&b.value).map(|e| e.stats);
            let stats = known.unwrap_or_else(|| TensorStats::new(count));
            let stride = b.operand.bytes();
            watch.tensors[id.index()] = Some(Tensor { name: b.value.clone(), node, stride, inner, stats });
        }
        watch
    }

    fn inputs(&mut self, engine: &Engine, session: &mut Session, n: usize) {
        for (i, p) in engine.plan.inputs.iter().enumerate() {
            let values: &[f32] = session.input_mut(i, n);
            self.update(p.buffer, bytemuck::cast_slice(values));
        }
    }

    fn update(&mut self, id: BufferId, bytes: &[u8]) {
        let Some(t) = &mut self.tensors[id.index()] else { return };
        let start = Instant::now();
        let images = bytes.chunks_exact(t.stride).zip(self.indices.iter().zip(&self.names));
        let samples: Vec<(usize, &Arc<str>, &[f32])> =
            images.map(|(bytes, (&index, name))| (index, name, bytemuck::cast_slice(bytes))).collect();
        t.stats.update_all(&samples, t.inner);
        if self.fault.is_none() && t.stats.parts.iter().any(|p| p.non_finite > 0) {
            let bad = |(_, name, values): &(usize, &Arc<str>, &[f32])| {
                Some((values.iter().find(|v| !v.is_finite()).copied()?, name.to_string()))
            };
            self.fault = samples.iter().find_map(bad).map(|(value, sample)| {
                let what = format!("tensor {} holds {value} for sample {sample}", t.name);
                Diagnostic::new(NOT_FINITE, what)
                    .at(Place::Named(format!("first made by {}", t.node)))
                    .expected("finite numbers")
                    .help("look at the preprocessing (scale, mean, std) and at the model's weights")
            });
        }
        self.counting += start.elapsed();
    }

    fn check(&mut self) -> Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    fn write_to(&self, cache: &mut Cache) {
        for t in self.tensors.iter().flatten() {
            cache.tensors.insert(t.name.clone(), Entry::new(t.stats.clone()));
        }
    }
}

impl Tap for Watch {
    fn wants(&self, step: usize, output: usize) -> bool {
        self.writers.buffer(step, output).is_some_and(|id| self.tensors[id.index()].is_some())
    }

    fn seen(&mut self, step: usize, output: usize, bytes: &[u8]) {
        if let Some(id) = self.writers.buffer(step, output) {
            self.update(id, bytes);
        }
    }
}
