// A picture of at most 4 channels, pixels of 4 numbers, under a window of stride 2: 2x2 pixels (of halves 1x2) become a patch of
// 16 bytes, so that a window is a few rows of neighbouring patches, and a row of patches in shared memory is what wgmma reads
// (`raw_pixels`).
//
// The host defines IN_CHANNELS, and what epilogue.cuh asks for.

constexpr int PATCH_ROWS = HALVES ? 1 : 2;   // rows of pixels in a patch, which has two columns

// An image, and what surrounds it, in each byte.
struct Picture {
  const u8* x;
  int h, w;
  u32 padding;
};

// Begins a warp's copies of DOWN rows of ACROSS patches, a row of pixels after the other. The first of them is pixel
// (first, left), which may lie in the padding.
template <int DOWN, int ACROSS> __device__ __forceinline__ void cut_patches(u32 to, const Picture& p, int first, int left) {
  constexpr int CHUNKS = (ACROSS + 31) / 32;
  constexpr int PIXEL = 4 * ELEMENT, PART = 16 / PATCH_ROWS;  // bytes of a pixel, and of a patch's row
  // Behind the channels of a pixel of halves may be no number, and 0 by that is none either.
  constexpr int THERE = HALVES ? IN_CHANNELS * 2 : 8;
  const int lane = threadIdx.x % 32, column = left + lane * 2;
  const u8* from = p.x + ((long long)first * p.w + column) * PIXEL;
#pragma unroll 2
  for (int row = 0; row < PATCH_ROWS * DOWN; row++, from += p.w * PIXEL) {
    const u32 at = to + (row / PATCH_ROWS * ACROSS + lane) * 16 + row % PATCH_ROWS * PART;
    const bool inside = (u32)(first + row) < (u32)p.h;
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
      if (lane + k * 32 >= ACROSS) continue;
      if (inside && (u32)(column + k * 64) < (u32)p.w) {
#pragma unroll
        for (int i = 0; i < PART; i += 8) copy_8<THERE>(at + k * 512 + i, from + k * 64 * PIXEL + i);
      } else {
        fill<PART>(at + k * 512, p.padding);
      }
    }
  }
  commit_copies();
}
