// A network's first convolution, of at most 4 channels and stride 2, and the maximum of windows 3x3, stride 2, over it, INT8,
// as one step: what is between them never leaves the registers.
//
// Requantizing keeps the order of numbers, so the maximum is taken of the sums, and a quarter as many numbers are requantized.
//
// Two warpgroups multiply, each a band of rows of one image. A tile is a row of the output: two rows of the convolution, whose
// 64 channels by WIDTH pixels are two accumulators; the row before them that a window sees too is carried over from the
// tile above, so that a band begins one tile early. Each warpgroup walks down its image over a ring of steps of two rows of
// patches, which two warps fill; a tile reads its own step and the next ones. Weights stay in registers.
//
// The host defines:
//   WIDTH, HEIGHT    columns and rows of the convolution
//   WGMMA_N          columns of an instruction: WIDTH, rounded up to a multiple of 16
//   TAP_ROWS         rows of patches of a window     BLOCK_K   bytes of such a row, a multiple of 32
//   POOL_H, POOL_W   rows and columns of padding before the first window of the maximum, 0 or 1
//   OUTPUT_H, OUTPUT_W  rows and columns of the output     PITCH     bytes of its pixels
//   STEPS            of a ring                       THREADS   of a block
// and what epilogue.cuh and patches.cuh ask for.

constexpr int AHEAD = TAP_ROWS / 2;                          // steps that a tile reads beyond its own
constexpr int ROW_PATCHES = WIDTH + BLOCK_K / 16 - 1;
constexpr u32 STEP = 2 * ROW_PATCHES * 16;
constexpr u32 RING = round_up(STEPS * STEP + (WGMMA_N - WIDTH + 8) * 16, 128);  // the last row is read beyond its end
constexpr int FILLERS = 2;                                   // warps that fill a ring
constexpr int PARTS = TAP_ROWS * BLOCK_K / 32;               // instructions of a row
constexpr int EIGHTS = WGMMA_N / 8;                          // of columns: a thread has two of each, for two channels
constexpr int BUFFERS = 3;                                   // of a row of the output: written, on its way, free
constexpr u32 BUFFER = round_up(WGMMA_N / 2 * PITCH, 128);
// Do the last windows reach beyond the convolution's rows?
constexpr bool CUT_ROWS = 2 * OUTPUT_H - POOL_H >= HEIGHT;
constexpr int LOWEST = -2147483647 - 1;
static_assert(STEPS >= AHEAD + 1 + FILLERS, "a warp finishes a step when it has begun its next");

struct Problem {
  const u8* x;
  u8* y;
  u64 x_pitch, y_pitch;      // bytes from one image to the next
  int in_h, in_w;            // the image
  int above, left;           // pixels of padding before the first patch
  int rows;                  // of the output of an image
  int bands, band_rows;      // of an image, and rows of one
  int count;                 // bands of all images
  u32 padding;               // what surrounds an image, in each byte
  u32 unused;
};

// What is where in shared memory, for each warpgroup; barriers are arrays of 8 bytes.
struct Memory {
  u32 ring, buffers, full, empty;
  __device__ __forceinline__ Memory(u32 start, int group) {
    start = round_up(start, 128);
    ring = start + group * RING;
    buffers = start + 2 * RING + group * BUFFERS * BUFFER;
    full = start + 2 * RING + 2 * BUFFERS * BUFFER + group * 2 * STEPS * 8;
    empty = full + STEPS * 8;
  }
  __device__ __forceinline__ void init() const {
    for (int i = 0; i < STEPS; i++) { barrier_init(full + i * 8, 1); barrier_init(empty + i * 8, 4); }
  }
};

// Calls `work(image, first tile, first row of the output, end)` for each band of this warpgroup.
template <class Work> __device__ __forceinline__ void each_band(const Problem& p, int group, const Work& work) {
  for (int i = blockIdx.x + group * gridDim.x; i < p.count; i += 2 * gridDim.x) {
    const int row = i % p.bands * p.band_rows, end = min(row + p.band_rows, p.rows);
    work(i / p.bands, row - (POOL_H == 0 || row > 0), row, end);
  }
}

// ---- Warps 8 to 11: patches

