// Blocks that run beside one another and see one another's shared memory (architectures from 9.0 on).

// All that this thread wrote is there for those who wait; what the others wrote is there when it has waited.
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ __forceinline__ void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}
// The same place in the shared memory of another block.
template <class T> __device__ __forceinline__ T* in_block(T* mine, u32 block) {
  u64 address;
  asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(mine), "r"(block));
  return (T*)address;
}
