// Pixels of a picture to what a model reads. The host defines PIXELS, CHANNELS, FROM(c), which is the picture's channel
// for channel c of the output, and how far apart neighbouring pixels and channels lie, on both sides.

#ifdef BANKS
// Tables of bytes, a copy for each lane in a bank of shared memory of its own: lanes look up at once whatever they want.
__shared__ u32 copies[CHANNELS * 64][32];

__device__ __forceinline__ void load(const Y0_T* __restrict__ tables) {
  for (u32 i = threadIdx.x; i < CHANNELS * 64 * 32; i += blockDim.x) copies[i / 32][i % 32] = ((const u32*)tables)[i / 32];
  __syncthreads();
}
__device__ __forceinline__ Y0_T entry(int c, u32 value) {
  return ((const Y0_T*)&copies[c * 64 + value / 4][threadIdx.x % 32])[value % 4];
}
#else
__shared__ Y0_T table[CHANNELS][256];

__device__ __forceinline__ void load(const Y0_T* __restrict__ tables) {
  for (u32 i = threadIdx.x; i < CHANNELS * 256; i += blockDim.x) table[i / 256][i % 256] = tables[i];
  __syncthreads();
}
__device__ __forceinline__ Y0_T entry(int c, u32 value) { return table[c][value]; }
#endif

// A thread takes every so many-th pixel.
extern "C" __global__ void pixels(PARAMETERS, const Y0_T* __restrict__ tables) {
  load(tables);
  begin();
  TO_IMAGE
  for (u32 i = thread_number(); i < PIXELS; i += gridDim.x * blockDim.x)
#pragma unroll
    for (int c = 0; c < CHANNELS; c++)
      y0[i * Y_PIXEL + c * Y_CHANNEL] = entry(c, x0[i * X_PIXEL + FROM(c) * X_CHANNEL]);
}

#ifdef FOURS
// Three channels side by side: a thread takes four pixels, which are three words, at a time.
__device__ __forceinline__ uint3 four(const u8* x, u32 i) {
  if (i >= PIXELS / 4) return make_uint3(0, 0, 0);
  const u32* words = (const u32*)x + 3 * i;
  return make_uint3(words[0], words[1], words[2]);
}
extern "C" __global__ void fours(PARAMETERS, const Y0_T* __restrict__ tables) {
  load(tables);
  begin();
  TO_IMAGE
  const u32 step = gridDim.x * blockDim.x;
  u32 i = thread_number();
  uint3 next = four(x0, i);
  for (; i < PIXELS / 4; i += step) {
    const u32 x[3] = {next.x, next.y, next.z};
    next = four(x0, i + step); // on its way while these are looked up
    Y0_T y[4][3];
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int c = 0; c < 3; c++) {
        const int at = 3 * j + FROM(c);
        y[j][c] = entry(c, x[at / 4] >> at % 4 * 8 & 255);
      }
#ifdef ROOM
    // pixels of four bytes, the last of which is nobody's
    u32 z[4];
#pragma unroll
    for (int j = 0; j < 4; j++) z[j] = (u8)y[j][0] | (u32)(u8)y[j][1] << 8 | (u32)(u8)y[j][2] << 16;
    ((uint4*)y0)[i] = make_uint4(z[0], z[1], z[2], z[3]);
#else
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int c = 0; c < 3; c++) y0[(4 * i + j) * Y_PIXEL + c * Y_CHANNEL] = y[j][c];
#endif
  }
}
#endif
