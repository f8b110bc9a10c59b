//! Quantization arithmetic: the only rounding in the crate.
//!
//! Rounding is half to even, then saturation, and quantizing divides (IEEE) by the scale, as ONNX `QuantizeLinear`
//! has it: multiplying by a rounded reciprocal gives other integers. The epilogue of integer nodes is
//! [`Epilogue`], in f32 with fused multiply-adds, in one order on every device.

use super::DType;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest reduction of u8 by s8 products whose i32 sum cannot overflow: `floor((2^31 - 1) / (255 * 127))`.
pub const MAX_REDUCTION: usize = (i32::MAX / (255 * 127)) as usize;

/// A quantization step: finite and at least the smallest normal f32, by construction.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Serialize, Deserialize)]
#[serde(into = "f32", try_from = "f32")]
pub struct Scale(f32);

impl Scale {
    /// The scale of numbers that are what they say.
    pub const ONE: Scale = Scale(1.0);

    /// The scale, unless it is not finite or below the smallest normal f32 (where 1/s would overflow and a
    /// product of two scales vanish).
    pub fn new(s: f32) -> Option<Scale> {
        (s.is_finite() && s >= f32::MIN_POSITIVE).then_some(Scale(s))
    }

    /// The step of a symmetric range: `amax / 127`, by f32 division as TensorRT has it; 1 for an all-zero or
    /// denormal tensor, which every step represents.
    pub fn symmetric(amax: f32) -> Scale {
        Scale::new(amax / 127.0).unwrap_or(Scale::ONE)
    }

    /// The value.
    #[inline(always)]
    pub fn get(self) -> f32 {
        self.0
    }
}

impl From<Scale> for f32 {
    fn from(s: Scale) -> f32 {
        s.0
    }
}

impl TryFrom<f32> for Scale {
    type Error = String;
    fn try_from(s: f32) -> Result<Self, String> {
        Scale::new(s)
            .ok_or_else(|| format!("{s} is no scale: it must be finite and at least {}", f32::MIN_POSITIVE))
    }
}

/// The real range that a tensor's integers cover: what a calibration method decides.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Range {
    /// Lowest value represented; 0 or negative.
    pub lo: f32,
    /// Highest value represented; 0 or positive.
    pub hi: f32,
}

impl Range {
    /// `[-amax, amax]`.
    pub fn symmetric(amax: f32) -> Self {
        Range { lo: -amax, hi: amax }
    }

    /// `[0, amax]`.
    pub fn unsigned(amax: f32) -> Self {
        Range { lo: 0.0, hi: amax }
    }

    /// The larger magnitude of the two ends.
    pub fn amax(self) -> f32 {
        self.hi.max(-self.lo)
    }
}

/// How an activation tensor's reals are stored as 8-bit integers: `real = scale * (q - zero_point)`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct QuantParams {
    /// `I8` or `U8`.
    pub dtype: DType,
    /// The step.
    pub scale: Scale,
    /// The integer that stands for 0. Always 0 for `I8`.
    pub zero_point: i32,
}

impl QuantParams {
    /// Signed, symmetric: scale amax/127, zero point 0.
    pub fn signed(amax: f32) -> Self {
        QuantParams { dtype: DType::I8, scale: Scale::symmetric(amax), zero_point: 0 }
    }

    /// Unsigned over `range`: `scale = (hi - lo) / 255`, `zero_point = rint(-lo / scale)`, in f64 and rounded once.
    /// A range from 0 has zero point 0.
    pub fn unsigned(range: Range) -> Self {
        let (lo, hi) = (f64::from(range.lo.min(0.0)), f64::from(range.hi.max(0.0)));
        let step = (hi - lo) / 255.0;
        match Scale::new(step as f32) {
            Some(scale) => {
                let zp = (-lo / step).round_ties_even().clamp(0.0, 255.0) as i32;
                QuantParams { dtype: DType::U8, scale, zero_point: zp }
            }
            None => QuantParams { dtype: DType::U8, scale: Scale(1.0), zero_point: 0 },
        }
    }

    /// Smallest and largest integer of the type.
    #[inline(always)]
    pub fn limits(&self) -> (i32, i32) {
        limits(self.dtype)
    }

    /// `sat(rint(x / scale) + zero_point)`; NaN to 0.
    #[inline(always)]
    pub fn quantize(&self, x: f32) -> i32 {
        self.saturate(x / self.scale.get())
    }

