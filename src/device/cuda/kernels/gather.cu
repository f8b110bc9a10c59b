// Entries of an axis that computed indices choose: a thread takes one element. An index that there is no entry for gives
// 0, as nothing can be refused here.

extern "C" __global__ void gather(PARAMETERS) {
  begin();
  const u32 i = thread_number();
  if (i >= COUNT) return;
  TO_IMAGE
  const long long index = x1[index_at(i)], at = index < 0 ? index + ENTRIES : index;
  y0[y0_at(i)] = at >= 0 && at < ENTRIES ? x0[x0_at(i) + (u32)at * ENTRY] : (X0_T)0;
}
