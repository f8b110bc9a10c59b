//! One problem on the bench: random inputs, the oracle's outputs, and runs of tactics against them.

use crate::base::codes::machine::NO_MEMORY;
use crate::base::random::SplitMix64;
use crate::base::{Aligned, DType, Result, Tensor};
use crate::device::interp::{self, Interp};
use crate::device::{Bound, Device, Executor, Numerics, Operand, Problem, Program, Slot, Tactic, Trial};
use half::f16;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A problem with inputs and what the oracle makes of them, on a device that tries tactics.
pub struct Bench {
    problem: Problem,
    numerics: Numerics,
    tensors: Vec<Tensor>,
    /// For each of a few different images, the bytes of each output.
    expected: Vec<Vec<Vec<u8>>>,
    /// For each output, may what lies between its rows be overwritten?
    own_gaps: Vec<bool>,
    trial: Trial,
    /// The operands' places, once for each copy.
    places: Vec<Places>,
    stage: Box<dyn Executor>,
}

/// Where inputs and outputs lie.
struct Places {
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
}

/// A tactic ready to run: its steps, one for each copy of the operands.
pub struct Running(Range<usize>);

/// Outputs are overwritten with this before a check, so that a kernel that writes nothing is found out.
const POISON: u8 = 0xA5;
/// Images that differ. A larger batch repeats them.
const DIFFERENT: usize = 2;
/// Of a batch, so many images are looked at in a check, evenly spaced, the first and the last among them.
const LOOKS: usize = 16;

impl Bench {
    /// Makes inputs and asks the oracle.
    pub fn new(
        device: &dyn Device,
        p: &Problem,
        numerics: &Numerics,
        tensors: &[Tensor],
        max_batch: usize,
    ) -> Result<Self> {
        let bytes = p.activations().chain(&p.outputs).map(Operand::extent).sum();
        let mut trial = device.trial(bytes, max_batch);
        let (stage, places) = loop {
            let mut end = 0;
            let places: Vec<_> = (0..trial.copies).map(|_| Places::of(p, trial.images, &mut end)).collect();
            let empty = Program {
                steps: vec![],
                arena: end,
                max_batch: trial.images,
                inputs: vec![],
                outputs: vec![],
                entry: None,
            };
            match device.load(&empty) {
                Ok(stage) => break (stage, places),
                // what does not fit is tried smaller
                Err(e) if e.code == NO_MEMORY && trial.copies > 1 => trial.copies /= 2,
                Err(e) if e.code == NO_MEMORY && trial.images > 1 => trial.images /= 2,
                Err(e) => return Err(e),
            }
        };
        let mut bench = Bench {
            problem: p.clone(),
            numerics: numerics.clone(),
            tensors: tensors.to_vec(),
            expected: Vec::new(),
            own_gaps: p.outputs.iter().map(|o| device.owns_gaps(o)).collect(),
            trial,
            places,
            stage,
        };
        let mut random = SplitMix64::new(0x5eed);
        let mut image = || p.activations().map(|o| numbers(o, &mut random)).collect::<Vec<_>>();
        let images: Vec<Vec<Vec<u8>>> = (0..trial.images.min(DIFFERENT)).map(|_| image()).collect();
        bench.expected = images.iter().map(|i| bench.oracle(i)).collect::<Result<_>>()?;
        bench.fill(&images)?;
        Ok(bench)
    }

    /// Images of a run.
    pub fn images(&self) -> usize {
        self.trial.images
    }

    /// What the oracle makes of one image.
    fn oracle(&self, image: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let mut end = 0;
        let places = Places::of(&self.problem, 1, &mut end);
        let step = self.bound(&Interp, &interp::plain(), &places)?;
        let (inputs, outputs) = (vec![], vec![]);
        let program = Program { steps: vec![step], arena: end, max_batch: 1, inputs, outputs, entry: None };
        let mut run = Interp.load(&program)?;
        places.inputs.iter().zip(image).try_for_each(|(slot, bytes)| run.write(slot.offset, bytes))?;
        for slot in &places.outputs {
            run.write(slot.offset, &vec![POISON; slot.stride])?; // what lies between rows stays as it is
        }
        run.run(1, None)?;
        let output = |slot: &Slot| {
            let mut bytes = vec![0; slot.stride];
            run.read(slot.offset, &mut bytes).map(|()| bytes)
        };
        places.outputs.iter().map(output).collect()
    }