    /// `sat(rint(t) + zero_point)` for a `t` in units of the scale.
    #[inline(always)] // kernels are compiled for several instruction sets
    pub fn saturate(&self, t: f32) -> i32 {
        let (lo, hi) = self.limits();
        // saturating before the cast: t may be far outside i32; `as` sends NaN to 0
        let zp = self.zero_point;
        rint(t).clamp((lo - zp) as f32, (hi - zp) as f32) as i32 + zp
    }

    /// `scale * (q - zero_point)`.
    pub fn dequantize(&self, q: i32) -> f32 {
        self.scale.get() * (q - self.zero_point) as f32
    }
}

impl fmt::Display for QuantParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(scale={:?}", self.dtype, self.scale.get())?;
        if self.zero_point != 0 {
            write!(f, ", zp={}", self.zero_point)?;
        }
        f.write_str(")")
    }
}

/// Smallest and largest integer of an 8-bit type.
#[inline(always)]
pub fn limits(dtype: DType) -> (i32, i32) {
    match dtype {
        DType::U8 => (0, 255),
        _ => (-128, 127),
    }
}

/// Rounds half to even.
#[inline(always)]
pub fn rint(t: f32) -> f32 {
    t.round_ties_even()
}

/// The activation function of a fused epilogue: what the saturation can absorb, in real units.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, lo), hi)`.
    Clip {
        /// Lower bound.
        lo: f32,
        /// Upper bound.
        hi: f32,
    },
}

impl Activation {
    /// The bounds that the function clamps to, in real units.
    pub fn bounds(self) -> (f32, f32) {
        match self {
            Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Clip { lo, hi } => (lo, hi),
        }
    }

    /// The function at `x`. NaN stays NaN.
    pub fn apply(self, x: f64) -> f64 {
        let (lo, hi) = self.bounds();
        // comparisons, not `clamp`: a NaN bound must not panic, a NaN x must pass
        let x = if x < f64::from(lo) { f64::from(lo) } else { x };
        if x > f64::from(hi) { f64::from(hi) } else { x }
    }

    /// Can the result be negative?
    pub fn is_non_negative(self) -> bool {
        self.bounds().0 >= 0.0
    }
}

/// The last step of an integer node, per output channel `c`, in f32 and in this order:
///
/// ```text
/// t = fma(f32(acc), m[c], b[c])
/// t = fma(f32(residual - residual_zp), residual_scale, t)      where there is a residual
/// t = f(t) * unit                                              where there is a function
/// t = min(max(t, lo), hi)                                      the activation, in units of the output
/// q = sat(rint(t) + zero_point)                                or t itself, where the output is F32
/// ```
///
/// For an 8-bit output `m = s_x s_w[c] / s_y`, `b = bias[c] / s_y`, `residual_scale = s_r / s_y` and the bounds
/// are divided by `s_y`; for an F32 output `s_y` is 1. A function takes real numbers: where there is one, `m`, `b` and
/// `residual_scale` are not divided, and `unit = 1 / s_y`. All are computed in f64 and rounded once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Epilogue {
    /// Multiplier of the accumulator, per output channel.
    pub m: Vec<f32>,
    /// Added, per output channel.
    pub b: Vec<f32>,
    /// Multiplier and zero point of the residual, where there is one.
    pub residual: Option<(f32, i32)>,
    /// What the function's result is multiplied by, where there is a function.
    pub unit: Option<f32>,
    /// Lower bound of the activation, in units of the output.
    pub lo: f32,
    /// Upper bound of the activation, in units of the output.
    pub hi: f32,
    /// The output's quantization; `None` writes F32.
    pub out: Option<QuantParams>,
}

impl Epilogue {
    /// The epilogue of an accumulating node: `input` and `weights` are the scales of what was multiplied (one
    /// weight scale per output channel), `bias` is in real units, `after` says what is applied to the sums.
    pub fn new(
        input: Scale,
        weights: &[Scale],
        bias: &[f32],
        residual: Option<QuantParams>,
        after: After,
        out: Option<QuantParams>,
    ) -> Self {
        let s_y = out.map_or(1.0, |q| f64::from(q.scale.get()));
        let (lo, hi) = after.activation.bounds();
        let s_t = if after.function { 1.0 } else { s_y };
        Epilogue {
            m: weights.iter().map(|w| (f64::from(input.0) * f64::from(w.0) / s_t) as f32).collect(),
            b: bias.iter().map(|&b| (f64::from(b) / s_t) as f32).collect(),
            residual: residual.map(|r| ((f64::from(r.scale.get()) / s_t) as f32, r.zero_point)),
            unit: after.function.then_some((1.0 / s_y) as f32),
            lo: (f64::from(lo) / s_y) as f32,
            hi: (f64::from(hi) / s_y) as f32,
            out,
        }
    }

