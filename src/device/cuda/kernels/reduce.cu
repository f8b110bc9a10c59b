// A function of all members of each row: WIDTH threads share a row. The host defines where rows and members are, FOUND_T,
// what is found of some members, and its steps.

#ifdef EXTREME
// The best member so far and where it stands; nothing where `at` is negative.
struct Best {
  N value;
  int at;
};
#define FOUND_T Best

template <> __device__ __forceinline__ Best neighbour(Best v, int d) { return {neighbour(v.value, d), neighbour(v.at, d)}; }

// Nothing is better than NaN in the first place; NaN elsewhere is no candidate.
__device__ __forceinline__ Best join(Best a, Best b) {
  if (b.at < 0 || a.at < 0) return b.at < 0 ? a : b;
  if (a.at > b.at) { const Best later = a; a = b; b = later; }
  if (a.value != a.value) return a;
  return BETTER(b.value, a.value) ? b : a;
}
#else
__device__ __forceinline__ FOUND_T join(FOUND_T a, FOUND_T b) { return JOIN(a, b); }
#endif

extern "C" __global__ void reduce(PARAMETERS) {
  begin();
  const u32 row = thread_number() / WIDTH, first = threadIdx.x % WIDTH;
  if (row >= ROWS) return;
  TO_IMAGE
  x0 += x0_row(row);
#ifdef SHIFTED
  FOUND_T most = __longlong_as_double(0xfff0000000000000ll);
  for (u32 k = first; k < MEMBERS; k += WIDTH) most = fmax(most, (FOUND_T)READ(x0[x0_member(k)]));
  most = fold(most, [](FOUND_T a, FOUND_T b) { return fmax(a, b); });
#endif
#ifdef EXTREME
  FOUND_T t = {0, -1};
  for (u32 k = first; k < MEMBERS; k += WIDTH) {
    const N x = READ(x0[x0_member(k)]);
    if (k == 0 || x == x) t = join(t, {x, (int)k});
  }
#else
  FOUND_T t = START;
  for (u32 k = first; k < MEMBERS; k += WIDTH) {
    const FOUND_T x = READ(x0[x0_member(k)]);
    t = join(t, TERM(x));
  }
#endif
  t = fold(t, [](FOUND_T a, FOUND_T b) { return join(a, b); });
  if (first == 0) y0[y0_row(row)] = FINISH(t);
}
