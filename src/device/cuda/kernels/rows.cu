// Rows that are normalized: WIDTH threads share a row of MEMBERS elements. The host defines where rows begin, `x0_row`
// and `y0_row`, and where their members are from there, `x0_member` and `y0_member`.

extern "C" __global__ void rows(PARAMETERS) {
  const u32 row = thread_number() / WIDTH, first = threadIdx.x % WIDTH;
  if (row >= ROWS) return;
  TO_IMAGE
  x0 += x0_row(row);
  y0 += y0_row(row);
  const auto sum = [](float a, float b) { return a + b; };
#ifdef SOFTMAX
  float most = __int_as_float(0xff800000);
  for (u32 k = first; k < MEMBERS; k += WIDTH) most = fmaxf(most, x0[x0_member(k)]);
  most = fold(most, [](float a, float b) { return fmaxf(a, b); });
  float all = 0;
  for (u32 k = first; k < MEMBERS; k += WIDTH) all += expf(x0[x0_member(k)] - most);
  all = fold(all, sum);
#ifdef LOGARITHM
  all = logf(all);
#endif
  for (u32 k = first; k < MEMBERS; k += WIDTH) {
    const float x = x0[x0_member(k)] - most;
#ifdef LOGARITHM
    y0[y0_member(k)] = x - all;
#else
    y0[y0_member(k)] = expf(x) / all;
#endif
  }
#else
  float mean = 0;
  for (u32 k = first; k < MEMBERS; k += WIDTH) mean += x0[x0_member(k)];
  mean = fold(mean, sum) / MEMBERS;
  float variance = 0;
  for (u32 k = first; k < MEMBERS; k += WIDTH) {
    const float x = x0[x0_member(k)] - mean;
    variance = __fmaf_rn(x, x, variance);
  }
  variance = fold(variance, sum) / MEMBERS;
  const float factor = 1 / sqrtf(variance + EPSILON);
  for (u32 k = first; k < MEMBERS; k += WIDTH)
    y0[y0_member(k)] = (x0[x0_member(k)] - mean) * factor * SCALE(row, k) + BIAS(row, k);
#endif
}
