// Local response normalization: a thread takes one element and adds up the squares of the channels around it.

extern "C" __global__ void lrn(PARAMETERS) {
  begin();
  const u32 i = thread_number();
  if (i >= COUNT) return;
  TO_IMAGE
  const int c = channel(i), from = max(c - BEFORE, 0), end = min(c + AFTER, CHANNELS - 1);
  const X0_T* x = x0 + x0_at(i);
  N sum = 0;
  for (int k = from; k <= end; k++) {
    const N v = READ(x[(k - c) * CHANNEL_STRIDE]);
    sum = fma(v, v, sum);
  }
  y0[y0_at(i)] = STORED(READ(*x) / pow(fma((N)ALPHA, sum, (N)BIAS), (N)BETA));
}
