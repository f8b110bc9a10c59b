// Convolution and Linear, INT8 or halves, as an implicit product of matrices: D[channel][pixel] = sum over k of W[channel][k] X[pixel][k].
//
// Weights are the first operand of wgmma (64 output channels an instruction), pixels the second (up to 256): the numbers of a
// channel then belong to a row, which a thread keeps in registers, 64 channels run at the full rate, and few pixels
// are few columns. Inside every 16 channels the rows of 8-bit weights are permuted (row i holds channel 2i, or 2i - 15 from
// row 8 on), so that a thread owns pairs of adjacent channels of a pixel: 16 bits, which `stmatrix` transposes into pixels of
// adjacent channels. A half is 16 bits by itself: their weights are in order, and a thread owns channels 8 apart.
//
// A block stays on its multiprocessor and takes every gridDim.x-th tile, channels fastest: pixels come from memory once and
// for the other tiles of channels from the L2. Warps 0 to 7 are two warpgroups that multiply; one thread of warp 8 loads;
// one thread of warp 9 owns the buffers in which outputs are staged: it loads the residual into one, a warpgroup adds to it
// in place, it stores the buffer. All three meet at mbarriers only.
//
// The host defines:
//   TILE_C, TILE_P   channels and pixels of a tile
//   SPLIT            how two warpgroups share the work: the channels or the pixels of a tile, or whole tiles in turns (the
//                    epilogue of one is hidden by the products of the other)
//   WGMMA_N          pixels of an instruction: those of a warpgroup, rounded up to a legal number (a multiple of 16)
//   BLOCK_K          bytes along k that a stage has, the span of the swizzle: 32, 64, 128
//   STAGES, BUFFERS  how many stages of input (two or more) and buffers of output there are
//   READ             where pixels come from, as window.cuh has it; ROWS, WIDTH, TAP_ROWS. RAW16: BLOCK_K is 32, and the
//                    upper 16 of its weights are 0. PATCHES: BLOCK_K has a row of patches, SPLIT is BY_TILES, an
//                    accumulator is a row of pixels; warps 10 and 11 help warp 8.
//   RESIDENT         blocks of weights, if all of them stay in shared memory, else 0: they come with the pixels
//   IN_CHANNELS      of the input
//   CONTIGUOUS       1: a tile of outputs is one run of bytes, TILE_C covers the PITCH bytes of a pixel. For narrow pixels.
//   INPUT_SIGNED     s8 pixels, otherwise u8; and what epilogue.cuh asks for
// Numbers without a meaning for a variant are 0.

enum { BY_CHANNELS, BY_PIXELS, BY_TILES };

constexpr int GROUP_C = SPLIT == BY_CHANNELS ? TILE_C / 2 : TILE_C;  // of a warpgroup
constexpr int GROUP_P = SPLIT == BY_PIXELS ? TILE_P / 2 : TILE_P;
constexpr int BLOCKS = READ == PATCHES ? ROWS : GROUP_C / 64;        // accumulators: 64 channels, or a row of pixels, each
constexpr int BLOCK_P = READ == PATCHES ? WIDTH : GROUP_P;           // pixels of an accumulator
constexpr int PAIRS = READ == PATCHES ? 1 : BLOCKS;                  // of channels, of a thread
constexpr int WRITERS = SPLIT == BY_TILES ? 4 : 8;                   // warps that work on one tile
constexpr int FILLERS = 3;                                           // warps that cut patches

