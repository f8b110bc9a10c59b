//! Measuring an engine.

use super::assemble;
use crate::base::codes::engine::BAD_INPUT;
use crate::base::codes::machine::INTERNAL;
use crate::base::random::SplitMix64;
use crate::base::{Diagnostic, Monitor, Result};
use crate::device::cpu::{Mode, Pin};
use crate::device::{Phases, Tap};
use crate::engine::{Engine, Session, Wish, host};
use crate::eval::latency;
use crate::plan::Step;
use crate::report::model::{Percentiles, Precision};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs are counted until the time is over, but never fewer than this.
const FEWEST_RUNS: usize = 3;
/// Runs between two looks at the clock where nothing is copied.
const RESIDENT_RUNS: u32 = 10;
/// Most runs of a profile: its times are means, which so many settle.
const PROFILE_RUNS: usize = 50;

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
    /// The number of the GPU.
    pub gpu: usize,
    /// Measure each step too?
    pub profile: bool,
}

/// What was measured. Its JSON keys are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Images a second.
    pub throughput_per_s: f64,
    /// Milliseconds of a run of `batch` images, input ready to output ready.
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
    /// Threads of the session.
    pub threads: usize,
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
    /// The steps in order, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Vec<StepTime>>,
}

/// The time of a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepTime {
    /// The node's name, or that of the value that is converted.
    pub name: String,
    /// `Conv`, `Reformat`.
    pub op: String,
    /// The type that it computes in, or converts from: `u8`, `i8`, `f16`, `f32`.
    pub dtype: String,
    /// How it is computed.
    pub tactic: String,
    /// Mean microseconds of a run of the batch.
    pub time_us: f64,
    /// Its share of all steps' time, 0 to 1.
    pub share: f64,
    /// Billions of multiplications with additions a second; 0 for a step that does not multiply.
    pub gmac_per_s: f64,
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
        for i in 0..engine.plan.inputs.len() {
            fill(session.input_mut(i, options.batch), i as u64);
        }
        session.step(options.batch, None)?;
        Ok(session)
    };
    let mut sessions = (0..options.streams.max(1)).map(session).collect::<Result<Vec<_>>>()?;
    monitor.stage("warm-up", "runs", 0);
    runs(&mut sessions, options, options.warmup, monitor)?;
    monitor.stage("measure", "runs", 0);
    let (all, elapsed) = runs(&mut sessions, options, options.duration, monitor)?;
    let times: Vec<f64> = all.iter().map(|p| ms(p.total())).collect();
    let copied = all.iter().any(|p| p.upload > Duration::ZERO);
    let part = |of: fn(&Phases) -> Duration| {
        let times: Vec<f64> = all.iter().map(|p| ms(of(p))).collect();
        latency::summarize(&times).filter(|_| copied)
    };
    let session = &mut sessions[0];
    let profile = match options.profile {
        true => Some(profile(engine, session, options.batch, times.len(), monitor)?),
        false => None,
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
        threads: device.id().width,
        mode: options.mode,
        streams: options.streams.max(1),
        device: format!("{}/{}", engine.plan.device.kind, engine.plan.device.arch),
        precision: precision.label().to_lowercase(),
        start_ms: None,
        warning: latency::noisy(&times),
        profile,
    })
}

/// Numbers between -1 and 1, the same every time: all zeros would be faster than real images are.
fn fill(values: &mut [f32], seed: u64) {
    let mut random = SplitMix64::new(seed);
    values.iter_mut().for_each(|v| *v = random.signed_unit());
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Runs all sessions beside one another for so long; the parts of each run, and the time of all.
fn runs(
    sessions: &mut [Session],
    options: &Options,
    long: Duration,
    monitor: &dyn Monitor,
) -> Result<(Vec<Phases>, Duration)> {
    let start = Instant::now();
    let one = |session: &mut Session| -> Result<Vec<Phases>> {
        let mut times = Vec::new();
        while times.len() < FEWEST_RUNS || start.elapsed() < long {
            monitor.check()?;
            match options.resident {
                false => times.push(session.phases(options.batch)?),
                true => {
                    let compute =
                        session.time_resident(options.batch, RESIDENT_RUNS as usize)? / RESIDENT_RUNS;
                    let each = Phases { compute, ..Phases::default() };
                    times.extend(std::iter::repeat_n(each, RESIDENT_RUNS as usize));
                }
            }
            monitor.advance(1);
        }
        Ok(times)
    };
    let [first, others @ ..] = sessions else { return Ok((vec![], start.elapsed())) };
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

/// Adds up the times of steps.
struct Clock(Vec<Duration>);

impl Tap for Clock {
    fn wants(&self, _: usize, _: usize) -> bool {
        false
    }

    fn seen(&mut self, _: usize, _: usize, _: &[u8]) {}
    fn timed(&mut self, step: usize, time: Duration) {
        self.0[step] += time;
    }
}

fn profile(
    engine: &Engine,
    session: &mut Session,
    batch: usize,
    measured: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<StepTime>> {
    let n = measured.min(PROFILE_RUNS);
    monitor.stage("profile", "runs", n);
    let mut clock = Clock(vec![Duration::ZERO; engine.plan.steps.len()]);
    for _ in 0..n {
        monitor.check()?;
        session.step(batch, Some(&mut clock))?;
        monitor.advance(1);
    }
    let all: Duration = clock.0.iter().sum();
    let row = |(s, time): (&Step, &Duration)| {
        let seconds = time.as_secs_f64() / n.max(1) as f64;
        let reads = s.problem.inputs.first().map(|i| i.dtype.to_string());
        StepTime {
            name: s.name.clone(),
            op: s.problem.kind().into(),
            dtype: reads.unwrap_or_default(),
            tactic: s.choice.tactic.to_string(),
            time_us: seconds * 1e6,
            share: time.as_secs_f64() / all.as_secs_f64().max(1e-12),
            gmac_per_s: s.macs as f64 * batch as f64 / seconds.max(1e-12) / 1e9,
        }
    };
    Ok(engine.plan.steps.iter().zip(&clock.0).map(row).collect())
}
