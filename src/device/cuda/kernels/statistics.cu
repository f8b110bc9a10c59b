// What calibration wants to know of an output, in one reading of it, where it lies: `View` says of what form it is.
//
// A block counts values of images of one group, an item (a piece of an image) after the other. Its bins are in shared
// memory, over a range that begins as the group's and doubles as it must; channels and extremes are in registers. Warps do
// not wait for each other but where a range doubles or channels change, and a thread's next values are copied to shared
// memory while it counts these. It leaves its bins in a slot; a second kernel widens the group's range to that of the widest
// slot, a third adds slots up. All sums are of integers, and a bin of a narrower range is part of one of a wider: order
// leaves no trace. The host defines BINS, GROUPS, THREADS of a block, BLOCKS of a multiprocessor, STEPS of an item, the bytes
// that a thread has FETCHED; GATHERERS, the threads that add up slots, and the PART of the bins that is theirs, 4 each.

#define INFINITE 0x7f800000u
#define NEGATIVE 0x80000000u

typedef long long i64;

// See `View` in `statistics.rs`.
struct View {
  u64 x, stride;       // the first image, bytes to the next
  u64 groups, group;   // the first group, bytes to the next
  u64 table;           // where each group's images begin in the list of images behind it
  u64 seen;            // for each image the bits of its largest magnitude, and whether something is not finite
  u64 ranges, slots;   // of blocks: for each sign one more than the range of its bins, 0 for none; the bins
  u32 images, blocks;
  u32 rows, cols, pitch;
  u32 channels;        // that are told apart; 0 for none
  u32 rows_a_channel;  // where channels are not the columns
  u32 lanes, strips;   // vectors of columns that threads share, and how often those fit
  u32 unused;
};

struct Group {
  u64 odd;             // values that are not finite
  u32 most, least;     // as `key` has them, the least inverted: 0 before the first
  u32 range[2];
  u64 bins[2][BINS];
  // for each channel: upper and lower half of the sum of units; then the largest magnitude as bits
  __device__ u64* high() { return (u64*)(this + 1); }
  __device__ u64* low(const View& w) { return high() + w.channels; }
  __device__ u32* amax(const View& w) { return (u32*)(low(w) + w.channels); }
};

// The order of the bits is that of the numbers.
__device__ __forceinline__ u32 key(float x) {
  const u32 bits = __float_as_uint(x);
  return bits & NEGATIVE ? ~bits : bits | NEGATIVE;
}

// 148 more than the exponent of the least power of two above a magnitude.
__device__ __forceinline__ u32 range_of(u32 magnitude) {
  return magnitude >> 23 ? (magnitude >> 23) + 22 : 31 - __clz(magnitude | 1);
}

__device__ __forceinline__ u32 bin_of(u32 magnitude, u32 range) {
  const u32 e = magnitude >> 23, m = e ? (magnitude & 0x7fffff) | 0x800000 : magnitude;
  const int shift = (int)range - (int)max(e, 1u) - 10;
  return shift >= 0 ? m >> min(shift, 31) : m << -shift;
}

template <class T, class Join> __device__ __forceinline__ T over_warp(T v, Join join) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) v = join(v, __shfl_xor_sync(~0u, v, d));
  return v;
}
template <class T> __device__ __forceinline__ T sum_over_warp(T v) { return over_warp(v, [](T a, T b) { return a + b; }); }
template <class T> __device__ __forceinline__ T most_over_warp(T v) { return over_warp(v, [](T a, T b) { return max(a, b); }); }

// Sums of values below NEAR, in units of 2^-32, are exact in 64 bits for so many values.
#define NEAR 524288.f
#define MOST_NEAR 2048

__device__ __forceinline__ i64 units(float x) { return __float2ll_rn(x * 4294967296.f); } // rounded half to even; it saturates

// Adds units to the sum of a channel: its halves cannot overflow.
__device__ __forceinline__ void add_units(const View& w, Group* g, u32 channel, i64 high, u64 low) {
  atomicAdd(g->high() + channel, (u64)high);
  atomicAdd(g->low(w) + channel, low);
}

