// Linear interpolation: a thread takes one element. For each index of each axis that is interpolated, `taps` has the
// places of the two elements that it lies between, and the weight of the second.

struct Tap {
  u32 first, second;
  float weight;
};

extern "C" __global__ void resize(PARAMETERS, const Tap* __restrict__ taps) {
  begin();
  const u32 i = thread_number();
  if (i >= COUNT) return;
  TO_IMAGE
  const Tap tap[AXES] = {TAPS(i)};
  float sum = 0;
#pragma unroll
  for (int corner = 0; corner < 1 << AXES; corner++) {
    u32 at = x0_at(i);
    float weight = 1;
#pragma unroll
    for (int a = 0; a < AXES; a++) {
      const bool second = corner >> a & 1;
      at += second ? tap[a].second : tap[a].first;
      weight *= second ? tap[a].weight : 1 - tap[a].weight;
    }
    sum = __fmaf_rn(x0[at], weight, sum);
  }
  y0[y0_at(i)] = sum;
}
