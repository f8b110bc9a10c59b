//! The inner product of an implicit GEMM: a tile of [`MR`] rows by [`NR`] channels, for f32 and for 8-bit integers,
//! in each instruction set.
//!
//! Activations come as rows of K numbers (u8: s8 is stored with its sign bit flipped, x + 128). Weights come in
//! panels of [`NR`] channels: `[K / group][NR][group]`, with group 1 for f32 and 4 for integers, zero where K or the
//! channels end. Sums run over K in order, in one accumulator: bits do not depend on the blocking.

use crate::device::cpu::Isa;
use bytemuck::Pod;

/// Rows of a tile.
pub const MR: usize = 8;
/// Channels of a tile.
pub const NR: usize = 32;

/// A kind of product.
pub trait Product: Send + Sync + 'static {
    /// An activation, as stored in a row.
    type In: Pod + Send + Sync;
    /// A packed weight.
    type Weight: Pod + Send + Sync;
    /// An accumulator.
    type Acc: Pod + Send + Sync + Default;
    /// Consecutive numbers along K that lie together in a panel; rows are padded to a multiple of it.
    const GROUP: usize;
    /// The tile kernel for an instruction set.
    fn tile(isa: Isa) -> Tile<Self>;
}

/// `acc[r][c] = start[c] + sum_k a[r][k] * panel[k][c]` for `rows <= MR` rows: `a` holds them `stride` apart,
/// `groups` is K over the group.
pub type Tile<P> = fn(
    rows: usize,
    a: &[<P as Product>::In],
    stride: usize,
    groups: usize,
    panel: &[<P as Product>::Weight],
    start: &[<P as Product>::Acc; NR],
    acc: &mut [[<P as Product>::Acc; NR]; MR],
);

/// f32 with fused multiply-adds.
pub struct F32;

impl Product for F32 {
    type In = f32;
    type Weight = f32;
    type Acc = f32;
    const GROUP: usize = 1;

    fn tile(isa: Isa) -> Tile<F32> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni | Isa::Amx => x86::f32_avx512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::f32_avx2,
            _ => f32_scalar,
        }
    }
}

/// u8 by s8 into i32, exactly.
pub struct Int8;

impl Product for Int8 {
    type In = u8;
    type Weight = i8;
    type Acc = i32;
    const GROUP: usize = 4;

    fn tile(isa: Isa) -> Tile<Int8> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni | Isa::Amx => x86::int8_vnni,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::int8_avx2,
            _ => int8_scalar,
        }
    }
}

fn f32_scalar(
    rows: usize,
    a: &[f32],
    stride: usize,
    groups: usize,
    panel: &[f32],
    start: &[f32; NR],
    acc: &mut [[f32; NR]; MR],
) {
    for (r, acc) in acc.iter_mut().enumerate().take(rows) {
        *acc = *start;
        for (x, w) in a[r * stride..].iter().zip(panel.chunks_exact(NR)).take(groups) {
            for (s, w) in acc.iter_mut().zip(w) {
                *s += x * w; // no fused multiply-add: without the instruction it is a slow library call
            }
        }
    }
}