// What a thread knows of a channel: the units of near values, the largest magnitude.
struct Channel {
  i64 near;
  float amax;
};

// The upper end of a range: a power of two.
__device__ __forceinline__ float end_of(u32 range) { return __uint_as_float(range > 22 ? range - 21 << 23 : 2u << range); }

// The bins of both signs, over ranges of their own.
struct Bins {
  alignas(16) u32 at[2][BINS];
  u32 range[2], wanted[2];
  u32 called;  // does a warp wait for all others?
  u32 nowhere; // zeros

  __device__ __forceinline__ void clear() {
    for (u32 i = 4 * threadIdx.x; i < 2 * BINS; i += 4 * THREADS) put(at[0] + i, Lanes<u32, 4>{});
  }
  __device__ __forceinline__ void begin(const Group* g) {
    if (threadIdx.x < 2) range[threadIdx.x] = wanted[threadIdx.x] = g->range[threadIdx.x];
    if (threadIdx.x == 0) called = 0;
    __syncthreads();
  }

  // Doubles the range of a side so many times.
  __device__ __noinline__ void widen(u32* side, u32 times) {
    for (; times > 0; times--) {
      u32 pairs[BINS / 2 / THREADS];
#pragma unroll
      for (u32 k = 0; k < BINS / 2 / THREADS; k++) {
        const u32 i = 2 * (threadIdx.x + k * THREADS);
        pairs[k] = side[i] + side[i + 1];
      }
      __syncthreads();
#pragma unroll
      for (u32 k = 0; k < BINS / 2 / THREADS; k++) {
        side[threadIdx.x + k * THREADS] = pairs[k];
        side[threadIdx.x + k * THREADS + BINS / 2] = 0;
      }
      __syncthreads();
    }
  }

  // A value within these ranges, the bins' own.
  __device__ __forceinline__ void count(float x, u32 positive, u32 negative) {
    const u32 bits = __float_as_uint(x), below = bits >> 31;
    if (x != 0.f) atomicAdd(&at[below][bin_of(bits & ~NEGATIVE, below ? negative : positive)], 1u);
  }
  // The same by factors from a value to its place among the bins, which lie behind 2^23: there, floats are 1 apart.
  // SIGNED: there may be negative ones. Zeros are counted where nobody looks: sooner done than branched around.
  struct Places {
    u32 base, nowhere; // in shared memory: where the bins would begin if that of 2^23 were not the first but behind others
    template <bool SIGNED> __device__ __forceinline__ void count(float x, const float (&factor)[2]) const {
      const bool below = SIGNED && x < 0.f;
      const float at = __fmaf_rz(x, below ? -factor[1] : factor[0], below ? 8388608.f + BINS : 8388608.f);
      asm volatile("red.shared.add.u32 [%0], 1;" ::"r"(x != 0.f ? base + 4 * __float_as_uint(at) : nowhere) : "memory");
    }
  };
  __device__ __forceinline__ Places places() const { return {shared_address(at[0]) - 4 * 0x4b000000u, shared_address(&nowhere)}; }
  // 2^12 over the upper end of a range, which is one of normal numbers from 33 on.
  static __device__ __forceinline__ float factor(u32 range) { return __uint_as_float(min(287 - range, 254) << 23); }

  // Does a warp wait in `meet`? Others must come, sooner or later. A lane of each asks.
  __device__ __forceinline__ bool calls() { return threadIdx.x % 32 == 0 && atomicOr(&called, 0); }
  // Whoever needs ranges wider than these waits here for all warps, which come when they see it, or when they have nothing
  // else to do. False where nobody needed any.
  __device__ __noinline__ bool meet(u32 positive, u32 negative) {
    const bool wants = positive > range[0] || negative > range[1];
    if (wants) {
      atomicMax(&wanted[0], positive);
      atomicMax(&wanted[1], negative);
      atomicOr(&called, 1);
    }
    if (!__syncthreads_or(wants)) return false;
#pragma unroll
    for (int s = 0; s < 2; s++) widen(at[s], min(wanted[s] - range[s], 12));
    __syncthreads();
    if (threadIdx.x < 2) range[threadIdx.x] = wanted[threadIdx.x];
    if (threadIdx.x == 0) called = 0;
    __syncthreads();
    return true;
  }
  // All warps are here, and none needs wider ranges.
  __device__ __forceinline__ void meet_all() {
    while (meet(0, 0)) {}
  }

