// A tile of a depthwise convolution, 3x3 or 5x5, stride 1 or 2, from a box of the copy engine in shared memory: {BLOCK_C bytes
// of channels, BOX_W columns, rows, IMAGES}. What is out of bounds is 0, so that the loop has no conditions.
//
// A thread owns a word of channels (4 in 8 bits, 2 halves) by COLUMNS columns of the output and slides down ROWS rows of it: of
// each row of the input it reads the words that it needs and adds the row to every row of the output that it belongs to.
// 8-bit words it transposes first, so that one is 4 neighbouring pixels of one channel, for dp4a; halves become floats. The
// channels of a pixel come out side by side.
//
// The host defines:
//   KERNEL, STRIDE       3 or 5; 1 or 2
//   BLOCK_C              bytes of a block's channels: whole sectors of 32, or all there are
//   TILE_W, GROUPS_H, IMAGES  columns, groups of ROWS rows, and images of a tile
//   ROWS, COLUMNS        of the output, of a thread; COLUMNS is 4 where STRIDE is 1, 2 where it is 2
//   BOX_W                columns that are loaded: what TILE_W needs, and what keeps threads off each other's banks
//   CUT_ROWS, CUT_COLUMNS  1 where tiles reach beyond the output: the last ones are cut
//   INPUT_SIGNED         s8 pixels, otherwise u8; and what epilogue.cuh asks for. dp4a.cuh stands before this file.
// Weights: an int4 for each 4 channels, row and word of the kernel, a channel's word having up to 4 columns; of halves a word for
// each 2 channels, row and column.

static_assert(COLUMNS == (STRIDE == 1 ? 4 : 2), "the words of neighbouring pixels are cut for these");

constexpr int WIDE = 4 / ELEMENT;                               // channels of a word
constexpr int QUADS = BLOCK_C / 4, STRIPS = GROUPS_H * IMAGES, COLUMN_GROUPS = (TILE_W + COLUMNS - 1) / COLUMNS;
constexpr int ACTIVE = QUADS * STRIPS * COLUMN_GROUPS, THREADS = (ACTIVE + 31) / 32 * 32;
constexpr int ROWS_IN = (ROWS - 1) * STRIDE + KERNEL;           // of a thread
constexpr int COLUMNS_IN = (COLUMNS - 1) * STRIDE + KERNEL;
constexpr int OPEN_ROWS = (KERNEL + STRIDE - 1) / STRIDE;       // rows of the output that a row of the input adds to
constexpr int BOX_H = (GROUPS_H * ROWS - 1) * STRIDE + KERNEL;
constexpr u32 TILE_BYTES = IMAGES * BOX_H * BOX_W * BLOCK_C, BUFFER = round_up(TILE_BYTES, 128);

// A tile of `tiles_h` by `tiles_w` for each set of images, as the kernel's problem says.
struct Tile {
  int n, row, column;                                           // the first of the output
  template <class Problem> __device__ __forceinline__ Tile(int t, const Problem& p) {
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

#if HALVES
typedef u32 PackedWeights;

// The kernel of 2 channels.
struct Weights {
  float w[KERNEL][KERNEL][2];
  __device__ __forceinline__ Weights(const u32* all, int word) {
#pragma unroll
    for (int r = 0; r < KERNEL; r++)
#pragma unroll
      for (int k = 0; k < KERNEL; k++) {
        const u32 two = __ldg(all + (word * KERNEL + r) * KERNEL + k);
        w[r][k][0] = low_half(two);
        w[r][k][1] = high_half(two);
      }
  }
  // Adds a row of the kernel to the sum of column J.
  __device__ __forceinline__ float add(const float (&row)[COLUMNS_IN][2], int r, int j, int c, float sum) const {
#pragma unroll
    for (int k = 0; k < KERNEL; k++) sum = __fmaf_rn(row[j * STRIDE + k][c], w[r][k][c], sum);
    return sum;
  }
};

// A row as it is multiplied: 2 channels of each pixel.
typedef float Row[COLUMNS_IN][2];
__device__ __forceinline__ void read_row(Row& row, const u8* from) {
#pragma unroll
  for (int i = 0; i < COLUMNS_IN; i++) {
    const u32 two = *(const u32*)(from + i * BLOCK_C);
    row[i][0] = low_half(two);
    row[i][1] = high_half(two);
  }
}

// The channels of a pixel as they are stored.
__device__ __forceinline__ u32 finished_word(const float (&acc)[2], const Pair (&pairs)[1], const Epilogue& e) {
  return two_halves(activated(first_of(pairs[0], acc[0]), e), activated(second_of(pairs[0], acc[1]), e));
}
#else
typedef int4 PackedWeights;
constexpr int WORDS = KERNEL == 3 ? 1 : 2;                      // of a row of the kernel
constexpr int SHIFTS = KERNEL == 3 && STRIDE == 1 ? 2 : WORDS;  // forms of a row that are kept in registers

// The sum of 4 products of bytes, pixels and s8 weights.
__device__ __forceinline__ int dot(u32 pixels, int weights, int sum) { return dp4a<INPUT_SIGNED>(pixels, weights, sum); }

// The kernel of 4 channels, in the forms in which it meets words of 4 pixels.
struct Weights {
  int w[KERNEL][SHIFTS][4];
  __device__ __forceinline__ Weights(const int4* all, int word) {
#pragma unroll
    for (int r = 0; r < KERNEL; r++)
#pragma unroll
      for (int k = 0; k < WORDS; k++) {
        const int4 v = __ldg(all + (word * KERNEL + r) * WORDS + k);
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
typedef u32 Row[ROW_WORDS][4];
__device__ __forceinline__ void read_row(Row& words, const u8* from) {
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

// The channels of a pixel as they are stored.
__device__ __forceinline__ u32 finished_word(const int (&acc)[4], const Pair (&pairs)[2], const Epilogue& e) {
  return rounded(activated(first_of(pairs[0], acc[0]), e), activated(second_of(pairs[0], acc[1]), e),
                 activated(first_of(pairs[1], acc[2]), e), activated(second_of(pairs[1], acc[3]), e), e);
}
#endif

// A thread's part of a tile, from its first word in shared memory: calls `done(row, column, sums of its channels)` for each pixel
// of the output.
template <class Done> __device__ __forceinline__ void convolve(const u8* from, const Weights& weights, const Done& done) {
  Sum acc[OPEN_ROWS][COLUMNS][WIDE];
#pragma unroll
  for (int h = 0; h < ROWS_IN; h++) {
    Row words;
    read_row(words, from + h * (BOX_W * BLOCK_C));
#pragma unroll
    for (int r = 0; r < KERNEL; r++) {
      if (h < r || (h - r) % STRIDE != 0 || (h - r) / STRIDE >= ROWS) continue;
      const int open = (h - r) / STRIDE % OPEN_ROWS;
#pragma unroll
      for (int j = 0; j < COLUMNS; j++)
#pragma unroll
        for (int c = 0; c < WIDE; c++) acc[open][j][c] = weights.add(words, r, j, c, r == 0 ? 0 : acc[open][j][c]);
    }
    if (h < KERNEL - 1 || (h - (KERNEL - 1)) % STRIDE != 0) continue;
    const int row = (h - (KERNEL - 1)) / STRIDE;                // complete
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) done(row, j, acc[row % OPEN_ROWS][j]);
  }
}
