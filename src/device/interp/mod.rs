//! The oracle as a device: every problem through the plain loops of [`crate::ir::ops`], floats in f64 (rounded to
//! f32 where a step stores them), 8-bit nodes in exact integers with the epilogue of [`crate::base::quant`]. Slow and
//! right; every other device is compared with it.

mod step;

use super::{
    Bound, Device, DeviceId, Entry, Executor, Floats, Numerics, Operand, Problem, Program, Tactic, Tap,
    packed, run_order,
};
use crate::base::{Result, Tensor};
use std::ops::Range;
use std::time::{Duration, Instant};

/// The oracle.
pub struct Interp;

/// The tactic by which it computes everything.
pub fn plain() -> Tactic {
    Tactic::new("reference", "plain")
}

/// What a step without constants makes of one image: the bytes of its outputs, without gaps between rows.
pub fn evaluate(problem: &Problem, numerics: &Numerics, inputs: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
    step::run(problem, numerics, &[], inputs)
}

impl Device for Interp {
    fn id(&self) -> DeviceId {
        DeviceId { kind: "interp".into(), arch: "reference".into(), width: 1 }
    }

    /// One for every problem; none for pairs, so that every value of a graph can be seen.
    fn tactics(&self, p: &Problem, _: &Numerics) -> Vec<Tactic> {
        if p.halves().is_some() { vec![] } else { vec![plain()] }
    }

    fn pack(&self, _: &Problem, _: &Numerics, _: &Tactic, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        Ok(tensors.iter().map(|t| t.bytes().to_vec()).collect())
    }

    fn computes(&self, _: Floats) -> bool {
        true
    }

    fn in_place(&self, _: &Problem, _: &Tactic) -> bool {
        true
    }

    fn load(&self, program: &Program) -> Result<Box<dyn Executor>> {
        Ok(Box::new(Run {
            arena: vec![0; program.arena],
            inputs: program.inputs.clone(),
            outputs: program.outputs.clone(),
            steps: program.steps.clone(),
            entry: program.entry.clone(),
            by_pixels: false,
            ours: program.steps.len(),
        }))
    }
}

struct Run {
    arena: Vec<u8>,
    inputs: Vec<super::Slot>,
    outputs: Vec<super::Slot>,
    steps: Vec<Bound>,
    entry: Option<Entry<Bound>>,
    /// Were pixels written last?
    by_pixels: bool,
    /// Steps of the program; those after them were added.
    ours: usize,
}

impl Run {
    fn some(&mut self, steps: Range<usize>, images: usize, mut tap: Option<&mut dyn Tap>) -> Result<()> {
        let entry = self.entry.as_ref().filter(|_| self.by_pixels && steps == (0..self.ours));
        for (i, s) in run_order(&self.steps[steps], entry.map(Entry::way)) {
            if s.tactic == Tactic::joined() {
                continue;
            }
            let start = Instant::now();
            for image in 0..images {
                let read = |(slot, o): (&super::Slot, &Operand)| {
                    &self.arena[slot.offset + slot.stride * image..][..o.span()]
                };
                let inputs: Vec<&[u8]> = s.inputs.iter().zip(s.problem.activations()).map(read).collect();
                let outputs = step::run(&s.problem, &s.numerics, &s.packed, &inputs)?;
                for ((slot, o), bytes) in s.outputs.iter().zip(&s.problem.outputs).zip(outputs) {
                    let first = slot.offset + slot.stride * image;
                    let (pieces, len) = o.pieces();
                    for (at, piece) in pieces.zip(bytes.chunks_exact(len.max(1))) {
                        self.arena[first + at..][..len].copy_from_slice(piece);
                    }
                }
            }
            if let (Some(tap), Some(i)) = (tap.as_deref_mut(), i) {
                tap.timed(i, start.elapsed());
                for (o, (slot, operand)) in s.outputs.iter().zip(&s.problem.outputs).enumerate() {
                    if tap.wants(i, o) {
                        tap.seen(i, o, &packed(&self.arena, slot, operand, images));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Executor for Run {
    fn input(&mut self, i: usize, images: usize) -> &mut [u8] {
        self.by_pixels = false;
        &mut self.arena[self.inputs[i].range(images)]
    }

    fn pixels(&mut self, images: usize) -> Option<&mut [u8]> {
        let range = self.entry.as_ref()?.input.range(images);
        self.by_pixels = true;
        Some(&mut self.arena[range])
    }

    fn run(&mut self, images: usize, tap: Option<&mut dyn Tap>) -> Result<()> {
        self.some(0..self.ours, images, tap)
    }

    fn output(&self, i: usize, images: usize) -> &[u8] {
        &self.arena[self.outputs[i].range(images)]
    }

    fn add(&mut self, steps: &[Bound]) -> Result<Range<usize>> {
        let first = self.steps.len();
        self.steps.extend_from_slice(steps);
        Ok(first..self.steps.len())
    }

    fn try_steps(&mut self, steps: Range<usize>, images: usize) -> Result<Duration> {
        let start = Instant::now();
        self.some(steps, images, None)?;
        Ok(start.elapsed())
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.arena[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<()> {
        bytes.copy_from_slice(&self.arena[at..at + bytes.len()]);
        Ok(())
    }
}
