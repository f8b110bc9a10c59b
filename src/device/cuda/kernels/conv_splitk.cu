// The same product as conv_wgmma.cu for few pixels, where time is latency: a tile is 64 channels by 64 pixels, and the steps
// along k are shared by the SPLIT_K blocks of a cluster, each with a warpgroup that multiplies and a warp that loads. The
// partial sums meet in shared memory: every block adds up one slice of the pixels, of all blocks, and stores it. The sum of
// integers has no order, that of floats the order of the blocks. Needs no workspace and no second kernel.
//
// Weights of the first stages are on their way before the grid before has ended: they depend on nothing.
//
// The host defines SPLIT_K (1, 2, 4, 8), BLOCK_K (bytes, the span of the swizzle), STAGES, READ (FLAT or IM2COL, of
// window.cuh), WGMMA_N 64, INPUT_SIGNED and what epilogue.cuh asks for.

constexpr int TILE = 64;
constexpr u32 STAGE = 2 * TILE * BLOCK_K;          // weights, then pixels
constexpr int SLICE = 8 / SPLIT_K;                 // groups of 8 pixels that a block stores
static_assert(SPLIT_K * SLICE == 8, "a tile has eight groups of pixels");

struct Problem {
  Window window;
  int blocks_k, blocks_c;                          // steps of BLOCK_K in all, and of one tap
  int tiles_c;
  int pixels, channels;                            // of the output of all images
  int pitch, residual_pitch;                       // numbers from one pixel to the next
};

// Loads this block's steps along k, from `first` on.
struct Loader {
  const TensorMap *weights, *x;
  const Problem& p;
  u32 stages, full;
  int first, channel, pixel;

  __device__ __forceinline__ void load_weights(int i, u32 stage) const {
    const int k = first + i, tap = k / p.blocks_c, block = k - tap * p.blocks_c;
    barrier_expect(full + stage * 8, STAGE);
    load_2d(stages + stage * STAGE, weights, full + stage * 8, tap * p.window.tap_pitch + block * BLOCK_K, channel);
  }
  __device__ __forceinline__ void load_pixels(int i, u32 stage) const {
    const int k = first + i, tap = k / p.blocks_c, c = (k - tap * p.blocks_c) * BLOCK_K;
    const u32 to = stages + stage * STAGE + TILE * BLOCK_K;
    if constexpr (READ == FLAT) {
      load_2d(to, x, full + stage * 8, c, pixel);
    } else {
      const int tap_h = tap / p.window.kernel_w;
      load_tap(to, x, full + stage * 8, p.window, corner(p.window, pixel), c, tap_h, tap - tap_h * p.window.kernel_w);
    }
  }
  __device__ __forceinline__ void run(int steps, u32 empty) const {
    const int ahead = min(steps, STAGES);
    for (int i = 0; i < ahead; i++) load_weights(i, i);
    wait_for_previous_grid();
    for (int i = 0; i < ahead; i++) load_pixels(i, i);
    u32 stage = 0, phase = 0;
    for (int i = ahead; i < steps; i++) {
      barrier_wait(empty + stage * 8, phase);
      load_weights(i, stage);
      load_pixels(i, stage);
      if (++stage == STAGES) { stage = 0; phase ^= 1; }
    }
  }
};

__device__ __forceinline__ void multiply(Sum (&acc)[32], int steps, u32 stages, u32 full, u32 empty) {
  const bool leader = threadIdx.x % 32 == 0;
  u32 stage = 0, phase = 0, before = 0;
  for (int i = 0; i < steps; i++) {
    barrier_wait(full + stage * 8, phase);
    wgmma_fence();
    const u64 w = swizzled_rows<BLOCK_K>(stages + stage * STAGE), x = swizzled_rows<BLOCK_K>(stages + stage * STAGE + TILE * BLOCK_K);
#pragma unroll
    for (int j = 0; j < BLOCK_K / 32; j++) wgmma(acc, w + j * 2, x + j * 2, 1);
    wgmma_commit();
    if (i > 0) {
      wgmma_wait<1>();
      if (leader) barrier_arrive(empty + before * 8);
    }
    before = stage;
    if (++stage == STAGES) { stage = 0; phase ^= 1; }
  }
  wgmma_wait<0>();
}

