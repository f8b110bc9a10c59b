// Conversions between element types that C++ has not, or defines otherwise.

// Toward zero, saturating; NaN to 0.
__device__ __forceinline__ long long whole(double x) { return x == x ? __double2ll_rz(x) : 0; }
__device__ __forceinline__ long long whole(float x) { return whole((double)x); }
__device__ __forceinline__ long long whole(long long x) { return x; }

__device__ __forceinline__ half to_half(float x) { return x; }
// Rounded once.
__device__ __forceinline__ half to_half(double x) {
  half h;
  asm("cvt.rn.f16.f64 %0, %1;" : "=h"(h.bits) : "d"(x));
  return h;
}

__device__ __forceinline__ float from_bfloat(u16 b) { return __uint_as_float((u32)b << 16); }

// Rounded to odd on the way, so that the second rounding is the only one.
__device__ __forceinline__ u16 to_bfloat(double x) {
  if (x != x) return 0x7fc0;
  const float cut = __double2float_rz(x);
  const u32 bits = __float_as_uint(cut) | ((double)cut != x);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// Integers wrap; what has no quotient is 0.
__device__ __forceinline__ long long quotient(long long a, long long b) {
  return b == 0 || (b == -1 && a == (long long)(1ull << 63)) ? 0 : a / b;
}
__device__ __forceinline__ long long remainder_of(long long a, long long b) {
  return b == 0 || b == -1 ? 0 : a % b;
}
// The remainder with the sign of the divisor.
__device__ __forceinline__ long long floor_remainder(long long a, long long b) {
  const long long r = remainder_of(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
