// Rows that are normalized: WIDTH threads share a row of MEMBERS elements. The host defines where rows begin, `x0_row`
// and `y0_row`, where their members are from there, X0(k),
// the number of member k, and `y0_member`; N, in which numbers are computed.

extern "C" __global__ void rows(PARAMETERS) {
  begin();
  const u32 row = thread_number() / WIDTH, first = threadIdx.x % WIDTH;
  if (row >= ROWS) return;
  TO_IMAGE
  x0 += x0_row(row);
  y0 += y0_row(row);
  const auto sum = [](N a, N b) { return a + b; };
#ifdef SOFTMAX
  N most = LOWEST;
  for (u32 k = first; k < MEMBERS; k += WIDTH) most = fmax(most, X0(k));
  most = fold(most, [](N a, N b) { return fmax(a, b); });
  N all = 0;
  for (u32 k = first; k < MEMBERS; k += WIDTH) all += exp(X0(k) - most);
  all = fold(all, sum);
#ifdef LOGARITHM
  all = log(all);
#endif
  for (u32 k = first; k < MEMBERS; k += WIDTH) {
    const N x = X0(k) - most;
#ifdef LOGARITHM
    y0[y0_member(k)] = STORED(x - all);
#else
    y0[y0_member(k)] = STORED(exp(x) / all);
#endif
  }
#else
  N mean = 0;
  for (u32 k = first; k < MEMBERS; k += WIDTH) mean += X0(k);
  mean = fold(mean, sum) / MEMBERS;
  N variance = 0;
  for (u32 k = first; k < MEMBERS; k += WIDTH) {
    const N x = X0(k) - mean;
    variance = fma(x, x, variance);
  }
  variance = fold(variance, sum) / MEMBERS;
  const N factor = 1 / sqrt(variance + EPSILON);
  for (u32 k = first; k < MEMBERS; k += WIDTH)
    y0[y0_member(k)] = STORED((X0(k) - mean) * factor * SCALE(row, k) + BIAS(row, k));
#endif
}
