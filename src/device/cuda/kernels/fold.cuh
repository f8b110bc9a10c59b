// What the WIDTH threads that share a row have found, as one: in an order that depends on WIDTH alone.

template <class T> __device__ __forceinline__ T neighbour(T v, int distance) {
  return __shfl_xor_sync(~0u, v, distance);
}

// join(v, join(...)) over the threads of the row; all of them get it.
template <class T, class Join> __device__ __forceinline__ T fold(T v, Join join) {
#pragma unroll
  for (int d = (WIDTH < 32 ? WIDTH : 32) / 2; d > 0; d /= 2) {
    const T other = neighbour(v, d);
    v = threadIdx.x & d ? join(other, v) : join(v, other);
  }
#if WIDTH > 32
  __shared__ T parts[WIDTH / 32];
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
  __syncthreads();
  v = parts[0];
#pragma unroll
  for (int i = 1; i < WIDTH / 32; i++) v = join(v, parts[i]);
#endif
  return v;
}