  // Writes the bins of the signs that this or another thread has counted.
  __device__ __forceinline__ void leave(u32* ranges, u32* slot, bool positive, bool negative) {
#pragma unroll
    for (int s = 0; s < 2; s++) {
      const bool any = __syncthreads_or(s ? negative : positive);
      if (threadIdx.x == 0) ranges[s] = any ? range[s] + 1 : 0;
      if (!any) continue;
      for (u32 i = 4 * threadIdx.x; i < BINS; i += 4 * THREADS) put(slot + s * BINS + i, load<4>(at[s] + i));
    }
  }
};

__shared__ Bins bins;
__shared__ i64 near_parts[4][THREADS];
__shared__ float amax_parts[4][THREADS];
// Values on their way, 16 bytes of a thread beside those of the next.
extern __shared__ __align__(16) u8 fetched[];

// The registers' channels of a strip, which rows of threads share, to the group.
template <int VEC> __device__ void add_strip(const View& w, Group* g, u32 strip, Channel (&channels)[VEC]) {
#pragma unroll
  for (int j = 0; j < VEC; j++) {
    near_parts[j][threadIdx.x] = channels[j].near;
    amax_parts[j][threadIdx.x] = channels[j].amax;
    channels[j] = {};
  }
  __syncthreads();
  const u32 j = threadIdx.x / w.lanes, lane = threadIdx.x % w.lanes, vector = strip * w.lanes + lane;
  if (j < VEC && vector < w.cols / VEC) {
    i64 high = 0;
    u64 low = 0;
    float amax = 0;
    for (u32 t = lane; t < THREADS / w.lanes * w.lanes; t += w.lanes) {
      high += near_parts[j][t] >> 32;
      low += (u32)near_parts[j][t];
      amax = fmaxf(amax, amax_parts[j][t]);
    }
    add_units(w, g, vector * VEC + j, high, low);
    atomicMax(g->amax(w) + vector * VEC + j, __float_as_uint(amax));
  }
  __syncthreads();
}

// All that a thread has of the one channel that its block has seen, to the group.
__device__ __forceinline__ void add_channel(const View& w, Group* g, u32 channel, Channel& c) {
  const i64 high = sum_over_warp(c.near >> 32);
  const u64 low = sum_over_warp((u64)(u32)c.near);
  const u32 amax = most_over_warp(__float_as_uint(c.amax));
  c = {};
  if (threadIdx.x % 32) return;
  add_units(w, g, channel, high, low);
  atomicMax(g->amax(w) + channel, amax);
}

// The blocks of a group, which are as many as it has of the images.
struct Blocks {
  u32 first, end;
  __device__ __forceinline__ Blocks(const View& w, u32 group) {
    const u32* starts = (const u32*)w.table;
    first = starts[group] * w.blocks / w.images;
    end = starts[group + 1] * w.blocks / w.images;
  }
};

// What a thread has seen, whatever the channel.
struct Seen {
  float least, most; // most < least: nothing
  u32 odd;           // values that are not finite

