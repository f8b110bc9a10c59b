//! Functions in steps of f32: what epilogues apply to their sums, and what kernels compute in vectors.
//!
//! A formula is the definition for 8-bit nodes, so every device takes these steps, in this order, and equals the
//! others to the last bit. It is within a few units of the last place of [`UnaryFn::apply`], which is what f32 nodes
//! are compared with.

use super::UnaryFn;
use std::ops::{Add, Div, Mul, Sub};

/// One f32, or a register of them: operations of IEEE 754, each with one rounding.
pub trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// `x` in every lane.
    fn splat(x: f32) -> Self;
    /// `self * m + b`, rounded once.
    fn fma(self, m: Self, b: Self) -> Self;
    /// The larger of both; NaN stays.
    fn at_least(self, bound: Self) -> Self;
    /// The smaller of both; NaN stays.
    fn at_most(self, bound: Self) -> Self;
    /// The nearest integer, half to even, of a number within i32.
    fn rint(self) -> Self;
    /// `self * 2^n`, for integers `n` where `2^n` is a normal number.
    fn times_power_of_two(self, n: Self) -> Self;
}

impl Lanes for f32 {
    fn splat(x: f32) -> f32 {
        x
    }
    fn fma(self, m: f32, b: f32) -> f32 {
        self.mul_add(m, b)
    }
    fn at_least(self, bound: f32) -> f32 {
        if bound > self { bound } else { self }
    }
    fn at_most(self, bound: f32) -> f32 {
        if bound < self { bound } else { self }
    }
    fn rint(self) -> f32 {
        self.round_ties_even()
    }
    fn times_power_of_two(self, n: f32) -> f32 {
        self * f32::from_bits((((n as i32).clamp(-126, 127) + 127) as u32) << 23)
    }
}

impl UnaryFn {
    /// The function at `x` by its formula; `None` if it has none.
    #[inline(always)]
    pub fn formula<L: Lanes>(&self, x: L) -> Option<L> {
        let number = L::splat;
        let (zero, one) = (number(0.0), number(1.0));
        Some(match *self {
            UnaryFn::Elu { alpha } => elu(x, alpha),
            UnaryFn::Erf => erf(x),
            UnaryFn::Exp => exp(x),
            UnaryFn::Gelu => {
                let half = number(0.5) * x;
                half.fma(erf(x * number(std::f32::consts::FRAC_1_SQRT_2)), half)
            }
            UnaryFn::HardSigmoid { alpha, beta } => hard(x, alpha, beta),
            UnaryFn::HardSwish => x * hard(x, 1.0 / 6.0, 0.5),
            UnaryFn::LeakyRelu { alpha } => x.at_most(zero).fma(number(alpha), x.at_least(zero)),
            UnaryFn::Selu { alpha, gamma } => number(gamma) * elu(x, alpha),
            UnaryFn::Sigmoid => sigmoid(x),
            UnaryFn::Silu => x * sigmoid(x),
            UnaryFn::Softsign => x / (one + x.at_least(zero - x)),
            UnaryFn::Tanh => tanh(x),
            _ => return None,
        })
    }

    /// Is there a [`UnaryFn::formula`]?
    pub fn has_formula(&self) -> bool {
        self.formula(0f32).is_some()
    }
}

/// `c[0] x^n + ... + c[n]`.
#[inline(always)]
fn polynomial<L: Lanes>(x: L, c: &[f32]) -> L {
    c[1..].iter().fold(L::splat(c[0]), |p, &c| p.fma(x, L::splat(c)))
}

/// `e^x`, by the polynomial of the Cephes library (Moshier) on a range of half a binary logarithm. Computed as the
/// square of `e^(x/2)`, so that large results overflow and small ones underflow as they should.
#[inline(always)]
pub fn exp<L: Lanes>(x: L) -> L {
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4]; // exact in few bits, and the rest
    const P: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5];
    let half = (x * L::splat(0.5)).at_least(L::splat(-87.0)).at_most(L::splat(87.0));
    let n = (half * L::splat(std::f32::consts::LOG2_E)).rint();
    let r = n.fma(L::splat(-LN2[0]), half);
    let r = n.fma(L::splat(-LN2[1]), r);
    let e = polynomial(r, &P).fma(r * r, r) + L::splat(1.0);
    let e = e.times_power_of_two(n);
    e * e
}

