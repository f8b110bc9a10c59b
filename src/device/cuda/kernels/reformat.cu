// Conversions that change the layout, and perhaps type and scale. The host defines `value`.

#ifdef PIXELS
// [CHANNELS][PIXELS] to [PIXELS][Y_PITCH], few channels: a thread takes a pixel.

struct Row { alignas(16) Y0_T v[CHANNELS]; };

// The last `left` bytes of a row, whose rows begin at multiples of ALIGN: as few stores as can be.
template <int ALIGN, int LEFT> __device__ __forceinline__ void put(u8* to, const u8* from) {
  constexpr int n = LEFT >= 16 && ALIGN >= 16 ? 16 : LEFT >= 8 && ALIGN >= 8 ? 8 : LEFT >= 4 && ALIGN >= 4 ? 4
                                                  : LEFT >= 2 && ALIGN >= 2 ? 2 : 1;
  if constexpr (n == 16) *(uint4*)to = *(const uint4*)from;
  if constexpr (n == 8) *(u64*)to = *(const u64*)from;
  if constexpr (n == 4) *(u32*)to = *(const u32*)from;
  if constexpr (n == 2) *(u16*)to = *(const u16*)from;
  if constexpr (n == 1) *to = *from;
  if constexpr (LEFT > n) put<ALIGN, LEFT - n>(to + n, from + n);
}

template <int ALIGN> __device__ __forceinline__ void pixel(PARAMETERS) {
  const u32 i = thread_number();
  if (i >= PIXELS) return;
  TO_IMAGE
  Row row;
#pragma unroll
  for (int c = 0; c < CHANNELS; c++) row.v[c] = value(x0[c * PIXELS + i]);
  put<ALIGN, sizeof(Y0_T) * CHANNELS>((u8*)(y0 + (u64)i * Y_PITCH), (const u8*)row.v);
}

extern "C" __global__ void pixels(PARAMETERS) { begin(); pixel<ROWS_ALIGN>(x0, x0_stride, y0, y0_stride); }

// Where the image itself begins anywhere.
extern "C" __global__ void pixels_anywhere(PARAMETERS) { begin(); pixel<sizeof(Y0_T)>(x0, x0_stride, y0, y0_stride); }
#else
// x[ROWS][X_PITCH] to y[COLUMNS][Y_PITCH]: a block takes 32 x 32 numbers through shared memory.
extern "C" __global__ void tiles(PARAMETERS) {
  begin();
  __shared__ Y0_T tile[32][33];
  TO_IMAGE
  const u32 across = (COLUMNS + 31) / 32, row = blockIdx.x / across * 32, column = blockIdx.x % across * 32;
  const u32 x = threadIdx.x % 32, y = threadIdx.x / 32;
  for (u32 r = y; r < 32; r += 8)
    if (row + r < ROWS && column + x < COLUMNS) tile[r][x] = value(x0[(row + r) * X_PITCH + column + x]);
  __syncthreads();
  for (u32 c = y; c < 32; c += 8)
    if (column + c < COLUMNS && row + x < ROWS) y0[(column + c) * Y_PITCH + row + x] = tile[x][c];
}
#endif
