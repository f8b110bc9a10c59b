//! Division of many numbers by one.

use crate::base::quant::Scale;
use crate::device::cpu::simd::Simd;

/// Quotients beyond this size are only known to be beyond it.
const FAR: f32 = 1024.0;

/// A scale as a divisor.
#[derive(Clone, Copy)]
pub struct Divisor {
    scale: f32,
    /// Where it lies so that the products below neither overflow nor vanish.
    reciprocal: Option<f32>,
}

impl Divisor {
    /// Division by this scale.
    pub fn new(scale: Scale) -> Divisor {
        let scale = scale.get();
        let moderate = (1e-25..1e25).contains(&scale);
        Divisor { scale, reciprocal: moderate.then_some(1.0 / scale) }
    }

    /// `x / scale` as IEEE rounds it, where it is at most [`FAR`]; something at least as far from 0 with its sign beyond
    /// that; NaN where `x` is.
    ///
    /// The instruction for it takes as long as thirty others. An estimate by the reciprocal is corrected by its exact
    /// remainder, which makes it the nearest number or its neighbour, and then the nearest (Markstein, "Computation of
    /// elementary functions on the IBM RISC System/6000 processor", IBM J. Res. Dev. 34, 1990, theorem 5).
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`].
    #[inline(always)]
    pub unsafe fn divide<S: Simd>(&self, x: S::F) -> S::F {
        // SAFETY: the caller's promise.
        unsafe {
            let (Some(reciprocal), true) = (self.reciprocal, S::FUSED) else {
                return S::div_f(x, S::splat_f(self.scale));
            };
            let far = S::splat_f(FAR * self.scale);
            let x = S::min_f(far, S::max_f(S::sub_f(S::splat_f(0.0), far), x));
            let (r, negative) = (S::splat_f(reciprocal), S::splat_f(-self.scale));
            let mut q = S::mul_f(x, r);
            for _ in 0..2 {
                q = S::fma(S::fma(q, negative, x), r, q);
            }
            q
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::SplitMix64;
    use crate::device::cpu::Isa;
    use crate::device::cpu::simd::{MOST_LANES, with_simd};

    fn divided(isa: Isa, d: &Divisor, x: f32) -> f32 {
        let mut y = [0f32; MOST_LANES];
        // SAFETY: the machine has it; `y` holds a register.
        with_simd!(isa, S => unsafe {
            S::within(#[inline(always)] || {
                S::store(y.as_mut_ptr().cast(), S::bits(d.divide::<S>(S::splat_f(x))));
            });
        });
        y[0]
    }

    /// Against the instruction: around the borders between integers, where one unit of the last place decides, and
    /// anywhere.
    #[test]
    fn quotients_are_those_of_ieee() {
        let mut random = SplitMix64::new(5);
        for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
            for round in 0..400 {
                let bits = random.next_u64();
                let exponent = if round % 2 == 0 { 100 + (bits >> 32) % 30 } else { 1 + (bits >> 32) % 253 };
                let scale = f32::from_bits((exponent as u32) << 23 | bits as u32 & 0x7f_ffff);
                let Some(checked) = Scale::new(scale) else { continue };
                let d = Divisor::new(checked);
                for i in -520..520i32 {
                    let border = i as f32 * 0.5 * scale;
                    let near = (-2..3).map(|n| f32::from_bits(border.to_bits().wrapping_add_signed(n)));
                    let anywhere = scale * (random.next_u64() >> 40) as f32 * 2f32.powi(-16);
                    for x in near.chain([anywhere]) {
                        let (got, want) = (divided(isa, &d, x), x / scale);
                        // what is far below half a step is 0 as an integer, whatever it is
                        let same =
                            got == want || want.is_nan() && got.is_nan() || want.abs().max(got.abs()) < 1e-3;
                        assert!(
                            same || want.abs() > FAR && got.abs() >= FAR,
                            "{x:e} / {scale:e}: {got} on {isa}, {want}"
                        );
                    }
                }
                for x in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
                    let got = divided(isa, &d, x);
                    assert!(
                        got.signum() == x.signum() && got.abs() >= FAR.min(x.abs() / scale),
                        "{x} / {scale:e}"
                    );
                }
                assert!(divided(isa, &d, f32::NAN).is_nan());
            }
        }
    }
}
