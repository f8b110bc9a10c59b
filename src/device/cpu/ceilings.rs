//! What the CPU does at most: the inner products of all threads at once, and a copy by all threads.

use super::{Isa, peak};
use crate::device::Ceilings;
use std::sync::Barrier;
use std::time::Instant;

/// Bytes that a thread copies: all threads together more than the caches hold.
const COPY: usize = 64 << 20;
/// Copies, of which the fastest counts.
const COPIES: usize = 5;

/// All ceilings of so many threads with this instruction set.
pub fn measure(isa: Isa, threads: usize) -> Ceilings {
    let products = together(threads, |_| peak(isa));
    let sum = |i: usize| Some(products.iter().map(|p| p[i]).sum());
    let copied = |start: &Barrier| {
        let (from, mut to) = (vec![1u8; COPY], vec![0u8; COPY]);
        let mut best = f64::INFINITY;
        for _ in 0..COPIES {
            start.wait();
            let clock = Instant::now();
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&to);
            best = best.min(clock.elapsed().as_secs_f64());
        }
        2.0 * COPY as f64 / best
    };
    let bytes = together(threads, copied).iter().sum();
    Ceilings { int8: sum(0), half: None, float: sum(1), bytes: Some(bytes) }
}

/// What each of so many threads finds that begin at the same time.
fn together<T: Send>(threads: usize, each: impl Fn(&Barrier) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        let one = || {
            start.wait();
            each(&start)
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter().filter_map(|t| t.join().ok()).collect()
    })
}
