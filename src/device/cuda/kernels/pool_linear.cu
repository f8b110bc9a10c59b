// The mean of whole images, channel by channel, and the products of these means with constant weights: the head of a
// classifier, 8 bits, as one step. What is between them stays in shared memory, rounded as it would be stored.
//
// A block has OUTPUTS_EACH numbers of the output of IMAGES images. A warp has every eighth of them, and its lanes share a sum.
// All means are wanted by every block: the CLUSTER blocks of a cluster compute a part of them each and write it into one
// another's shared memory. Weights do not wait for the kernel before this one: they are in registers when its results come.
//
// The host defines what multiply.rs defines of the product, and
//   MEMBERS            pixels of an image           IN_PITCH  bytes of one, a multiple of 8
//   IN_SIGNED, MEAN_SIGNED  s8, otherwise u8: images, means
//   OUTPUTS_EACH, IMAGES, CLUSTER
//   SHARE              channels of a block's part of the means, a multiple of 16; beyond the last weights are 0
//   COLUMNS, ROWS      threads that take 8 neighbouring channels each; threads that share the pixels of these
//   ZEROS              what to take from a sum: the zero points of its members
//   FACTOR             of a sum in units of the mean     mean(t)  how it is stored

constexpr u32 WARPS = 8, THREADS = WARPS * 32, DEPTH = CLUSTER * SHARE;
constexpr u32 EACH = OUTPUTS_EACH / WARPS, STEPS = (DEPTH + 511) / 512;

// Adds 4 neighbouring channels of a pixel to their sums.
__device__ __forceinline__ void add(int* sum, u32 four) {
#pragma unroll
  for (int j = 0; j < 4; j++) sum[j] = dp4a<IN_SIGNED>(four, 1u << 8 * j, sum[j]);
}

// The sums of the block's part of the means of each image, over every ROWS-th pixel.
__device__ __forceinline__ void add_up(int* parts, const u8* x, u64 x_stride, u32 image, u32 images, u32 part) {
  const u32 row = threadIdx.x / COLUMNS;
  if (row >= ROWS) return;
  for (u32 i = 0; i < IMAGES; i++) {
    const u8* from = x + min(image + i, images - 1) * x_stride + part * SHARE;
    for (u32 c = threadIdx.x % COLUMNS * 8; c < SHARE; c += COLUMNS * 8) {
      const bool there = part * SHARE + c < IN_PITCH;
      int sum[8] = {};
#pragma unroll 8
      for (u32 k = 0; k < (MEMBERS + ROWS - 1) / ROWS; k++) {
        const u32 pixel = k * ROWS + row;
        uint2 eight = {0, 0};
        if (there && pixel < MEMBERS) eight = *(const uint2*)(from + (u64)pixel * IN_PITCH + c);
        add(sum, eight.x);
        add(sum + 4, eight.y);
      }
      int4* to = (int4*)(parts + (i * ROWS + row) * SHARE + c);
      to[0] = {sum[0], sum[1], sum[2], sum[3]};
      to[1] = {sum[4], sum[5], sum[6], sum[7]};
    }
  }
}

__device__ __forceinline__ u32 mean_byte(int sum) { return (u8)mean(__fmul_rn((float)(sum - ZEROS), FACTOR)); }

// The block's part of the means, for all blocks of the cluster.
__device__ __forceinline__ void finish_means(u8* means, const int* parts, u32 part) {
  for (u32 k = threadIdx.x; k < IMAGES * (SHARE / 4); k += THREADS) {
    const u32 i = k / (SHARE / 4), c = k % (SHARE / 4) * 4;
    int4 sum = {0, 0, 0, 0};
#pragma unroll
    for (u32 row = 0; row < ROWS; row++) {
      const int4 more = *(const int4*)(parts + (i * ROWS + row) * SHARE + c);
      sum = {sum.x + more.x, sum.y + more.y, sum.z + more.z, sum.w + more.w};
    }
    const u32 four = mean_byte(sum.x) | mean_byte(sum.y) << 8 | mean_byte(sum.z) << 16 | mean_byte(sum.w) << 24;
    u32* to = (u32*)(means + i * DEPTH + part * SHARE + c);
#if CLUSTER > 1
#pragma unroll
    for (u32 block = 0; block < CLUSTER; block++) *in_block(to, block) = four;
#else
    *to = four;
#endif
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) pool_linear(const u8* x, u64 x_stride,
#ifdef RESIDUAL
                                                                  const R_T* residual, u64 residual_stride,
#endif
                                                                  store_T* y, u64 y_stride, const u8* __restrict__ w,
                                                                  const float* __restrict__ m, const float* __restrict__ b,
                                                                  const int* __restrict__ zero, u32 images) {
  extern __shared__ __align__(16) u8 shared[];
  int* parts = (int*)shared;
  u8* means = shared + IMAGES * ROWS * SHARE * 4;
  const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32, part = blockIdx.x % CLUSTER;
  const u32 first = blockIdx.x * OUTPUTS_EACH + warp, image = blockIdx.y * IMAGES;
  allow_next_grid();
#if CLUSTER > 1
  cluster_arrive();
#endif
  uint4 weights[EACH][STEPS];
#pragma unroll
  for (u32 e = 0; e < EACH; e++)
#pragma unroll
    for (u32 k = 0; k < STEPS; k++) {
      const u32 output = first + e * WARPS, at = k * 512 + lane * 16;
      weights[e][k] = {0, 0, 0, 0};
      if (output < OUTPUTS && at < DEPTH) weights[e][k] = __ldg((const uint4*)(w + (u64)output * DEPTH + at));
    }
  // a lane finishes one of the warp's outputs
  const u32 own = first + lane * WARPS;
  const bool finishes = lane < EACH && own < OUTPUTS;
  const float own_m = finishes ? m[own] : 0, own_b = finishes ? b[own] : 0;
  const int own_zero = finishes ? zero[own] : 0;
  wait_for_previous_grid();
  add_up(parts, x, x_stride, image, images, part);
  __syncthreads();
#if CLUSTER > 1
  cluster_wait(); // all blocks have begun: their memory is theirs
  finish_means(means, parts, part);
  cluster_sync();
#else
  finish_means(means, parts, part);
  __syncthreads();
#endif
  for (u32 i = 0; i < IMAGES && image + i < images; i++) {
    int sum[EACH] = {};
#pragma unroll
    for (u32 k = 0; k < STEPS; k++) {
      const u32 at = k * 512 + lane * 16;
      uint4 v = {0, 0, 0, 0};
      if (at < DEPTH) v = *(const uint4*)(means + i * DEPTH + at);
#pragma unroll
      for (u32 e = 0; e < EACH; e++) {
        const uint4 by = weights[e][k];
        sum[e] = dp4a<MEAN_SIGNED>(v.x, by.x, dp4a<MEAN_SIGNED>(v.y, by.y, sum[e]));
        sum[e] = dp4a<MEAN_SIGNED>(v.z, by.z, dp4a<MEAN_SIGNED>(v.w, by.w, sum[e]));
      }
    }
    int all = 0;
#pragma unroll
    for (u32 e = 0; e < EACH; e++) {
      const int whole = fold(sum[e], [](int one, int other) { return one + other; });
      if (lane == e) all = whole;
    }
    if (!finishes) continue;
#ifdef RESIDUAL
    const R_T* other = (const R_T*)((const u8*)residual + (image + i) * residual_stride) + own;
#endif
    store_T* to = (store_T*)((u8*)y + (image + i) * y_stride);
    to[own] = finish(all + own_zero, own_m, own_b AT_RESIDUAL(other));
  }
}
