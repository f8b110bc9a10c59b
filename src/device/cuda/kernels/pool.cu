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
      for (int j = 0; j < N; j++) sum[j] = JOIN(sum[j], x.v[j]);
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
