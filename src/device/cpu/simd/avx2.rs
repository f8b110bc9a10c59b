//! Eight lanes: AVX2 with FMA, and the same with the VNNI instruction of AVX-512.

use super::Simd;
use std::arch::x86_64::*;

/// Eight lanes, with or without VNNI.
#[derive(Clone, Copy)]
pub struct Eight<const VNNI: bool>;

/// AVX2 and FMA.
pub type Avx2 = Eight<false>;

/// AVX-512 VNNI in registers of half its size: for images with few channels.
pub type Vnni256 = Eight<true>;

const N: usize = 8;

/// `n` elements of `SIZE` bytes from `p`, and zeros.
#[inline(always)]
unsafe fn partial<const BYTES: usize>(p: *const u8, bytes: usize) -> [u8; BYTES] {
    let mut part = [0u8; BYTES];
    // SAFETY: the caller's pointer is good for `bytes`, and callers pass at most `BYTES`.
    unsafe { std::ptr::copy_nonoverlapping(p, part.as_mut_ptr(), bytes) };
    part
}

// SAFETY of every operation: the trait's contract is what the intrinsics ask for.
#[allow(clippy::undocumented_unsafe_blocks)] // the line above
impl<const VNNI: bool> Simd for Eight<VNNI> {
    const LANES: usize = N;
    const ROWS: usize = 4;
    const FUSED: bool = true;
    const FLOAT_ROWS: usize = 6;
    type I = __m256i;
    type F = __m256;