  static __device__ __forceinline__ Seen nothing() { return {__uint_as_float(INFINITE), -__uint_as_float(INFINITE), 0}; }
  __device__ __forceinline__ void join(const Seen& s) {
    least = fminf(least, s.least);
    most = fmaxf(most, s.most);
    odd += s.odd;
  }
  // The ranges that hold it, for each sign; 0 where nothing has it.
  __device__ __forceinline__ u32 positive() const { return most > 0.f ? range_of(__float_as_uint(most)) : 0; }
  __device__ __forceinline__ u32 negative() const { return least < 0.f ? range_of(__float_as_uint(-least)) : 0; }
  __device__ __forceinline__ void add_to(u32* seen) const {
    const float largest = most < least ? 0.f : fmaxf(fabsf(most), fabsf(least));
    const u32 amax = most_over_warp(__float_as_uint(largest)), bad = most_over_warp(odd);
    if (threadIdx.x % 32) return;
    if (amax) atomicMax(seen, amax);
    if (bad) atomicMax(seen + 1, 1);
  }
  __device__ __forceinline__ void add_to(Group* g) const {
    // -0 is 0
    const u32 highest = most_over_warp(most < least ? 0 : key(most + 0.f));
    const u32 lowest = most_over_warp(most < least ? 0 : ~key(least + 0.f)), bad = sum_over_warp(odd);
    if (threadIdx.x % 32) return;
    if (bad) atomicAdd(&g->odd, (u64)bad);
    atomicMax(&g->most, highest);
    atomicMax(&g->least, lowest);
  }
};

// Copies a vector to shared memory, without waiting where the GPU can.
template <class Vector> __device__ __forceinline__ void fetch(Vector* to, const float* from) {
#if __CUDA_ARCH__ >= 800
  if (sizeof(Vector) == 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from) : "memory");
  else asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(to)), "l"(from) : "memory");
#else
  *to = *(const Vector*)from;
#endif
}
// All that this thread fetches is there.
__device__ __forceinline__ void wait_for_fetched() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// How a block takes the images of its group. COLUMNS: channels lie side by side, and each thread has VEC of them, every so
// many rows; else it has every so many vectors of one row, whose values are of one channel.
template <int VEC, bool COLUMNS> struct Walk {
  static constexpr u32 UNROLL = VEC == 1 ? 8 : 4; // vectors of a step
  static_assert(UNROLL * VEC * sizeof(float) <= FETCHED, "a step does not fit");

  const View& w;
  const u32* images; // of the group
  u32 count;
  u32 length, apart, mine; // along rows (columns) a thread has every `apart`-th from `mine` on
  u32 steps, chunks;       // of an image's row or strip; items
  u32 to;                  // the end of the block's items
  u32 jump;                // numbers from a vector of a thread's to its next

  // The step that comes next, and what it is of.
  u32 item, step;
  u32 image, strip, channel;
  const float* x; // the thread's first vector
  u32 left;       // rows or columns from there on; 0: nothing is this thread's

  __device__ __forceinline__ Walk(const View& view, u32 group) : w(view) {
    const u32* starts = (const u32*)w.table;
    images = starts + GROUPS + 1 + starts[group];
    count = starts[group + 1] - starts[group];
    length = COLUMNS ? w.rows : w.cols;
    apart = COLUMNS ? THREADS / w.lanes : THREADS * VEC;
    mine = COLUMNS ? threadIdx.x / w.lanes : threadIdx.x * VEC;
    jump = apart * (COLUMNS ? w.pitch : 1);
    steps = (length + apart * UNROLL - 1) / (apart * UNROLL);
    chunks = (steps + STEPS - 1) / STEPS;
    const Blocks all(w, group);
    const u32 items = chunks * count * (COLUMNS ? w.strips : w.rows), blocks = all.end - all.first, number = blockIdx.x - all.first;
    to = (u64)items * (number + 1) / blocks;
    item = (u64)items * number / blocks;
    if (!done()) begin_item();
  }
  __device__ __forceinline__ bool done() const { return item >= to; }
  __device__ __forceinline__ void begin_item() {
    const u32 chunk = item % chunks, rest = item / chunks;
    step = chunk * STEPS;
    image = images[COLUMNS ? rest % count : rest / w.rows];
    strip = COLUMNS ? rest / count : 0;
    const u32 row = COLUMNS ? 0 : rest % w.rows, vector = COLUMNS ? strip * w.lanes + threadIdx.x % w.lanes : 0;
    channel = COLUMNS ? vector * VEC : row / w.rows_a_channel % max(w.channels, 1);
    const u32 at = step * UNROLL * apart + mine;
    const bool idle = COLUMNS && (mine >= apart || vector >= w.cols / VEC);
    left = idle || at >= length ? 0 : length - at;
    x = (const float*)(w.x + image * w.stride) + (COLUMNS ? (u64)at * w.pitch + vector * VEC : (u64)row * w.pitch + at);
  }
  __device__ __forceinline__ bool ends_item() const { return step % STEPS == STEPS - 1 || step == steps - 1; }
  __device__ __forceinline__ void advance() {
    if (ends_item()) {
      item++;
      if (!done()) begin_item();
      return;
    }
    step++;
    x += UNROLL * jump;
    left -= min(left, UNROLL * apart);
  }
  // Are all vectors of this step there?
  __device__ __forceinline__ bool whole() const { return left > (UNROLL - 1) * apart; }
  __device__ __forceinline__ bool has(u32 u) const { return left > u * apart; }

  __device__ __forceinline__ Lanes<float, VEC>* place(u32 u) const { return (Lanes<float, VEC>*)fetched + u * THREADS + threadIdx.x; }
  __device__ __forceinline__ void begin_fetching() const {
    if (whole()) {
#pragma unroll
      for (u32 u = 0; u < UNROLL; u++) fetch(place(u), x + u * jump);
      return;
    }
#pragma unroll
    for (u32 u = 0; u < UNROLL; u++) {
      if (has(u)) fetch(place(u), x + u * jump);
    }
  }
};

