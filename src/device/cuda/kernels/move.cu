// Numbers that only move: a thread takes a unit, one element or several neighbours that stay neighbours. Where each unit
// comes from is a table: the input in the upper bits, the place in it in the lower ones. The host defines UNIT_T and
// VALUE(k, p), the unit at place p of input k.

// Parts of other tensors may begin anywhere.
template <class T> __device__ __forceinline__ T load(const T* from) {
  if ((u64)from % sizeof(T) == 0) return *from;
  T t;
  for (int i = 0; i < sizeof(T); i++) ((u8*)&t)[i] = ((const u8*)from)[i];
  return t;
}

template <class T> __device__ __forceinline__ void put(T* to, T t) {
  if ((u64)to % sizeof(T) == 0) {
    *to = t;
  } else {
    for (int i = 0; i < sizeof(T); i++) ((u8*)to)[i] = ((const u8*)&t)[i];
  }
}

// `count` units of an output whose rows have `row` of them and lie `pitch` apart.
extern "C" __global__ void move(PARAMETERS, UNIT_T* y, u64 y_stride, const u32* __restrict__ origins, u32 count, u32 row,
                                u32 pitch) {
  begin();
  const u32 i = thread_number();
  if (i >= count) return;
  TO_IMAGE
  const u32 from = origins[i], k = from >> SHIFT, p = from & (1u << SHIFT) - 1;
  UNIT_T t = PADDING;
  if (from != NOWHERE) t = VALUE(k, p);
  put((UNIT_T*)((u8*)y + blockIdx.y * y_stride) + (i / row * pitch + i % row), t);
}
