// Depthwise convolution in INT8, 3x3 or 5x5, stride 1 or 2, any padding, channels last.
//
// A block of threads keeps BLOCK_C channels and walks over tiles; a tile is one box of the copy engine, {BLOCK_C channels, BOX_W
// columns, rows, IMAGES}, in a ring of BUFFERS. What is out of bounds is 0, so that the loop has no conditions. A thread
// owns 4 channels by COLUMNS columns of the output and slides down ROWS rows of it: of each row of the input it reads the
// words that it needs (4 channels of a pixel), transposes them, so that a word is 4 neighbouring pixels of one channel, and
// adds the row to every row of the output that it belongs to, by dp4a. The channels of a pixel come out side by side.
//
// The host defines:
//   KERNEL, STRIDE       3 or 5; 1 or 2
//   BLOCK_C              channels of a block: whole sectors of 32 bytes, or all there are
//   TILE_W, GROUPS_H, IMAGES  columns, groups of ROWS rows, and images of a tile
//   ROWS, COLUMNS        of the output, of a thread; COLUMNS is 4 where STRIDE is 1, 2 where it is 2
//   BOX_W                columns that are loaded: what TILE_W needs, and what keeps threads off each other's banks
//   BUFFERS, BLOCKS_PER_SM
//   CUT_ROWS, CUT_COLUMNS  1 where tiles reach beyond the output: the last ones are cut
//   INPUT_SIGNED         s8 pixels, otherwise u8; and what epilogue.cuh asks for
// Weights: an int4 for each 4 channels, row and word of the kernel, a channel's word having up to 4 columns.

static_assert(COLUMNS == (STRIDE == 1 ? 4 : 2), "the words of neighbouring pixels are cut for these");

constexpr int QUADS = BLOCK_C / 4, STRIPS = GROUPS_H * IMAGES, COLUMN_GROUPS = (TILE_W + COLUMNS - 1) / COLUMNS;
constexpr int ACTIVE = QUADS * STRIPS * COLUMN_GROUPS, THREADS = (ACTIVE + 31) / 32 * 32;
constexpr int ROWS_IN = (ROWS - 1) * STRIDE + KERNEL;           // of a thread
constexpr int COLUMNS_IN = (COLUMNS - 1) * STRIDE + KERNEL;
constexpr int OPEN_ROWS = (KERNEL + STRIDE - 1) / STRIDE;       // rows of the output that a row of the input adds to
constexpr int BOX_H = (GROUPS_H * ROWS - 1) * STRIDE + KERNEL;
constexpr u32 TILE_BYTES = IMAGES * BOX_H * BOX_W * BLOCK_C, BUFFER = round_up(TILE_BYTES, 128);
constexpr int WORDS = KERNEL == 3 ? 1 : 2;                      // of a row of the kernel
constexpr int SHIFTS = KERNEL == 3 && STRIDE == 1 ? 2 : WORDS;  // forms of a row that are kept in registers

struct Problem {
  u8* y;
  u64 image_pitch;                                              // bytes from one image of the output to the next
  int pitch, row_pitch;                                         // from one pixel, and one row
  int images, out_h, out_w, channels;
  int blocks_c, tiles_h, tiles_w, tiles;                        // `tiles` of one block of channels
  int pad_h, pad_w;
};

struct Tile {
  int n, row, column;                                           // the first of the output
  __device__ __forceinline__ Tile(int t, const Problem& p) {
    const int strip = t / p.tiles_w;
    column = t % p.tiles_w * TILE_W;
    row = strip % p.tiles_h * (GROUPS_H * ROWS);
    n = strip / p.tiles_h * IMAGES;
  }
};

// A thread's part of a tile.
struct Part {
  int quad, group, image, column;
  __device__ __forceinline__ Part() {
    const int strip = threadIdx.x / QUADS % STRIPS;
    quad = threadIdx.x % QUADS;
    group = strip % GROUPS_H;
    image = strip / GROUPS_H;
    column = threadIdx.x / (QUADS * STRIPS) * COLUMNS;
  }
  // Where its first word is in a buffer.
  __device__ __forceinline__ int offset() const {
    return ((image * BOX_H + group * (ROWS * STRIDE)) * BOX_W + column * STRIDE) * BLOCK_C + quad * 4;
  }
};

