// From accumulators to what is stored (`Epilogue` in base/quant.rs), in f32, to the last bit the same everywhere:
//
//   t = fma(f32(acc + zero[c]), m[c], b[c])      zero[c] = - input zero point * sum of the channel's weights
//   t = fma(f32(r - residual zero point), residual_scale, t)
//   t = function(t) * unit
//   q = saturate(rint(min(max(t, lo), hi)) + zero point)
//
// Halves have no scales: m is 1, b the bias, the residual's scale 1, and t itself is rounded.
//
// The host defines, 0 or 1 each:
//   HALVES            are halves multiplied, and added up in f32? Otherwise 8-bit numbers, exactly
//   INPUT_ZERO        is there a zero[c]?
//   RESIDUAL          is there a residual?       RESIDUAL_SIGNED   is it s8?
//   FUNCTION          is there a function? Its text, `__device__ float function(float)`, stands before this one.
//   CLAMP_LO, CLAMP_HI  off where saturation implies the bound
//   OUTPUT_SIGNED     s8, otherwise u8           OUTPUT_ZERO       is the output's zero point other than 0?
//   OUTPUT_DIRECT     t itself is stored, as a Y_T of another size than the input has

#if HALVES
typedef float Sum;
typedef uint2 Residual;   // two channels of a pixel, then of the next
__device__ __forceinline__ u32 bits_of(Sum s) { return __float_as_uint(s); }
__device__ __forceinline__ Sum sum_of(u32 bits) { return __uint_as_float(bits); }
#else
typedef int Sum;
typedef u32 Residual;
__device__ __forceinline__ u32 bits_of(Sum s) { return s; }
__device__ __forceinline__ Sum sum_of(u32 bits) { return bits; }
#endif
constexpr int ELEMENT = HALVES ? 2 : 1;  // bytes of a number of the input

struct Epilogue {
  float residual_scale;
  float residual_offset;  // what to take from `biased_float` of a residual: 2^23, + 128 where it is s8, + its zero point
  float unit, lo, hi;
  float zero_point;       // of the output
};

// The constants of the output channels, padded with zeros to whole tiles.
struct Channels {
  const float *m, *b;
  const int* zero;
};

// Those of a pair of channels.
struct Pair {
  float2 m, b;
#if INPUT_ZERO
  int2 zero;
#endif
};

// Of channel c and the one APART from it.
template <int APART = 1> __device__ __forceinline__ Pair channel_pair(const Channels& all, int c) {
  Pair p;
  if constexpr (APART == 1) {
    p.m = *(const float2*)(all.m + c);
    p.b = *(const float2*)(all.b + c);
  } else {
    p.m = {all.m[c], all.m[c + APART]};
    p.b = {all.b[c], all.b[c + APART]};
  }
#if INPUT_ZERO
  p.zero = *(const int2*)(all.zero + c);
#endif
  return p;
}

__device__ __forceinline__ float first_of(const Pair& p, Sum acc) {
#if INPUT_ZERO
  acc += p.zero.x;
#endif
  return __fmaf_rn((float)acc, p.m.x, p.b.x);
}
__device__ __forceinline__ float second_of(const Pair& p, Sum acc) {
#if INPUT_ZERO
  acc += p.zero.y;
#endif
  return __fmaf_rn((float)acc, p.m.y, p.b.y);
}

#if HALVES
__device__ __forceinline__ float low_half(u32 two) {
  half h;
  h.bits = (u16)two;
  return h;
}
__device__ __forceinline__ float high_half(u32 two) { return low_half(two >> 16); }
// Both rounded, the first in the lower bits.
__device__ __forceinline__ u32 two_halves(float low, float high) {
  u32 two;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(two) : "f"(high), "f"(low));
  return two;
}
template <int I> __device__ __forceinline__ float with_residual(float t, Residual residual, const Epilogue& e) {
  const u32 two = I < 2 ? residual.x : residual.y;
  return __fmaf_rn(I % 2 ? high_half(two) : low_half(two), e.residual_scale, t);
}
#else
// 2^23 + byte I of four (+ 128 where they are signed), exactly: the byte becomes the lowest of a float's mantissa.
template <int I> __device__ __forceinline__ float biased_float(u32 bytes) {
#if RESIDUAL_SIGNED
  bytes ^= 0x80808080u;
#endif
  return __uint_as_float(permute(bytes, 0x4B000000u, 0x7650u + I));
}
template <int I> __device__ __forceinline__ float with_residual(float t, u32 residual, const Epilogue& e) {
  return __fmaf_rn(biased_float<I>(residual) - e.residual_offset, e.residual_scale, t);
}
#endif

