//! Vectors of 32-bit lanes, one type for each instruction set, so that a kernel is written once.
//!
//! A register holds `LANES` lanes of i32 or f32, or four times as many bytes. The operations are those that kernels
//! need, each with one meaning on every instruction set; the tests hold them to plain arithmetic.

#[cfg(all(target_arch = "x86_64", feature = "simd"))]
mod avx2;
#[cfg(all(target_arch = "x86_64", feature = "simd"))]
mod avx512;
mod scalar;

#[cfg(all(target_arch = "x86_64", feature = "simd"))]
pub use avx2::{Avx2, Vnni256};
#[cfg(all(target_arch = "x86_64", feature = "simd"))]
pub use avx512::Avx512;
pub use scalar::Scalar;

pub use crate::base::wide::fetch;

use super::Isa;

/// Most lanes of any instruction set.
pub const MOST_LANES: usize = 16;

/// An instruction set's vectors.
///
/// # Safety
/// Every operation may be called only on a CPU that has the instruction set and, to be compiled to the instructions
/// that it stands for, inside of [`Simd::within`]. Pointers need not be aligned.
#[allow(clippy::missing_safety_doc)] // one section for all operations
pub trait Simd: Copy + Send + Sync + 'static {
    /// Lanes of a register.
    const LANES: usize;
    /// Rows of a tile of two vectors whose accumulators the registers hold.
    const ROWS: usize;
    /// Is [`Simd::fma`] an instruction?
    const FUSED: bool;
    /// The same for f32, whose products take no other registers.
    const FLOAT_ROWS: usize = Self::ROWS;
    /// i32 lanes, or bytes.
    type I: Copy;
    /// f32 lanes.
    type F: Copy;

    /// Runs `f`, compiled for this instruction set. `f` must be `#[inline(always)]`.
    unsafe fn within<T>(f: impl FnOnce() -> T) -> T;

    /// `x` in every lane.
    unsafe fn splat(x: i32) -> Self::I;
    /// `x` in every lane.
    unsafe fn splat_f(x: f32) -> Self::F;
    /// The four bytes at `p` in every lane.
    unsafe fn broadcast(p: *const u8) -> Self::I;
    /// `4 * LANES` bytes.
    unsafe fn load(p: *const u8) -> Self::I;
    /// `4 * LANES` bytes.
    unsafe fn store(p: *mut u8, v: Self::I);
    /// The same bits.
    fn float(v: Self::I) -> Self::F;
    /// The same bits.
    fn bits(v: Self::F) -> Self::I;

    /// Each lane's sum of four products of a u8 of `x` by an s8 of `w`, exactly, added to `acc`.
    unsafe fn dot4(acc: Self::I, x: Self::I, w: Self::I) -> Self::I;
    /// Lane by lane.
    unsafe fn add(a: Self::I, b: Self::I) -> Self::I;
    /// The larger of each pair of u8.
    unsafe fn max_u8(a: Self::I, b: Self::I) -> Self::I;
    /// The smaller of each pair of u8.
    unsafe fn min_u8(a: Self::I, b: Self::I) -> Self::I;
    /// Bit by bit.
    unsafe fn xor(a: Self::I, b: Self::I) -> Self::I;

    /// `a * b + c` with one rounding. [`Scalar`] calls a library function for it, as bits must agree.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a * b + c`, with one rounding where the instruction set has it: for float kernels, whose last bit is free.
    unsafe fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Lane by lane.
    unsafe fn add_f(a: Self::F, b: Self::F) -> Self::F;
    /// Lane by lane.
    unsafe fn sub_f(a: Self::F, b: Self::F) -> Self::F;
    /// Lane by lane.
    unsafe fn mul_f(a: Self::F, b: Self::F) -> Self::F;
    /// Lane by lane, as IEEE has it.
    unsafe fn div_f(a: Self::F, b: Self::F) -> Self::F;
    /// The larger; `x` where either is NaN.
    unsafe fn max_f(bound: Self::F, x: Self::F) -> Self::F;
    /// The smaller; `x` where either is NaN.
    unsafe fn min_f(bound: Self::F, x: Self::F) -> Self::F;
    /// The nearest f32.
    unsafe fn to_float(v: Self::I) -> Self::F;
    /// The nearest integer, half to even; below i32 the least of it. Numbers must not lie above i32.
    unsafe fn round(v: Self::F) -> Self::I;
    /// `x * 2^n`, for `n` where `2^n` is a normal number.
    unsafe fn scale_by_power(x: Self::F, n: Self::I) -> Self::F;

    /// `n <= LANES` bytes as numbers; the other lanes hold anything.
    unsafe fn widen_u8(p: *const u8, n: usize) -> Self::I;
    /// `n <= LANES` bytes as numbers; the other lanes hold anything.
    unsafe fn widen_i8(p: *const u8, n: usize) -> Self::I;
    /// The low bytes of the first `n <= LANES` lanes.
    unsafe fn narrow(p: *mut u8, v: Self::I, n: usize);
    /// The numbers of four registers as bytes, one after the other: `zero`, whose lanes are [`pair`]s, is added, and what
    /// is beyond u8 becomes its nearest.
    unsafe fn pack(v: [Self::I; 4], zero: Self::I) -> Self::I;
    /// The `N` equal parts of a register, each to a place of its own; `N` is 1, 2 or 4.
    unsafe fn store_parts<const N: usize>(to: [*mut u8; N], v: Self::I);
    /// The first `n <= LANES` lanes; the others hold anything.
    unsafe fn load_n(p: *const u8, n: usize) -> Self::I;
    /// The first `n <= LANES` lanes.
    unsafe fn store_n(p: *mut u8, v: Self::I, n: usize);

    /// Bytes of `a` and `b` in turns, within each 16 bytes: first the low halves, then the high halves.
    unsafe fn interleave8(a: Self::I, b: Self::I) -> [Self::I; 2];
    /// The same with pairs of bytes.
    unsafe fn interleave16(a: Self::I, b: Self::I) -> [Self::I; 2];
    /// Lanes as [`quads`] leaves them, in the order of the bytes that they stand for: register `i` has those of the bytes
    /// from `i * LANES` on.
    unsafe fn unquads(q: [Self::I; 4]) -> [Self::I; 4];

    /// Bytes of a register.
    const BYTES: usize = 4 * Self::LANES;
}

