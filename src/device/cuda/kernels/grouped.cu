// Grouped convolution over channels-last images. The host defines sizes as for `direct`.

#ifdef RESIDUAL
#define RESIDUAL_PARAMETERS const R_T *residual, u64 residual_stride,
#else
#define RESIDUAL_PARAMETERS
#endif
#define ALL_PARAMETERS                                                                                         \
  const X_T *x, u64 x_stride, RESIDUAL_PARAMETERS store_T *y, u64 y_stride, const W_T *__restrict__ w,         \
      const float *__restrict__ m, const float *__restrict__ b

// Stores N neighbouring channels from `k` of a pixel.
template <int N, bool ALIGNED>
__device__ __forceinline__ void finish_all(const SUM_T* sum, u32 pixel, u32 k, store_T* y, const float* m,
                                    const float* b AT_RESIDUAL(const R_T* residual)) {
  Lanes<store_T, N> out;
#pragma unroll
  for (int j = 0; j < N; j++)
    out.v[j] = finish(sum[j], m[k + j], b[k + j] AT_RESIDUAL(residual + pixel * R_PITCH + k + j));
  put<ALIGNED>(y + (u64)pixel * Y_PITCH + k, out);
}

#ifdef DEPTHWISE
// A channel sees itself alone. A thread takes LANES channels of PIXELS_EACH neighbouring pixels and holds the SPAN columns
// of a line that these see; what lies in the padding is a real 0. Weights are [row][column][channel].
template <bool ALIGNED> __device__ __forceinline__ void convolution(ALL_PARAMETERS) {
  const u32 i = thread_number(), blocks = (Q + PIXELS_EACH - 1) / PIXELS_EACH;
  if (i >= P * blocks * (OUTPUTS / LANES)) return;
  const u32 k = i % (OUTPUTS / LANES) * LANES, first = i / (OUTPUTS / LANES) % blocks * PIXELS_EACH;
  const u32 p = i / (OUTPUTS / LANES) / blocks;
  const int left = (int)(first * STRIDE_W) - PAD_W;
  x = (const X_T*)((const u8*)x + blockIdx.y * x_stride) + k;
  SUM_T sum[PIXELS_EACH][LANES] = {};
  for (int r = 0; r < R; r++) {
    const int h = (int)(p * STRIDE_H) + r * DILATION_H - PAD_H;
    if (h < 0 || h >= H) continue;
    Lanes<X_T, LANES> line[SPAN];
#pragma unroll
    for (int v = 0; v < SPAN; v++) {
#pragma unroll
      for (int j = 0; j < LANES; j++) line[v].v[j] = ZERO_POINT;
      if (left + v >= 0 && left + v < W) line[v] = load<LANES, ALIGNED>(x + (u64)(h * W + left + v) * X_PITCH);
    }
#pragma unroll
    for (int s = 0; s < S; s++) {
      const auto by = load<LANES>(w + (r * S + s) * OUTPUTS + k);
#pragma unroll
      for (int q = 0; q < PIXELS_EACH; q++) {
        const auto at = line[q * STRIDE_W + s * DILATION_W];
#pragma unroll
        for (int j = 0; j < LANES; j++) {
#ifdef INT8
          sum[q][j] += ((int)at.v[j] - ZERO_POINT) * (int)by.v[j];
#else
          sum[q][j] = __fmaf_rn(at.v[j], by.v[j], sum[q][j]);
#endif
        }
      }
    }
  }
  y = (store_T*)((u8*)y + blockIdx.y * y_stride);
#ifdef RESIDUAL
  residual = (const R_T*)((const u8*)residual + blockIdx.y * residual_stride);
#endif
#pragma unroll
  for (int q = 0; q < PIXELS_EACH; q++)
    if (first + q < Q) finish_all<LANES, ALIGNED>(sum[q], p * Q + first + q, k, y, m, b AT_RESIDUAL(residual));
}
#else
// A channel sees a multiple of 4. A thread takes one output channel of PIXELS_EACH neighbouring pixels; weights are
// [row][column][4 channels][output channel][channel of the 4].
__device__ __forceinline__ SUM_T dot(Lanes<X_T, 4> x, Lanes<W_T, 4> w, SUM_T sum) {
#ifdef INT8
  const u32 a = *(const u32*)&x, b = *(const u32*)&w;
  sum = dp4a<X_SIGNED>(a, b, sum);
#if ZERO_POINT != 0
  const u32 ones = 0x01010101;
  sum -= ZERO_POINT * dp4a<false>(ones, b, 0);
#endif
#else
#pragma unroll
  for (int j = 0; j < 4; j++) sum = __fmaf_rn(x.v[j], w.v[j], sum);
#endif
  return sum;
}

template <bool ALIGNED> __device__ __forceinline__ void convolution(ALL_PARAMETERS) {
  const u32 i = thread_number(), k = i % OUTPUTS, first = i / OUTPUTS * PIXELS_EACH;
  if (first >= PIXELS) return;
  x = (const X_T*)((const u8*)x + blockIdx.y * x_stride) + k / (OUTPUTS / GROUPS) * CHANNELS;
  SUM_T sum[PIXELS_EACH] = {};
  for (int r = 0; r < R; r++) {
    for (int s = 0; s < S; s++) {
      const X_T* at[PIXELS_EACH];
#pragma unroll
      for (int q = 0; q < PIXELS_EACH; q++) {
        const u32 pixel = first + q;
        const int h = (int)(pixel / Q * STRIDE_H) + r * DILATION_H - PAD_H;
        const int v = (int)(pixel % Q * STRIDE_W) + s * DILATION_W - PAD_W;
        const bool inside = pixel < PIXELS && h >= 0 && h < H && v >= 0 && v < W;
        at[q] = inside ? x + (u64)(h * W + v) * X_PITCH : 0;
      }
      for (int c = 0; c < CHANNELS / 4; c++) {
        const auto by = load<4>(w + 4 * (((r * S + s) * (CHANNELS / 4) + c) * OUTPUTS + k));
#pragma unroll
        for (int q = 0; q < PIXELS_EACH; q++)
          if (at[q]) sum[q] = dot(load<4, ALIGNED>(at[q] + 4 * c), by, sum[q]);
      }
    }
  }
  y = (store_T*)((u8*)y + blockIdx.y * y_stride);
#ifdef RESIDUAL
  residual = (const R_T*)((const u8*)residual + blockIdx.y * residual_stride);
#endif
#pragma unroll
  for (int q = 0; q < PIXELS_EACH; q++)
    if (first + q < PIXELS) finish_all<1, true>(&sum[q], first + q, k, y, m, b AT_RESIDUAL(residual));
}
#endif

#ifdef RESIDUAL
#define ALL x, x_stride, residual, residual_stride, y, y_stride, w, m, b
#else
#define ALL x, x_stride, y, y_stride, w, m, b
#endif
extern "C" __global__ void grouped(ALL_PARAMETERS) { begin(); convolution<true>(ALL); }
// Where images begin anywhere.
extern "C" __global__ void grouped_anywhere(ALL_PARAMETERS) { begin(); convolution<false>(ALL); }