constexpr int TAPS = READ == HALO ? 9 : READ == PATCHES ? TAP_ROWS : 1;  // of a stage
constexpr int WEIGHT_BLOCK = TILE_C * BLOCK_K;
constexpr int STAGE_WEIGHTS = RESIDENT ? 0 : TAPS * WEIGHT_BLOCK;
constexpr int PIXEL_BYTES = READ == RAW16 || READ == PATCHES ? 16 : BLOCK_K;  // from one pixel of a stage to the next
constexpr int ROW_PIXELS = READ == PATCHES ? WIDTH + BLOCK_K / 16 - 1 : WIDTH + 2;  // of a row of a stage
constexpr int NEXT_ROWS = READ == PATCHES ? 2 / PATCH_ROWS : 1;      // of a stage, from one row of output to the next
constexpr int STAGE_ROWS = (ROWS - 1) * NEXT_ROWS + (READ == PATCHES ? TAP_ROWS : 3);
// The last taps of whole rows read past the last pixel loaded, for columns that are not stored.
constexpr int ROW_END = READ == PATCHES ? WGMMA_N - WIDTH + 8 : WGMMA_N - GROUP_P;
constexpr bool WHOLE_ROWS = READ == HALO || READ == PATCHES;
constexpr int STAGE_PIXELS = (WHOLE_ROWS ? STAGE_ROWS * ROW_PIXELS + round_up(ROW_END + 2, 16) : TILE_P) * PIXEL_BYTES;
constexpr int LOADED_BYTES = STAGE_WEIGHTS + (READ == HALO ? STAGE_ROWS * ROW_PIXELS : TILE_P) * PIXEL_BYTES;
constexpr u32 STAGE = round_up(STAGE_WEIGHTS + STAGE_PIXELS, 1024);
constexpr int APART = HALVES ? 8 : 1;                                // from one channel of a thread's pair to the other
constexpr int BOX_C = TILE_C * ELEMENT % 128 == 0 ? 128 : 64;        // bytes of a row of staged outputs
constexpr int BOX_P = TILE_P < 256 ? TILE_P : 256;                   // a box of the copy engine has 256 rows at most
// A row of pixels is written in eights, the last of which may end beyond it.
constexpr u32 BUFFER = round_up((TILE_P + (READ == PATCHES ? 8 : 0)) * (CONTIGUOUS ? PITCH : TILE_C * ELEMENT), 1024);
// Stores that may be in flight: the other buffers are for tiles to come.
constexpr int PENDING_STORES = RESIDUAL ? BUFFERS / 2 - (BUFFERS == 2) : BUFFERS - 1;
static_assert(STAGES >= 2, "a stage is free again one step after it was read: a ring of one stands still");
static_assert(READ != PATCHES || STAGES > FILLERS, "a warp finishes a stage when it has begun its next");

struct Problem {
  const u8 *x, *residual;                      // where no tensor map is used
  u8* y;
  Window window;
  int tiles_p, tiles_c;                        // how many tiles there are
  int tiles_h;                                 // of whole rows: tiles of an image
  int blocks_k, blocks_c;                      // steps of BLOCK_K of a tile, and of one tap
  int pixels, channels;                        // of the output of all images
  int pitch;                                   // of an output in floats: numbers from one pixel to the next
  int in_h, in_w;                              // of PATCHES: the image
  u32 padding;                                 // what surrounds it, in each byte
  u32 unused;
};

struct Maps { const TensorMap *weights, *x, *y, *residual; };

// What is where in shared memory; barriers are arrays of 8 bytes.
struct Memory {
  u32 stages, weights, buffers;
  u32 full, empty;                             // of a stage: its bytes are there; it may be loaded again
  u32 ready, written;                          // of a buffer: it may be written (the residual is there); all is written
  u32 turn, resident;                          // of a warpgroup: it may look at stages; the resident weights are there

  __device__ __forceinline__ explicit Memory(u32 start) {
    stages = round_up(start, 1024);
    weights = stages + STAGES * STAGE + (READ == RAW16 ? 1024 : 0);  // the last pixel's upper half
    buffers = weights + RESIDENT * WEIGHT_BLOCK;
    full = buffers + (OUTPUT_DIRECT ? 0 : BUFFERS * BUFFER);
    empty = full + STAGES * 8;
    ready = empty + STAGES * 8;
    written = ready + BUFFERS * 8;
    turn = written + BUFFERS * 8;
    resident = turn + 16;
  }
  __device__ __forceinline__ void init() const {
    for (int i = 0; i < STAGES; i++) { barrier_init(full + i * 8, 1); barrier_init(empty + i * 8, WRITERS); }
    for (int i = 0; i < BUFFERS; i++) { barrier_init(ready + i * 8, 1); barrier_init(written + i * 8, WRITERS); }
    for (int group = 0; group < 2; group++) barrier_init(turn + group * 8, 4);
    barrier_init(resident, 1);
    barriers_ready();
  }
};