// The sum of 4 products of bytes, pixels and s8 weights.
__device__ __forceinline__ int dot(u32 pixels, int weights, int sum) {
  int r;
#if INPUT_SIGNED
  asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(pixels), "r"(weights), "r"(sum));
#else
  asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(r) : "r"(pixels), "r"(weights), "r"(sum));
#endif
  return r;
}

// The kernel of 4 channels, in the forms in which it meets words of 4 pixels.
struct Weights {
  int w[KERNEL][SHIFTS][4];
  __device__ __forceinline__ Weights(const int4* all, int quad) {
#pragma unroll
    for (int r = 0; r < KERNEL; r++)
#pragma unroll
      for (int k = 0; k < WORDS; k++) {
        const int4 v = __ldg(all + (quad * KERNEL + r) * WORDS + k);
        // the fifth column of a kernel of 5 is the last byte of the word that begins one pixel (stride 2: two) after the first
        const int shift = k == 0 ? 0 : STRIDE == 1 ? 24 : 16;
        w[r][k][0] = v.x << shift; w[r][k][1] = v.y << shift; w[r][k][2] = v.z << shift; w[r][k][3] = v.w << shift;
      }
    if constexpr (KERNEL == 3 && STRIDE == 1) {                 // the second of two columns that share a word of pixels
#pragma unroll
      for (int r = 0; r < 3; r++)
#pragma unroll
        for (int c = 0; c < 4; c++) w[r][1][c] = w[r][0][c] << 8;
    }
  }
  // Adds a row of the kernel to the sums of column J, whose words of pixels are `words`.
  template <int N> __device__ __forceinline__ int add(const u32 (&words)[N][4], int row, int j, int c, int sum) const {
    if constexpr (KERNEL == 3 && STRIDE == 1) return dot(words[j / 2][c], w[row][j % 2][c], sum);
    else if constexpr (KERNEL == 3) return dot(words[j][c], w[row][0][c], sum);
    else return dot(words[j + 1][c], w[row][1][c], dot(words[j][c], w[row][0][c], sum));
  }
};

// The words of a row: [i][c] is 4 neighbouring pixels of channel c. With stride 1 and a kernel of 3 they begin at every
// second pixel, with stride 2 too; with stride 1 and a kernel of 5 at every pixel.
constexpr int EVEN_WORDS = (COLUMNS_IN + 1) / 2 - 1;
constexpr bool EVERY_PIXEL = KERNEL == 5 && STRIDE == 1;
constexpr int ROW_WORDS = EVERY_PIXEL ? 5 : EVEN_WORDS;
__device__ __forceinline__ void row_words(u32 (&words)[ROW_WORDS][4], const u8* from) {
  u32 pixel[COLUMNS_IN + 1];
#pragma unroll
  for (int i = 0; i < COLUMNS_IN; i++) pixel[i] = *(const u32*)(from + i * BLOCK_C);
  pixel[COLUMNS_IN] = pixel[COLUMNS_IN - 1];
  u32 low[EVEN_WORDS + 1], high[EVEN_WORDS + 1];                // two pixels of channels 0 and 1, of 2 and 3
#pragma unroll
  for (int i = 0; i <= EVEN_WORDS; i++) {
    low[i] = permute(pixel[2 * i], pixel[2 * i + 1], 0x5140u);
    high[i] = permute(pixel[2 * i], pixel[2 * i + 1], 0x7362u);
  }
  constexpr int STEP = EVERY_PIXEL ? 4 : 1, PAIRS = EVERY_PIXEL ? 2 : 1;
#pragma unroll
  for (int i = 0; i < ROW_WORDS; i += STEP) {
    const int k = i / STEP * PAIRS;
    words[i][0] = permute(low[k], low[k + 1], 0x5410u);
    words[i][1] = permute(low[k], low[k + 1], 0x7632u);
    words[i][2] = permute(high[k], high[k + 1], 0x5410u);
    words[i][3] = permute(high[k], high[k + 1], 0x7632u);
  }
  if constexpr (EVERY_PIXEL) {
#pragma unroll
    for (int c = 0; c < 4; c++)
#pragma unroll
      for (int i = 1; i < 4; i++) words[i][c] = permute(words[0][c], words[4][c], 0x3210u + i * 0x1111u);
  }
}