    /// Writes the images into all copies of the inputs, again and again.
    fn fill(&mut self, images: &[Vec<Vec<u8>>]) -> Result<()> {
        for i in 0..self.places[0].inputs.len() {
            let stride = self.places[0].inputs[i].stride;
            let mut all = Vec::with_capacity(stride * self.trial.images);
            for image in images.iter().cycle().take(self.trial.images) {
                all.extend(&image[i]);
            }
            for places in &self.places {
                self.stage.write(places.inputs[i].offset, &all)?;
            }
        }
        Ok(())
    }

    fn bound(&self, device: &dyn Device, tactic: &Tactic, places: &Places) -> Result<Bound> {
        let packed = device.pack(&self.problem, &self.numerics, tactic, &self.tensors)?;
        Ok(Bound {
            name: String::new(),
            problem: self.problem.clone(),
            tactic: tactic.clone(),
            numerics: self.numerics.clone(),
            packed: packed.iter().map(|b| Aligned::copy(b).into()).collect(),
            inputs: places.inputs.clone(),
            outputs: places.outputs.clone(),
        })
    }

    /// Loads a tactic beside those that are there.
    pub fn prepare(&mut self, device: &dyn Device, tactic: &Tactic) -> Result<Running> {
        let first = self.bound(device, tactic, &self.places[0])?;
        let at = |p: &Places| Bound { inputs: p.inputs.clone(), outputs: p.outputs.clone(), ..first.clone() };
        let steps: Vec<Bound> = self.places.iter().map(at).collect();
        self.stage.add(&steps).map(Running)
    }

    /// Compares a run with the oracle: 8-bit problems to the last bit, floats within rounding ([`close`]). Says what
    /// differs.
    pub fn check(&mut self, run: &Running) -> std::result::Result<(), String> {
        let looks = LOOKS.min(self.trial.images);
        let looks: Vec<usize> =
            (0..looks).map(|l| l * (self.trial.images - 1) / (looks - 1).max(1)).collect();
        let what = |e: Box<crate::base::Diagnostic>| e.what.clone();
        for slot in &self.places[0].outputs {
            let poison = vec![POISON; slot.stride];
            for image in &looks {
                self.stage.write(slot.offset + slot.stride * image, &poison).map_err(what)?;
            }
        }
        self.stage.try_steps(run.0.start..run.0.start + 1, self.trial.images).map_err(what)?;
        for image in looks {
            for (i, slot) in self.places[0].outputs.iter().enumerate() {
                let mut got = vec![0; slot.stride];
                self.stage.read(slot.offset + slot.stride * image, &mut got).map_err(what)?;
                self.compare(i, &got, &self.expected[image % self.expected.len()][i])
                    .map_err(|e| format!("image {image}, output {i}: {e}"))?;
            }
        }
        Ok(())
    }

    fn compare(&self, output: usize, got: &[u8], want: &[u8]) -> std::result::Result<(), String> {
        let o = &self.problem.outputs[output];
        let len = o.pieces().1;
        let pieces = || o.pieces().0.map(|at| at..at + len);
        let mut got = got.to_vec();
        if !self.problem.is_int8() && matches!(o.dtype, DType::F32 | DType::F16) {
            let numbers = |b: &[u8]| pieces().map(|r| &b[r]).collect::<Vec<_>>().concat();
            close(o.dtype, &numbers(&got), &numbers(want), self.error())?;
            // of the rest, what lies between rows
            pieces().for_each(|r| got[r.clone()].copy_from_slice(&want[r]));
        }
        let differs = |i: &usize| got[*i] != want[*i];
        let at = match self.own_gaps[output] {
            true => pieces().find_map(|mut r| r.find(differs)),
            false => (0..got.len()).find(differs),
        };
        match at {
            None => Ok(()),
            Some(at) => Err(format!("byte {at} is {}, the oracle has {}", got[at], want[at])),
        }
    }