template <int VEC, bool COLUMNS> __device__ __forceinline__ void statistics(const View& w) {
  typedef Walk<VEC, COLUMNS> Walk;
  constexpr u32 UNROLL = Walk::UNROLL;
  bins.clear();
  begin();
  u32 k = 0;
  while (blockIdx.x >= Blocks(w, k).end) k++;
  Group* g = (Group*)(w.groups + k * w.group);

  Seen all = Seen::nothing(), here = all;
  Channel channels[COLUMNS ? VEC : 1] = {};
  Walk next(w, k);
  const bool any = !next.done();
  u32 held = next.strip, since = next.item; // the strip that `channels` are of, and from which item on
  u32 positive = 0, negative = 0;           // the ranges of the bins, as this warp knows them
  float end[2], factor[2];
  const Bins::Places places = bins.places();
  const auto know_ranges = [&] {
    positive = bins.range[0], negative = bins.range[1];
    end[0] = end_of(positive), end[1] = end_of(negative);
    factor[0] = Bins::factor(positive), factor[1] = Bins::factor(negative);
  };
  if (any) {
    next.begin_fetching();
    bins.begin(g);
    know_ranges();
  }
  while (!next.done()) {
    const Walk now = next;
    if (COLUMNS && (now.strip != held || now.item - since == MOST_NEAR / (UNROLL * STEPS))) {
      bins.meet_all();
      know_ranges();
      add_strip(w, g, held, channels);
      held = now.strip;
      since = now.item;
    }
    Lanes<float, VEC> v[UNROLL];
    wait_for_fetched();
#pragma unroll
    for (u32 u = 0; u < UNROLL; u++) v[u] = *now.place(u);
    if (!now.whole()) {
#pragma unroll
      for (u32 u = 0; u < UNROLL; u++) {
        if (!now.has(u)) v[u] = {};
      }
    }
    next.advance();
    if (!next.done()) next.begin_fetching();

    // whole steps of near finite values are what nearly all are: few instructions for each
    float most[VEC], least[VEC], sum = 0;
    Seen step = Seen::nothing();
#pragma unroll
    for (int j = 0; j < VEC; j++) {
      most[j] = least[j] = v[0].v[j];
#pragma unroll
      for (u32 u = 0; u < UNROLL; u++) {
        most[j] = fmaxf(most[j], v[u].v[j]);
        least[j] = fminf(least[j], v[u].v[j]);
        sum = __fmaf_rn(v[u].v[j], 0.f, sum); // NaN unless all are finite
      }
      step.join({least[j], most[j], 0});
    }
    if (now.whole() && sum == 0.f && step.most < NEAR && step.least > -NEAR) {
#pragma unroll
      for (int j = 0; j < VEC; j++) {
        Channel& c = channels[COLUMNS ? j : 0];
        c.amax = fmaxf(c.amax, fmaxf(fabsf(most[j]), fabsf(least[j])));
#pragma unroll
        for (u32 u = 0; u < UNROLL; u++) c.near += units(v[u].v[j]);
      }
    } else {
      step = Seen::nothing();
#pragma unroll
      for (u32 u = 0; u < UNROLL; u++) {
        if (!now.has(u)) continue;
#pragma unroll
        for (int j = 0; j < VEC; j++) {
          float& y = v[u].v[j];
          if (!(fabsf(y) < __uint_as_float(INFINITE))) {
            step.odd++;
            y = 0;
            continue;
          }
          step.join({y, y, 0});
          Channel& c = channels[COLUMNS ? j : 0];
          c.amax = fmaxf(c.amax, fabsf(y));
          if (fabsf(y) < NEAR) c.near += units(y);
          else if (w.channels) add_units(w, g, now.channel + (COLUMNS ? j : 0), units(y) >> 32, (u32)units(y));
        }
      }
    }
    here.join(step);
    if (__any_sync(~0u, step.most >= end[0] || -step.least >= end[1] || bins.calls())) {
      bins.meet(step.positive(), step.negative());
      know_ranges();
    }
    const bool normal = (positive > 32 || !(step.most > 0.f)) && (negative > 32 || !(step.least < 0.f));
    if (__all_sync(~0u, normal && !(step.least < 0.f))) {
#pragma unroll
      for (u32 u = 0; u < UNROLL; u++) {
#pragma unroll
        for (int j = 0; j < VEC; j++) places.count<false>(v[u].v[j], factor);
      }
    } else if (__all_sync(~0u, normal)) {
#pragma unroll
      for (u32 u = 0; u < UNROLL; u++) {
#pragma unroll
        for (int j = 0; j < VEC; j++) places.count<true>(v[u].v[j], factor);
      }
    } else {
#pragma unroll 1
      for (u32 i = 0; i < UNROLL * VEC; i++) {
        float x = 0;
#pragma unroll
        for (u32 k = 0; k < UNROLL * VEC; k++) x = k == i ? v[k / VEC].v[k % VEC] : x; // registers have no indices
        bins.count(x, positive, negative);
      }
    }
    if (!now.ends_item()) continue;
    here.add_to((u32*)w.seen + 2 * now.image);
    all.join(here);
    here = Seen::nothing();
    if (!COLUMNS && w.channels) add_channel(w, g, now.channel, channels[0]);
    else if (!COLUMNS) channels[0] = {};
  }
  if (any) {
    bins.meet_all();
    if (COLUMNS) add_strip(w, g, held, channels);
    all.add_to(g);
  }
  bins.leave((u32*)w.ranges + 2 * blockIdx.x, (u32*)w.slots + 2 * (u64)blockIdx.x * BINS, all.most > 0.f, all.least < 0.f);
}

