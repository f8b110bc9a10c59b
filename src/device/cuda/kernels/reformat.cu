// The same numbers in another type, scale or layout: a thread takes one number.

extern "C" __global__ void reformat(const X_T* x, u64 x_stride, Y_T* y, u64 y_stride) {
  const u32 i = thread_number();
  if (i >= Y_COUNT) return;
  const X_T v = ((const X_T*)((const u8*)x + blockIdx.y * x_stride))[x_place(i)];
  y = (Y_T*)((u8*)y + blockIdx.y * y_stride);
#if defined(QUANTIZE)
  y[y_place(i)] = store(__fdiv_rn(v, SCALE));
#elif defined(RESCALE)
  y[y_place(i)] = store(__fmul_rn((float)((int)v - ZERO_POINT), RATIO));
#else
  y[y_place(i)] = v;
#endif
}
