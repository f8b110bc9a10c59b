// Depthwise convolution, 3x3 or 5x5, stride 1 or 2, any padding, channels last. A block of threads keeps BLOCK_C bytes of channels
// and walks over tiles (depthwise.cuh), whose boxes are in a ring of BUFFERS. The host defines BLOCKS_PER_SM too.

struct Problem {
  u8* y;
  u64 image_pitch;                                              // bytes from one image of the output to the next
  int pitch, row_pitch;                                         // from one pixel, and one row
  int images, out_h, out_w, bytes;                              // `bytes` of all channels
  int blocks_c, tiles_h, tiles_w, tiles;                        // `tiles` of one block of channels
  int pad_h, pad_w;
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_SM)
depthwise_tma(const __grid_constant__ TensorMap x, const PackedWeights* __restrict__ weights, const Channels channels, const Epilogue e,
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
  const int word = block * QUADS + part.quad;
  const Weights own(weights, word);
  Pair pairs[WIDE / 2];
#pragma unroll
  for (int i = 0; i < WIDE / 2; i++) pairs[i] = channel_pair(channels, word * WIDE + i * 2);
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
    u8* y = p.y + n * p.image_pitch + ((u64)row * p.out_w + column) * p.pitch + word * 4;
    const bool there = threadIdx.x < ACTIVE && n < p.images && word * 4 < p.bytes;
    barrier_wait(full + buffer * 8, phase);
    const int rows = p.out_h - row, columns = min(TILE_W - part.column, p.out_w - column);
    if (there) convolve(shared + buffer * BUFFER + part.offset(), own, [&](int h, int j, const Sum (&acc)[WIDE]) {
      if ((!CUT_ROWS || h < rows) && (!CUT_COLUMNS || j < columns)) *(u32*)(y + h * p.row_pitch + j * p.pitch) = finished_word(acc, pairs, e);
    });
    __syncthreads();
    if (threadIdx.x == 0 && t + BUFFERS * step < p.tiles) load(t + BUFFERS * step, buffer);
    if (++buffer == BUFFERS) { buffer = 0; phase ^= 1; }
  }
}
