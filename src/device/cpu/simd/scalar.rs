//! Eight lanes of plain Rust: what every CPU can run, and what the other instruction sets are compared with.

use super::Simd;
use std::array::from_fn;

/// Whatever the compiler makes of plain Rust.
#[derive(Clone, Copy)]
pub struct Scalar;

const N: usize = 8;

fn bytes(v: [i32; N]) -> [u8; 4 * N] {
    bytemuck::cast(v)
}

/// Elements of `a` and `b` in turns, within each 16 bytes.
#[inline(always)]
fn interleave<const M: usize, T: Copy>(a: [T; M], b: [T; M]) -> [[T; M]; 2] {
    let part = M / 2; // two parts of 16 bytes
    let at = |half: usize| {
        from_fn(|i| {
            let from = i / part * part + half * part / 2 + i % part / 2;
            if i % 2 == 0 { a[from] } else { b[from] }
        })
    };
    [at(0), at(1)]
}

// SAFETY of every operation: plain arithmetic; pointers are good for what the trait says that they are read for.
#[allow(clippy::undocumented_unsafe_blocks)] // the line above
impl Simd for Scalar {
    const LANES: usize = N;
    const ROWS: usize = 4;
    const FUSED: bool = false;
    type I = [i32; N];
    type F = [f32; N];

