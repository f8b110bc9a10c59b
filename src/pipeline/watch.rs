//! Statistics of every f32 value that a plan computes: counted by the device, or of what a tap sees.

use super::taps::{Writers, channels};
use crate::base::codes::calibration::NOT_FINITE;
use crate::base::{DType, Diagnostic, Place, Result};
use crate::calib::Stats;
use crate::calib::cache::{Cache, Entry};
use crate::calib::histogram::Histogram;
use crate::calib::means::Means;
use crate::calib::shards::{PARTS, TensorStats, part_of};
use crate::calib::stats::name_largest;
use crate::data::dataset::Sample;
use crate::device::Tap;
use crate::device::counter::{BEGUN, Counts, Port, Seen, Watched};
use crate::engine::{Engine, Session};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is watched, and the statistics so far.
pub struct Watch {
    tensors: Vec<Tensor>,
    writers: Writers,
    /// The tensor that a buffer holds, by the buffer's number.
    of_buffer: Vec<Option<usize>>,
    /// Does the device count?
    remote: bool,
    /// The batches that it is at, the first first.
    begun: VecDeque<Images>,
    /// The batch that the host counts.
    images: Images,
    /// How long statistics took on the host.
    counting: Duration,
    /// The first value that was not finite.
    fault: Option<Box<Diagnostic>>,
}

/// List positions and names of the images in a batch.
#[derive(Default)]
struct Images {
    indices: Vec<usize>,
    names: Vec<Arc<str>>,
}

impl Images {
    fn of(samples: &[Sample]) -> Self {
        let name = |s: &Sample| s.name.as_str().into();
        Images {
            indices: samples.iter().map(|s| s.index).collect(),
            names: samples.iter().map(name).collect(),
        }
    }
}

/// A watched value.
struct Tensor {
    name: String,
    node: String,
    watched: Watched,
    stats: TensorStats,
    /// For each part the largest magnitude that the device has seen since it was last asked, and whose it is.
    largest: [(f32, Option<Arc<str>>); PARTS],
}

impl Watch {
    /// Watches every f32 value; goes on from what the cache holds.
    pub fn new(engine: &Engine, cache: &mut Cache) -> Self {
        let plan = &engine.plan;
        let writers = Writers::of(plan);
        let inputs = plan.inputs.iter().enumerate().map(|(i, p)| {
            (Port::Input(i), p.buffer, &plan.buffer(p.buffer).operand, format!("input {}", p.name))
        });
        let of_steps = plan.steps.iter().enumerate().flat_map(|(i, s)| {
            let outputs = s.outputs.iter().zip(&s.problem.outputs).enumerate();
            outputs.map(move |(o, (&b, operand))| {
                (Port::Output(i, o), b, operand, format!("node {} ({})", s.name, s.problem.kind()))
            })
        });
        let written = of_steps.filter(|(port, ..)| match *port {
            Port::Output(i, o) => writers.buffer(i, o).is_some(),
            Port::Input(_) => false,
        });
        let mut of_buffer = vec![None; plan.buffers.len()];
        let mut tensors = Vec::new();
        for (port, id, operand, node) in inputs.chain(written).filter(|(_, _, o, _)| o.dtype == DType::F32) {
            let (channels, inner) = channels(&operand.shape, operand.layout);
            let name = plan.buffer(id).value.clone();
            let known = cache.tensors.remove(&name).map(|e| e.stats);
            let stats = known.unwrap_or_else(|| TensorStats::new(channels));
            let watched = Watched { port, operand: operand.clone(), channels, inner };
            of_buffer[id.index()] = Some(tensors.len());
            tensors.push(Tensor { name, node, watched, stats, largest: Default::default() });
        }
        Watch {
            tensors,
            writers,
            of_buffer,
            remote: false,
            begun: VecDeque::new(),
            images: Images::default(),
            counting: Duration::ZERO,
            fault: None,
        }
    }

    /// Has the session's device count from now on, where it can, so many images at once.
    pub fn on_device(&mut self, session: &mut Session, images: usize) -> Result<()> {
        let what: Vec<Watched> = self.tensors.iter().map(|t| t.watched.clone()).collect();
        self.remote = session.counter().map(|counter| counter.watch(&what, images)).transpose()?.is_some();
        Ok(())
    }

    /// Runs these samples, with which the session's input is filled, and takes in what is computed. Where the device counts,
    /// it may still do so afterwards; what is wrong with a sample then comes to light at a later call.
    pub fn run(&mut self, session: &mut Session, samples: &[Sample]) -> Result<()> {
        self.land(session, BEGUN - 1)?;
        let images = Images::of(samples);
        match session.counter().filter(|_| self.remote) {
            Some(counter) => {
                let groups: Vec<usize> = images.indices.iter().map(|&i| part_of(i)).collect();
                counter.begin(&groups)?;
                self.begun.push_back(images);
            }
            None => {
                self.images = images;
                self.inputs(session);
                self.check()?;
                session.step(samples.len(), Some(self))?;
            }
        }
        self.check()
    }

    /// Waits until the device has so many batches at most to count.
    pub fn land(&mut self, session: &mut Session, left: usize) -> Result<()> {
        while self.begun.len() > left {
            let seen = session.counter().map(|counter| counter.end()).transpose()?.unwrap_or_default();
            if let Some(images) = self.begun.pop_front() {
                self.note(&seen, &images);
            }
        }
        self.check()
    }

