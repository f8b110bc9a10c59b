//! How long a tactic takes at least, whatever its kernel does: its products at the most that an instruction set has ever
//! done in a cycle, its bytes at the most that a core moves. The tuner does not time what cannot win.

use super::{Family, Isa};
use crate::device::Problem;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Bytes that a core reads and writes in a cycle, from the nearest cache.
const BYTES: f64 = 192.0;
/// By how much the clock may be faster than it was measured: it may have been at rest.
const MARGIN: f64 = 1.5;
/// Steps of a chain that is timed.
const STEPS: u64 = 5_000;

/// Products of an instruction set in a cycle, at most: registers of two or three units at once, or a tile product every
/// 16 cycles.
pub fn products(isa: Isa, int8: bool) -> f64 {
    match (isa, int8) {
        (Isa::Scalar, true) => 48.0, // what SSE2 makes of plain loops
        (Isa::Scalar, false) => 12.0,
        (Isa::Avx2, true) => 96.0,
        (Isa::Avx2, false) => 24.0,
        (Isa::Avx512Vnni, true) => 192.0,
        (Isa::Avx512Vnni | Isa::Amx, false) => 48.0,
        (Isa::Amx, true) => 1024.0,
    }
}

/// The least time of one image on so many threads.
pub fn least(family: &dyn Family, p: &Problem, variant: &str, threads: usize) -> Duration {
    // a variant's name is that of its instruction set, perhaps with more after it
    let isa = Isa::ALL.into_iter().rev().find(|isa| variant.starts_with(isa.name())).unwrap_or(Isa::best());
    let bytes: usize = p.activations().chain(&p.outputs).map(|o| o.bytes()).sum();
    let cycles = (p.macs() as f64 / family.products_per_cycle(p, isa)).max(bytes as f64 / BYTES);
    Duration::from_secs_f64(cycles / (clock() * MARGIN * threads as f64))
}

/// Cycles a second, from the time of a chain of operations, each of which waits for the one before: 1 cycle and 3. Noise
/// makes it less, which the margin and the least clock of a server make up for.
fn clock() -> f64 {
    static CLOCK: OnceLock<f64> = OnceLock::new();
    const LEAST: f64 = 3e9;
    *CLOCK.get_or_init(|| {
        let window = || {
            let start = Instant::now();
            let mut x = std::hint::black_box(1u64);
            for i in 0..STEPS {
                x = (x ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
            std::hint::black_box(x);
            start.elapsed()
        };
        let best = (0..100).map(|_| window()).min().unwrap_or(Duration::MAX);
        (4.0 * STEPS as f64 / best.as_secs_f64()).max(LEAST)
    })
}