// A place in a ring of N things; the phase flips each time round.
template <int N> struct Ring {
  u32 at = 0, phase = 0;
  __device__ __forceinline__ void advance() { if (++at == N) { at = 0; phase ^= 1; } }
};

// A step along k: which tap of the window, which block of its channels.
struct Step {
  int block = 0, tap_w = 0, tap_h = 0, tap_start = 0;
  __device__ __forceinline__ int column() const { return tap_start + block * BLOCK_K; }  // of the weights
  __device__ __forceinline__ void advance(const Problem& p) {
    if (++block < p.blocks_c) return;
    block = 0;
    tap_start += p.window.tap_pitch;
    if (++tap_w == p.window.kernel_w) { tap_w = 0; ++tap_h; }
  }
};

// ---- Warp 8: stages

// Where the pixels of a tile begin: its first pixel, or the image and the place in it.
struct Origin {
  int pixel;
  Corner at = {0, 0, 0};
  __device__ __forceinline__ Origin(int tile_p, const Problem& p) : pixel(tile_p * TILE_P) {
    if constexpr (READ == IM2COL) at = corner(p.window, pixel);
    if constexpr (READ == HALO) at = {tile_p / p.tiles_h, tile_p % p.tiles_h * ROWS - 1, -1};
  }
};

__device__ __forceinline__ void load_pixels(u32 to, u32 barrier, const Maps& maps, const Problem& p, const Origin& o, const Step& k) {
  const int c = k.block * BLOCK_K;
  if constexpr (READ == FLAT) {
#pragma unroll
    for (int row = 0; row < TILE_P; row += BOX_P) load_2d(to + row * BLOCK_K, maps.x, barrier, c, o.pixel + row);
  } else if constexpr (READ == IM2COL) {
    load_tap(to, maps.x, barrier, p.window, o.at, c, k.tap_h, k.tap_w);
  } else if constexpr (READ == HALO) {
    load_4d(to, maps.x, barrier, c, o.at.w, o.at.h, o.at.n);
  } else {
    load_bytes(to, p.x + (u64)o.pixel * 16, min(TILE_P, p.pixels - o.pixel) * 16, barrier);
  }
}

__device__ __forceinline__ void load_weights(u32 to, u32 barrier, const Maps& maps, const Problem& p, int tile_c, const Step& k) {
#pragma unroll
  for (int tap = 0; tap < TAPS; tap++)
    load_2d(to + tap * WEIGHT_BLOCK, maps.weights, barrier, k.column() + tap * p.window.tap_pitch, tile_c * TILE_C);
}

__device__ __forceinline__ void load_resident(const Memory& s, const Maps& maps, const Problem& p) {
  barrier_expect(s.resident, RESIDENT * WEIGHT_BLOCK);
  u32 to = s.weights;
  for (int c = 0; c < p.tiles_c; c++) {
    Step k;
    for (int i = 0; i < p.blocks_k; i++, k.advance(p), to += TAPS * WEIGHT_BLOCK) load_weights(to, s.resident, maps, p, c, k);
  }
}

__device__ __forceinline__ void load_stages(const Memory& s, const Maps& maps, const Problem& p) {
  if constexpr (RESIDENT > 0) load_resident(s, maps, p);  // constants: no need to wait for anybody
  wait_for_previous_grid();
  allow_next_grid();
  Ring<STAGES> ring;
  ring.phase = 1;                                         // all stages are free
  for (int t = blockIdx.x; t < p.tiles_p * p.tiles_c; t += gridDim.x) {
    const Origin origin(t / p.tiles_c, p);
    Step k;
    for (int i = 0; i < p.blocks_k; i++, k.advance(p), ring.advance()) {
      const u32 stage = s.stages + ring.at * STAGE, full = s.full + ring.at * 8;
      barrier_wait(s.empty + ring.at * 8, ring.phase);
      const int cut = READ == RAW16 ? max(0, origin.pixel + TILE_P - p.pixels) * 16 : 0;
      barrier_expect(full, LOADED_BYTES - cut);
      if constexpr (RESIDENT == 0) load_weights(stage, full, maps, p, t % p.tiles_c, k);
      load_pixels(stage + STAGE_WEIGHTS, full, maps, p, origin, k);
    }
  }
}