__device__ __forceinline__ void fill_ring(const Memory& s, const Problem& p, int group, int filler) {
  const int lane = threadIdx.x % 32;
  wait_for_previous_grid();
  allow_next_grid();
  auto filled = [&](u32 step) {
    fence_async();
    __syncwarp();
    if (lane == 0) barrier_arrive(s.full + step * 8);
  };
  int before = -1;                                            // the step whose copies are on their way
  u32 at = filler, phase = 1;
  int turn = filler;                                          // steps until it is this warp's turn
  each_band(p, group, [&](int image, int tile, int, int end) {
    const Picture picture = {p.x + image * p.x_pitch, p.in_h, p.in_w, p.padding};
    const int steps = end + AHEAD - tile;
    for (; turn < steps; turn += FILLERS) {
      barrier_wait(s.empty + at * 8, phase);
      const int row = (tile + turn) * 2 + 1 - POOL_H;         // of patches, which are two rows of pixels
      cut_patches<2, ROW_PATCHES>(s.ring + at * STEP, picture, row * 2 - p.above, -p.left);
      if (before >= 0) { wait_copies<1>(); filled(before); }
      before = at;
      at += FILLERS;
      if (at >= STEPS) { at -= STEPS; phase ^= 1; }
    }
    turn -= steps;
  });
  wait_copies<0>();
  if (before >= 0) filled(before);
}

// ---- Warps 0 to 7: products and maxima

// The weights of a thread, as the first operand of all instructions of a row.
__device__ __forceinline__ void load_weights(u32 (&w)[PARTS][4], const u8* weights, bool wanted) {
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
  for (int part = 0; part < PARTS; part++)
#pragma unroll
    for (int i = 0; i < 4; i++)
      w[part][i] = !wanted ? 0 : *(const u32*)(weights + (row + i % 2 * 8) * (PARTS * 32) + part * 32 + i / 2 * 16 + lane % 4 * 4);
}

// The largest of three neighbouring columns of a row, for all that a thread has: of two channels, every eight columns one,
// which belongs to columns 2i and 2i + 1. The third is its neighbour's: the one before them, or the one behind.
__device__ __forceinline__ void largest_columns(int (&most)[EIGHTS][2], const Sum (&acc)[WGMMA_N / 2]) {
  const int lane = threadIdx.x % 32, quarter = lane % 4;
  const int neighbour = (lane & ~3) | ((quarter + (POOL_W ? 3 : 1)) & 3);
#pragma unroll
  for (int channel = 0; channel < 2; channel++) {
    auto sum = [&](int i, int column) -> int {
      const int s = acc[i * 4 + channel * 2 + column];
      return i * 8 + 8 > WIDTH && i * 8 + quarter * 2 + column >= WIDTH ? LOWEST : s;
    };
    if constexpr (POOL_W) {
      int before = LOWEST;
#pragma unroll
      for (int i = 0; i < EIGHTS; i++) {
        const int other = __shfl_sync(~0u, sum(i, 1), neighbour);
        most[i][channel] = max(max(sum(i, 0), sum(i, 1)), quarter == 0 ? before : other);
        before = other;
      }
    } else {
      int behind = LOWEST;
#pragma unroll
      for (int i = EIGHTS - 1; i >= 0; i--) {
        const int other = __shfl_sync(~0u, sum(i, 0), neighbour);
        most[i][channel] = max(max(sum(i, 0), sum(i, 1)), quarter == 3 ? behind : other);
        behind = other;
      }
    }
  }
}

// Requantizes a row of the output and writes it to a buffer, pixel by pixel. A matrix of 8x8 16-bit elements is 8 pixels of
// 16 channels, of which a thread has pixels four apart.
__device__ __forceinline__ void write_row(u32 buffer, const int (&most)[EIGHTS][2], const Pair& pair, const Epilogue& e) {
  const int lane = threadIdx.x % 32;
  const u32 to = buffer + (lane / 8 * 8 + lane % 8 / 2 + lane % 2 * 4) * PITCH + threadIdx.x / 32 % 4 * 16;
  auto bytes = [&](int i) -> u32 {
    const Sum two[4] = {most[2 * i][0], most[2 * i + 1][0], most[2 * i][1], most[2 * i + 1][1]};
    return finished_bytes(two, pair, 0, e);
  };
  constexpr int MATRICES = EIGHTS / 2, DONE = MATRICES / 4 * 4;
#pragma unroll
  for (int i = 0; i < DONE; i += 4) {
    const u32 r[4] = {bytes(i), bytes(i + 1), bytes(i + 2), bytes(i + 3)};
    store_matrices(to + i * 8 * PITCH, r);
  }
  const u32 one = to - lane / 8 * 8 * PITCH;
#pragma unroll
  for (int i = DONE; i < MATRICES; i++) store_matrix(one + i * 8 * PITCH, bytes(i));
}

