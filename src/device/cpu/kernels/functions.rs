//! Functions of f32 in vectors: the formulas of [`crate::ir::ops::formula`] over registers.

use crate::device::cpu::simd::Simd;
use crate::ir::ops::UnaryFn;
use crate::ir::ops::formula::{self, Lanes};
use std::ops::{Add, Div, Mul, Sub};

/// `f(x)` in every lane; `x` itself if the function has no formula.
///
/// # Safety
/// As for [`Simd`], inside of [`Simd::within`].
#[inline(always)]
pub unsafe fn apply<S: Simd>(f: &UnaryFn, x: S::F) -> S::F {
    // SAFETY: the caller's promise is that of a register.
    let x = unsafe { Register::<S>::new(x) };
    f.formula(x).unwrap_or(x).0
}

/// `e^x` in every lane.
///
/// # Safety
/// As for [`apply`].
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: the caller's promise is that of a register.
    formula::exp(unsafe { Register::<S>::new(x) }).0
}

/// A register of an instruction set that the CPU has.
#[derive(Clone, Copy)]
struct Register<S: Simd>(S::F);

impl<S: Simd> Register<S> {
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`], as long as there are registers made of this one.
    #[inline(always)]
    unsafe fn new(x: S::F) -> Self {
        Register(x)
    }
}

/// An operator of registers.
macro_rules! operator {
    ($($trait:ident $name:ident $simd:ident;)*) => {
        $(impl<S: Simd> $trait for Register<S> {
            type Output = Self;
            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                // SAFETY: the promise of `new`.
                Register(unsafe { S::$simd(self.0, other.0) })
            }
        })*
    };
}

operator! {
    Add add add_f;
    Sub sub sub_f;
    Mul mul mul_f;
    Div div div_f;
}

impl<S: Simd> Lanes for Register<S> {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: formulas make numbers for registers that there are already.
        Register(unsafe { S::splat_f(x) })
    }
    #[inline(always)]
    fn fma(self, m: Self, b: Self) -> Self {
        // SAFETY: the promise of `new`, here and below.
        Register(unsafe { S::fma(self.0, m.0, b.0) })
    }
    #[inline(always)]
    fn at_least(self, bound: Self) -> Self {
        // SAFETY: as above.
        Register(unsafe { S::max_f(bound.0, self.0) })
    }
    #[inline(always)]
    fn at_most(self, bound: Self) -> Self {
        // SAFETY: as above.
        Register(unsafe { S::min_f(bound.0, self.0) })
    }
    #[inline(always)]
    fn rint(self) -> Self {
        // SAFETY: as above.
        Register(unsafe { S::to_float(S::round(self.0)) })
    }
    #[inline(always)]
    fn times_power_of_two(self, n: Self) -> Self {
        // SAFETY: as above.
        Register(unsafe { S::scale_by_power(self.0, S::round(n.0)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::Isa;
    use crate::device::cpu::simd::{MOST_LANES, with_simd};
    use crate::ir::ops::formula::EXAMPLES;

    /// Registers of every instruction set give the bits of one f32.
    #[test]
    fn every_lane_has_the_bits_of_the_definition() {
        let ends = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40, -3e38];
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for f in EXAMPLES {
                for x in (-4_000..4_000).map(|i| i as f32 * 2.5e-2 + 1e-3).chain(ends) {
                    let mut y = [0f32; MOST_LANES];
                    // SAFETY: the machine has it.
                    with_simd!(isa, S => unsafe {
                        S::within(#[inline(always)] || {
                            let v = S::bits(apply::<S>(&f, S::splat_f(x)));
                            S::store(y.as_mut_ptr().cast(), v);
                        });
                    });
                    let want = f.formula(x).unwrap();
                    let same = y[0].to_bits() == want.to_bits() || y[0].is_nan() && want.is_nan();
                    assert!(same, "{f:?}({x}) is {} on {isa}, not {want}", y[0]);
                }
            }
        }
    }
}
