//! The inner product of every convolution and matrix product: a tile of rows by channels, for f32 and for 8-bit
//! integers.
//!
//! A row is an output pixel. It reads its inputs where they lie: at `base + rows[r] + tap`, for each tap `groups`
//! groups of four bytes, which are one f32 or four u8 (s8 is stored with its sign bit flipped, x + 128). Weights come
//! in panels of [`NR`] channels: `[tap][group][NR]` groups of four bytes, zero where a tap or the channels end. Sums
//! run over taps and groups in order, in one accumulator: bits do not depend on the blocking.

use crate::device::cpu::simd::Simd;
use bytemuck::Pod;

/// Most rows of a tile.
pub const MR: usize = 12;
/// Channels of a panel.
pub const NR: usize = 32;
/// Bytes of a group.
pub const GROUP: usize = 4;

/// A kind of product.
pub trait Product: Send + Sync + 'static {
    /// An activation, as a tile reads it.
    type In: Pod + Send + Sync;
    /// A packed weight.
    type Weight: Pod + Send + Sync;
    /// Activations of a group.
    const PER_GROUP: usize = GROUP / size_of::<Self::In>();
    /// Most rows of a tile.
    fn rows<S: Simd>() -> usize {
        S::ROWS
    }
    /// `acc + x * w` in every lane, summed over the group.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn multiply<S: Simd>(acc: S::I, x: S::I, w: S::I) -> S::I;
}

/// f32, fused where the instruction set has it.
pub struct F32;

impl Product for F32 {
    type In = f32;
    type Weight = f32;
    fn rows<S: Simd>() -> usize {
        S::FLOAT_ROWS
    }
    #[inline(always)]
    unsafe fn multiply<S: Simd>(acc: S::I, x: S::I, w: S::I) -> S::I {
        // SAFETY: the caller's promise.
        S::bits(unsafe { S::mul_add(S::float(x), S::float(w), S::float(acc)) })
    }
}

/// u8 by s8 into i32, exactly.
pub struct Int8;

impl Product for Int8 {
    type In = u8;
    type Weight = i8;
    #[inline(always)]
    unsafe fn multiply<S: Simd>(acc: S::I, x: S::I, w: S::I) -> S::I {
        // SAFETY: the caller's promise.
        unsafe { S::dot4(acc, x, w) }
    }
}

/// Where the rows of tiles read, and what they are multiplied by.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// The first byte of the input.
    pub base: *const u8,
    /// Byte offsets of the taps.
    pub taps: &'a [usize],
    /// Groups of a tap.
    pub groups: usize,
    /// The panel, from the first channel of the tile on.
    pub panel: *const u8,
    /// Bytes of the panel between one tap's weights and the next one's.
    pub skip: usize,
    /// What the accumulators of the tile's channels start with.
    pub start: *const u8,
}

/// [`rows`], into memory.
///
/// # Safety
/// As for [`rows`].
#[inline(always)]
pub unsafe fn tile<S: Simd, P: Product, const V: usize>(x: Reach, at: &[usize], acc: &mut [[S::I; V]; MR]) {
    // SAFETY: the caller's promise.
    unsafe {
        rows::<S, P, V>(
            x,
            at,
            #[inline(always)]
            |r, sums| acc[r] = sums,
        );
    }
}

/// `V` registers of channels for `at.len() <= P::rows()` rows; row `r` starts at byte `at[r]`. `done` is called with
/// each row and its sums; it must be `#[inline(always)]`.
///
/// # Safety
/// As for [`Simd`], inside of [`Simd::within`]; every group of every row and tap lies in memory that may be read, the
/// panel has `taps * groups` groups of [`NR`] channels, and what is skipped.
#[inline(always)]
pub unsafe fn rows<S: Simd, P: Product, const V: usize>(
    x: Reach,
    at: &[usize],
    done: impl FnMut(usize, [S::I; V]),
) {
    macro_rules! by_rows {
        ($($r:literal)*) => {
            match at.len() {
                // SAFETY: the caller's promise.
                $($r if $r <= P::rows::<S>() => unsafe { block::<S, P, $r, V>(x, at, done) },)*
                n => unreachable!("a tile of {n} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// # Safety
/// As for [`rows`]; `rows` holds `R`.
#[inline(always)]
unsafe fn block<S: Simd, P: Product, const R: usize, const V: usize>(
    x: Reach,
    rows: &[usize],
    mut done: impl FnMut(usize, [S::I; V]),
) {
    // written out for each row, as loops over so many registers are not always unrolled
    macro_rules! each_row {
        ($r:ident => $do:expr) => { each_row!($r => $do; 0 1 2 3 4 5 6 7 8 9 10 11) };
        ($r:ident => $do:expr; $($n:literal)*) => { $(if $n < R { let $r = $n; $do })* };
    }
    let rows: &[usize; R] = match rows.try_into() {
        Ok(rows) => rows,
        Err(_) => unreachable!("`rows` asked for the length"),
    };
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[S::splat(0); V]; R];
        #[allow(clippy::needless_range_loop)] // the rows are written out, not iterated
        for v in 0..V {
            let first = S::load(x.start.add(v * S::BYTES));
            each_row!(r => acc[r][v] = first);
        }
        let mut w = x.panel;
        for &tap in x.taps {
            let mut from = x.base.add(tap);
            for _ in 0..x.groups {
                let mut weights = [S::splat(0); V];
                for (v, weights) in weights.iter_mut().enumerate() {
                    *weights = S::load(w.add(v * S::BYTES));
                }
                each_row!(r => {
                    let x = S::broadcast(from.add(rows[r]));
                    for v in 0..V {
                        acc[r][v] = P::multiply::<S>(acc[r][v], x, weights[v]);
                    }
                });
                from = from.add(GROUP);
                w = w.add(GROUP * NR);
            }
            w = w.wrapping_add(x.skip);
        }
        each_row!(r => done(r, acc[r]));
    }
}