    /// How long statistics took on the host, if they were made there.
    pub fn counting(&self) -> Option<Duration> {
        (!self.remote).then_some(self.counting)
    }

    /// Writes the statistics so far into the cache.
    pub fn write_to(&mut self, cache: &mut Cache, session: &mut Session) -> Result<()> {
        self.merge(session)?;
        let entry = |t: &Tensor| (t.name.clone(), Entry::new(t.stats.clone()));
        cache.tensors.extend(self.tensors.par_iter().map(entry).collect::<Vec<_>>());
        Ok(())
    }

    /// Writes the statistics into the cache: there are no more.
    pub fn finish(mut self, cache: &mut Cache, session: &mut Session) -> Result<()> {
        self.merge(session)?;
        cache.tensors.extend(self.tensors.into_iter().map(|t| (t.name, Entry::new(t.stats))));
        Ok(())
    }

    /// Waits for the device, and adds what it has counted.
    fn merge(&mut self, session: &mut Session) -> Result<()> {
        let start = Instant::now();
        self.land(session, 0)?;
        let landed = start.elapsed();
        if let Some(counter) = session.counter().filter(|_| self.remote) {
            let counts = counter.take()?;
            let taken = start.elapsed() - landed;
            self.tensors.par_iter_mut().zip(counts).for_each(|(t, counts)| t.merge(counts));
            let merged = start.elapsed() - landed - taken;
            tracing::debug!(
                "the last batches took {landed:.1?}, reading counts {taken:.1?}, adding them {merged:.1?}"
            );
        }
        Ok(())
    }

    /// Takes in what the device has seen of each image of each tensor.
    fn note(&mut self, seen: &[Seen], images: &Images) {
        for (t, seen) in self.tensors.iter_mut().zip(seen.chunks(images.names.len().max(1))) {
            for ((seen, name), &index) in seen.iter().zip(&images.names).zip(&images.indices) {
                let (before, largest) = &mut t.largest[part_of(index)];
                name_largest(largest, *before, seen.amax, Some(name));
                *before = before.max(seen.amax);
                if !seen.finite && self.fault.is_none() {
                    self.fault = Some(t.fault("NaN or an infinity", name));
                }
            }
        }
    }

    fn inputs(&mut self, session: &mut Session) {
        for t in 0..self.tensors.len() {
            if let Port::Input(i) = self.tensors[t].watched.port {
                let values: &[f32] = session.input_mut(i, self.images.names.len());
                self.update(t, bytemuck::cast_slice(values));
            }
        }
    }

    fn update(&mut self, tensor: usize, bytes: &[u8]) {
        let t = &mut self.tensors[tensor];
        let start = Instant::now();
        let Images { indices, names } = &self.images;
        let images = bytes.chunks_exact(t.watched.operand.bytes()).zip(indices.iter().zip(names));
        let samples: Vec<(usize, &Arc<str>, &[f32])> =
            images.map(|(bytes, (&index, name))| (index, name, bytemuck::cast_slice(bytes))).collect();
        t.stats.update_all(&samples, t.watched.inner);
        if self.fault.is_none() && t.stats.parts.iter().any(|p| p.non_finite > 0) {
            let bad = |(_, name, values): &(usize, &Arc<str>, &[f32])| {
                Some((values.iter().find(|v| !v.is_finite()).copied()?, name.to_string()))
            };
            self.fault = samples.iter().find_map(bad).map(|(value, sample)| t.fault(value, &sample));
        }
        self.counting += start.elapsed();
    }

    fn tensor(&self, step: usize, output: usize) -> Option<usize> {
        self.of_buffer[self.writers.buffer(step, output)?.index()]
    }

    fn check(&mut self) -> Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }
}

impl Tap for Watch {
    fn wants(&self, step: usize, output: usize) -> bool {
        self.tensor(step, output).is_some()
    }

    fn seen(&mut self, step: usize, output: usize, bytes: &[u8]) {
        if let Some(tensor) = self.tensor(step, output) {
            self.update(tensor, bytes);
        }
    }
}

impl Tensor {
    fn fault(&self, value: impl Display, sample: &str) -> Box<Diagnostic> {
        Diagnostic::new(NOT_FINITE, format!("tensor {} holds {value} for sample {sample}", self.name))
            .at(Place::Named(format!("first made by {}", self.node)))
            .expected("finite numbers")
            .help("look at the preprocessing (scale, mean, std) and at the model's weights")
    }

    /// Adds what the device has counted, by parts.
    fn merge(&mut self, counts: [Counts; PARTS]) {
        let largest = std::mem::take(&mut self.largest);
        for ((part, counts), (_, sample)) in self.stats.parts.iter_mut().zip(counts).zip(largest) {
            if counts.count + counts.non_finite > 0 {
                part.merge(&Stats { amax_sample: sample, ..stats(counts) });
            }
        }
    }
}

/// What was counted of whole samples, as statistics.
pub fn stats(c: Counts) -> Stats {
    let [positive, negative] =
        c.sides.map(|side| side.map_or_else(Histogram::new, |(exp, bins)| Histogram::of(exp, bins)));
    let places = (c.count + c.non_finite).checked_div(c.sums.len() as u64).unwrap_or(0);
    Stats {
        count: c.count,
        zeros: c.zeros,
        non_finite: c.non_finite,
        min: c.min,
        max: c.max,
        positive,
        negative,
        channel_amax: c.amax,
        means: Means { places, sums: c.sums },
        amax_sample: None,
    }
}
