// Convolution by plain loops: a thread computes one number of the output. Images are channels-last, weights
// [output channel][row][column][channel]. The host defines SUM_T and the sizes; see tactics/direct.rs.

extern "C" __global__ void direct(const X_T* x, u64 x_stride,
#ifdef RESIDUAL
                                  const R_T* residual, u64 residual_stride,
#endif
                                  store_T* y, u64 y_stride, const W_T* __restrict__ w, const float* __restrict__ m,
                                  const float* __restrict__ b) {
  begin();
  const u32 i = thread_number();
  if (i >= PIXELS * OUTPUTS) return;
  const u32 k = i % OUTPUTS, pixel = i / OUTPUTS;
  const int row = (int)(pixel / Q * STRIDE_H) - PAD_H, column = (int)(pixel % Q * STRIDE_W) - PAD_W;
  x = (const X_T*)((const u8*)x + blockIdx.y * x_stride) + k / (OUTPUTS / GROUPS) * CHANNELS;
  w += (u64)k * (R * S * CHANNELS);
  SUM_T sum = 0;
  for (int r = 0; r < R; r++) {
    const int h = row + r * DILATION_H;
    if (h < 0 || h >= H) continue;
    for (int s = 0; s < S; s++) {
      const int v = column + s * DILATION_W;
      if (v < 0 || v >= W) continue;
      const X_T* at = x + (u64)(h * W + v) * X_PITCH;
      const W_T* by = w + (r * S + s) * CHANNELS;
      for (int c = 0; c < CHANNELS; c++) {
#ifdef INT8
        sum += ((int)at[c] - ZERO_POINT) * (int)by[c];
#else
        sum = __fmaf_rn(at[c], by[c], sum);
#endif
      }
    }
  }
#ifdef RESIDUAL
  residual = (const R_T*)((const u8*)residual + blockIdx.y * residual_stride) + pixel * R_PITCH + k;
#endif
  y = (store_T*)((u8*)y + blockIdx.y * y_stride);
  y[pixel * Y_PITCH + k] = finish(sum, m[k], b[k] AT_RESIDUAL(residual));
}
