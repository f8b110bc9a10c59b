//! Functions of f32 in vectors: polynomials in fused steps, a few units of the last place off.

use crate::device::cpu::simd::Simd;
use crate::ir::ops::UnaryFn;

/// Is there a vector form of this function?
pub fn is_known(f: &UnaryFn) -> bool {
    use UnaryFn::*;
    matches!(f, Erf | Exp | Gelu | HardSigmoid { .. } | HardSwish | Sigmoid | Silu | Tanh)
}

/// `f(x)` in every lane; `x` itself if [`is_known`] does not know the function.
///
/// # Safety
/// As for [`Simd`], inside of [`Simd::within`].
#[inline(always)]
pub unsafe fn apply<S: Simd>(f: &UnaryFn, x: S::F) -> S::F {
    // SAFETY: the caller's promise.
    unsafe {
        match *f {
            UnaryFn::Erf => erf::<S>(x),
            UnaryFn::Exp => exp::<S>(x),
            UnaryFn::Gelu => {
                let half = S::mul_f(S::splat_f(0.5), x);
                S::mul_add(half, erf::<S>(S::mul_f(x, S::splat_f(std::f32::consts::FRAC_1_SQRT_2))), half)
            }
            UnaryFn::HardSigmoid { alpha, beta } => hard::<S>(x, alpha, beta),
            UnaryFn::HardSwish => S::mul_f(x, hard::<S>(x, 1.0 / 6.0, 0.5)),
            UnaryFn::Sigmoid => sigmoid::<S>(x),
            UnaryFn::Silu => S::mul_f(x, sigmoid::<S>(x)),
            UnaryFn::Tanh => {
                let two = S::splat_f(2.0);
                S::mul_add(two, sigmoid::<S>(S::mul_f(two, x)), S::splat_f(-1.0))
            }
            _ => x,
        }
    }
}

/// `e^x`, by the polynomial of the Cephes library (Moshier) on a range of half a binary logarithm. Computed as the
/// square of `e^(x/2)`, so that large results overflow and small ones underflow as they should.
///
/// # Safety
/// As for [`apply`].
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4]; // exact in few bits, and the rest
    const P: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5];
    // SAFETY: the caller's promise.
    unsafe {
        let half = S::mul_f(x, S::splat_f(0.5));
        let half = S::min_f(S::splat_f(87.0), S::max_f(S::splat_f(-87.0), half));
        let n = S::round(S::mul_f(half, S::splat_f(std::f32::consts::LOG2_E)));
        let whole = S::to_float(n);
        let r = S::fma(whole, S::splat_f(-LN2[0]), half);
        let r = S::fma(whole, S::splat_f(-LN2[1]), r);
        let mut p = S::splat_f(P[0]);
        for c in &P[1..] {
            p = S::mul_add(p, r, S::splat_f(*c));
        }
        let one = S::splat_f(1.0);
        let e = S::add_f(S::mul_add(p, S::mul_f(r, r), r), one);
        let e = S::scale_by_power(e, n);
        S::mul_f(e, e)
    }
}

/// # Safety
/// As for [`apply`].
#[inline(always)]
unsafe fn sigmoid<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the caller's promise.
    unsafe {
        let (zero, one) = (S::splat_f(0.0), S::splat_f(1.0));
        S::div_f(one, S::add_f(one, exp::<S>(S::sub_f(zero, x))))
    }
}

/// `clamp(alpha x + beta, 0, 1)`
///
/// # Safety
/// As for [`apply`].
#[inline(always)]
unsafe fn hard<S: Simd>(x: S::F, alpha: f32, beta: f32) -> S::F {
    // SAFETY: the caller's promise.
    unsafe {
        let t = S::mul_add(x, S::splat_f(alpha), S::splat_f(beta));
        S::min_f(S::splat_f(1.0), S::max_f(S::splat_f(0.0), t))
    }
}

/// The error function: 7.1.26 of Abramowitz and Stegun, which is within 1.5e-7 but for rounding.
///
/// # Safety
/// As for [`apply`].
#[inline(always)]
unsafe fn erf<S: Simd>(x: S::F) -> S::F {
    const A: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    // SAFETY: the caller's promise.
    unsafe {
        let (zero, one) = (S::splat_f(0.0), S::splat_f(1.0));
        let negative = S::sub_f(zero, x);
        let size = S::max_f(negative, x);
        let t = S::div_f(one, S::mul_add(size, S::splat_f(0.327_591_1), one));
        let mut p = S::splat_f(A[0]);
        for a in &A[1..] {
            p = S::mul_add(p, t, S::splat_f(*a));
        }
        let tail = S::mul_f(S::mul_f(p, t), exp::<S>(S::mul_f(negative, x)));
        let positive = S::sub_f(one, tail);
        // odd: the sign of x on the result
        let sign = S::xor(S::bits(x), S::bits(size));
        S::float(S::xor(S::bits(positive), sign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::Isa;
    use crate::device::cpu::simd::{MOST_LANES, with_simd};

    /// Against the definition in f64, over what a network computes and far beyond.
    #[test]
    fn near_the_definition() {
        use UnaryFn::*;
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for f in [Erf, Exp, Gelu, HardSigmoid { alpha: 0.2, beta: 0.5 }, HardSwish, Sigmoid, Silu, Tanh] {
                assert!(is_known(&f));
                for i in -40_000..40_000 {
                    let x = i as f32 * 2.5e-3;
                    let mut y = [0f32; MOST_LANES];
                    // SAFETY: the machine has it.
                    with_simd!(isa, S => unsafe {
                        S::within(#[inline(always)] || {
                            let v = S::bits(apply::<S>(&f, S::splat_f(x)));
                            S::store(y.as_mut_ptr().cast(), v);
                        });
                    });
                    let want = f.apply(x.into());
                    let bound = match f {
                        Exp => 4e-7 * want + 1e-37, // relative
                        // 1.5e-7 of the error function's formula; the roundings of its `t` (6e-8 and 3e-8) count
                        // 3.4 fold near 0, where the formula is steepest in `t`
                        Erf | Gelu => 5e-7 * (1.0 + f64::from(x.abs())),
                        _ => 3e-7 * (1.0 + f64::from(x.abs())),
                    };
                    let right =
                        (f64::from(y[0]) - want).abs() <= bound || f64::from(y[0]) == f64::from(want as f32);
                    assert!(right, "{f:?}({x}) is {} on {isa}, not {want}", y[0]);
                }
                // NaN stays, infinities have their limits
                with_simd!(isa, S => {
                    for (x, want) in [(f32::NAN, f.apply(f64::NAN)), (f32::INFINITY, f.apply(f64::INFINITY))] {
                        let mut y = [0f32; MOST_LANES];
                        // SAFETY: the machine has it.
                        unsafe {
                            S::within(#[inline(always)] || {
                                S::store(y.as_mut_ptr().cast(), S::bits(apply::<S>(&f, S::splat_f(x))));
                            });
                        }
                        assert!(y[0].is_nan() == want.is_nan(), "{f:?}({x}) is {}", y[0]);
                    }
                });
            }
        }
    }
}
