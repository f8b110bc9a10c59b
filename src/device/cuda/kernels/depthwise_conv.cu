// Depthwise convolution and the 1x1 convolution of its channels, INT8, as one step: what is between them stays in shared memory.
//
// A block walks over tiles of all channels. Its threads compute the depthwise convolution of a tile (depthwise.cuh) into
// planes of 16 channels, pixel by pixel, which is what wgmma reads without a swizzle; then its warpgroups multiply 64 pixels at
// a time, the first operand, by all weights, the second. Few output channels are few columns, and all warps share them.
// Inside every 16 output channels the weights are permuted so that a thread owns 4 neighbours of a pixel, which it stores. The
// box of the next tile is loaded meanwhile; other blocks of the multiprocessor do the one while this does the other.
//
// The host defines what depthwise.cuh asks for, in namespace `deep`; what epilogue.cuh asks for the second convolution, in
// namespace `point`; and
//   POINT_N            output channels, rounded up to a multiple of 16
//   KEPT               1: the constants of output channels stay in registers
//   BLOCKS_PER_SM      of threads

using deep::ACTIVE;
using deep::BUFFER;
using deep::TILE_BYTES;
using deep::Tile;

constexpr int THREADS = (ACTIVE + 127) / 128 * 128, WARPGROUPS = THREADS / 128;
constexpr int PIXELS = IMAGES * GROUPS_H * ROWS * TILE_W;
constexpr int BLOCKS = (PIXELS + 63) / 64;                           // of an instruction's pixels
constexpr int CHUNKS = (int)round_up(BLOCK_C, 32) / 16;              // of 16 channels
constexpr u32 PLANE = BLOCKS * 1024 + 16;                            // planes begin in different banks
constexpr u32 MIDDLE = round_up(CHUNKS * PLANE, 128), WEIGHTS = CHUNKS * POINT_N * 16;

struct Problem {
  u8* y;
  const u8* residual;
  u64 y_image, residual_image;                                       // bytes from one image to the next
  int y_pitch, residual_pitch;                                       // from one pixel
  int images, out_h, out_w, outputs;
  int tiles_h, tiles_w, tiles;
  int pad_h, pad_w;
  int unused;
};

// Planes of 16 bytes of `rows` pixels or channels, eight of which are a core matrix.
__device__ __forceinline__ u64 planes(u32 address, u32 plane) { return (u64)((address & 0x3FFFF) >> 4) | (u64)(plane >> 4) << 16 | 8ull << 32; }

// The constants of the output channels that a thread has, 4 of every 16: in registers where there is room.
struct Constants {
  const point::Channels& channels;
  point::Pair kept[KEPT ? POINT_N / 16 : 1][2];
  __device__ __forceinline__ Constants(const point::Channels& channels) : channels(channels) {
#pragma unroll
    for (int k = 0; KEPT && k < POINT_N / 16; k++)
#pragma unroll
      for (int i = 0; i < 2; i++) kept[k][i] = load(k, i);
  }
  __device__ __forceinline__ point::Pair load(int k, int i) const { return point::channel_pair(channels, k * 16 + threadIdx.x % 4 * 4 + i * 2); }
  __device__ __forceinline__ point::Pair pair(int k, int i) const { return KEPT ? kept[KEPT ? k : 0][i] : load(k, i); }
};

// Products, epilogue and stores of 64 pixels of a tile.
__device__ __forceinline__ void multiply(u32 middle, u32 weights, int block, const Tile& tile, const Problem& p, const Constants& constants, const point::Epilogue& e) {
  point::Sum acc[POINT_N / 2];
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < CHUNKS; k += 2)
    wgmma(acc, planes(middle + k * PLANE + block * 1024, PLANE), planes(weights + k * (POINT_N * 16), POINT_N * 16), k != 0);
  wgmma_commit();
  wgmma_wait<0>();
  const int lane = threadIdx.x % 32, first = block * 64 + threadIdx.x / 32 % 4 * 16 + lane / 4;
  const int corner = tile.row * p.out_w + tile.column;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int i = first + half * 8, image = IMAGES == 1 ? 0 : i / (ROWS * TILE_W * GROUPS_H);
    const int h = i / TILE_W % (ROWS * GROUPS_H), w = i % TILE_W;
    if (PIXELS % 64 != 0 && i >= PIXELS) continue;
    if ((CUT_ROWS && tile.row + h >= p.out_h) || (CUT_COLUMNS && tile.column + w >= p.out_w) || (IMAGES > 1 && tile.n + image >= p.images)) continue;
    const int pixel = corner + h * p.out_w + w;
    u8* y = p.y + (tile.n + image) * p.y_image + pixel * p.y_pitch;
    const u8* r = p.residual + (tile.n + image) * p.residual_image + pixel * p.residual_pitch;
