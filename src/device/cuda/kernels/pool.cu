// Maximum and mean over windows of channels-last images: a thread takes some channels of one pixel of the output.
// Means of 8-bit numbers are exact sums times a factor for each pixel, which is in `by`; means of floats are divided by
// the counts there.

template <int N> __device__ __forceinline__ void window(PARAMETERS, const float* by) {
  const u32 i = thread_number();
  if (i >= P * Q * (CHANNELS / N)) return;
  TO_IMAGE
  const u32 c = i % (CHANNELS / N) * N, pixel = i / (CHANNELS / N);
  const int row = (int)(pixel / Q * STRIDE_H) - PAD_H, column = (int)(pixel % Q * STRIDE_W) - PAD_W;
  SUM_T sum[N];
#pragma unroll
  for (int j = 0; j < N; j++) sum[j] = START;
  for (int r = 0; r < R; r++) {
    const int h = row + r * DILATION_H;
    if (h < 0 || h >= H) continue;
#pragma unroll 8
    for (int s = 0; s < S; s++) {
      const int w = column + s * DILATION_W;
      if (w < 0 || w >= W) continue;
      const auto x = load<N>(x0 + (u64)(h * W + w) * X_PITCH + c);
#pragma unroll
      for (int j = 0; j < N; j++) sum[j] = JOIN(sum[j], TERM(x.v[j]));
    }
  }
  Lanes<Y0_T, N> y;
#pragma unroll
  for (int j = 0; j < N; j++) y.v[j] = FINISH(sum[j], by[pixel]);
  put(y0 + (u64)pixel * Y_PITCH + c, y);
}

extern "C" __global__ void pool(PARAMETERS, const float* __restrict__ by) {
  begin();
  window<1>(x0, x0_stride, y0, y0_stride, by);
}

extern "C" __global__ void pool_wide(PARAMETERS, const float* __restrict__ by) {
  begin();
  window<LANES>(x0, x0_stride, y0, y0_stride, by);
}

#if SHARED
// The same where outputs are few: the 32 rows of a block share the members of a window, its 8 columns take neighbouring
// channels. For integers, whose sums have no order.
extern "C" __global__ void pool_shared(PARAMETERS, const float* __restrict__ by) {
  begin();
  TO_IMAGE
  constexpr u32 GROUPS = CHANNELS / LANES, COLUMNS = 8, ROWS = 32, BLOCKS = (GROUPS + COLUMNS - 1) / COLUMNS;
  __shared__ int found[ROWS / 4][COLUMNS][LANES];
  const u32 column = threadIdx.x % COLUMNS, first = threadIdx.x / COLUMNS, warp = threadIdx.x / 32;
  const u32 pixel = blockIdx.x / BLOCKS, group = blockIdx.x % BLOCKS * COLUMNS + column, c = group * LANES;
  const int row = (int)(pixel / Q * STRIDE_H) - PAD_H, left = (int)(pixel % Q * STRIDE_W) - PAD_W;
  int sum[LANES];
#pragma unroll
  for (int j = 0; j < LANES; j++) sum[j] = START;
#pragma unroll 2
  for (u32 k = first; k < R * S; k += ROWS) {
    const int h = row + (int)(k / S) * DILATION_H, w = left + (int)(k % S) * DILATION_W;
    if (h < 0 || h >= H || w < 0 || w >= W || group >= GROUPS) continue;
    const auto x = load<LANES>(x0 + (u64)(h * W + w) * X_PITCH + c);
#pragma unroll
    for (int j = 0; j < LANES; j++) sum[j] = JOIN(sum[j], TERM(x.v[j]));
  }
#pragma unroll
  for (int j = 0; j < LANES; j++) {
    sum[j] = JOIN(sum[j], __shfl_xor_sync(~0u, sum[j], 8));
    sum[j] = JOIN(sum[j], __shfl_xor_sync(~0u, sum[j], 16));
    if (threadIdx.x % 32 < COLUMNS) found[warp][column][j] = sum[j];
  }
  __syncthreads();
  // a thread finishes one channel
  const u32 channel = blockIdx.x % BLOCKS * COLUMNS * LANES + threadIdx.x;
  if (threadIdx.x >= COLUMNS * LANES || channel >= CHANNELS) return;
  int all = START;
#pragma unroll
  for (int i = 0; i < ROWS / 4; i++) all = JOIN(all, found[i][threadIdx.x / LANES][threadIdx.x % LANES]);
  y0[(u64)pixel * Y_PITCH + channel] = FINISH(all, by[pixel]);
}
#endif