#define KERNEL(NAME, VEC, COLUMNS) \
  extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) NAME(const View w) { statistics<VEC, COLUMNS>(w); }
KERNEL(columns_4, 4, true)
KERNEL(columns_1, 1, true)
KERNEL(rows_4, 4, false)
KERNEL(rows_1, 1, false)

// Widens a group's range of a sign to the widest of its blocks'.
extern "C" __global__ void __launch_bounds__(GATHERERS) settle(const View w) {
  begin();
  const u32 side = blockIdx.y, *ranges = (const u32*)w.ranges + side;
  const Blocks blocks(w, blockIdx.x);
  Group* g = (Group*)(w.groups + blockIdx.x * w.group);
  __shared__ u32 range;
  const u32 before = g->range[side];
  if (threadIdx.x == 0) range = before;
  __syncthreads();
  for (u32 b = blocks.first + threadIdx.x; b < blocks.end; b += GATHERERS) {
    if (ranges[2 * b]) atomicMax(&range, ranges[2 * b] - 1);
  }
  __syncthreads();
  if (range == before) return;
  const u32 fold = min(range - before, 12);
  __shared__ u64 sums[BINS];
  for (u32 i = threadIdx.x; i < BINS; i += GATHERERS) sums[i] = 0;
  __syncthreads();
  for (u32 i = threadIdx.x; i < BINS; i += GATHERERS) {
    if (g->bins[side][i]) atomicAdd(&sums[i >> fold], g->bins[side][i]);
  }
  __syncthreads();
  for (u32 i = threadIdx.x; i < BINS; i += GATHERERS) g->bins[side][i] = sums[i];
  if (threadIdx.x == 0) g->range[side] = range;
}

