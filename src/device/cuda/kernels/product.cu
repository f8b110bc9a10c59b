// Products of matrices: a block takes TILE x TILE numbers of one product, a thread 4 x 4 of them, DEPTH steps of the sum
// at a time through shared memory. The host defines M, N, K, how far rows and columns lie apart, and where the
// matrices of product b begin.

#define TILE 64
#define DEPTH 16

// A tile of a matrix of ROWS x COLUMNS: numbers [row from][column from], transposed where the row is the sum's axis.
template <class T>
__device__ __forceinline__ void fetch(SUM_T (*tile)[TILE + 1], const T* x, u32 from, u32 count, u32 depth,
                                      u32 along_stride, u32 depth_stride) {
  // neighbouring threads read neighbours, whichever way the matrix lies
  const bool deep = depth_stride == 1;
  for (u32 i = threadIdx.x; i < TILE * DEPTH; i += blockDim.x) {
    const u32 a = deep ? i / DEPTH : i % TILE, d = deep ? i % DEPTH : i / TILE;
    const bool inside = from + a < count && depth + d < DEEP;
    tile[d][a] = inside ? (SUM_T)x[(from + a) * along_stride + (depth + d) * depth_stride] : (SUM_T)0;
  }
}

extern "C" __global__ void product(PARAMETERS) {
  begin();
  __shared__ SUM_T a[DEPTH][TILE + 1], b[DEPTH][TILE + 1];
  TO_IMAGE
  const u32 across = (COLUMNS + TILE - 1) / TILE, down = (ROWS + TILE - 1) / TILE;
  const u32 matrix = blockIdx.x / (across * down), tile = blockIdx.x % (across * down);
  const u32 row = tile / across * TILE, column = tile % across * TILE;
  const u32 r = threadIdx.x / 16 * 4, c = threadIdx.x % 16 * 4;
  SUM_T sum[4][4] = {};
  for (u32 k = 0; k < DEEP; k += DEPTH) {
    fetch(a, x0 + x0_matrix(matrix), row, ROWS, k, A_ROW, A_COLUMN);
    fetch(b, x1 + x1_matrix(matrix), column, COLUMNS, k, B_COLUMN, B_ROW);
    __syncthreads();
#pragma unroll
    for (int d = 0; d < DEPTH; d++)
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] = fma(a[d][r + i], b[d][c + j], sum[i][j]);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const u32 y = row + r + i, x = column + c + j;
      if (y >= ROWS || x >= COLUMNS) continue;
      SUM_T t = sum[i][j];
#ifdef ALPHA
      t = (SUM_T)ALPHA * t;
#endif
#ifdef BETA
      t = fma((SUM_T)BETA, (SUM_T)x2[x2_at(y * COLUMNS + x)], t);
#endif
      y0[y0_matrix(matrix) + y * Y_ROW + x * Y_COLUMN] = STORED(t);
    }
}
