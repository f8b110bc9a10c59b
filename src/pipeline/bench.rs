//! Measuring an engine.

mod flights;
mod profile;

pub use profile::{Roof, StepTime};

use super::assemble;
use crate::base::codes::engine::BAD_INPUT;
use crate::base::codes::machine::INTERNAL;
use crate::base::random::SplitMix64;
use crate::base::{Diagnostic, Monitor, Result};
use crate::device::Phases;
use crate::device::cpu::{Mode, Pin};
use crate::engine::{Engine, Session, Wish, host};
use crate::eval::latency;
use crate::report::model::{Percentiles, Precision};
use flights::Flights;
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs are counted until the time is over, but never fewer than this.
const FEWEST_RUNS: usize = 3;
/// Runs between two looks at the clock where nothing is copied.
const RESIDENT_RUNS: u32 = 10;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Images of a run.
    pub batch: usize,
    /// Threads; the machine's number without it.
    pub threads: Option<usize>,
    /// Where the threads run.
    pub pin: Pin,
    /// How they share a batch.
    pub mode: Mode,
    /// How long to measure.
    pub duration: Duration,
    /// How long to run before.
    pub warmup: Duration,
    /// Runs at a time, each in a session and a thread of its own.
    pub streams: usize,
    /// Leave the copies from and to the host out?
    pub resident: bool,
    /// What a run reads.
    pub input: Input,
    /// Batches in flight, from the caller's memory to outputs on the host; without it one run at a time is measured,
    /// whose inputs are where the device reads them.
    pub in_flight: Option<usize>,
    /// The number of the GPU.
    pub gpu: usize,
    /// Measure each step too?
    pub profile: bool,
}

/// What a run reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// Numbers as the model reads them.
    #[default]
    F32,
    /// Pixels.
    U8,
}

/// What was measured. Its JSON keys are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Images a second.
    pub throughput_per_s: f64,
    /// Milliseconds of a run of `batch` images, input ready to output ready; of a batch in flight, from the begin of its
    /// copy to its outputs, so that it waits for those before it.
    pub latency_ms: Percentiles,
    /// Of these, copying inputs to the device, where they are copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2d_ms: Option<Percentiles>,
    /// Computing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_ms: Option<Percentiles>,
    /// Copying outputs back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub d2h_ms: Option<Percentiles>,
    /// Images of a run.
    pub batch: usize,
    /// What it read.
    pub input: Input,
    /// Batches in flight, where there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<usize>,
    /// Threads of the session, on a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// How they shared a batch.
    pub mode: Mode,
    /// Runs at a time.
    pub streams: usize,
    /// The device and its instruction set: `cpu/avx512-vnni`.
    pub device: String,
    /// `int8` where any node that multiplies computes in 8 bits, else `fp16` or `tf32` where any does in that, else `fp32`.
    pub precision: String,
    /// From the file to the first result, where it was opened for this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<Start>,
    /// Why the times are not to be trusted, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// What the device does at most, where steps were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Roof>,
    /// The steps in order, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Vec<StepTime>>,
}

/// Milliseconds of a start, in order.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Start {
    /// The file mapped and verified.
    pub load: f64,
    /// Memory and threads.
    pub session: f64,
    /// The first image, while nothing is in the caches.
    pub first_run: f64,
    /// From the file to the first result.
    pub total: f64,
}

/// Opens an engine file and runs one image of it.
///
/// # Errors
/// A file that cannot be used, another device.
pub fn start(path: &Path, threads: Option<usize>, gpu: usize) -> Result<(Engine, Start)> {
    let clock = Instant::now();
    let now = || clock.elapsed().as_secs_f64() * 1e3;
    let engine = Engine::load(path)?;
    let loaded = now();
    let mut session =
        Session::new(&engine, &*host::device(&engine, &Wish { threads, gpu, ..Wish::default() })?)?;
    let made = now();
    session.step(1, None)?;
    let total = now();
    Ok((engine, Start { load: loaded, session: made - loaded, first_run: total - made, total }))
}