    /// The sum with bias and residual, of accumulator `acc` in channel `c`: what the function is applied to.
    pub fn sum(&self, acc: i32, c: usize, residual: i32) -> f32 {
        let t = (acc as f32).mul_add(self.m[c], self.b[c]);
        match self.residual {
            Some((scale, zp)) => ((residual - zp) as f32).mul_add(scale, t),
            None => t,
        }
    }

    /// The value before rounding, of a sum that the function, if there is one, has been applied to.
    pub fn real(&self, t: f32) -> f32 {
        (t * self.unit.unwrap_or(1.0)).max(self.lo).min(self.hi)
    }

    /// The stored integer of such a sum. The output must be 8-bit.
    pub fn quantized(&self, t: f32) -> i32 {
        self.out.map_or(0, |q| q.saturate(self.real(t)))
    }
}

/// What an epilogue applies to its sums.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct After {
    /// Is there a function? Which one is the operator's affair.
    pub function: bool,
    /// Applied last.
    pub activation: Activation,
}

/// Weights of one output channel as s8 in [-127, 127]: `rint(w / scale)`, saturated.
#[inline(always)] // loops are compiled for wide registers
pub fn quantize_weight(w: f32, scale: Scale) -> i8 {
    rint(w / scale.get()).clamp(-127.0, 127.0) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizing_divides_and_rounds_half_to_even() {
        let q = QuantParams { dtype: DType::I8, scale: Scale(1.0), zero_point: 0 };
        for (x, want) in [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (127.5, 127), (-127.5, -128)] {
            assert_eq!(q.quantize(x), want, "{x}");
        }
        assert_eq!((q.quantize(f32::INFINITY), q.quantize(f32::NEG_INFINITY)), (127, -128));
        // a case where multiplying by the reciprocal gives 8
        let q = QuantParams { scale: Scale(f32::from_bits(0x3e99_999a)), ..q };
        assert_eq!(q.quantize(f32::from_bits(0x4010_0000)), 7);
    }

    #[test]
    fn known_scales() {
        assert_eq!(Scale::symmetric(6.0).get().to_bits(), 0x3d41_8306); // in every public TensorRT cache of ReLU6
        assert_eq!(Scale::symmetric(0.0).get(), 1.0);
        assert_eq!(Scale::symmetric(1e-44).get(), 1.0);
        let q = QuantParams::unsigned(Range { lo: -1.0, hi: 3.0 });
        assert_eq!((q.scale.get().to_bits(), q.zero_point), (0x3c80_8081, 64)); // ONNX Runtime's figures
    }

    #[test]
    fn zero_point_shifts_after_rounding() {
        let q = QuantParams { dtype: DType::U8, scale: Scale(1.0), zero_point: 1 };
        assert_eq!([0.5, 1.5, 2.5, 300.0, -5.0].map(|x| q.quantize(x)), [1, 3, 3, 255, 0]);
    }

    #[test]
    fn the_epilogue_is_fused() {
        let e = Epilogue::new(
            Scale(0.1),
            &[Scale(0.02)],
            &[0.3],
            Some(QuantParams::signed(12.7)),
            After { function: false, activation: Activation::Relu },
            Some(QuantParams::unsigned(Range::unsigned(25.5))),
        );
        let (m, b, r) = (e.m[0], e.b[0], e.residual.unwrap().0);
        let by_hand = 100f32.mul_add(r, 1234f32.mul_add(m, b));
        assert_eq!(e.real(e.sum(1234, 0, 100)), by_hand);
        assert_eq!(e.quantized(e.sum(-100_000, 0, 0)), 0);
    }

    #[test]
    fn a_function_takes_real_numbers() {
        let after = After { function: true, activation: Activation::None };
        let out = QuantParams::unsigned(Range::unsigned(25.5)); // steps of 0.1
        let e = Epilogue::new(Scale(0.5), &[Scale(0.25)], &[3.0], None, after, Some(out));
        let real = e.sum(16, 0, 0);
        assert_eq!(real, 5.0);
        assert_eq!(e.quantized(real.sqrt()), 22);
    }
}
