//! The time of each step, beside what the device could do in it.

use super::Options;
use crate::base::{DType, Monitor, Result};
use crate::device::{Ceilings, Operand, Tap};
use crate::engine::{Engine, Session};
use crate::plan::{Plan, Step};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Most runs of a profile: its times are means, which so many settle.
const RUNS: usize = 50;
/// Fewest, and how long it may take beyond these.
const FEWEST: usize = 3;
const LENGTH: Duration = Duration::from_secs(3);

/// What the device does at most, as short loops found it before the steps were measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Roof {
    /// Trillions of operations a second on 8-bit numbers; a multiplication with an addition is two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub int8_tops: Option<f64>,
    /// On half floats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fp16_tflops: Option<f64>,
    /// On f32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fp32_tflops: Option<f64>,
    /// Billions of bytes a second, read and written, of a copy in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gb_per_s: Option<f64>,
}

impl From<Ceilings> for Roof {
    fn from(c: Ceilings) -> Roof {
        let trillions = |v: Option<f64>| v.map(|v| v / 1e12);
        Roof {
            int8_tops: trillions(c.int8),
            fp16_tflops: trillions(c.half),
            fp32_tflops: trillions(c.float),
            gb_per_s: c.bytes.map(|v| v / 1e9),
        }
    }
}

impl Roof {
    /// The least seconds of so many operations on numbers of this type, and of so many bytes. `None` where what would
    /// say so was not measured.
    fn least(&self, of: DType, operations: f64, bytes: f64) -> Option<f64> {
        let peak = match of {
            d if d.is_int8() => self.int8_tops,
            DType::F16 | DType::BF16 => self.fp16_tflops.or(self.fp32_tflops),
            _ => self.fp32_tflops,
        };
        let computed = if operations > 0.0 { operations / (peak? * 1e12) } else { 0.0 };
        Some(computed.max(bytes / (self.gb_per_s? * 1e9)))
    }
}

/// The time of a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepTime {
    /// The node's name, or that of the value that is converted.
    pub name: String,
    /// `Conv`, `Reformat`.
    pub op: String,
    /// The type that it computes in, or converts from: `u8`, `i8`, `f32`.
    pub dtype: String,
    /// How it is computed.
    pub tactic: String,
    /// Mean microseconds of a run of the batch: on a GPU, of many in a row in one graph, so that no gap between launches
    /// counts; on a CPU, of a step within a run.
    pub time_us: f64,
    /// Its share of all steps' time, 0 to 1.
    pub share: f64,
    /// Billions of multiplications with additions a second; 0 for a step that does not multiply.
    pub gmac_per_s: f64,
    /// Trillions of operations a second: two for each multiplication with an addition.
    pub tops: f64,
    /// Billions of bytes a second: what it reads and writes of each image, and its weights once.
    pub gb_per_s: f64,
    /// The time that its operations and its bytes take at least, whichever is longer, as a share of its own, 0 to 1.
    /// More than 1 where what it reads is still in a cache, or where it skips some of it. Absent where ceilings are, or
    /// where nothing is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roofline: Option<f64>,
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

/// Measures every step.
pub fn steps(
    engine: &Engine,
    session: &mut Session,
    options: &Options,
    roof: Roof,
    monitor: &dyn Monitor,
) -> Result<Vec<StepTime>> {
    monitor.stage("profile", "runs", RUNS);
    super::fill(session, options)?;
    let mut clock = Clock(vec![Duration::ZERO; engine.plan.steps.len()]);
    let (start, mut runs) = (Instant::now(), 0);
    while runs < FEWEST || (runs < RUNS && start.elapsed() < LENGTH) {
        monitor.check()?;
        session.profile(options.batch, &mut clock)?;
        runs += 1;
        monitor.advance(1);
    }
    let all: Duration = clock.0.iter().sum();
    let entry = engine.plan.entry.as_ref().filter(|_| options.input == super::Input::U8);
    // a step that comes before all has no number
    let steps = engine.plan.steps.iter().enumerate().map(|(i, s)| match entry {
        Some(e) if e.instead == Some(i) => &e.step,
        _ => s,
    });
    let row = |(s, time): (&Step, &Duration)| {
        let seconds = time.as_secs_f64() / runs as f64;
        let rate = |of: f64| if seconds > 0.0 { of / seconds } else { 0.0 };
        let (macs, bytes) = work(&engine.plan, s, options.batch);
        let (macs, bytes) = (macs as f64 * options.batch as f64, bytes as f64);
        let reads = s.problem.inputs.first().map(|i| i.dtype);
        let least = reads.and_then(|of| roof.least(of, 2.0 * macs, bytes));
        StepTime {
            name: s.name.clone(),
            op: s.problem.kind().into(),
            dtype: reads.map(|d| d.to_string()).unwrap_or_default(),
            tactic: s.choice.tactic.to_string(),
            time_us: seconds * 1e6,
            share: time.as_secs_f64() / all.as_secs_f64().max(1e-12),
            gmac_per_s: rate(macs) / 1e9,
            tops: rate(2.0 * macs) / 1e12,
            gb_per_s: rate(bytes) / 1e9,
            roofline: least.map(rate).filter(|share| *share > 0.0),
        }
    };
    Ok(steps.zip(&clock.0).map(row).collect())
}

/// Multiplications with additions of an image, and bytes that are read and written for so many: none where a later step
/// computes this one too.
fn work(plan: &Plan, s: &Step, batch: usize) -> (u64, usize) {
    if s.choice.tactic.is_idle() {
        return (0, 0);
    }
    let problem = plan.computed(s).0;
    let constants: usize = problem.inputs.iter().filter(|o| o.constant).map(Operand::bytes).sum();
    let images: usize = problem.activations().chain(&problem.outputs).map(Operand::bytes).sum();
    (problem.macs(), constants + images * batch)
}