    #[inline(always)]
    unsafe fn within<T>(f: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<T>(f: impl FnOnce() -> T) -> T {
            f()
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
        unsafe fn vnni<T>(f: impl FnOnce() -> T) -> T {
            f()
        }
        unsafe { if VNNI { vnni(f) } else { avx2(f) } }
    }
    #[inline(always)]
    unsafe fn splat(x: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn splat_f(x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn broadcast(p: *const u8) -> __m256i {
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load(p: *const u8) -> __m256i {
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut u8, v: __m256i) {
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }
    #[inline(always)]
    fn float(v: __m256i) -> __m256 {
        unsafe { std::mem::transmute(v) }
    }
    #[inline(always)]
    fn bits(v: __m256) -> __m256i {
        unsafe { std::mem::transmute(v) }
    }
    #[inline(always)]
    unsafe fn dot4(acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // even and odd bytes apart, as 16 bits: the instruction for u8 by s8 saturates sums of pairs
        unsafe {
            if VNNI {
                return _mm256_dpbusd_epi32(acc, x, w);
            }
            let (x0, x1) = (_mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(x));
            let (w0, w1) = (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)), _mm256_srai_epi16::<8>(w));
            let sums = _mm256_add_epi32(_mm256_madd_epi16(x0, w0), _mm256_madd_epi16(x1, w1));
            _mm256_add_epi32(acc, sums)
        }
    }
    #[inline(always)]
    unsafe fn add(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn max_u8(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_max_epu8(a, b) }
    }
    #[inline(always)]
    unsafe fn min_u8(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_min_epu8(a, b) }
    }
    #[inline(always)]
    unsafe fn xor(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_xor_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn add_f(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub_f(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_f(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div_f(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max_f(bound: __m256, x: __m256) -> __m256 {
        unsafe { _mm256_max_ps(bound, x) } // the second operand where one is NaN
    }
    #[inline(always)]
    unsafe fn min_f(bound: __m256, x: __m256) -> __m256 {
        unsafe { _mm256_min_ps(bound, x) }
    }
    #[inline(always)]
    unsafe fn to_float(v: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(v) }
    }
    #[inline(always)]
    unsafe fn round(v: __m256) -> __m256i {
        unsafe { _mm256_cvtps_epi32(v) } // rounds half to even unless a program asked otherwise, which Rust forbids
    }
    #[inline(always)]
    unsafe fn scale_by_power(x: __m256, n: __m256i) -> __m256 {
        unsafe {
            let power = _mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)));
            _mm256_mul_ps(x, Self::float(power))
        }
    }
    #[inline(always)]
    unsafe fn widen_u8(p: *const u8, n: usize) -> __m256i {
        unsafe {
            match n == N {
                true => _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())),
                false => _mm256_cvtepu8_epi32(_mm_loadl_epi64(partial::<16>(p, n).as_ptr().cast())),
            }
        }
    }
    #[inline(always)]
    unsafe fn widen_i8(p: *const u8, n: usize) -> __m256i {
        unsafe {
            match n == N {
                true => _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())),
                false => _mm256_cvtepi8_epi32(_mm_loadl_epi64(partial::<16>(p, n).as_ptr().cast())),
            }
        }
    }
    #[inline(always)]
    unsafe fn narrow(p: *mut u8, v: __m256i, n: usize) {
        unsafe {
            let low = _mm256_setr_epi8(
                0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, //
                0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
            );
            let bytes = _mm256_shuffle_epi8(v, low);
            let (a, b) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
            let all = _mm_unpacklo_epi32(a, b);
            if n == N {
                _mm_storel_epi64(p.cast(), all);
            } else {
                let mut part = [0u8; 16];
                _mm_storeu_si128(part.as_mut_ptr().cast(), all);
                std::ptr::copy_nonoverlapping(part.as_ptr(), p, n);
            }
        }
    }
    #[inline(always)]
    unsafe fn pack(v: [__m256i; 4], zero: __m256i) -> __m256i {
        unsafe {
            let a = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1]), zero);
            let b = _mm256_adds_epi16(_mm256_packs_epi32(v[2], v[3]), zero);
            let bytes = _mm256_packus_epi16(a, b);
            // each 16 bytes hold four bytes of each register
            _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
        }
    }
    #[inline(always)]
    unsafe fn store_parts<const P: usize>(to: [*mut u8; P], v: __m256i) {
        unsafe {
            let (low, high) = (_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
            match P {
                1 => Self::store(to[0], v),
                2 => {
                    _mm_storeu_si128(to[0].cast(), low);
                    _mm_storeu_si128(to[1].cast(), high);
                }
                _ => {
                    _mm_storel_epi64(to[0].cast(), low);
                    _mm_storel_epi64(to[1].cast(), _mm_unpackhi_epi64(low, low));
                    _mm_storel_epi64(to[2].cast(), high);
                    _mm_storel_epi64(to[3].cast(), _mm_unpackhi_epi64(high, high));
                }
            }
        }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const u8, n: usize) -> __m256i {
        unsafe {
            match n == N {
                true => Self::load(p),
                false => Self::load(partial::<32>(p, 4 * n).as_ptr()),
            }
        }
    }
    #[inline(always)]
    unsafe fn store_n(p: *mut u8, v: __m256i, n: usize) {
        unsafe {
            if n == N {
                return Self::store(p, v);
            }
            let mut part = [0u8; 32];
            Self::store(part.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(part.as_ptr(), p, 4 * n);
        }
    }
    #[inline(always)]
    unsafe fn interleave8(a: __m256i, b: __m256i) -> [__m256i; 2] {
        unsafe { [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)] }
    }
    #[inline(always)]
    unsafe fn interleave16(a: __m256i, b: __m256i) -> [__m256i; 2] {
        unsafe { [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)] }
    }
    #[inline(always)]
    unsafe fn unquads(q: [__m256i; 4]) -> [__m256i; 4] {
        unsafe {
            [
                _mm256_permute2x128_si256::<0x20>(q[0], q[1]),
                _mm256_permute2x128_si256::<0x20>(q[2], q[3]),
                _mm256_permute2x128_si256::<0x31>(q[0], q[1]),
                _mm256_permute2x128_si256::<0x31>(q[2], q[3]),
            ]
        }
    }
}