/// Measures an engine on numbers between -1 and 1.
///
/// # Errors
/// A batch beyond the engine's, another device, an interruption.
pub fn bench(engine: &Engine, options: &Options, monitor: &dyn Monitor) -> Result<Measured> {
    let max = engine.plan.max_batch;
    if !(1..=max).contains(&options.batch) {
        return Err(Diagnostic::new(
            BAD_INPUT,
            format!("a batch of {} does not fit the engine", options.batch),
        )
        .expected(format!("1 to {max}, the largest batch it was built for"))
        .help("set the batch of `model.inputs` in the configuration and build the engine again"));
    }
    let wish =
        Wish { threads: options.threads, pin: options.pin.clone(), mode: options.mode, gpu: options.gpu };
    let device = host::device(engine, &wish)?;
    let session = |_| {
        let mut session = Session::new(engine, &*device)?;
        fill(&mut session, options)?;
        session.step(options.batch, None)?;
        let flights = options.in_flight.map(|_| Flights::new(&mut session, options)).transpose()?;
        Ok(Stream { session, flights })
    };
    let mut streams = (0..options.streams.max(1)).map(session).collect::<Result<Vec<_>>>()?;
    monitor.stage("warm-up", "runs", 0);
    runs(&mut streams, options, options.warmup, monitor)?;
    monitor.stage("measure", "runs", 0);
    let (all, elapsed) = runs(&mut streams, options, options.duration, monitor)?;
    let times: Vec<f64> = all.iter().map(|run| ms(run.total)).collect();
    let copied = all.iter().any(|run| run.parts.upload > Duration::ZERO);
    let part = |of: fn(&Phases) -> Duration| {
        let times: Vec<f64> = all.iter().map(|run| ms(of(&run.parts))).collect();
        latency::summarize(&times).filter(|_| copied)
    };
    let session = &mut streams[0].session;
    let roof = options.profile.then(|| {
        monitor.stage("measure the device", "loops", 0);
        device.ceilings().map(Roof::from)
    });
    let roof = roof.transpose()?;
    let profile = match roof {
        Some(roof) => Some(profile::steps(engine, session, options, roof, monitor)?),
        None => None,
    };
    let multiplied = engine.plan.steps.iter().filter(|s| s.multiplies());
    let precisions: Vec<Precision> = multiplied.map(assemble::precision).collect();
    let named = [Precision::Int8, Precision::Fp16, Precision::Tf32];
    let precision = named.into_iter().find(|p| precisions.contains(p)).unwrap_or(Precision::Fp32);
    Ok(Measured {
        throughput_per_s: (times.len() * options.batch) as f64 / elapsed.as_secs_f64().max(1e-12),
        latency_ms: latency::summarize(&times).unwrap_or_default(),
        h2d_ms: part(|p| p.upload),
        compute_ms: part(|p| p.compute),
        d2h_ms: part(|p| p.download),
        batch: options.batch,
        input: options.input,
        in_flight: options.in_flight,
        threads: (engine.plan.device.kind == "cpu").then_some(device.id().width),
        mode: options.mode,
        streams: options.streams.max(1),
        device: format!("{}/{}", engine.plan.device.kind, engine.plan.device.arch),
        precision: precision.label().to_lowercase(),
        start_ms: None,
        warning: latency::noisy(&times),
        ceilings: roof,
        profile,
    })
}

/// Writes what is measured into the session: the same every time, and no zeros, which would be faster than images are.
fn fill(session: &mut Session, options: &Options) -> Result<()> {
    match options.input {
        Input::F32 => {
            for i in 0..session.inputs().len() {
                numbers(session.input_mut(i, options.batch), i as u64);
            }
        }
        Input::U8 => values(session.pixels_mut(options.batch).ok_or_else(no_pixels)?, 0),
    }
    Ok(())
}

/// Numbers between -1 and 1.
fn numbers(to: &mut [f32], seed: u64) {
    let mut random = SplitMix64::new(seed);
    to.iter_mut().for_each(|v| *v = random.signed_unit());
}

/// Pixels of all values.
fn values(to: &mut [u8], seed: u64) {
    let mut random = SplitMix64::new(seed);
    to.chunks_mut(8).for_each(|to| to.copy_from_slice(&random.next_u64().to_le_bytes()[..to.len()]));
}

fn no_pixels() -> Box<Diagnostic> {
    Diagnostic::new(BAD_INPUT, "the engine takes no pixels")
        .help("leave `--input u8` out, or build the engine from a configuration with a `preprocess` section")
}

/// A run: from its begin to its outputs, and the parts that the device measured.
struct Run {
    total: Duration,
    parts: Phases,
}

impl From<Phases> for Run {
    fn from(parts: Phases) -> Run {
        Run { total: parts.total(), parts }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A session, and what it is fed with where batches are in flight.
struct Stream {
    session: Session,
    flights: Option<Flights>,
}

/// Runs all streams beside one another for so long; each run, and the time of all.
fn runs(
    streams: &mut [Stream],
    options: &Options,
    long: Duration,
    monitor: &dyn Monitor,
) -> Result<(Vec<Run>, Duration)> {
    let start = Instant::now();
    let one = |Stream { session, flights }: &mut Stream| -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        while runs.len() < FEWEST_RUNS || start.elapsed() < long {
            monitor.check()?;
            match (&mut *flights, options.resident) {
                (Some(flights), _) => runs.extend(flights.next(session)?),
                (None, false) => runs.push(session.phases(options.batch)?.into()),
                (None, true) => {
                    let compute =
                        session.time_resident(options.batch, RESIDENT_RUNS as usize)? / RESIDENT_RUNS;
                    let each = || Phases { compute, ..Phases::default() }.into();
                    runs.extend(std::iter::repeat_with(each).take(RESIDENT_RUNS as usize));
                }
            }
            monitor.advance(1);
        }
        if let Some(flights) = flights {
            runs.extend(flights.land(session)?);
        }
        Ok(runs)
    };
    let [first, others @ ..] = streams else { return Ok((vec![], start.elapsed())) };
    let all = std::thread::scope(|scope| {
        let others: Vec<_> = others.iter_mut().map(|s| scope.spawn(|| one(s))).collect();
        let mut all = one(first)?;
        for thread in others {
            let stopped = |_| Diagnostic::new(INTERNAL, "a stream of the benchmark panicked");
            all.extend(thread.join().map_err(stopped)??);
        }
        Ok::<_, Box<Diagnostic>>(all)
    })?;
    Ok((all, start.elapsed()))
}
