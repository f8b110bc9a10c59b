// Convolution as a product of matrices, the pixels' windows (rows of A) with the output channels' weights (rows of B), both
// along k = tap * X_PITCH + channel. A block computes TILE_M pixels by TILE_N channels in steps of STEP bytes of k, which
// are copied to shared memory STAGES ahead; no matrix of windows is ever written.
//
// The host defines the sizes (tactics/multiply.rs), TILE_M, TILE_N, STAGES, TAPS_BYTES (k in bytes, padded to STEP), PAD_WORD
// (what padding reads), HALVES, TF32 and one of MMA (products by tensor cores) and FFMA (f32, one product after the other).

#define STEP 64                 // bytes of k in a stage: four chunks of 16
#define THREADS 256
#define WARPS_M 2
#define WARPS_N 4
#define WARP_M (TILE_M / WARPS_M)
#define WARP_N (TILE_N / WARPS_N)
#define A_BYTES (TILE_M * STEP)
#define B_BYTES (TILE_N * STEP)
#define PIXEL_BYTES (X_PITCH * (int)sizeof(X_T))

// Where chunk `c` of row `row` lies in a stage. The exchange lets eight rows be read at once without conflicts.
__device__ __forceinline__ u32 chunk_place(u32 row, u32 c) { return row * STEP + ((c ^ (row >> 1 & 3)) << 4); }

// Copies COPY bytes (16, 8 or 4) to shared memory, without waiting where the GPU can: the first `there` of them, and zeros.
__device__ __forceinline__ void copy_chunk(u32 to, const void* from, int there) {
#if __CUDA_ARCH__ >= 800
#if COPY == 16
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there) : "memory");
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(COPY), "r"(there) : "memory");
#endif
#else
  if (there < COPY) {
    for (int i = 0; i < COPY; i += 2) {
      const u16 two = i < there ? *(const u16*)((const u8*)from + i) : 0;
      asm volatile("st.shared.u16 [%0], %1;" ::"r"(to + i), "h"(two) : "memory");
    }
    return;
  }
#if COPY == 16
  const uint4 v = *(const uint4*)from;
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
#elif COPY == 8
  const uint2 v = *(const uint2*)from;
  asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(to), "r"(v.x), "r"(v.y) : "memory");
#else
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(*(const u32*)from) : "memory");
#endif
#endif
}

__device__ __forceinline__ void copy_weights(u32 to, const void* from) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
#else
  const uint4 v = *(const uint4*)from;
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
#endif
}

__device__ __forceinline__ void store_words(u32 to, u32 word) {
#if COPY == 16
  asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(to), "r"(word) : "memory");
#elif COPY == 8
  asm volatile("st.shared.v2.u32 [%0], {%1, %1};" ::"r"(to), "r"(word) : "memory");
#else
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(word) : "memory");
#endif
}

__device__ __forceinline__ void copies_issued() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
#endif
  __syncthreads();
}

// Of COPY bytes of a pixel, those of its channels. What lies behind these may be no number, and 0 by that is none either; of
// 8 bits anything is a number, and its weights are 0.
__device__ __forceinline__ int there(int byte) {
  return HALVES ? min(max(CHANNELS * (int)sizeof(X_T) - byte, 0), COPY) : COPY;
}

// The pixels whose windows a thread copies.
#define ROWS (TILE_M * (STEP / 16) / THREADS)
struct Window {
  const u8* image;
  int row, column; // of the window's first tap; far outside for what is no pixel
};

