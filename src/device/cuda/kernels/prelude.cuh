// Names that every kernel uses. No header is included anywhere.
typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// A 16-bit float: computed with as f32, rounded to the nearest when it is written, infinite beyond 65,504.
struct half {
  u16 bits;
  half() = default;
  __device__ __forceinline__ half(float f) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(f)); }
  __device__ __forceinline__ operator float() const {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(bits));
    return f;
  }
};

// A kernel is started while the one before it still runs (architectures before 9.0 wait for its end).
// From here on everything that the grid before wrote is there. Nothing but constants may be read before.
__device__ __forceinline__ void wait_for_previous_grid() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The next grid may be started where there is room; it waits in turn.
__device__ __forceinline__ void allow_next_grid() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
// Every kernel begins so, or does the same where it sees fit.
__device__ __forceinline__ void begin() {
  wait_for_previous_grid();
  allow_next_grid();
}

// The number of this thread among all threads of the grid, whose blocks lie along x.
__device__ __forceinline__ u32 thread_number() { return blockIdx.x * blockDim.x + threadIdx.x; }

// Where something lies in shared memory, as instructions for that want it.
__device__ __forceinline__ u32 shared_address(const void* p) {
  u32 a;
  asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(a) : "l"(p));
  return a;
}

// sat(rint(t) + zero_point) for a type that holds [least, most]; NaN becomes the zero point.
__device__ __forceinline__ int saturate(float t, int least, int most, int zero_point) {
  const int q = __float2int_rn(t); // to the nearest, half to even, saturating; NaN to 0
  return min(max(q, least - zero_point), most - zero_point) + zero_point;
}

// 2^n for an integer n where it is a normal number.
__device__ __forceinline__ float power_of_two(float n) {
  const int e = min(max((int)n, -126), 127);
  return __uint_as_float((u32)(e + 127) << 23);
}

