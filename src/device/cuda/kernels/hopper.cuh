// What Hopper (sm_90a) adds to the instruction set, one function an instruction: barriers that count bytes (mbarrier), the
// bulk copy engine (TMA), products of warpgroups (wgmma).
// Addresses in shared memory are 32-bit numbers throughout.

// A CUtensorMap, passed by value as a __grid_constant__ parameter.
struct __align__(64) TensorMap { u64 opaque[16]; };

__device__ __forceinline__ constexpr u32 round_up(u32 n, u32 to) { return (n + to - 1) / to * to; }
__device__ __forceinline__ u32 permute(u32 a, u32 b, u32 selector) {
  u32 r;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(selector));
  return r;
}
// The warp's number, as a value that the compiler knows to be the same in all lanes.
__device__ __forceinline__ int warp_index() { return __shfl_sync(0xffffffffu, (int)(threadIdx.x >> 5), 0); }

// ---- mbarrier: 8 bytes of shared memory that flip their phase after so many arrivals and so many bytes

__device__ __forceinline__ void barrier_init(u32 barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(barrier), "r"(arrivals) : "memory");
}
// After the last barrier_init of a thread, before the barrier of the block: the copy engine sees them too.
__device__ __forceinline__ void barriers_ready() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void barrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(barrier) : "memory");
}
// Arrives, and announces so many bytes to come.
__device__ __forceinline__ void barrier_expect(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory");
}
// Waits for the end of the phase with this parity. A barrier that is a whole round behind passes at once: whoever waits
// must be at most one phase away.
__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
#ifdef GUARD  // in tests of kernels: a deadlock becomes a failed launch instead of a GPU that hangs
  asm volatile("{ .reg .pred p, q; .reg .b32 n;\n mov.b32 n, 0;\n"
    "W: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
    "@p bra D;\n add.u32 n, n, 1;\n setp.gt.u32 q, n, 4000000;\n @q trap;\n bra W;\n D: }" :: "r"(barrier), "r"(parity) : "memory");
#else
  asm volatile("{ .reg .pred p;\n"
    "W: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
    "@p bra D;\n bra W;\n D: }" :: "r"(barrier), "r"(parity) : "memory");
#endif
}

// ---- The copy engine. Loads count their bytes on a barrier; what is out of bounds reads as 0 and counts.

__device__ __forceinline__ void prefetch_map(const TensorMap* m) {
  asm volatile("prefetch.tensormap [%0];" :: "l"(m) : "memory");
}
__device__ __forceinline__ void load_2d(u32 to, const TensorMap* m, u32 barrier, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
    :: "r"(to), "l"(m), "r"(barrier), "r"(x), "r"(y) : "memory");
}
__device__ __forceinline__ void load_4d(u32 to, const TensorMap* m, u32 barrier, int c, int w, int h, int n) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];"
    :: "r"(to), "l"(m), "r"(barrier), "r"(c), "r"(w), "r"(h), "r"(n) : "memory");
}
// The map says how many pixels, the base which is the first; the offsets are those of the tap.
__device__ __forceinline__ void load_im2col(u32 to, const TensorMap* m, u32 barrier, int c, int w, int h, int n, u16 tap_w, u16 tap_h) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};"
    :: "r"(to), "l"(m), "r"(barrier), "r"(c), "r"(w), "r"(h), "r"(n), "h"(tap_w), "h"(tap_h) : "memory");
}
__device__ __forceinline__ void load_bytes(u32 to, const void* from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
    :: "r"(to), "l"(from), "r"(bytes), "r"(barrier) : "memory");
}
__device__ __forceinline__ void store_2d(const TensorMap* m, u32 from, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];"
    :: "l"(m), "r"(from), "r"(x), "r"(y) : "memory");
}
__device__ __forceinline__ void store_4d(const TensorMap* m, u32 from, int c, int w, int h, int n) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];"
    :: "l"(m), "r"(from), "r"(c), "r"(w), "r"(h), "r"(n) : "memory");
}
__device__ __forceinline__ void store_bytes(void* to, u32 from, u32 bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" :: "l"(to), "r"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Of the thread's groups of stores all but the last PENDING have been read out of shared memory.
template <int PENDING> __device__ __forceinline__ void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" :: "n"(PENDING) : "memory");
}
__device__ __forceinline__ void wait_stores() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }
// What this thread wrote to shared memory is seen by the copy engine and by wgmma.
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// ---- Copies of single threads

// The first THERE of 8 bytes, and zeros.
template <int THERE> __device__ __forceinline__ void copy_8(u32 to, const void* from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" :: "r"(to), "l"(from), "n"(THERE) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Of the thread's groups of copies all but the last PENDING are done.
template <int PENDING> __device__ __forceinline__ void wait_copies() { asm volatile("cp.async.wait_group %0;" :: "n"(PENDING) : "memory"); }
template <int BYTES> __device__ __forceinline__ void fill(u32 to, u32 word) {
#pragma unroll
  for (int i = 0; i < BYTES; i += 8) asm volatile("st.shared.v2.b32 [%0], {%1, %1};" :: "r"(to + i), "r"(word) : "memory");
}

// ---- wgmma: D[64 channels][N pixels] += W[64][32] X[N][32], all K-major in shared memory. The wrapper itself is written
// by the host for the N that is needed, as `wgmma(int (&d)[N / 2], u64 w, u64 x, int accumulate)`.

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int PENDING> __device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(PENDING) : "memory");
}
// The descriptor of rows of SPAN bytes with the swizzle of that span, groups of eight rows one after the other. A start
// moved by whole rows needs no base offset: the swizzle takes the bits of the address itself, if the buffer begins at a
// multiple of 1,024 bytes. A step of 32 bytes along k adds 2.
template <int SPAN> __device__ __forceinline__ u64 swizzled_rows(u32 address) {
  static_assert(SPAN == 32 || SPAN == 64 || SPAN == 128, "a swizzle spans 32, 64 or 128 bytes");
  constexpr u64 layout = SPAN == 128 ? 1 : SPAN == 64 ? 2 : 3;
  return (u64)((address & 0x3FFFF) >> 4) | 1ull << 16 | (u64)(8 * SPAN >> 4) << 32 | layout << 62;
}
// The descriptor of pixels of 16 bytes, one after the other: without a swizzle eight rows of 16 bytes are a core matrix, and
// the next 16 bytes along k are taken from the next pixel.
__device__ __forceinline__ u64 raw_pixels(u32 address) { return (u64)((address & 0x3FFFF) >> 4) | 1ull << 16 | 8ull << 32; }

// ---- 8x8 matrices of 16-bit elements between registers and shared memory, transposed: a lane's register is a pair of
// channels of one pixel, a row in memory is a pixel.

__device__ __forceinline__ void load_matrices(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
    : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
__device__ __forceinline__ void load_matrix(u32& r, u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r) : "r"(address) : "memory");
}
__device__ __forceinline__ void store_matrices(u32 address, const u32 (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};"
    :: "r"(address), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}
__device__ __forceinline__ void store_matrix(u32 address, u32 r) {
  asm volatile("stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%0], {%1};" :: "r"(address), "r"(r) : "memory");
}

// ---- Registers

template <int COUNT> __device__ __forceinline__ void take_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(COUNT)); }
template <int COUNT> __device__ __forceinline__ void give_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(COUNT)); }