#[inline(always)]
fn sigmoid<L: Lanes>(x: L) -> L {
    L::splat(1.0) / (L::splat(1.0) + exp(L::splat(0.0) - x))
}

/// `clamp(alpha x + beta, 0, 1)`
#[inline(always)]
fn hard<L: Lanes>(x: L, alpha: f32, beta: f32) -> L {
    x.fma(L::splat(alpha), L::splat(beta)).at_least(L::splat(0.0)).at_most(L::splat(1.0))
}

/// `x`, and `alpha (e^x - 1)` below 0.
#[inline(always)]
fn elu<L: Lanes>(x: L, alpha: f32) -> L {
    let zero = L::splat(0.0);
    (exp(x.at_most(zero)) - L::splat(1.0)).fma(L::splat(alpha), x.at_least(zero))
}

/// The error function: a rational minimax approximation, odd, on [-4, 4], beyond which it is 1 in f32. The
/// coefficients are those of the library Eigen.
#[inline(always)]
fn erf<L: Lanes>(x: L) -> L {
    const P: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const Q: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_473_9e-2];
    odd(x.at_least(L::splat(-4.0)).at_most(L::splat(4.0)), &P, &Q)
}

/// The hyperbolic tangent, in the same way: on [-7.9, 7.9].
#[inline(always)]
fn tanh<L: Lanes>(x: L) -> L {
    const P: [f32; 7] = [
        -2.760_768_5e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297_1e-8,
        1.485_722_4e-5,
        6.372_619_3e-4,
        4.893_524_6e-3,
    ];
    const Q: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
    odd(x.at_least(L::splat(-7.905_311)).at_most(L::splat(7.905_311)), &P, &Q)
}

/// `x P(x^2) / Q(x^2)`.
#[inline(always)]
fn odd<L: Lanes>(x: L, p: &[f32], q: &[f32]) -> L {
    let square = x * x;
    x * polynomial(square, p) / polynomial(square, q)
}

/// Each function that has a formula, once.
#[cfg(test)]
pub const EXAMPLES: [UnaryFn; 12] = [
    UnaryFn::Elu { alpha: 0.7 },
    UnaryFn::Erf,
    UnaryFn::Exp,
    UnaryFn::Gelu,
    UnaryFn::HardSigmoid { alpha: 0.2, beta: 0.5 },
    UnaryFn::HardSwish,
    UnaryFn::LeakyRelu { alpha: 0.1 },
    UnaryFn::Selu { alpha: 1.673_263_2, gamma: 1.050_701 },
    UnaryFn::Sigmoid,
    UnaryFn::Silu,
    UnaryFn::Softsign,
    UnaryFn::Tanh,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the definition in f64, over what a network computes and far beyond.
    #[test]
    fn near_the_definition() {
        use UnaryFn::*;
        for f in EXAMPLES {
            for i in -40_000..40_000 {
                let x = i as f32 * 2.5e-3;
                let (got, want) = (f.formula(x).unwrap(), f.apply(x.into()));
                let bound = match f {
                    Exp => 4e-7 * want + 1e-37, // relative
                    _ => 3e-7 * (1.0 + f64::from(x.abs())),
                };
                let right =
                    (f64::from(got) - want).abs() <= bound || f64::from(got) == f64::from(want as f32);
                assert!(right, "{f:?}({x}) is {got}, not {want}");
            }
            // NaN stays, infinities have their limits
            for x in [f32::NAN, f32::INFINITY] {
                let (got, want) = (f.formula(x).unwrap(), f.apply(x.into()));
                assert_eq!(got.is_nan(), want.is_nan(), "{f:?}({x}) is {got}");
            }
        }
    }

    /// Small results have small errors: an odd function near 0.
    #[test]
    fn relative_near_zero() {
        for f in [UnaryFn::Erf, UnaryFn::Tanh, UnaryFn::Gelu] {
            for x in [1e-6f32, 1e-4, 0.01, 0.3] {
                let (got, want) = (f64::from(f.formula(x).unwrap()), f.apply(x.into()));
                assert!((got / want - 1.0).abs() < 1e-6, "{f:?}({x}) is {got}, not {want}");
            }
        }
    }
}