// ---- Warps 8, 10 and 11: patches

// Begins a warp's copies of a tile's patches. Patch (0, 0) of an image begins to the left of it, and above it, where the
// padding is odd.
__device__ __forceinline__ void fill_stage(u32 stage, const Problem& p, int tile_p) {
  const int n = tile_p / p.tiles_h, above = (p.window.pad_h + PATCH_ROWS - 1) / PATCH_ROWS * PATCH_ROWS;
  const Picture picture = {p.x + (u64)n * p.in_h * p.in_w * (4 * ELEMENT), p.in_h, p.in_w, p.padding};
  cut_patches<STAGE_ROWS, ROW_PIXELS>(stage, picture, tile_p % p.tiles_h * ROWS * 2 - above, -((p.window.pad_w + 1) / 2 * 2));
}

// Every third tile is this warp's: making a stage visible to wgmma takes longer than filling it, and so do three at once.
__device__ __forceinline__ void fill_stages(const Memory& s, const Maps& maps, const Problem& p, int filler) {
  const int lane = threadIdx.x % 32;
  if (filler == 0 && lane == 0) load_resident(s, maps, p);
  wait_for_previous_grid();
  allow_next_grid();
  auto filled = [&](u32 stage) {
    fence_async();
    __syncwarp();
    if (lane == 0) barrier_arrive(s.full + stage * 8);
  };
  int before = -1;                                         // the stage whose copies are on their way
  u32 at = filler, phase = 1;
  for (int t = blockIdx.x + filler * gridDim.x; t < p.tiles_p; t += FILLERS * gridDim.x) {
    barrier_wait(s.empty + at * 8, phase);
    fill_stage(s.stages + at * STAGE, p, t);
    if (before >= 0) { wait_copies<1>(); filled(before); }
    before = at;
    at += FILLERS;
    if (at >= STAGES) { at -= STAGES; phase ^= 1; }
  }
  wait_copies<0>();
  if (before >= 0) filled(before);
}

// ---- Warp 9: buffers

// Calls `move(address in the buffer, byte of a pixel, pixel or row)` for each box of the tile.
template <class Move> __device__ __forceinline__ void each_box(u32 buffer, int tile_c, const Move& move) {
#pragma unroll
  for (int c = 0; c < TILE_C * ELEMENT; c += BOX_C)
#pragma unroll
    for (int row = 0; row < (WHOLE_ROWS ? 1 : TILE_P); row += BOX_P) 
      move(buffer + c * TILE_P + row * BOX_C, tile_c * TILE_C * ELEMENT + c, row);
}

__device__ __forceinline__ void load_residual(u32 buffer, u32 ready, const Maps& maps, const Problem& p, int tile_c, int tile_p) {
  if constexpr (CONTIGUOUS) {
    const u32 bytes = min(TILE_P, p.pixels - tile_p * TILE_P) * PITCH;
    barrier_expect(ready, bytes);
    load_bytes(buffer, p.residual + (u64)tile_p * (TILE_P * PITCH), bytes, ready);
  } else {
    barrier_expect(ready, TILE_P * TILE_C * ELEMENT);
    each_box(buffer, tile_c, [&](u32 at, int c, int row) {
      if constexpr (READ == HALO) load_4d(at, maps.residual, ready, c, 0, tile_p % p.tiles_h * ROWS, tile_p / p.tiles_h);
      else load_2d(at, maps.residual, ready, c, tile_p * TILE_P + row);
    });
  }
}