// Sums of this thread's part of group `group` over the blocks of the cluster, each of which left its own at `sums`.
__device__ __forceinline__ void add_up(Sum (&acc)[4], u32 sums, int group) {
  acc[0] = acc[1] = acc[2] = acc[3] = 0;
#pragma unroll
  for (int block = 0; block < SPLIT_K; block++) {
    u32 v[4];
    asm volatile("{ .reg .b32 r; mapa.shared::cluster.u32 r, %4, %5; ld.shared::cluster.v4.b32 {%0, %1, %2, %3}, [r]; }"
      : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"(sums + (group * 128 + threadIdx.x) * 16), "r"(block) : "memory");
#pragma unroll
    for (int i = 0; i < 4; i++) acc[i] += sum_of(v[i]);
  }
}

// Two pixels of a pair of channels, from `pixel` and `channel` on, clipped to the tensor.
struct Place {
  int pixel, channel;
  const Problem& p;
  const u8* from;                                   // the residual
  u8* y;
  __device__ __forceinline__ bool has(int i) const { return pixel + i / 2 < p.pixels && channel + i % 2 < p.channels; }
  // Both channels of a pixel: pitch and channel are even, and a row is as long as its pitch.
  __device__ __forceinline__ const u8* pair_at(int i) const {
    return from + ((u64)(pixel + i / 2) * p.residual_pitch + channel) * ELEMENT;
  }
  __device__ __forceinline__ Residual residual() const {
#if HALVES
    return {has(0) ? *(const u32*)pair_at(0) : 0, has(2) ? *(const u32*)pair_at(2) : 0};
#else
    u32 bytes = 0;
#pragma unroll
    for (int i = 0; i < 4; i += 2)
      if (has(i)) bytes |= (u32) * (const u16*)pair_at(i) << 8 * i;
    return bytes;
#endif
  }
  __device__ __forceinline__ void store(const Sum* acc, const Pair& pair, Residual residual, const Epilogue& e) const {
#if OUTPUT_DIRECT
    const Quad q = finished(acc, pair, residual, e);
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (has(i)) ((Y_T*)y)[(u64)(pixel + i / 2) * p.pitch + channel + i % 2] = q.t[i];
#elif HALVES
    const Quad q = finished(acc, pair, residual, e);
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      half* at = (half*)y + (u64)(pixel + i / 2) * p.pitch + channel;
      if (has(i + 1)) *(u32*)at = two_halves(q.t[i], q.t[i + 1]);
      else if (has(i)) *at = q.t[i];
    }
#else
    const u32 bytes = finished_bytes(acc, pair, residual, e);
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      u8* at = y + (u64)(pixel + i / 2) * p.pitch + channel;
      if (has(i + 1)) *(u16*)at = (u16)(bytes >> 8 * i);
      else if (has(i)) *at = (u8)(bytes >> 8 * i);
    }
#endif
  }
};

extern "C" __global__ void __launch_bounds__(160, 1)
conv_splitk(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap x, const u8* from, u8* y,
            const Channels channels, const Epilogue e, const Problem p) {
  extern __shared__ u8 shared[];
  const u32 stages = round_up(shared_address(shared), 1024);
  const u32 sums = stages + STAGES * STAGE, full = sums + (SPLIT_K > 1 ? TILE * TILE * 4 : 0), empty = full + STAGES * 8;
  const int rank = blockIdx.x % SPLIT_K, tile = blockIdx.x / SPLIT_K;
  const int channel = tile % p.tiles_c * TILE, pixel = tile / p.tiles_c * TILE;
  const int first = p.blocks_k * rank / SPLIT_K, steps = p.blocks_k * (rank + 1) / SPLIT_K - first;
  if (threadIdx.x == 128) {
    prefetch_map(&weights);
    prefetch_map(&x);
    for (int i = 0; i < STAGES; i++) { barrier_init(full + i * 8, 1); barrier_init(empty + i * 8, 4); }
    barriers_ready();
  }
  __syncthreads();
  allow_next_grid();
  if (warp_index() == 4) {
    if (threadIdx.x == 128) Loader{&weights, &x, p, stages, full, first, channel, pixel}.run(steps, empty);
    __syncwarp();
    if (SPLIT_K > 1) { cluster_sync(); cluster_sync(); }
    return;
  }
  const int own_channel = channel + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 * 2, own_pixel = pixel + threadIdx.x % 4 * 2;
  const Pair pair = channel_pair(channels, own_channel);
  const int first_group = SPLIT_K > 1 ? rank * SLICE : 0;
  auto place = [&](int i) { return Place{own_pixel + (first_group + i) * 8, own_channel, p, from, y}; };
  Sum acc[32];
#pragma unroll
  for (int i = 0; i < 32; i++) acc[i] = 0;
  wait_for_previous_grid();
  Residual residual[SLICE] = {};
#pragma unroll
  for (int i = 0; i < SLICE; i++)
    if constexpr (RESIDUAL) residual[i] = place(i).residual();  // early: it is there when it is needed
  multiply(acc, steps, stages, full, empty);
#if SPLIT_K > 1
#pragma unroll
  for (int i = 0; i < 8; i++)
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" :: "r"(sums + (i * 128 + threadIdx.x) * 16), "r"(bits_of(acc[4 * i])),
      "r"(bits_of(acc[4 * i + 1])), "r"(bits_of(acc[4 * i + 2])), "r"(bits_of(acc[4 * i + 3])) : "memory");
  cluster_sync();
#pragma unroll
  for (int i = 0; i < SLICE; i++) {
    Sum sum[4];
    add_up(sum, sums, first_group + i);
    place(i).store(sum, pair, residual[i], e);
  }
  cluster_sync();                                   // nobody leaves while others read its sums
#else
#pragma unroll
  for (int i = 0; i < SLICE; i++) place(i).store(&acc[4 * i], pair, residual[i], e);
#endif
}