__device__ __forceinline__ void copy_step(u32 stage, int step, const Window (&windows)[ROWS], const u8* w, u32 chunk, u32 first) {
#pragma unroll
  for (int i = 0; i < ROWS; i++) {
    const u32 place = stage + chunk_place(first + i * (THREADS / 4), chunk);
#pragma unroll
    for (int part = 0; part < 16 / COPY; part++) {
      const int at = step * STEP + (int)chunk * 16 + part * COPY; // byte along k
      const int tap = at / PIXEL_BYTES, byte = at % PIXEL_BYTES;
      const int h = windows[i].row + tap / S * DILATION_H, v = windows[i].column + tap % S * DILATION_W;
      if (h >= 0 && h < H && v >= 0 && v < W && tap < R * S)
        copy_chunk(place + part * COPY, windows[i].image + (u64)(h * W + v) * PIXEL_BYTES + byte, there(byte));
      else
        store_words(place + part * COPY, PAD_WORD);
    }
  }
#pragma unroll
  for (int i = 0; i < TILE_N * (STEP / 16) / THREADS; i++) {
    const u32 row = first + i * (THREADS / 4);
    copy_weights(stage + A_BYTES + chunk_place(row, chunk), w + (u64)row * TAPS_BYTES + step * STEP + chunk * 16);
  }
}

#ifdef MMA
__device__ __forceinline__ void load_rows(u32 (&d)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3]) : "r"(address));
}

// 16 by 8 sums over 32 bytes: of 8-bit numbers, or of 16 halves or 8 f32, whose fragments are the same bytes.
#define SUMS "{%0, %1, %2, %3}"
#define ALL_SUMS "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#if TF32
__device__ __forceinline__ u32 rounded(u32 bits) {
  u32 r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(__uint_as_float(bits)));
  return r;
}
__device__ __forceinline__ void multiply(SUM_T (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 " SUMS ", {%4, %5, %6, %7}, {%8, %9}, " SUMS ";"
               : ALL_SUMS : "r"(rounded(a[0])), "r"(rounded(a[1])), "r"(rounded(a[2])), "r"(rounded(a[3])),
                 "r"(rounded(b0)), "r"(rounded(b1)));
}
#elif HALVES
__device__ __forceinline__ void multiply(SUM_T (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 " SUMS ", {%4, %5, %6, %7}, {%8, %9}, " SUMS ";"
               : ALL_SUMS : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 " SUMS ", {%4, %5}, {%6}, " SUMS ";"
               : ALL_SUMS : "r"(a[0]), "r"(a[1]), "r"(b0));
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 " SUMS ", {%4, %5}, {%6}, " SUMS ";"
               : ALL_SUMS : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}