__device__ __forceinline__ void store_tile(u32 buffer, const Maps& maps, const Problem& p, int tile_c, int tile_p) {
  if constexpr (CONTIGUOUS) {
    store_bytes(p.y + (u64)tile_p * (TILE_P * PITCH), buffer, min(TILE_P, p.pixels - tile_p * TILE_P) * PITCH);
  } else {
    each_box(buffer, tile_c, [&](u32 at, int c, int row) {
      if constexpr (READ == HALO) store_4d(maps.y, at, c, 0, tile_p % p.tiles_h * ROWS, tile_p / p.tiles_h);
      else store_2d(maps.y, at, c, tile_p * TILE_P + row);
    });
  }
  commit_stores();
}

__device__ __forceinline__ void move_buffers(const Memory& s, const Maps& maps, const Problem& p) {
  wait_for_previous_grid();
  const int tiles = p.tiles_p * p.tiles_c, step = gridDim.x;
  int next = blockIdx.x;                                   // the next tile that gets a buffer
  auto prepare = [&](u32 i) {
    const u32 ready = s.ready + i * 8;
    if (next < tiles) {
      if constexpr (RESIDUAL) load_residual(s.buffers + i * BUFFER, ready, maps, p, next % p.tiles_c, next / p.tiles_c);
      else barrier_arrive(ready);
    }
    next += step;
  };
  for (int i = 0; i < BUFFERS; i++) prepare(i);
  Ring<BUFFERS> ring;
  int stored = 0;
  for (int t = blockIdx.x; t < tiles; t += step, ring.advance()) {
    barrier_wait(s.written + ring.at * 8, ring.phase);
    store_tile(s.buffers + ring.at * BUFFER, maps, p, t % p.tiles_c, t / p.tiles_c);
    // the buffer of the store before the pending ones is free
    wait_stores_read<PENDING_STORES>();
    if (stored++ >= PENDING_STORES) prepare((ring.at + BUFFERS - PENDING_STORES) % BUFFERS);
  }
  wait_stores();
}

// ---- Warps 0 to 7: products and epilogue

// From an accumulator's operands to the next one's, in 16 bytes.
constexpr int NEXT_W = READ == PATCHES ? 0 : 64 * BLOCK_K / 16, NEXT_X = READ == PATCHES ? NEXT_ROWS * ROW_PIXELS : 0;

// A tile's products. Returns with the last of them in flight, and which stage they read.
__device__ __forceinline__ u32 multiply(Sum (&acc)[BLOCKS][WGMMA_N / 2], Ring<STAGES>& ring, const Memory& s, const Problem& p, int tile_c, bool leader) {
  const int group = threadIdx.x / 128;
  const u32 own_weights = SPLIT == BY_CHANNELS ? group * GROUP_C * BLOCK_K : 0;
  const u32 own_pixels = STAGE_WEIGHTS + (SPLIT == BY_PIXELS ? group * GROUP_P * PIXEL_BYTES : 0);
  u32 before = 0;
  for (int k = 0; k < p.blocks_k; k++) {
    const u32 stage = s.stages + ring.at * STAGE;
    const u32 weights = (RESIDENT ? s.weights + (tile_c * p.blocks_k + k) * (TAPS * WEIGHT_BLOCK) : stage) + own_weights;
    barrier_wait(s.full + ring.at * 8, ring.phase);
    wgmma_fence();
#pragma unroll
    for (int tap = 0; tap < TAPS; tap++) {
      const int moved = READ == HALO ? tap / 3 * ROW_PIXELS + tap % 3 : READ == PATCHES ? tap * ROW_PIXELS : 0;
      const u32 pixels = stage + own_pixels + moved * PIXEL_BYTES;
      const u64 w = swizzled_rows<BLOCK_K>(weights + tap * WEIGHT_BLOCK);
      const u64 x = PIXEL_BYTES == 16 ? raw_pixels(pixels) : swizzled_rows<BLOCK_K>(pixels);
#pragma unroll
      for (int i = 0; i < BLOCK_K / 32; i++)
#pragma unroll
        for (int m = 0; m < BLOCKS; m++) wgmma(acc[m], w + m * NEXT_W + i * 2, x + m * NEXT_X + i * 2, (k | tap | i) != 0);
    }
    wgmma_commit();
    if (k > 0) {
      wgmma_wait<1>();
      if (leader) barrier_arrive(s.empty + before * 8);
    }
    before = ring.at;
    ring.advance();
  }
  return before;
}

