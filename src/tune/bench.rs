//! One problem on the bench: random inputs, the oracle's outputs, and runs of tactics against them.

use crate::base::random::SplitMix64;
use crate::base::{Aligned, DType, Result, Tensor};
use crate::device::interp::Interp;
use crate::device::{Bound, Device, Executor, Numerics, Operand, Problem, Program, Slot, Tactic};
use std::time::{Duration, Instant};

/// A problem with inputs and what the oracle makes of them.
pub struct Bench {
    problem: Problem,
    numerics: Numerics,
    tensors: Vec<Tensor>,
    inputs: Vec<Vec<u8>>,
    expected: Vec<Vec<u8>>,
}

/// A tactic ready to run.
pub struct Running(Box<dyn Executor>);

/// Outputs are overwritten with this before a check, so that a kernel that writes nothing is found out.
const POISON: u8 = 0xA5;

impl Bench {
    /// Makes inputs and asks the oracle.
    pub fn new(p: &Problem, numerics: &Numerics, tensors: &[Tensor]) -> Result<Self> {
        let mut random = SplitMix64::new(0x5eed);
        let inputs = p.activations().map(|o| numbers(o, &mut random)).collect();
        let mut bench = Bench {
            problem: p.clone(),
            numerics: numerics.clone(),
            tensors: tensors.to_vec(),
            inputs,
            expected: Vec::new(),
        };
        let mut oracle = bench.prepare(&Interp, &Tactic::new("reference", "plain"))?;
        oracle.0.poison(POISON); // what lies between rows stays as it is
        oracle.0.run(1, None)?;
        bench.expected = (0..p.outputs.len()).map(|i| oracle.0.output(i, 1).to_vec()).collect();
        Ok(bench)
    }

    /// A one-step program with this tactic, its inputs in place.
    pub fn prepare(&self, device: &dyn Device, tactic: &Tactic) -> Result<Running> {
        let mut end = 0;
        let mut slot = |o: &Operand| {
            let slot = Slot { offset: end, stride: o.span() };
            end = (end + o.span()).next_multiple_of(64);
            slot
        };
        let inputs: Vec<Slot> = self.problem.activations().map(&mut slot).collect();
        let outputs: Vec<Slot> = self.problem.outputs.iter().map(&mut slot).collect();
        let packed = device.pack(&self.problem, &self.numerics, tactic, &self.tensors)?;
        let step = Bound {
            problem: self.problem.clone(),
            tactic: tactic.clone(),
            numerics: self.numerics.clone(),
            packed: packed.iter().map(|b| Aligned::copy(b).into()).collect(),
            inputs: inputs.clone(),
            outputs: outputs.clone(),
        };
        let program = Program { steps: vec![step], arena: end, max_batch: 1, inputs, outputs };
        let mut run = device.load(&program)?;
        for (i, bytes) in self.inputs.iter().enumerate() {
            run.input(i, 1).copy_from_slice(bytes);
        }
        Ok(Running(run))
    }

    /// Compares a run with the oracle: 8-bit problems to the last bit, floats within rounding. Says what differs.
    pub fn check(&self, run: &mut Running) -> std::result::Result<(), String> {
        run.0.poison(POISON);
        run.0.run(1, None).map_err(|e| e.what.clone())?;
        for (i, (o, want)) in self.problem.outputs.iter().zip(&self.expected).enumerate() {
            let got = run.0.output(i, 1);
            if self.problem.is_int8() || o.dtype != DType::F32 {
                if got != &want[..] {
                    let at = got.iter().zip(want).position(|(a, b)| a != b).unwrap_or(0);
                    return Err(format!(
                        "byte {at} of output {i} is {}, the oracle has {}",
                        got[at], want[at]
                    ));
                }
                continue;
            }
            close(got, want, self.reduction()).map_err(|e| format!("output {i}: {e}"))?;
        }
        Ok(())
    }

    /// Numbers that go into one output number, about.
    fn reduction(&self) -> usize {
        let largest = self.problem.inputs.iter().map(|i| i.shape.numel()).max().unwrap_or(1);
        match self.problem.inputs.get(1).filter(|w| w.constant) {
            Some(w) => w.shape.numel() / w.shape.first().copied().unwrap_or(1).max(1),
            None => largest,
        }
    }
}

/// f32 against the oracle: the error of a sum of `n` terms grows with its square root at random and with `n` at
/// worst; relative to the largest output, `8 eps sqrt(n)` has never been exceeded by a right kernel here.
fn close(got: &[u8], want: &[u8], n: usize) -> std::result::Result<(), String> {
    let floats = |b: &[u8]| -> Vec<f32> { bytemuck::pod_collect_to_vec(b) };
    let (got, want) = (floats(got), floats(want));
    let largest = want.iter().filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(v.abs()));
    let bound = 8.0 * f32::EPSILON * (n as f32).sqrt() * largest.max(f32::MIN_POSITIVE);
    match got
        .iter()
        .zip(&want)
        .position(|(a, b)| a.to_bits() != b.to_bits() && ((a - b).abs() > bound || a.is_nan() != b.is_nan()))
    {
        None => Ok(()),
        Some(i) => Err(format!("number {i} is {}, the oracle has {} (bound {bound:e})", got[i], want[i])),
    }
}

impl Running {
    /// The time of a run: the shortest of three, so that a fast tactic is not lost where another program comes between;
    /// of one where it is long, as that is then a small part of it.
    pub fn once(&mut self) -> Result<Duration> {
        const LONG: Duration = Duration::from_millis(20);
        let mut best = self.0.time(1)?;
        for _ in 0..2 {
            if best < LONG {
                best = best.min(self.0.time(1)?);
            }
        }
        Ok(best)
    }

    /// The time of one run, as the mean over a window of at least this length.
    pub fn window(&mut self, least: Duration) -> Result<Duration> {
        let start = Instant::now();
        let (mut runs, mut sum) = (0, Duration::ZERO);
        while runs < 2 || start.elapsed() < least {
            sum += self.0.time(1)?;
            runs += 1;
        }
        Ok(sum / runs)
    }
}

/// Random numbers for an operand: any bytes for 8 bits, about [-1, 1) for floats, small integers otherwise.
fn numbers(o: &Operand, random: &mut SplitMix64) -> Vec<u8> {
    let n = o.shape.numel();
    match o.dtype {
        DType::F32 => {
            let v: Vec<f32> = (0..n).map(|_| random.signed_unit()).collect();
            bytemuck::cast_slice(&v).to_vec()
        }
        d if d.is_int8() => (0..n).map(|_| (random.next_u64() >> 56) as u8).collect(),
        d => vec![0; n * d.size()],
    }
}
