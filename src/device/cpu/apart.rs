//! Throughput mode: each image of a batch goes through all steps on one thread, in an arena of that thread. No thread
//! waits for another between steps; what a thread writes is still in its own caches when it reads it, which may be faster
//! with one thread too.

use super::pool::Pool;
use super::run::{Step, memory};
use super::{Io, Mode};
use crate::base::{Aligned, Result};
use crate::device::{Entry, Program, Slot, run_order};
use std::marker::PhantomData;
use std::time::Duration;

/// Runs of a batch, each way, before `auto` knows which is faster.
const TRIALS: usize = 4;

/// What throughput mode needs beside the executor's own memory.
pub(super) struct Apart {
    /// One for each worker. Only the places of the first image are used.
    arenas: Parts,
    /// Outputs until the last image is done: in the shared arena they may lie where an input is still to be read.
    results: Aligned,
    kept: Vec<Slot>,
    trial: Option<Trial>,
}

/// Memory in equal parts, one for each worker.
pub(super) struct Parts {
    memory: Aligned,
    each: usize,
}

impl Parts {
    /// `count` parts of `each` bytes, or a little more.
    pub fn new(count: usize, each: usize) -> Result<Self> {
        let each = each.next_multiple_of(64);
        Ok(Parts { memory: memory(each.saturating_mul(count))?, each })
    }

    /// The parts, to be given out to workers.
    pub fn shared(&mut self) -> Shared<'_> {
        Shared { base: self.memory.bytes_mut().as_mut_ptr(), each: self.each, life: PhantomData }
    }
}

/// [`Parts`] during a run.
pub(super) struct Shared<'p> {
    base: *mut u8,
    each: usize,
    life: PhantomData<&'p mut [u8]>,
}

// SAFETY: workers use disjoint parts.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    /// # Safety
    /// A worker's part must exist and must not be asked for while the worker still uses it.
    #[allow(clippy::mut_from_ref)] // disjoint parts for concurrent workers: the contract above
    pub unsafe fn of(&self, worker: usize) -> &mut [u8] {
        // SAFETY: the memory holds `each` bytes for every worker; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(worker * self.each), self.each) }
    }
}

/// Which way was faster so far.
#[derive(Default)]
struct Trial {
    /// Runs and the shortest time an image took: all threads on each step, a thread an image.
    ways: [(usize, Option<Duration>); 2],
}

impl Trial {
    fn next(&self) -> bool {
        let [together, apart] = &self.ways;
        match together.0.min(apart.0) < TRIALS {
            true => apart.0 < together.0,
            false => apart.1 < together.1,
        }
    }

    fn ran(&mut self, apart: bool, each: Duration) {
        let (runs, best) = &mut self.ways[usize::from(apart)];
        *runs += 1;
        *best = Some(best.map_or(each, |b| b.min(each)));
    }
}

impl Apart {
    /// Memory for a program in this mode; `None` where images never run apart.
    pub fn new(mode: Mode, workers: usize, program: &Program) -> Result<Option<Self>> {
        if mode == Mode::Latency || (mode == Mode::Auto && program.max_batch < 2) {
            return Ok(None);
        }
        let mut end = 0usize;
        let mut place = |s: &Slot| {
            let slot = Slot { offset: end, stride: s.stride };
            end = slot.range(program.max_batch).end.next_multiple_of(64);
            slot
        };
        let kept = program.outputs.iter().map(&mut place).collect();
        let made = Parts::new(workers, program.arena).and_then(|arenas| {
            let trial = (mode == Mode::Auto).then(Trial::default);
            Ok(Apart { arenas, results: memory(end)?, kept, trial })
        });
        match made {
            // it was not asked for
            Err(_) if mode == Mode::Auto => Ok(None),
            made => made.map(Some),
        }
    }

    /// Shall so many images run apart now?
    pub fn wanted(&self, images: usize, workers: usize) -> bool {
        self.trial.as_ref().is_none_or(|trial| has_choice(images, workers) && trial.next())
    }

    /// A run of so many images took so long, this way.
    pub fn ran(&mut self, apart: bool, images: usize, workers: usize, time: Duration) {
        if let Some(trial) = self.trial.as_mut().filter(|_| has_choice(images, workers)) {
            trial.ran(apart, time / images.max(1) as u32);
        }
    }

    /// Runs every image through all steps.
    pub fn run(
        &mut self,
        (pool, scratch): (&mut Pool, &mut Parts),
        (steps, entry): (&[Step], Option<&Entry<Step>>),
        (arena, inputs, outputs): (&mut [u8], &[Slot], &[Slot]),
        images: usize,
    ) {
        let (arenas, scratch) = (self.arenas.shared(), scratch.shared());
        let results = Results { base: self.results.bytes_mut().as_mut_ptr(), life: PhantomData };
        let given: &[u8] = arena;
        pool.run(images, &|image, worker| {
            // SAFETY: each worker runs one image at a time and has parts of its own.
            let (own, mine) = unsafe { (arenas.of(worker), scratch.of(worker)) };
            inputs.iter().for_each(|s| own[s.range(1)].copy_from_slice(&given[at(s, image)]));
            let (base, len) = (own.as_mut_ptr(), own.len());
            for (_, step) in run_order(steps, entry.map(Entry::way)) {
                let Some(kernel) = &step.kernel else { continue };
                let io =
                    Io { arena: base, len, inputs: &step.inputs, outputs: &step.outputs, life: PhantomData };
                (0..kernel.tasks().max(1)).for_each(|task| kernel.run(&io, 0, task, mine));
            }
            for (from, to) in outputs.iter().zip(&self.kept) {
                // SAFETY: inside the results by the sizes in `new`; every image has places of its own.
                unsafe { results.at(at(to, image)) }.copy_from_slice(&own[from.range(1)]);
            }
        });
        for (to, from) in outputs.iter().zip(&self.kept) {
            arena[to.range(images)].copy_from_slice(&self.results.bytes()[from.range(images)]);
        }
    }
}

/// Do both ways differ, and has every worker an image?
fn has_choice(images: usize, workers: usize) -> bool {
    images >= workers.max(2)
}

/// The bytes of an image.
fn at(slot: &Slot, image: usize) -> std::ops::Range<usize> {
    let start = slot.offset + slot.stride * image;
    start..start + slot.stride
}

/// Where workers leave outputs.
struct Results<'r> {
    base: *mut u8,
    life: PhantomData<&'r mut [u8]>,
}

// SAFETY: workers write the places of different images.
unsafe impl Sync for Results<'_> {}

impl Results<'_> {
    /// # Safety
    /// The range must lie in the memory, and no two workers may ask for overlapping ones.
    #[allow(clippy::mut_from_ref)] // disjoint places for concurrent workers: the contract above
    unsafe fn at(&self, range: std::ops::Range<usize>) -> &mut [u8] {
        // SAFETY: in bounds and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_tried_in_turns_and_the_faster_one_is_kept() {
        for (together, apart) in [(5, 3), (3, 5)] {
            let mut trial = Trial::default();
            for run in 0..20 {
                let way = trial.next();
                if run < 2 * TRIALS {
                    assert_eq!(way, run % 2 == 1);
                } else {
                    assert_eq!(way, apart < together);
                }
                trial.ran(way, Duration::from_millis(if way { apart } else { together }));
            }
        }
    }
}