// The first channel of a thread in an accumulator: of pair `threadIdx.x % 32 / 4` of the 16 that its warp has of 64.
__device__ __forceinline__ int first_channel(int block) {
  const int group = threadIdx.x / 128, warp = threadIdx.x / 32 % 4;
  return (SPLIT == BY_CHANNELS ? group * GROUP_C : 0) + (READ == PATCHES ? 0 : block * 64) + warp * 16 + threadIdx.x % 32 / 4 * (HALVES ? 1 : 2);
}

// Adds to the residual and writes the tile to a buffer, in the form that the copy engine stores. A matrix of 8x8 16-bit
// elements is 8 pixels of 16 bytes: all 16 channels of a warp, or half of them.
constexpr int FOUR_P = 32 / ELEMENT;                                 // pixels of four matrices
__device__ __forceinline__ void write_buffer(const Sum (&acc)[BLOCKS][WGMMA_N / 2], const Pair (&pairs)[PAIRS], u32 buffer, const Epilogue& e) {
  const int lane = threadIdx.x % 32, first_row = SPLIT == BY_PIXELS ? threadIdx.x / 128 * GROUP_P : 0;
#pragma unroll
  for (int m = 0; m < BLOCKS; m++) {
    const int chunk = first_channel(m) / 16 * ELEMENT;     // of 16 bytes
    if (CONTIGUOUS && chunk * 16 >= PITCH) continue;
    auto place = [&](u32 row, u32 chunk) -> u32 {
      if (CONTIGUOUS) return buffer + row * PITCH + chunk * 16;
      const u32 box = chunk * 16 / BOX_C, swizzle = BOX_C == 128 ? row & 7 : row >> 1 & 3;
      return buffer + box * TILE_P * BOX_C + row * BOX_C + ((chunk % (BOX_C / 16) ^ swizzle) << 4);
    };
    constexpr int PIXEL = CONTIGUOUS ? PITCH : BOX_C;
    const u32 row = first_row + (READ == PATCHES ? m * WIDTH : 0) + lane % 8;
    const u32 four = place(row + lane / 8 / ELEMENT * 8, chunk + lane / 8 % ELEMENT);
    const Pair& pair = pairs[m % PAIRS];
#pragma unroll
    for (int i = 0; i < BLOCK_P / FOUR_P; i++) {
      u32 r[4] = {0, 0, 0, 0};
      if constexpr (RESIDUAL) load_matrices(r, four + i * FOUR_P * PIXEL);
#pragma unroll
      for (int j = 0; j < 4; j++) r[j] = finished_matrix(&acc[m][(i * 4 + j) * (4 / ELEMENT)], j % ELEMENT, pair, r[j], e);
      store_matrices(four + i * FOUR_P * PIXEL, r);
    }
    constexpr int DONE = BLOCK_P / FOUR_P * FOUR_P;        // the last pixels, eight at a time
#pragma unroll
    for (int j = 0; j < ELEMENT; j++) {
      const u32 one = place(row + DONE, chunk + j);
#pragma unroll
      for (int i = 0; i < (BLOCK_P - DONE + 7) / 8; i++) {
        u32 r = 0;
        if constexpr (RESIDUAL) load_matrix(r, one + i * 8 * PIXEL);
        store_matrix(one + i * 8 * PIXEL, finished_matrix(&acc[m][DONE / 2 + i * 4 + j * (4 / ELEMENT)], j, pair, r, e));
      }
    }
  }
  fence_async();
}

// Writes floats from registers: eight lanes have a sector of 16 neighbouring channels.
__device__ __forceinline__ void write_floats(const Sum (&acc)[BLOCKS][WGMMA_N / 2], const Pair (&pairs)[PAIRS], const Problem& p, int tile_c, int tile_p, const Epilogue& e) {
  const int first = tile_p * TILE_P + (SPLIT == BY_PIXELS ? threadIdx.x / 128 * GROUP_P : 0) + threadIdx.x % 4 * 2;
#pragma unroll
  for (int m = 0; m < BLOCKS; m++) {
    const int c = tile_c * TILE_C + first_channel(m);
#pragma unroll
    for (int i = 0; i < GROUP_P / 8; i++) {
      const Quad q = finished(&acc[m][i * 4], pairs[m], Residual{}, e);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int pixel = first + i * 8 + j / 2, channel = c + j % 2 * APART;
        if (pixel < p.pixels && channel < p.channels) ((Y_T*)p.y)[(u64)pixel * p.pitch + channel] = q.t[j];
      }
    }
  }
}