#elif __CUDA_ARCH__ >= 800
__device__ __forceinline__ void multiply(SUM_T (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." X_NAME ".s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#else
__device__ __forceinline__ void multiply_8x8(SUM_T& d0, SUM_T& d1, u32 a, u32 b) {
  asm volatile("mma.sync.aligned.m8n8k16.row.col.s32." X_NAME ".s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+r"(d0), "+r"(d1) : "r"(a), "r"(b));
}
// From four smaller products.
__device__ __forceinline__ void multiply(SUM_T (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  multiply_8x8(d[0], d[1], a[0], b0);
  multiply_8x8(d[0], d[1], a[2], b1);
  multiply_8x8(d[2], d[3], a[1], b0);
  multiply_8x8(d[2], d[3], a[3], b1);
}
#endif
#endif

extern "C" __global__ void __launch_bounds__(THREADS) igemm(const u8* x, u64 x_stride,
#ifdef RESIDUAL
                                                            const u8* residual, u64 residual_stride,
#endif
                                                            u8* y, u64 y_stride, const u8* __restrict__ w,
                                                            const float* __restrict__ m, const float* __restrict__ b,
                                                            const int* __restrict__ offsets, u32 images) {
  begin();
  extern __shared__ __align__(128) u8 memory[];
  const u32 stages = shared_address(memory);
  const u32 tiles_n = (OUTPUTS + TILE_N - 1) / TILE_N;
  const u32 n0 = blockIdx.x % tiles_n * TILE_N, m0 = blockIdx.x / tiles_n * TILE_M;
  const u32 pixels = images * PIXELS;
  const u32 chunk = threadIdx.x & 3, first = threadIdx.x >> 2;
  w += (u64)n0 * TAPS_BYTES;

  Window windows[ROWS];
#pragma unroll
  for (int i = 0; i < ROWS; i++) {
    const u32 pixel = m0 + first + i * (THREADS / 4);
    const u32 image = pixel / PIXELS, p = pixel % PIXELS;
    windows[i].image = x + image * x_stride;
    windows[i].row = pixel < pixels ? (int)(p / Q * STRIDE_H) - PAD_H : -(1 << 24);
    windows[i].column = (int)(p % Q * STRIDE_W) - PAD_W;
  }

  const int steps = TAPS_BYTES / STEP;
#pragma unroll
  for (int s = 0; s < STAGES - 1; s++) {
    if (s < steps) copy_step(stages + s * (A_BYTES + B_BYTES), s, windows, w, chunk, first);
    copies_issued();
  }

  const u32 lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#ifdef MMA
  const u32 warp_m = warp / WARPS_N * WARP_M, warp_n = warp % WARPS_N * WARP_N;
  SUM_T sums[WARP_M / 16][WARP_N / 8][4] = {};
#else
  // a thread has 8 rows 16 apart and TILE_N / 16 columns 16 apart
  const u32 thread_m = threadIdx.x / 16, thread_n = threadIdx.x % 16;
  float sums[TILE_M / 16][TILE_N / 16] = {};
#endif
  for (int step = 0; step < steps; step++) {
    wait_for_copies();
    if (step + STAGES - 1 < steps)
      copy_step(stages + (step + STAGES - 1) % STAGES * (A_BYTES + B_BYTES), step + STAGES - 1, windows, w, chunk, first);
    copies_issued();
    const u32 a = stages + step % STAGES * (A_BYTES + B_BYTES), bb = a + A_BYTES;
#ifdef MMA
#pragma unroll
    for (int half = 0; half < 2; half++) {
      u32 rows[WARP_M / 16][4], columns[WARP_N / 16][4];
#pragma unroll
      for (int i = 0; i < WARP_M / 16; i++)
        load_rows(rows[i], a + chunk_place(warp_m + i * 16 + (lane & 15), half * 2 + (lane >> 4)));
#pragma unroll
      for (int j = 0; j < WARP_N / 16; j++)
        load_rows(columns[j], bb + chunk_place(warp_n + j * 16 + (lane & 7) + (lane >> 4) * 8, half * 2 + (lane >> 3 & 1)));
#pragma unroll
      for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int j = 0; j < WARP_N / 8; j++) multiply(sums[i][j], rows[i], columns[j / 2][j % 2 * 2], columns[j / 2][j % 2 * 2 + 1]);
    }
#else
#pragma unroll
    for (int c = 0; c < 4; c++) {
      float4 rows[TILE_M / 16];
#pragma unroll
      for (int i = 0; i < TILE_M / 16; i++) rows[i] = *(const float4*)(memory + (a - stages) + chunk_place(thread_m + i * 16, c));
#pragma unroll
      for (int j = 0; j < TILE_N / 16; j++) {
        const float4 column = *(const float4*)(memory + (bb - stages) + chunk_place(thread_n + j * 16, c));
#pragma unroll
        for (int i = 0; i < TILE_M / 16; i++) {
          float s = sums[i][j];
          s = __fmaf_rn(rows[i].x, column.x, s);
          s = __fmaf_rn(rows[i].y, column.y, s);
          s = __fmaf_rn(rows[i].z, column.z, s);
          sums[i][j] = __fmaf_rn(rows[i].w, column.w, s);
        }
      }
    }
#endif
  }

#ifdef MMA
  const u32 row0 = warp_m + (lane >> 2), column0 = warp_n + (lane & 3) * 2;
#define SUMS_I (WARP_M / 8)
#define SUMS_J (WARP_N / 4)
#define SUM(i, j) sums[(i) / 2][(j) / 2][(i) % 2 * 2 + (j) % 2]
#define SUM_ROW(i) (row0 + (i) * 8)
#define SUM_COLUMN(j) (column0 + (j) / 2 * 8 + (j) % 2)
#else
#define SUMS_I (TILE_M / 16)
#define SUMS_J (TILE_N / 16)
#define SUM(i, j) sums[i][j]
#define SUM_ROW(i) (thread_m + (i) * 16)
#define SUM_COLUMN(j) (thread_n + (j) * 16)
#endif
#ifdef STAGED
  // residual and output pass through shared memory, to be read and written in lines
  asm volatile("" ::: "memory");
  __syncthreads();
#define OUT_ROW (TILE_N * (int)sizeof(store_T) + 16) // bytes; the 16 keep rows from the same banks
#ifdef RESIDUAL
#define RESIDUAL_ROW (TILE_N * (int)sizeof(R_T) + 16)
  u8* const residuals = memory + TILE_M * OUT_ROW;
  for (u32 i = threadIdx.x; i < TILE_M * (TILE_N * sizeof(R_T) / 16); i += THREADS) {
    const u32 row = i / (TILE_N * sizeof(R_T) / 16), at = i % (TILE_N * sizeof(R_T) / 16) * 16;
    const u32 pixel = m0 + row;
    if (pixel < pixels && n0 * sizeof(R_T) + at < R_PITCH * sizeof(R_T))
      *(uint4*)(residuals + row * RESIDUAL_ROW + at) = *(const uint4*)(residual + pixel / PIXELS * residual_stride +
          (u64)(pixel % PIXELS) * (R_PITCH * sizeof(R_T)) + n0 * sizeof(R_T) + at);
  }
  __syncthreads();
#endif
#endif
#pragma unroll
  for (int j = 0; j < SUMS_J; j++) {
    const u32 k = n0 + SUM_COLUMN(j);
    if (k >= OUTPUTS) continue;
    const float mk = m[k], bk = b[k];
#ifdef INT8
    const int offset = offsets[k];
#else
    const float offset = 0.0f;
#endif
#pragma unroll
    for (int i = 0; i < SUMS_I; i++) {
      const u32 pixel = m0 + SUM_ROW(i);
#ifdef STAGED
      *(store_T*)(memory + SUM_ROW(i) * OUT_ROW + SUM_COLUMN(j) * sizeof(store_T)) = 
          finish(SUM(i, j) + offset, mk, bk AT_RESIDUAL((const R_T*)(residuals + SUM_ROW(i) * RESIDUAL_ROW + SUM_COLUMN(j) * sizeof(R_T))));
#else
      if (pixel >= pixels) continue;
      const u32 image = pixel / PIXELS, p = pixel % PIXELS;
      *(store_T*)(y + image * y_stride + ((u64)p * Y_PITCH + k) * sizeof(store_T)) = 
          finish(SUM(i, j) + offset, mk, bk AT_RESIDUAL((const R_T*)(residual + image * residual_stride + ((u64)p * R_PITCH + k) * sizeof(R_T))));
#endif
    }
  }
#ifdef STAGED
  __syncthreads();
  for (u32 i = threadIdx.x; i < TILE_M * (TILE_N * sizeof(store_T) / 16); i += THREADS) {
    const u32 row = i / (TILE_N * sizeof(store_T) / 16), at = i % (TILE_N * sizeof(store_T) / 16) * 16;
    const u32 pixel = m0 + row, byte = n0 * sizeof(store_T) + at;
    if (pixel < pixels && byte < OUTPUTS * sizeof(store_T))
      *(uint4*)(y + pixel / PIXELS * y_stride + (u64)(pixel % PIXELS) * (Y_PITCH * sizeof(store_T)) + byte) =
          *(const uint4*)(memory + row * OUT_ROW + at);
  }
#endif
}