// The number in units of the output, before it is rounded.
__device__ __forceinline__ float activated(float t, const Epilogue& e) {
#if FUNCTION
  t = __fmul_rn(function(t), e.unit);
#endif
#if CLAMP_LO
  t = fmaxf(t, e.lo);
#endif
#if CLAMP_HI
  t = fminf(t, e.hi);
#endif
  return t;
}

// saturate(rint(t) + zero point) of four numbers, the first in the lowest byte.
__device__ __forceinline__ u32 rounded(float t0, float t1, float t2, float t3, const Epilogue& e) {
#if OUTPUT_ZERO
  // Adding 1.5 * 2^23 rounds to an integer, half to even, and the zero point is added exactly. Numbers too large for that
  // are saturated below in any case.
  const float round = 12582912.0f, back = round - e.zero_point;
  t0 = __fadd_rn(t0, round) - back;
  t1 = __fadd_rn(t1, round) - back;
  t2 = __fadd_rn(t2, round) - back;
  t3 = __fadd_rn(t3, round) - back;
#endif
  const int i0 = __float2int_rn(t0), i1 = __float2int_rn(t1), i2 = __float2int_rn(t2), i3 = __float2int_rn(t3);
  u32 high, all;
#if OUTPUT_SIGNED
  asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, 0;" : "=r"(high) : "r"(i3), "r"(i2));
  asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %3;" : "=r"(all) : "r"(i1), "r"(i0), "r"(high));
#else
  asm("cvt.pack.sat.u8.s32.b32 %0, %1, %2, 0;" : "=r"(high) : "r"(i3), "r"(i2));
  asm("cvt.pack.sat.u8.s32.b32 %0, %1, %2, %3;" : "=r"(all) : "r"(i1), "r"(i0), "r"(high));
#endif
  return all;
}

// What a wgmma leaves in four registers of a thread, two pixels of two channels, as numbers of the output: pixel 0 of both
// channels, then pixel 1. The residual has its numbers in that order.
struct Quad { float t[4]; };
__device__ __forceinline__ Quad finished(const Sum* acc, const Pair& c, Residual residual, const Epilogue& e) {
  Quad q = {{first_of(c, acc[0]), second_of(c, acc[2]), first_of(c, acc[1]), second_of(c, acc[3])}};
#if RESIDUAL
  q.t[0] = with_residual<0>(q.t[0], residual, e);
  q.t[1] = with_residual<1>(q.t[1], residual, e);
  q.t[2] = with_residual<2>(q.t[2], residual, e);
  q.t[3] = with_residual<3>(q.t[3], residual, e);
#endif
#pragma unroll
  for (int i = 0; i < 4; i++) q.t[i] = activated(q.t[i], e);
  return q;
}
#if !HALVES
__device__ __forceinline__ u32 finished_bytes(const Sum* acc, const Pair& c, u32 residual, const Epilogue& e) {
  const Quad q = finished(acc, c, residual, e);
  return rounded(q.t[0], q.t[1], q.t[2], q.t[3], e);
}
#endif

// What a register of a matrix of 8x8 16-bit elements holds, as `stmatrix` takes them: all four numbers of the quad as bytes,
// or two pixels of channel `part` of the pair as halves. `acc` begins with their sums.
__device__ __forceinline__ u32 finished_matrix(const Sum* acc, int part, const Pair& c, u32 residual, const Epilogue& e) {
#if HALVES
  const float m = part ? c.m.y : c.m.x, b = part ? c.b.y : c.b.x;
  float low = __fmaf_rn(acc[0], m, b), high = __fmaf_rn(acc[1], m, b);
#if RESIDUAL
  low = __fmaf_rn(low_half(residual), e.residual_scale, low);
  high = __fmaf_rn(high_half(residual), e.residual_scale, high);
#endif
  return two_halves(activated(low, e), activated(high, e));
#else
  return finished_bytes(acc, c, residual, e);
#endif
}
