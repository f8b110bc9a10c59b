// Convolution by its definition, whatever is stored how: a thread computes one number of the output. The host defines
// how far channels, rows and columns lie apart, and AFTER(t, i, k), what becomes of the sum of element i of channel k.

extern "C" __global__ void computed(PARAMETERS) {
  begin();
  const u32 i = thread_number();
  if (i >= COUNT) return;
  TO_IMAGE
  const u32 k = channel(i), first = k / (OUTPUTS / GROUPS) * CHANNELS;
  const int top = (int)(row(i) * STRIDE_H) - PAD_H, left = (int)(column(i) * STRIDE_W) - PAD_W;
  N sum = 0;
  for (int r = 0; r < R; r++) {
    const int h = top + r * DILATION_H;
    if (h < 0 || h >= H) continue;
    for (int s = 0; s < S; s++) {
      const int v = left + s * DILATION_W;
      if (v < 0 || v >= W) continue;
      for (int c = 0; c < CHANNELS; c++)
        sum = fma(X0((first + c) * X_CHANNEL + h * X_ROW + v * X_COLUMN),
                  X1(k * W_OUTPUT + c * W_CHANNEL + r * W_ROW + s * W_COLUMN), sum);
    }
  }
  y0[y0_at(i)] = AFTER(sum, i, k);
}
