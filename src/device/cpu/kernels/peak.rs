//! What an instruction set can do at most on this machine: the inner products alone, from the nearest cache.

#[cfg(all(target_arch = "x86_64", feature = "simd"))]
use super::amx;
use super::tile::{F32, GROUP, Int8, MR, NR, Product, Reach, tile};
use crate::device::cpu::Isa;
use crate::device::cpu::simd::{Simd, with_simd};
use std::time::{Duration, Instant};

/// Groups of a tap: with three of them, weights and pixels take 12 and 9 KiB.
const GROUPS: usize = 32;
/// Taps of the product.
const TAPS: usize = 3;
/// Products of a window.
pub(super) const REPEATS: usize = 200;
/// Windows, of which the fastest counts.
const WINDOWS: usize = 60;

/// Operations a second of one thread, an addition and a multiplication each counted as one: 8-bit and f32. The CPU must
/// have the instruction set.
pub fn peak(isa: Isa) -> [f64; 2] {
    let int8 = match isa {
        #[cfg(all(target_arch = "x86_64", feature = "simd"))]
        Isa::Amx => amx::peak(),
        _ => with_simd!(isa, S => of::<S, Int8>()),
    };
    [int8, with_simd!(isa, S => of::<S, F32>())]
}

/// Operations a second of tiles of two registers of channels.
fn of<S: Simd, P: Product>() -> f64 {
    let taps: [usize; TAPS] = std::array::from_fn(|t| t * GROUPS * GROUP);
    let pixels = vec![1u8; (MR + TAPS) * GROUPS * GROUP];
    let (weights, start) = (vec![1u8; TAPS * GROUPS * NR * GROUP], vec![0u8; 2 * S::BYTES]);
    let rows: [usize; MR] = std::array::from_fn(|r| r * GROUPS * GROUP);
    let reach = Reach {
        base: pixels.as_ptr(),
        taps: &taps,
        groups: GROUPS,
        panel: weights.as_ptr(),
        skip: 0,
        start: start.as_ptr(),
    };
    let macs = TAPS * GROUPS * P::PER_GROUP * P::rows::<S>() * 2 * S::LANES;
    fastest(2 * macs, || {
        // SAFETY: the caller's promise that the CPU has it; every row, tap and group lies in the vectors above.
        unsafe {
            S::within(
                #[inline(always)]
                || {
                    let mut acc = [[S::splat(0); 2]; MR];
                    for _ in 0..REPEATS {
                        tile::<S, P, 2>(std::hint::black_box(reach), &rows[..P::rows::<S>()], &mut acc);
                    }
                    std::hint::black_box(&acc);
                },
            );
        }
    })
}

/// Operations a second of the fastest window, where `run` repeats so many of them [`REPEATS`] times.
pub(super) fn fastest(operations: usize, run: impl Fn()) -> f64 {
    let window = || {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let best = (0..WINDOWS).map(|_| window()).min().unwrap_or(Duration::MAX);
    (REPEATS * operations) as f64 / best.as_secs_f64()
}