#pragma unroll
    for (int k = 0; k < POINT_N / 16; k++) {
      const int c = k * 16 + lane % 4 * 4;
      if (c >= p.outputs) continue;
      const point::Pair low = constants.pair(k, 0), high = constants.pair(k, 1);
      const point::Sum* s = acc + k * 8 + half * 2;
      float t[4] = {point::first_of(low, s[0]), point::second_of(low, s[1]), point::first_of(high, s[4]), point::second_of(high, s[5])};
      if constexpr (RESIDUAL) {
        const u32 four = *(const u32*)(r + c);
        t[0] = point::with_residual<0>(t[0], four, e);
        t[1] = point::with_residual<1>(t[1], four, e);
        t[2] = point::with_residual<2>(t[2], four, e);
        t[3] = point::with_residual<3>(t[3], four, e);
      }
#pragma unroll
      for (int j = 0; j < 4; j++) t[j] = point::activated(t[j], e);
      *(u32*)(y + c) = point::rounded(t[0], t[1], t[2], t[3], e);
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_SM)
depthwise_conv(const __grid_constant__ TensorMap x, const int4* __restrict__ deep_weights, const deep::Channels deep_channels, const deep::Epilogue deep_e,
               const int4* __restrict__ point_weights, const point::Channels point_channels, const point::Epilogue point_e, const Problem p) {
  extern __shared__ __align__(128) u8 shared[];
  const u32 box = shared_address(shared), middle = box + BUFFER, weights = middle + MIDDLE, full = weights + WEIGHTS;
  if (threadIdx.x == 0) { barrier_init(full, 1); barriers_ready(); }
  allow_next_grid();
  for (int i = threadIdx.x; i < WEIGHTS / 16; i += THREADS) ((int4*)(shared + BUFFER + MIDDLE))[i] = __ldg(point_weights + i);
  fence_async();
  const deep::Part part;
  const deep::Weights own(deep_weights, part.quad);
  const deep::Pair pairs[2] = {deep::channel_pair(deep_channels, part.quad * 4), deep::channel_pair(deep_channels, part.quad * 4 + 2)};
  const Constants constants(point_channels);
  const int group = warp_index() / 4;
  // where the thread's first pixel is in the middle
  const u32 first_pixel = (part.image * GROUPS_H + part.group) * (ROWS * TILE_W) + part.column;
  u8* to = shared + BUFFER + part.quad / 4 * PLANE + first_pixel * 16 + part.quad % 4 * 4;
  __syncthreads();
  auto load = [&](int t) {
    const Tile tile(t, p);
    barrier_expect(full, TILE_BYTES);
    load_4d(box, &x, full, 0, tile.column * STRIDE - p.pad_w, tile.row * STRIDE - p.pad_h, tile.n);
  };
  wait_for_previous_grid();
  const int step = gridDim.x;
  if (threadIdx.x == 0 && blockIdx.x < p.tiles) load(blockIdx.x);
  u32 phase = 0;
  for (int t = blockIdx.x; t < p.tiles; t += step, phase ^= 1) {
    barrier_wait(full, phase);
    if (threadIdx.x < ACTIVE)
      deep::convolve(shared + part.offset(), own, [&](int h, int j, const int (&acc)[4]) {
        if (TILE_W % COLUMNS == 0 || part.column + j < TILE_W) *(u32*)(to + (h * TILE_W + j) * 16) = deep::finished_word(acc, pairs, deep_e);
      });
    fence_async();
    __syncthreads();                                                 // the middle is written, the box was read
    if (threadIdx.x == 0 && t + step < p.tiles) load(t + step);
    const Tile tile(t, p);
#pragma unroll
    for (int i = 0; i < BLOCKS; i += WARPGROUPS)
      if (i + group < BLOCKS) multiply(middle, weights, i + group, tile, p, constants, point_e);
    __syncthreads();                                                 // the middle was read
  }
}
