// What becomes of a sum of products: scale and bias, residual, function, activation, in this order.

#ifdef RESIDUAL
#define AT_RESIDUAL(r) , r
#else
#define AT_RESIDUAL(r)
#endif

__device__ __forceinline__ store_T finish(SUM_T sum, float m, float b AT_RESIDUAL(const R_T* residual)) {
  float t = __fmaf_rn((float)sum, m, b);
#ifdef RESIDUAL
  t = __fmaf_rn((float)(*residual - RESIDUAL_ZERO_POINT), RESIDUAL_SCALE, t);
#endif
#ifdef FUNCTION
  t = __fmul_rn(FUNCTION(t), UNIT);
#endif
  return store(t);
}
