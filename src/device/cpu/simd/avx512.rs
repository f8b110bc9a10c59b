//! AVX-512 with VNNI: sixteen lanes.

use super::Simd;
use std::arch::x86_64::*;

/// AVX-512 (F, BW, DQ, VL) and VNNI.
#[derive(Clone, Copy)]
pub struct Avx512;

const N: usize = 16;

/// A mask of the first `n` lanes.
#[inline(always)]
fn first(n: usize) -> u16 {
    ((1u32 << n) - 1) as u16
}

// SAFETY of every operation: the trait's contract is what the intrinsics ask for.
#[allow(clippy::undocumented_unsafe_blocks)] // the line above
impl Simd for Avx512 {
    const LANES: usize = N;
    const ROWS: usize = 12;
    const FUSED: bool = true;
    type I = __m512i;
    type F = __m512;

    #[inline(always)]
    unsafe fn within<T>(f: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
        unsafe fn inner<T>(f: impl FnOnce() -> T) -> T {
            f()
        }
        unsafe { inner(f) }
    }
    #[inline(always)]
    unsafe fn splat(x: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn splat_f(x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn broadcast(p: *const u8) -> __m512i {
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load(p: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut u8, v: __m512i) {
        unsafe { _mm512_storeu_si512(p.cast(), v) }
    }
    #[inline(always)]
    fn float(v: __m512i) -> __m512 {
        unsafe { std::mem::transmute(v) }
    }
    #[inline(always)]
    fn bits(v: __m512) -> __m512i {
        unsafe { std::mem::transmute(v) }
    }
    #[inline(always)]
    unsafe fn dot4(acc: __m512i, x: __m512i, w: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(acc, x, w) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn max_u8(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_max_epu8(a, b) }
    }
    #[inline(always)]
    unsafe fn min_u8(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_min_epu8(a, b) }
    }
    #[inline(always)]
    unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn add_f(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub_f(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_f(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div_f(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max_f(bound: __m512, x: __m512) -> __m512 {
        unsafe { _mm512_max_ps(bound, x) } // the second operand where one is NaN
    }
    #[inline(always)]
    unsafe fn min_f(bound: __m512, x: __m512) -> __m512 {
        unsafe { _mm512_min_ps(bound, x) }
    }
    #[inline(always)]
    unsafe fn to_float(v: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(v) }
    }
    #[inline(always)]
    unsafe fn round(v: __m512) -> __m512i {
        unsafe { _mm512_cvtps_epi32(v) } // rounds half to even unless a program asked otherwise, which Rust forbids
    }
    #[inline(always)]
    unsafe fn scale_by_power(x: __m512, n: __m512i) -> __m512 {
        unsafe {
            let power = _mm512_slli_epi32::<23>(_mm512_add_epi32(n, _mm512_set1_epi32(127)));
            _mm512_mul_ps(x, Self::float(power))
        }
    }
    #[inline(always)]
    unsafe fn widen_u8(p: *const u8, n: usize) -> __m512i {
        unsafe {
            match n == N {
                true => _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())),
                false => _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(n), p.cast())),
            }
        }
    }
    #[inline(always)]
    unsafe fn widen_i8(p: *const u8, n: usize) -> __m512i {
        unsafe {
            match n == N {
                true => _mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())),
                false => _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p.cast())),
            }
        }
    }
    #[inline(always)]
    unsafe fn narrow(p: *mut u8, v: __m512i, n: usize) {
        unsafe {
            let low = _mm512_cvtepi32_epi8(v);
            match n == N {
                true => _mm_storeu_si128(p.cast(), low),
                false => _mm_mask_storeu_epi8(p.cast(), first(n), low),
            }
        }
    }
    #[inline(always)]
    unsafe fn pack(v: [__m512i; 4], zero: __m512i) -> __m512i {
        unsafe {
            let a = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), zero);
            let b = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), zero);
            let bytes = _mm512_packus_epi16(a, b);
            // each 16 bytes hold four bytes of each register
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_epi32(order, bytes)
        }
    }
    #[inline(always)]
    unsafe fn store_parts<const P: usize>(to: [*mut u8; P], v: __m512i) {
        unsafe {
            match P {
                1 => Self::store(to[0], v),
                2 => {
                    _mm256_storeu_si256(to[0].cast(), _mm512_castsi512_si256(v));
                    _mm256_storeu_si256(to[1].cast(), _mm512_extracti64x4_epi64::<1>(v));
                }
                _ => {
                    _mm_storeu_si128(to[0].cast(), _mm512_castsi512_si128(v));
                    _mm_storeu_si128(to[1].cast(), _mm512_extracti32x4_epi32::<1>(v));
                    _mm_storeu_si128(to[2].cast(), _mm512_extracti32x4_epi32::<2>(v));
                    _mm_storeu_si128(to[3].cast(), _mm512_extracti32x4_epi32::<3>(v));
                }
            }
        }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const u8, n: usize) -> __m512i {
        unsafe { _mm512_maskz_loadu_epi32(first(n), p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut u8, v: __m512i, n: usize) {
        unsafe {
            match n == N {
                true => Self::store(p, v),
                false => _mm512_mask_storeu_epi32(p.cast(), first(n), v),
            }
        }
    }
    #[inline(always)]
    unsafe fn interleave8(a: __m512i, b: __m512i) -> [__m512i; 2] {
        unsafe { [_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)] }
    }
    #[inline(always)]
    unsafe fn interleave16(a: __m512i, b: __m512i) -> [__m512i; 2] {
        unsafe { [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)] }
    }
    #[inline(always)]
    unsafe fn unquads(q: [__m512i; 4]) -> [__m512i; 4] {
        // a transpose of four by four parts of 16 bytes
        unsafe {
            let low = |a, b| _mm512_shuffle_i32x4::<0b01_00_01_00>(a, b);
            let high = |a, b| _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b);
            let (a, b, c, d) = (low(q[0], q[1]), high(q[0], q[1]), low(q[2], q[3]), high(q[2], q[3]));
            [
                _mm512_shuffle_i32x4::<0b10_00_10_00>(a, c),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(a, c),
                _mm512_shuffle_i32x4::<0b10_00_10_00>(b, d),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(b, d),
            ]
        }
    }
}