/// Byte `i` of `a`, `b`, `c` and `d` side by side in one lane, for all bytes: register `q` has in the lanes of its
/// 16-byte part `p` the bytes `16 p + 4 q ..`.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub unsafe fn quads<S: Simd>(a: S::I, b: S::I, c: S::I, d: S::I) -> [S::I; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let ([ab0, ab1], [cd0, cd1]) = (S::interleave8(a, b), S::interleave8(c, d));
        let ([q0, q1], [q2, q3]) = (S::interleave16(ab0, cd0), S::interleave16(ab1, cd1));
        [q0, q1, q2, q3]
    }
}

/// The byte that lane `lane` of register `q` of [`quads`] stands for.
pub const fn quad_byte(q: usize, lane: usize) -> usize {
    lane / 4 * 16 + 4 * q + lane % 4
}

/// `x` as both 16-bit halves of a lane.
pub const fn pair(x: i32) -> i32 {
    (x as u16 as u32 * 0x1_0001) as i32
}

/// Four bytes, each the low one of `x`.
pub const fn four(x: i32) -> i32 {
    i32::from_ne_bytes([x as u8; 4])
}

/// Asks for the line of the cache at `p`, to write it soon. Harmless wherever `p` points.
#[inline(always)]
pub fn fetch_to_write(p: *const u8) {
    #[cfg(all(target_arch = "x86_64", feature = "simd"))]
    // SAFETY: fetching never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(p.cast())
    };
    #[cfg(not(all(target_arch = "x86_64", feature = "simd")))]
    let _ = p;
}

/// `$body` with `$S` as the vectors of an instruction set.
macro_rules! with_simd {
    ($isa:expr, $S:ident => $body:expr) => {
        match $isa {
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            $crate::device::cpu::Isa::Avx512Vnni | $crate::device::cpu::Isa::Amx => {
                type $S = $crate::device::cpu::simd::Avx512;
                $body
            }
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            $crate::device::cpu::Isa::Avx2 => {
                type $S = $crate::device::cpu::simd::Avx2;
                $body
            }
            _ => {
                type $S = $crate::device::cpu::simd::Scalar;
                $body
            }
        }
    };
}
pub(crate) use with_simd;

/// Compiles `f` for an instruction set, so that its plain loops are vectorized with it. `f` must be
/// `#[inline(always)]`: a closure that stays a function of its own is compiled for the plain instruction set.
#[inline(always)]
pub fn with_isa<T>(isa: Isa, f: impl FnOnce() -> T) -> T {
    // SAFETY: `Cpu::new` made sure that the CPU has the instruction set.
    with_simd!(isa, S => unsafe { S::within(f) })
}

#[cfg(test)]
mod tests;