// What a slot has for four bins from `at` on, each of which is 2^`shift` of its own.
__device__ __forceinline__ Lanes<u32, 4> folded(const u32* slot, u32 at, u32 shift) {
  Lanes<u32, 4> sums = {};
  if (at << shift >= BINS) return sums;
#pragma unroll
  for (u32 j = 0; j < 4; j++) {
#pragma unroll 4
    for (u32 i = at + j << shift; i < min(at + j + 1 << shift, BINS); i++) sums.v[j] += slot[i];
  }
  return sums;
}

// Adds the slots of a group's blocks to its bins of a sign, of which each block has a part.
extern "C" __global__ void __launch_bounds__(GATHERERS) gather(const View w) {
  begin();
  constexpr u32 LANES = PART / 4, TEAMS = GATHERERS / LANES;
  const u32 side = blockIdx.y, lane = threadIdx.x % LANES, team = threadIdx.x / LANES, *ranges = (const u32*)w.ranges + side;
  const Blocks blocks(w, blockIdx.x);
  Group* g = (Group*)(w.groups + blockIdx.x * w.group);
  const u32 range = g->range[side] + 1;
  bool narrow = false, any = false;
  for (u32 b = blocks.first + threadIdx.x; b < blocks.end; b += GATHERERS) {
    any |= ranges[2 * b] != 0;
    narrow |= ranges[2 * b] && ranges[2 * b] != range;
  }
  narrow = __syncthreads_or(narrow);
  if (!__syncthreads_or(any)) return;
  const u32 mine = blockIdx.z * PART + 4 * lane;
  const u32* slots = (const u32*)w.slots + side * BINS;
  Lanes<u32, 4> own = {}; // 32 bits are enough for one launch
  if (narrow) {
    for (u32 b = blocks.first + team; b < blocks.end; b += TEAMS) {
      if (!ranges[2 * b]) continue;
      const Lanes<u32, 4> more = folded(slots + 2 * (u64)b * BINS, mine, min(range - ranges[2 * b], 12));
#pragma unroll
      for (int j = 0; j < 4; j++) own.v[j] += more.v[j];
    }
  } else {
#pragma unroll 8
    for (u32 b = blocks.first + team; b < blocks.end; b += TEAMS) {
      // read even where nothing was left, so that many are on their way at once
      const Lanes<u32, 4> more = load<4>(slots + 2 * (u64)b * BINS + mine);
      const u32 mask = ranges[2 * b] ? ~0u : 0;
#pragma unroll
      for (int j = 0; j < 4; j++) own.v[j] += more.v[j] & mask;
    }
  }
  __shared__ Lanes<u32, 4> teams[TEAMS][LANES];
  teams[team][lane] = own;
  __syncthreads();
  if (team) return;
#pragma unroll
  for (int j = 0; j < 4; j++) {
    u64 sum = g->bins[side][mine + j];
#pragma unroll
    for (u32 t = 0; t < TEAMS; t++) sum += teams[t][lane].v[j];
    g->bins[side][mine + j] = sum;
  }
}
