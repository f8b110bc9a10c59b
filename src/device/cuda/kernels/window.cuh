// The window of a convolution, for kernels that let the copy engine gather the pixels under a tap. Weights are rows of
// [tap][channel], one for each output channel.

struct Window {
  int tap_pitch;               // bytes of weights from one tap to the next
  int kernel_w;
  int out_h, out_w;
  int stride_h, stride_w;
  int pad_h, pad_w;            // above and to the left
  int dilation_h, dilation_w;
};

// Where pixels come from (READ):
//   FLAT    1x1, stride 1: a matrix of pixels, as it lies
//   IM2COL  any window, stride, padding and dilation: the copy engine gathers
//   HALO    3x3, stride 1, padding 1: ROWS whole rows of WIDTH + 2 pixels and what surrounds them. The nine taps are the
//           same memory shifted by rows and pixels. The two columns of padding are computed too and not stored.
//   RAW16   1x1 on at most 16 channels: pixels of 16 bytes, as they lie
//   PATCHES stride 2 on at most 4 channels, pixels of 4 numbers: 2x2 pixels (of halves 1x2) become a patch of 16 bytes, so
//           that a window is TAP_ROWS rows of neighbouring patches, and a tile ROWS whole rows of WIDTH pixels
enum { FLAT, IM2COL, HALO, RAW16, PATCHES };

// The image of a pixel of the output, and where its window begins in it.
struct Corner { int n, h, w; };

__device__ __forceinline__ Corner corner(const Window& window, int pixel) {
  const int image = window.out_h * window.out_w, n = pixel / image, rest = pixel - n * image, row = rest / window.out_w;
  return {n, row * window.stride_h - window.pad_h, (rest - row * window.out_w) * window.stride_w - window.pad_w};
}

// Loads the pixels under a tap, of windows from `at` on, from channel `c` on.
__device__ __forceinline__ void load_tap(u32 to, const TensorMap* x, u32 barrier, const Window& window, const Corner& at, int c, int tap_h, int tap_w) {
  load_im2col(to, x, barrier, c, at.w, at.h, at.n, (u16)(tap_w * window.dilation_w), (u16)(tap_h * window.dilation_h));
}