__device__ __forceinline__ void multiply_tiles(const Memory& s, const Problem& p, const Channels& channels, const Epilogue& e) {
  const int group = warp_index() / 4;
  const bool leader = threadIdx.x % 32 == 0;
  constexpr int TURNS = SPLIT == BY_TILES ? 2 : 1;
  Sum acc[BLOCKS][WGMMA_N / 2];
  Ring<STAGES> ring;
  // Whole tiles in turns: a warpgroup passes over the other's stages.
  const u32 rounds = p.blocks_k / STAGES, rest = p.blocks_k % STAGES;
  if (SPLIT == BY_TILES && group == 1) { ring.at = rest; ring.phase = rounds & 1; }
  if constexpr (RESIDENT > 0) barrier_wait(s.resident, 0);
  int j = SPLIT == BY_TILES ? group : 0;
  for (int t = blockIdx.x + j * gridDim.x; t < p.tiles_p * p.tiles_c; j += TURNS, t += TURNS * gridDim.x) {
    const int tile_c = t % p.tiles_c, buffer = j % BUFFERS;
    Pair pairs[PAIRS];
#pragma unroll
    for (int m = 0; m < PAIRS; m++) pairs[m] = channel_pair<APART>(channels, tile_c * TILE_C + first_channel(m));
    // Until the other warpgroup has seen all stages of the tile before, a barrier may be a whole round behind.
    if (SPLIT == BY_TILES && j > 0) barrier_wait(s.turn + group * 8, (j - 1) / 2 & 1);
    const u32 last = multiply(acc, ring, s, p, tile_c, leader);
    if (SPLIT == BY_TILES && leader) barrier_arrive(s.turn + (group ^ 1) * 8);
    wgmma_wait<0>();
    if (leader) barrier_arrive(s.empty + last * 8);
    if constexpr (OUTPUT_DIRECT) {
      write_floats(acc, pairs, p, tile_c, t / p.tiles_c, e);
    } else {
      barrier_wait(s.ready + buffer * 8, j / BUFFERS & 1);
      write_buffer(acc, pairs, s.buffers + buffer * BUFFER, e);
      __syncwarp();
      if (leader) barrier_arrive(s.written + buffer * 8);
    }
    if (SPLIT == BY_TILES) {
      ring.at += rest;
      ring.phase ^= rounds & 1;
      if (ring.at >= STAGES) { ring.at -= STAGES; ring.phase ^= 1; }
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)  // three warpgroups: setmaxnreg takes whole ones
conv_wgmma(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap y,
           const __grid_constant__ TensorMap residual, const Channels channels, const Epilogue e, const Problem p) {
  extern __shared__ u8 shared[];
  const Memory s(shared_address(shared));
  const Maps maps = {&weights, &x, &y, &residual};
  const int warp = warp_index();
  if (threadIdx.x == 256) { prefetch_map(&weights); prefetch_map(&x); prefetch_map(&y); }
  if (threadIdx.x == 0) s.init();
  __syncthreads();
  if (warp < 8) {
    take_registers<232>();
    // floats are written where an earlier grid may still read
    if constexpr (OUTPUT_DIRECT) wait_for_previous_grid();
    multiply_tiles(s, p, channels, e);
  } else {
    give_registers<40>();
    const bool one = threadIdx.x % 32 == 0;
    if (READ == PATCHES && warp != 9) fill_stages(s, maps, p, max(warp - 9, 0));
    if (READ != PATCHES && warp == 8 && one) load_stages(s, maps, p);
    if (warp == 9 && one && !OUTPUT_DIRECT) move_buffers(s, maps, p);
  }
}
