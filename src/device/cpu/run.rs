//! The executor: an arena, kernels, a pool.

use super::affinity;
use super::apart::{Apart, Parts};
use super::pool::Pool;
use super::{Cpu, Io, Kernel, Place, family, offered};
use crate::base::codes::machine;
use crate::base::{Aligned, Diagnostic, Result};
use crate::device::{Bound, Device, Entry, Executor, Operand, Program, Slot, Tap, packed, run_order};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A loaded program.
pub struct Run {
    arena: Aligned,
    pool: Pool,
    cpu: Cpu,
    steps: Vec<Step>,
    /// Steps of the program; those after them were added.
    ours: usize,
    entry: Option<Entry<Step>>,
    /// Were pixels written last?
    by_pixels: bool,
    scratch: Parts,
    /// Where images may run apart from one another.
    apart: Option<Apart>,
    /// The CPU of the calling thread while it runs, where it has one.
    home: Option<usize>,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
}

/// A step ready to run.
pub(super) struct Step {
    /// `None` where nothing is computed.
    pub kernel: Option<Box<dyn Kernel>>,
    pub inputs: Vec<Place>,
    pub outputs: Vec<Place>,
    operands: Vec<Operand>,
}

impl Run {
    /// Loads a program: kernels, arena, threads.
    pub fn new(cpu: &Cpu, program: &Program) -> Result<Self> {
        let steps = program.steps.par_iter().map(|s| Step::load(cpu, s)).collect::<Result<Vec<_>>>()?;
        let entry = match &program.entry {
            Some(e) => Some(Entry { step: Step::load(cpu, &e.step)?, instead: e.instead, input: e.input }),
            None => None,
        };
        let scratch = scratch(steps.iter().chain(entry.iter().map(|e| &e.step)));
        let pool = Pool::new(cpu.threads, cpu.cpus);
        Ok(Run {
            arena: memory(program.arena)?,
            scratch: Parts::new(pool.workers(), scratch)?,
            apart: Apart::new(cpu.mode, pool.workers(), program)?,
            home: cpu.cpus.and_then(|c| c.of_worker(0)),
            pool,
            cpu: *cpu,
            ours: steps.len(),
            entry,
            by_pixels: false,
            steps,
            inputs: program.inputs.clone(),
            outputs: program.outputs.clone(),
        })
    }

    /// All images through one of these steps after the other, each step by all threads.
    fn together(&mut self, steps: Range<usize>, images: usize, mut tap: Option<&mut dyn Tap>) {
        let len = self.arena.bytes().len();
        let entry = self.entry.as_ref().filter(|_| self.by_pixels && steps == (0..self.ours));
        for (i, s) in run_order(&self.steps[steps], entry.map(Entry::way)) {
            let start = tap.is_some().then(Instant::now);
            if let Some(kernel) = &s.kernel {
                let arena = self.arena.bytes_mut().as_mut_ptr();
                let io = Io { arena, len, inputs: &s.inputs, outputs: &s.outputs, life: PhantomData };
                let scratch = self.scratch.shared();
                let tasks = kernel.tasks().max(1);
                let heavy = kernel.is_heavy();
                self.pool.run(images * tasks, &|n, worker| {
                    // SAFETY: each worker runs one task at a time and has a part of its own.
                    let mine = unsafe { scratch.of(worker) };
                    let (image, task) = if heavy { (n % images, n / images) } else { (n / tasks, n % tasks) };
                    kernel.run(&io, image, task, mine);
                });
            }
            if let (Some(tap), Some(start), Some(i)) = (tap.as_deref_mut(), start, i) {
                tap.timed(i, start.elapsed());
                for (o, (place, operand)) in s.outputs.iter().zip(&s.operands).enumerate() {
                    if tap.wants(i, o) {
                        tap.seen(i, o, &packed(self.arena.bytes(), &place.slot, operand, images));
                    }
                }
            }
        }
    }
}

impl Step {
    fn load(cpu: &Cpu, s: &Bound) -> Result<Step> {
        let place = |(&slot, o): (&Slot, &Operand)| Place { slot, bytes: o.span() };
        Ok(Step {
            kernel: if s.tactic.is_idle() { None } else { Some(kernel(cpu, s)?) },
            inputs: s.inputs.iter().zip(s.problem.activations()).map(place).collect(),
            outputs: s.outputs.iter().zip(&s.problem.outputs).map(place).collect(),
            operands: s.problem.outputs.clone(),
        })
    }
}

/// Bytes of scratch memory that a task of any of these steps needs.
fn scratch<'s>(steps: impl IntoIterator<Item = &'s Step>) -> usize {
    steps.into_iter().map(|s| s.kernel.as_ref().map_or(0, |k| k.scratch())).max().unwrap_or(0)
}

