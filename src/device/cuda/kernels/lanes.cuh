// Neighbours that a thread reads and writes at once.
template <class T, int N> struct alignas(N * sizeof(T)) Lanes { T v[N]; };

// N elements from here on; ALIGNED: at a multiple of their size.
template <int N, bool ALIGNED = true, class T> __device__ __forceinline__ Lanes<T, N> load(const T* from) {
  if (ALIGNED) return *(const Lanes<T, N>*)from;
  Lanes<T, N> lanes;
#pragma unroll
  for (int j = 0; j < N; j++) lanes.v[j] = from[j];
  return lanes;
}

template <bool ALIGNED = true, class T, int N> __device__ __forceinline__ void put(T* to, const Lanes<T, N>& lanes) {
  if (ALIGNED) {
    *(Lanes<T, N>*)to = lanes;
    return;
  }
#pragma unroll
  for (int j = 0; j < N; j++) to[j] = lanes.v[j];
}
