// sum + four products of 8-bit numbers, the first signed or not, the second signed: the lowest byte of each word, and so on.
template <bool SIGNED> __device__ __forceinline__ int dp4a(u32 x, u32 w, int sum) {
  int all;
  if constexpr (SIGNED) asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(all) : "r"(x), "r"(w), "r"(sum));
  else asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(all) : "r"(x), "r"(w), "r"(sum));
  return all;
}
