// What a GPU does at most: the innermost products of our kernels with nothing else to do. The host defines one of WGMMA
// (with Sum and `wgmma`), MMA8, MMA16 and FFMA; ROUNDS; and OPERANDS(i), which are noise: a GPU that multiplies zeros takes
// less power, and a higher clock.

__device__ __forceinline__ u32 noise(u32 x) {
  x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu;
  return x ^ x >> 16;
}
// A pair of half floats between -1 and 1.
__device__ __forceinline__ u32 halves(u32 x) { return noise(x) & 0x83ff83ffu | 0x38003800u; }

#if defined(WGMMA)
// Two warpgroups, 64 rows each, by 256 columns over 128 bytes: both operands in shared memory.
extern "C" __global__ void __launch_bounds__(256, 1) peak(int* sink) {
  extern __shared__ u8 raw[];
  u8* memory = raw + (1024 - shared_address(raw) % 1024) % 1024;
  for (u32 i = threadIdx.x; i < (2 * 64 + 256) * 32; i += 256) ((u32*)memory)[i] = OPERANDS(i);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  const u64 w = swizzled_rows<128>(shared_address(memory) + warp_index() / 4 * 64 * 128);
  const u64 x = swizzled_rows<128>(shared_address(memory) + 2 * 64 * 128);
  Sum sum[128] = {};
  for (int i = 0; i < ROUNDS; i++) {
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; k++) wgmma(sum, w + 2 * k, x + 2 * k, 1);
    wgmma_commit();
    wgmma_wait<1>();
  }
  wgmma_wait<0>();
  for (int i = 0; i < 128; i++)
    if (sum[i] == (Sum)12345.678f) *sink = i;
}

#else
constexpr int CHAINS = 8;

#if defined(FFMA)
extern "C" __global__ void peak(int* sink) {
  float sum[CHAINS];
  const float a = 1.0f + threadIdx.x * 1e-6f, b = threadIdx.x * 1e-3f;
  for (int c = 0; c < CHAINS; c++) sum[c] = c;
  for (int i = 0; i < ROUNDS; i++)
#pragma unroll
    for (int c = 0; c < CHAINS; c++) sum[c] = __fmaf_rn(sum[c], a, b);
  for (int c = 0; c < CHAINS; c++)
    if (sum[c] == 12345.678f) *sink = c;
}

#else
#if defined(MMA16)
typedef float Sum;
__device__ __forceinline__ void multiply(Sum (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}
#else
typedef int Sum;
__device__ __forceinline__ void multiply(Sum (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
    : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
#pragma unroll
  for (int i = 0; i < 4; i++)
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
      : "+r"(d[i & 2]), "+r"(d[(i & 2) + 1]) : "r"(a[i]), "r"(i % 2 ? b1 : b0));
#endif
}
#endif

extern "C" __global__ void peak(int* sink) {
  Sum sum[CHAINS][4] = {};
  u32 a[4], b[2];
  for (int i = 0; i < 4; i++) a[i] = OPERANDS(threadIdx.x * 8 + i);
  for (int i = 0; i < 2; i++) b[i] = OPERANDS(threadIdx.x * 8 + 4 + i);
  for (int i = 0; i < ROUNDS; i++)
#pragma unroll
    for (int c = 0; c < CHAINS; c++) multiply(sum[c], a, b[0], b[1]);
  for (int c = 0; c < CHAINS; c++)
    for (int i = 0; i < 4; i++)
      if (sum[c][i] == (Sum)12345.678f) *sink = c;
}
#endif
#endif