/// The kernel of a step. An engine file says which; that this CPU can run it is ours to know.
fn kernel(cpu: &Cpu, s: &Bound) -> Result<Box<dyn Kernel>> {
    let family = family(&s.tactic)?;
    if !offered(family, &s.problem, cpu.isa).contains(&s.tactic.variant.as_str()) {
        let what = format!("`{}` is no kernel of {} for {}", s.tactic, cpu.id(), s.problem);
        return Err(Diagnostic::new(machine::NO_DEVICE, what).help("build the engine again on this machine"));
    }
    family.load(s, cpu.isa)
}

/// So many zeros.
pub(super) fn memory(bytes: usize) -> Result<Aligned> {
    Aligned::try_zeroed(bytes).ok_or_else(|| {
        Diagnostic::new(
            machine::NO_MEMORY,
            format!("there are no {} MiB of memory for the arena", bytes >> 20),
        )
        .help("build the engine for a smaller batch")
    })
}

impl Executor for Run {
    fn input(&mut self, i: usize, images: usize) -> &mut [u8] {
        self.by_pixels = false;
        let range = self.inputs[i].range(images);
        &mut self.arena.bytes_mut()[range]
    }

    fn pixels(&mut self, images: usize) -> Option<&mut [u8]> {
        let range = self.entry.as_ref()?.input.range(images);
        self.by_pixels = true;
        Some(&mut self.arena.bytes_mut()[range])
    }

    fn run(&mut self, images: usize, tap: Option<&mut dyn Tap>) -> Result<()> {
        let _pinned = self.home.map(affinity::pin);
        let workers = self.pool.workers();
        let start = Instant::now();
        let apart = match &mut self.apart {
            Some(apart) if tap.is_none() && apart.wanted(images, workers) => {
                let entry = self.entry.as_ref().filter(|_| self.by_pixels);
                let inputs = entry.map_or(&self.inputs[..], |e| std::slice::from_ref(&e.input));
                let steps = (&self.steps[..self.ours], entry);
                let arena = (self.arena.bytes_mut(), inputs, &self.outputs[..]);
                apart.run((&mut self.pool, &mut self.scratch), steps, arena, images);
                true
            }
            _ => {
                self.together(0..self.ours, images, tap);
                false
            }
        };
        if let Some(a) = &mut self.apart {
            a.ran(apart, images, workers, start.elapsed());
        }
        Ok(())
    }

    fn output(&self, i: usize, images: usize) -> &[u8] {
        &self.arena.bytes()[self.outputs[i].range(images)]
    }

    fn add(&mut self, steps: &[Bound]) -> Result<Range<usize>> {
        let more = steps.iter().map(|s| Step::load(&self.cpu, s)).collect::<Result<Vec<_>>>()?;
        if scratch(&more) > scratch(&self.steps) {
            self.scratch = Parts::new(self.pool.workers(), scratch(&more))?;
        }
        let first = self.steps.len();
        self.steps.extend(more);
        Ok(first..self.steps.len())
    }

    fn try_steps(&mut self, steps: Range<usize>, images: usize) -> Result<Duration> {
        let _pinned = self.home.map(affinity::pin);
        let start = Instant::now();
        self.together(steps, images, None);
        Ok(start.elapsed())
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        self.arena.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<()> {
        bytes.copy_from_slice(&self.arena.bytes()[at..at + bytes.len()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{DType, Shape};
    use crate::device::cpu::Isa;
    use crate::device::{Bound, Layout, Numerics, Problem, Tactic, Work};

    /// What a file asks for is no promise: kernels of other instruction sets, or for other problems, are not loaded.
    #[test]
    fn only_tactics_that_are_offered_are_loaded() {
        let cpu = Cpu { isa: Isa::Scalar, threads: 1, ..Cpu::host() };
        let operand = Operand::new(DType::F32, Shape::new(&[1, 2]), Layout::Plain);
        let problem = Problem { work: Work::Reformat, inputs: vec![operand.clone()], outputs: vec![operand] };
        let slot = |offset| Slot { offset, stride: 8 };
        let load = |tactic: &str| {
            let step = Bound {
                name: String::new(),
                problem: problem.clone(),
                tactic: tactic.parse::<Tactic>().unwrap(),
                numerics: Numerics::Float,
                packed: vec![],
                inputs: vec![slot(0)],
                outputs: vec![slot(64)],
            };
            let program = Program {
                steps: vec![step],
                arena: 128,
                max_batch: 1,
                inputs: vec![slot(0)],
                outputs: vec![slot(64)],
                entry: None,
            };
            cpu.load(&program).err().map(|e| e.code.id)
        };
        assert_eq!(load("reformat/scalar"), None);
        for foreign in ["reformat/avx512-vnni", "igemm/amx", "depthwise/scalar", "nothing/scalar"] {
            assert_eq!(load(foreign), Some(machine::NO_DEVICE.id), "{foreign}");
        }
    }
}