__device__ __forceinline__ void multiply_bands(const Memory& s, const Problem& p, const u8* weights, const Channels& channels, const Epilogue& e, int group) {
  const int warp = threadIdx.x / 32 % 4;
  const bool leader = threadIdx.x % 32 == 0, wanted = warp * 16 < PITCH;
  u32 w[PARTS][4];
  load_weights(w, weights, wanted);
  const Pair pair = channel_pair(channels, warp * 16 + threadIdx.x % 32 / 4 * 2);
  Sum acc[2][WGMMA_N / 2];
  u32 at = 0, phase = 0, buffer = 0;
  auto slot = [&](int i) -> u32 { return at + i < STEPS ? at + i : at + i - STEPS; };
  auto await = [&](int i) { barrier_wait(s.full + slot(i) * 8, phase ^ (at + i >= STEPS)); };
  auto release = [&]() {
    if (leader) barrier_arrive(s.empty + at * 8);
    if (++at == STEPS) { at = 0; phase ^= 1; }
  };
  wait_for_previous_grid();                                   // the output may be what it reads
  each_band(p, group, [&](int image, int tile, int first, int end) {
    int carried[EIGHTS][2];                                   // of the row above a tile
#pragma unroll
    for (int i = 0; i < EIGHTS * 2; i++) carried[i / 2][i % 2] = LOWEST;
#pragma unroll
    for (int i = 0; i < AHEAD; i++) await(i);
    for (; tile < end; tile++) {
      await(AHEAD);
      wgmma_fence();
#pragma unroll
      for (int part = 0; part < PARTS; part++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
          const int row = h + part * 32 / BLOCK_K;            // of patches, from the tile's first
          const u32 patches = s.ring + slot(row / 2) * STEP + row % 2 * ROW_PATCHES * 16;
          wgmma(acc[h], w[part], raw_pixels(patches) + part * 32 % BLOCK_K / 16, part != 0);
        }
      wgmma_commit();
      wgmma_wait<0>();
      release();
      int most[2][EIGHTS][2];
      const int row = tile * 2 + 1 - POOL_H;                  // of the convolution
      if (wanted) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
          largest_columns(most[h], acc[h]);
          if (CUT_ROWS && row + h >= HEIGHT) {
#pragma unroll
            for (int i = 0; i < EIGHTS * 2; i++) most[h][i / 2][i % 2] = LOWEST;
          }
        }
#pragma unroll
        for (int i = 0; i < EIGHTS; i++)
#pragma unroll
          for (int c = 0; c < 2; c++) {
            most[0][i][c] = max(max(carried[i][c], most[0][i][c]), most[1][i][c]);
            carried[i][c] = most[1][i][c];
          }
      }
      if (tile < first) continue;
      if (wanted) write_row(s.buffers + buffer * BUFFER, most[0], pair, e);
      fence_async();
      asm volatile("bar.sync %0, 128;" :: "r"(1 + group) : "memory");
      if (threadIdx.x % 128 == 0) {
        store_bytes(p.y + image * p.y_pitch + (u64)tile * (OUTPUT_W * PITCH), s.buffers + buffer * BUFFER, OUTPUT_W * PITCH);
        commit_stores();
        wait_stores_read<1>();                                // known to all at the next barrier
      }
      if (++buffer == BUFFERS) buffer = 0;
    }
#pragma unroll
    for (int i = 0; i < AHEAD; i++) release();
  });
  if (threadIdx.x % 128 == 0) wait_stores();
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)  // three warpgroups: setmaxnreg takes whole ones
conv_pool(const u8* __restrict__ weights, const Channels channels, const Epilogue e, const Problem p) {
  extern __shared__ u8 shared[];
  const int warp = warp_index(), group = warp < 8 ? warp / 4 : warp % 2;
  const Memory s(shared_address(shared), group);
  if (warp < 8 && threadIdx.x % 128 == 0) { s.init(); barriers_ready(); }
  __syncthreads();
  if (warp < 8) {
    take_registers<232>();
    multiply_bands(s, p, weights, channels, e, group);
  } else {
    give_registers<40>();
    fill_ring(s, p, group, (warp - 8) / 2);
  }
}