fn int8_scalar(
    rows: usize,
    a: &[u8],
    stride: usize,
    groups: usize,
    panel: &[i8],
    start: &[i32; NR],
    acc: &mut [[i32; NR]; MR],
) {
    for (r, acc) in acc.iter_mut().enumerate().take(rows) {
        *acc = *start;
        let row = a[r * stride..][..groups * 4].chunks_exact(4);
        for (x, w) in row.zip(panel.chunks_exact(NR * 4)) {
            let x = [x[0], x[1], x[2], x[3]].map(i32::from);
            for (s, w) in acc.iter_mut().zip(w.chunks_exact(4)) {
                // widened before multiplying: pairs of u8 by s8 products overflow 16 bits
                let w = [w[0], w[1], w[2], w[3]].map(i32::from);
                *s += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{MR, NR};
    use std::arch::x86_64::*;

    /// Calls a block with the number of rows as a constant, so that every sum is in a register.
    macro_rules! by_rows {
        ($rows:ident, $r:ident => $call:expr) => {
            by_rows!($rows, $r => $call, 1 2 3 4 5 6 7 8)
        };
        ($rows:ident, $r:ident => $call:expr, $($n:literal)*) => {
            match $rows {
                $($n => { const $r: usize = $n; $call })*
                _ => {}
            }
        };
    }

    /// A vector of f32 in some instruction set.
    trait Vector: Copy {
        const LANES: usize;
        unsafe fn load(p: *const f32) -> Self;
        unsafe fn store(self, p: *mut f32);
        unsafe fn splat(x: f32) -> Self;
        unsafe fn fma(self, a: Self, b: Self) -> Self;
    }

    impl Vector for __m512 {
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            unsafe { _mm512_storeu_ps(p, self) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            unsafe { _mm512_fmadd_ps(a, b, self) }
        }
    }

    impl Vector for __m256 {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            unsafe { _mm256_storeu_ps(p, self) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn fma(self, a: Self, b: Self) -> Self {
            unsafe { _mm256_fmadd_ps(a, b, self) }
        }
    }

    /// `R` rows by `N` vectors of channels from channel `c`, all in registers.
    ///
    /// # Safety
    /// `a` holds `R` rows of `k` numbers `stride` apart, `panel` `k * NR` numbers; the CPU has the instructions.
    #[inline(always)]
    unsafe fn block<V: Vector, const R: usize, const N: usize>(
        a: *const f32,
        stride: usize,
        k: usize,
        panel: *const f32,
        c: usize,
        start: &[f32; NR],
        acc: &mut [[f32; NR]],
    ) {
        // SAFETY: the caller's promise; `c + N * LANES <= NR` by the calls below.
        unsafe {
            let mut s = [[V::splat(0.0); N]; R];
            for row in &mut s {
                for (n, v) in row.iter_mut().enumerate() {
                    *v = V::load(start.as_ptr().add(c + n * V::LANES));
                }
            }
            for i in 0..k {
                let w: [V; N] = std::array::from_fn(|n| V::load(panel.add(i * NR + c + n * V::LANES)));
                for (r, row) in s.iter_mut().enumerate() {
                    let x = V::splat(*a.add(r * stride + i));
                    for (v, w) in row.iter_mut().zip(w) {
                        *v = v.fma(x, w);
                    }
                }
            }
            for (row, out) in s.iter().zip(acc) {
                for (n, v) in row.iter().enumerate() {
                    v.store(out.as_mut_ptr().add(c + n * V::LANES));
                }
            }
        }
    }

    pub fn f32_avx512(
        rows: usize,
        a: &[f32],
        stride: usize,
        k: usize,
        panel: &[f32],
        start: &[f32; NR],
        acc: &mut [[f32; NR]; MR],
    ) {
        #[target_feature(enable = "avx512f,avx2,fma")]
        unsafe fn go(
            rows: usize,
            a: *const f32,
            stride: usize,
            k: usize,
            p: *const f32,
            s: &[f32; NR],
            acc: &mut [[f32; NR]; MR],
        ) {
            // SAFETY: `f32_avx512` checked the bounds.
            unsafe {
                by_rows!(rows, R => block::<__m512, R, 2>(a, stride, k, p, 0, s, acc));
            }
        }
        check(rows, a.len(), stride, k, panel.len());
        // SAFETY: in bounds by `check`; `Product::tile` hands this out where the CPU has AVX-512.
        unsafe { go(rows, a.as_ptr(), stride, k, panel.as_ptr(), start, acc) }
    }

    pub fn f32_avx2(
        rows: usize,
        a: &[f32],
        stride: usize,
        k: usize,
        panel: &[f32],
        start: &[f32; NR],
        acc: &mut [[f32; NR]; MR],
    ) {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn go(
            rows: usize,
            a: *const f32,
            stride: usize,
            k: usize,
            p: *const f32,
            s: &[f32; NR],
            acc: &mut [[f32; NR]; MR],
        ) {
            // SAFETY: `f32_avx2` checked the bounds. 4 rows by 2 vectors leave room in 16 registers.
            unsafe {
                for c in [0, 16] {
                    let mut r = 0;
                    while r + 4 <= rows {
                        block::<__m256, 4, 2>(a.add(r * stride), stride, k, p, c, s, &mut acc[r..]);
                        r += 4;
                    }
                    for r in r..rows {
                        block::<__m256, 1, 2>(a.add(r * stride), stride, k, p, c, s, &mut acc[r..]);
                    }
                }
            }
        }
        check(rows, a.len(), stride, k, panel.len());
        // SAFETY: in bounds by `check`; `Product::tile` hands this out where the CPU has AVX2 and FMA.
        unsafe { go(rows, a.as_ptr(), stride, k, panel.as_ptr(), start, acc) }
    }

    /// `R` rows by 8 channels from channel `c`. Numbers are widened to 16 bits and multiplied in pairs, which is
    /// exact (the instruction for u8 by s8 saturates at 16 bits).
    ///
    /// # Safety
    /// As for [`vnni_block`]; the CPU has AVX2.
    #[inline(always)]
    unsafe fn madd_block<const R: usize>(
        a: *const u8,
        stride: usize,
        groups: usize,
        panel: *const i8,
        c: usize,
        start: &[i32; NR],
        acc: &mut [[i32; NR]],
    ) {
        // SAFETY: the caller's promise; `c + 8 <= NR`.
        unsafe {
            // each channel's sum in two neighbouring lanes, four channels a vector
            let mut s = [[_mm256_setzero_si256(); 2]; R];
            for g in 0..groups {
                let w = [0, 16]
                    .map(|o| _mm256_cvtepi8_epi16(_mm_loadu_si128(panel.add((g * NR + c) * 4 + o).cast())));
                for (r, row) in s.iter_mut().enumerate() {
                    let x = _mm_set1_epi32(a.add(r * stride + g * 4).cast::<i32>().read_unaligned());
                    let x = _mm256_cvtepu8_epi16(x);
                    row[0] = _mm256_add_epi32(row[0], _mm256_madd_epi16(x, w[0]));
                    row[1] = _mm256_add_epi32(row[1], _mm256_madd_epi16(x, w[1]));
                }
            }
            let first = _mm256_loadu_si256(start.as_ptr().add(c).cast());
            for (row, out) in s.iter().zip(acc) {
                // adding neighbours leaves channels 0 1 4 5 2 3 6 7
                let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(row[0], row[1]));
                _mm256_storeu_si256(out.as_mut_ptr().add(c).cast(), _mm256_add_epi32(first, sums));
            }
        }
    }

    pub fn int8_avx2(
        rows: usize,
        a: &[u8],
        stride: usize,
        groups: usize,
        panel: &[i8],
        start: &[i32; NR],
        acc: &mut [[i32; NR]; MR],
    ) {
        #[target_feature(enable = "avx2")]
        unsafe fn go(
            rows: usize,
            a: *const u8,
            stride: usize,
            groups: usize,
            p: *const i8,
            s: &[i32; NR],
            acc: &mut [[i32; NR]; MR],
        ) {
            // SAFETY: `int8_avx2` checked the bounds. 4 rows by 2 vectors leave room in 16 registers.
            unsafe {
                for c in (0..NR).step_by(8) {
                    let mut r = 0;
                    while r + 4 <= rows {
                        madd_block::<4>(a.add(r * stride), stride, groups, p, c, s, &mut acc[r..]);
                        r += 4;
                    }
                    for r in r..rows {
                        madd_block::<1>(a.add(r * stride), stride, groups, p, c, s, &mut acc[r..]);
                    }
                }
            }
        }
        check(rows, a.len(), stride, groups * 4, panel.len());
        // SAFETY: in bounds by `check`; `Product::tile` hands this out where the CPU has AVX2.
        unsafe { go(rows, a.as_ptr(), stride, groups, panel.as_ptr(), start, acc) }
    }

    /// `R` rows by both vectors of channels.
    ///
    /// # Safety
    /// `a` holds `R` rows of `4 * groups` bytes `stride` apart, `panel` `groups * NR * 4` bytes; the CPU has VNNI.
    #[inline(always)]
    unsafe fn vnni_block<const R: usize>(
        a: *const u8,
        stride: usize,
        groups: usize,
        panel: *const i8,
        start: &[i32; NR],
        acc: &mut [[i32; NR]],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let first = [0, 16].map(|c| _mm512_loadu_si512(start.as_ptr().add(c).cast()));
            let mut s = [first; R];
            for g in 0..groups {
                let w = [0, 64].map(|c| _mm512_loadu_si512(panel.add(g * NR * 4 + c).cast()));
                for (r, row) in s.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(a.add(r * stride + g * 4).cast::<i32>().read_unaligned());
                    row[0] = _mm512_dpbusd_epi32(row[0], x, w[0]);
                    row[1] = _mm512_dpbusd_epi32(row[1], x, w[1]);
                }
            }
            for (row, out) in s.iter().zip(acc) {
                _mm512_storeu_si512(out.as_mut_ptr().cast(), row[0]);
                _mm512_storeu_si512(out.as_mut_ptr().add(16).cast(), row[1]);
            }
        }
    }

    pub fn int8_vnni(
        rows: usize,
        a: &[u8],
        stride: usize,
        groups: usize,
        panel: &[i8],
        start: &[i32; NR],
        acc: &mut [[i32; NR]; MR],
    ) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        unsafe fn go(
            rows: usize,
            a: *const u8,
            stride: usize,
            groups: usize,
            p: *const i8,
            s: &[i32; NR],
            acc: &mut [[i32; NR]; MR],
        ) {
            // SAFETY: `int8_vnni` checked the bounds.
            unsafe {
                by_rows!(rows, R => vnni_block::<R>(a, stride, groups, p, s, acc));
            }
        }
        check(rows, a.len(), stride, groups * 4, panel.len());
        // SAFETY: in bounds by `check`; `Product::tile` hands this out where the CPU has AVX-512 VNNI.
        unsafe { go(rows, a.as_ptr(), stride, groups, panel.as_ptr(), start, acc) }
    }

    /// Bounds of a tile: `rows` rows of `k` numbers, a panel of `k` by `NR`.
    fn check(rows: usize, a: usize, stride: usize, k: usize, panel: usize) {
        assert!(rows <= MR && k * NR <= panel && (rows == 0 || (rows - 1) * stride + k <= a));
    }
}