// Stores a pixel's 4 channels.
__device__ __forceinline__ void store(u8* y, const int (&acc)[4], const Pair (&pairs)[2], const Epilogue& e) {
  *(u32*)y = rounded(activated(first_of(pairs[0], acc[0]), e), activated(second_of(pairs[0], acc[1]), e),
                     activated(first_of(pairs[1], acc[2]), e), activated(second_of(pairs[1], acc[3]), e), e);
}

// A thread's part of a tile: `from` is in shared memory, `y` its first pixel, of which so many rows and columns are there.
__device__ __forceinline__ void convolve(const u8* from, u8* y, int rows, int columns, const Weights& weights, const Pair (&pairs)[2],
                                         const Problem& p, const Epilogue& e) {
  int acc[OPEN_ROWS][COLUMNS][4];
#pragma unroll
  for (int h = 0; h < ROWS_IN; h++) {
    u32 words[ROW_WORDS][4];
    row_words(words, from + h * (BOX_W * BLOCK_C));
#pragma unroll
    for (int r = 0; r < KERNEL; r++) {
      if (h < r || (h - r) % STRIDE != 0 || (h - r) / STRIDE >= ROWS) continue;
      const int open = (h - r) / STRIDE % OPEN_ROWS;
#pragma unroll
      for (int j = 0; j < COLUMNS; j++)
#pragma unroll
        for (int c = 0; c < 4; c++) acc[open][j][c] = weights.add(words, r, j, c, r == 0 ? 0 : acc[open][j][c]);
    }
    if (h < KERNEL - 1 || (h - (KERNEL - 1)) % STRIDE != 0) continue;
    const int row = (h - (KERNEL - 1)) / STRIDE;                // complete
#pragma unroll
    for (int j = 0; j < COLUMNS; j++)
      if ((!CUT_ROWS || row < rows) && (!CUT_COLUMNS || j < columns)) store(y + j * p.pitch, acc[row % OPEN_ROWS][j], pairs, e);
    y += p.row_pitch;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_SM)
depthwise_tma(const __grid_constant__ TensorMap x, const int4* __restrict__ weights, const Channels channels, const Epilogue e,
              const Problem p) {
  extern __shared__ __align__(128) u8 shared[];
  const u32 buffers = shared_address(shared), full = buffers + BUFFERS * BUFFER;
  const int block = blockIdx.x % p.blocks_c, first = blockIdx.x / p.blocks_c, step = gridDim.x / p.blocks_c;
  if (threadIdx.x == 0) {
    for (int i = 0; i < BUFFERS; i++) barrier_init(full + i * 8, 1);
    barriers_ready();
  }
  allow_next_grid();
  const Part part;
  const int channel = block * BLOCK_C + part.quad * 4;
  const Weights own(weights, channel / 4);
  const Pair pairs[2] = {channel_pair(channels, channel), channel_pair(channels, channel + 2)};
  __syncthreads();
  auto load = [&](int t, int i) {
    const Tile tile(t, p);
    barrier_expect(full + i * 8, TILE_BYTES);
    load_4d(buffers + i * BUFFER, &x, full + i * 8, block * BLOCK_C, tile.column * STRIDE - p.pad_w, tile.row * STRIDE - p.pad_h, tile.n);
  };
  wait_for_previous_grid();
  if (threadIdx.x == 0)
    for (int i = 0; i < BUFFERS; i++)
      if (first + i * step < p.tiles) load(first + i * step, i);
  int buffer = 0;
  u32 phase = 0;
  for (int t = first; t < p.tiles; t += step) {
    const Tile tile(t, p);
    const int n = tile.n + part.image, row = tile.row + part.group * ROWS, column = tile.column + part.column;
    u8* y = p.y + n * p.image_pitch + ((u64)row * p.out_w + column) * p.pitch + channel;
    const bool there = threadIdx.x < ACTIVE && n < p.images && channel < p.channels;
    barrier_wait(full + buffer * 8, phase);
    if (there) convolve(shared + buffer * BUFFER + part.offset(), y, p.out_h - row, min(TILE_W - part.column, p.out_w - column), own, pairs, p, e);
    __syncthreads();
    if (threadIdx.x == 0 && t + BUFFERS * step < p.tiles) load(t + BUFFERS * step, buffer);
    if (++buffer == BUFFERS) { buffer = 0; phase ^= 1; }
  }
}