    #[inline(always)]
    unsafe fn within<T>(f: impl FnOnce() -> T) -> T {
        f()
    }
    #[inline(always)]
    unsafe fn splat(x: i32) -> Self::I {
        [x; N]
    }
    #[inline(always)]
    unsafe fn splat_f(x: f32) -> Self::F {
        [x; N]
    }
    #[inline(always)]
    unsafe fn broadcast(p: *const u8) -> Self::I {
        [unsafe { p.cast::<i32>().read_unaligned() }; N]
    }
    #[inline(always)]
    unsafe fn load(p: *const u8) -> Self::I {
        unsafe { p.cast::<Self::I>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut u8, v: Self::I) {
        unsafe { p.cast::<Self::I>().write_unaligned(v) }
    }
    #[inline(always)]
    fn float(v: Self::I) -> Self::F {
        bytemuck::cast(v)
    }
    #[inline(always)]
    fn bits(v: Self::F) -> Self::I {
        bytemuck::cast(v)
    }
    #[inline(always)]
    unsafe fn dot4(acc: Self::I, x: Self::I, w: Self::I) -> Self::I {
        from_fn(|l| {
            let (x, w) = (x[l].to_ne_bytes(), w[l].to_ne_bytes());
            (0..4).fold(acc[l], |acc, i| acc.wrapping_add(i32::from(x[i]) * i32::from(w[i] as i8)))
        })
    }
    #[inline(always)]
    unsafe fn add(a: Self::I, b: Self::I) -> Self::I {
        from_fn(|l| a[l].wrapping_add(b[l]))
    }
    #[inline(always)]
    unsafe fn max_u8(a: Self::I, b: Self::I) -> Self::I {
        let (a, b) = (bytes(a), bytes(b));
        bytemuck::cast::<[u8; 4 * N], _>(from_fn(|i| a[i].max(b[i])))
    }
    #[inline(always)]
    unsafe fn min_u8(a: Self::I, b: Self::I) -> Self::I {
        let (a, b) = (bytes(a), bytes(b));
        bytemuck::cast::<[u8; 4 * N], _>(from_fn(|i| a[i].min(b[i])))
    }
    #[inline(always)]
    unsafe fn xor(a: Self::I, b: Self::I) -> Self::I {
        from_fn(|l| a[l] ^ b[l])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|l| a[l].mul_add(b[l], c[l]))
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|l| a[l] * b[l] + c[l])
    }
    #[inline(always)]
    unsafe fn add_f(a: Self::F, b: Self::F) -> Self::F {
        from_fn(|l| a[l] + b[l])
    }
    #[inline(always)]
    unsafe fn sub_f(a: Self::F, b: Self::F) -> Self::F {
        from_fn(|l| a[l] - b[l])
    }
    #[inline(always)]
    unsafe fn mul_f(a: Self::F, b: Self::F) -> Self::F {
        from_fn(|l| a[l] * b[l])
    }
    #[inline(always)]
    unsafe fn div_f(a: Self::F, b: Self::F) -> Self::F {
        from_fn(|l| a[l] / b[l])
    }
    #[inline(always)]
    unsafe fn max_f(bound: Self::F, x: Self::F) -> Self::F {
        from_fn(|l| if bound[l] > x[l] { bound[l] } else { x[l] })
    }
    #[inline(always)]
    unsafe fn min_f(bound: Self::F, x: Self::F) -> Self::F {
        from_fn(|l| if bound[l] < x[l] { bound[l] } else { x[l] })
    }
    #[inline(always)]
    unsafe fn to_float(v: Self::I) -> Self::F {
        v.map(|x| x as f32)
    }
    #[inline(always)]
    unsafe fn round(v: Self::F) -> Self::I {
        v.map(|x| x.round_ties_even() as i32)
    }
    #[inline(always)]
    unsafe fn scale_by_power(x: Self::F, n: Self::I) -> Self::F {
        from_fn(|l| x[l] * f32::from_bits(((n[l] + 127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn widen_u8(p: *const u8, n: usize) -> Self::I {
        from_fn(|l| if l < n { i32::from(unsafe { *p.add(l) }) } else { 0 })
    }
    #[inline(always)]
    unsafe fn widen_i8(p: *const u8, n: usize) -> Self::I {
        from_fn(|l| if l < n { i32::from(unsafe { *p.add(l) } as i8) } else { 0 })
    }
    #[inline(always)]
    unsafe fn narrow(p: *mut u8, v: Self::I, n: usize) {
        for (l, v) in v.iter().enumerate().take(n) {
            unsafe { *p.add(l) = *v as u8 };
        }
    }
    #[inline(always)]
    unsafe fn pack(v: [Self::I; 4], zero: Self::I) -> Self::I {
        let zero = i32::from(zero[0] as i16);
        let bytes: [u8; 4 * N] = from_fn(|i| v[i / N][i % N].saturating_add(zero).clamp(0, 255) as u8);
        bytemuck::cast(bytes)
    }
    #[inline(always)]
    unsafe fn store_parts<const P: usize>(to: [*mut u8; P], v: Self::I) {
        for (to, part) in to.iter().zip(bytes(v).chunks(4 * N / P)) {
            unsafe { to.copy_from_nonoverlapping(part.as_ptr(), part.len()) };
        }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const u8, n: usize) -> Self::I {
        let p = p.cast::<i32>();
        from_fn(|l| if l < n { unsafe { p.add(l).read_unaligned() } } else { 0 })
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut u8, v: Self::I, n: usize) {
        for (l, v) in v.iter().enumerate().take(n) {
            unsafe { p.cast::<i32>().add(l).write_unaligned(*v) };
        }
    }
    #[inline(always)]
    unsafe fn interleave8(a: Self::I, b: Self::I) -> [Self::I; 2] {
        interleave(bytes(a), bytes(b)).map(bytemuck::cast)
    }
    #[inline(always)]
    unsafe fn interleave16(a: Self::I, b: Self::I) -> [Self::I; 2] {
        let halves = |v: Self::I| -> [u16; 2 * N] { bytemuck::cast(v) };
        interleave(halves(a), halves(b)).map(bytemuck::cast)
    }
    #[inline(always)]
    unsafe fn unquads(q: [Self::I; 4]) -> [Self::I; 4] {
        let mut out = [[0; N]; 4];
        for (i, v) in q.iter().enumerate() {
            for (lane, &x) in v.iter().enumerate() {
                let byte = super::quad_byte(i, lane);
                out[byte / N][byte % N] = x;
            }
        }
        out
    }
}
