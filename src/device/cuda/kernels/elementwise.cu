// Functions of the elements that stand at the same place. The host defines `value`, ELEMENT(i), which is `value` of the
// elements that make element i of the output, and COUNT of these.

#ifdef TABLE
#define MORE , const u8* __restrict__ table
#else
#define MORE
#endif

// A thread takes one element.
extern "C" __global__ void elements(PARAMETERS MORE) {
  begin();
  const u32 i = thread_number();
  if (i >= COUNT) return;
  TO_IMAGE
  y0[y0_at(i)] = ELEMENT(i);
}

#ifdef LANES
// A thread takes LANES neighbours: LOAD(i) reads them, LANE(j) is `value` of lane j. Where rows lie apart, they are
// multiples of LANES.
extern "C" __global__ void vectors(PARAMETERS MORE) {
  begin();
  const u32 i = thread_number() * LANES;
  if (i >= COUNT) return;
  TO_IMAGE
  if (i + LANES > COUNT) {
    for (u32 j = i; j < COUNT; j++) y0[y0_at(j)] = ELEMENT(j);
    return;
  }
  LOAD(i)
  Lanes<Y0_T, LANES> y;
#pragma unroll
  for (int j = 0; j < LANES; j++) y.v[j] = LANE(j);
  put(y0 + y0_at(i), y);
}
#endif