    /// The time of a run: the shortest of three, so that a fast tactic is not lost where another program comes between;
    /// of one where it is long, as that is then a small part of it.
    pub fn once(&mut self, run: &Running) -> Result<Duration> {
        const LONG: Duration = Duration::from_millis(20);
        let mut best = self.time(run)?;
        for _ in 0..2 {
            if best < LONG {
                best = best.min(self.time(run)?);
            }
        }
        Ok(best)
    }

    /// The time of one run, as the mean over a window of at least this length.
    pub fn window(&mut self, run: &Running, least: Duration) -> Result<Duration> {
        let start = Instant::now();
        let (mut runs, mut sum) = (0, Duration::ZERO);
        while runs < 2 || start.elapsed() < least {
            sum += self.time(run)?;
            runs += 1;
        }
        Ok(sum / runs)
    }

    /// The time of one run, as the mean over the copies of the operands.
    fn time(&mut self, run: &Running) -> Result<Duration> {
        Ok(self.stage.try_steps(run.0.clone(), self.trial.images)? / run.0.len().max(1) as u32)
    }

    /// The error that a right kernel may have: that of a sum of `n` terms in f32 grows with its square root at random and with
    /// `n` at worst; relative to the largest output, `8 eps sqrt(n)` has never been exceeded by a right kernel here. Factors
    /// that are rounded to 11 bits differ by `2^-11` each, and their errors grow as the sum does.
    fn error(&self) -> f32 {
        let factors = if self.numerics == Numerics::Tf32 { 8.0 * 2f32.powi(-11) } else { 0.0 };
        8.0 * f32::EPSILON * (self.reduction() as f32).sqrt() + factors
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

/// Floats against the oracle, by an error relative to the largest. Halves may be one place further, as both are rounded once
/// more.
fn close(dtype: DType, got: &[u8], want: &[u8], error: f32) -> std::result::Result<(), String> {
    let floats = |b: &[u8]| -> Vec<f32> {
        match dtype {
            DType::F16 => bytemuck::pod_collect_to_vec::<_, f16>(b).iter().map(|h| h.to_f32()).collect(),
            _ => bytemuck::pod_collect_to_vec(b),
        }
    };
    let (got, want) = (floats(got), floats(want));
    let largest = want.iter().filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(v.abs()));
    let bound = error * largest.max(f32::MIN_POSITIVE);
    let far = |(a, b): (&f32, &f32)| {
        let apart = (a - b).abs() > bound + last_place(dtype, *b) || a.is_nan() != b.is_nan();
        a.to_bits() != b.to_bits() && apart
    };
    match got.iter().zip(&want).position(far) {
        None => Ok(()),
        Some(i) => Err(format!("number {i} is {}, the oracle has {} (bound {bound:e})", got[i], want[i])),
    }
}

/// From a number to its neighbours in halves, at most; 0 for f32.
fn last_place(dtype: DType, x: f32) -> f32 {
    match dtype {
        DType::F16 => (x.abs() * 2f32.powi(-10)).clamp(2f32.powi(-24), 32.0),
        _ => 0.0,
    }
}

impl Places {
    /// Places after byte `end`, for so many images.
    fn of(p: &Problem, images: usize, end: &mut usize) -> Places {
        let mut slot = |o: &Operand| {
            let slot = Slot { offset: *end, stride: o.extent() };
            *end = slot.range(images).end.next_multiple_of(64);
            slot
        };
        let inputs = p.activations().map(&mut slot).collect();
        Places { inputs, outputs: p.outputs.iter().map(&mut slot).collect() }
    }
}

/// Random numbers for an operand: any bytes for 8 bits, about [-1, 1) for floats, small integers otherwise.
fn numbers(o: &Operand, random: &mut SplitMix64) -> Vec<u8> {
    let n = o.extent() / o.dtype.size();
    match o.dtype {
        DType::F32 => {
            let v: Vec<f32> = (0..n).map(|_| random.signed_unit()).collect();
            bytemuck::cast_slice(&v).to_vec()
        }
        DType::F16 => {
            let v: Vec<f16> = (0..n).map(|_| f16::from_f32(random.signed_unit())).collect();
            bytemuck::cast_slice(&v).to_vec()
        }
        d if d.is_int8() => (0..n).map(|_| (random.next_u64() >> 56) as u8).collect(),
        d => vec![0; n * d.size()],
    }
}
