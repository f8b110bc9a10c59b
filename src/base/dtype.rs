//! Element types of tensors.

use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The element type of a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // the names say it
pub enum DType {
    F32,
    F16,
    BF16,
    F64,
    I8,
    U8,
    I32,
    I64,
    Bool,
}

impl DType {
    /// Every type, in the order of the enum.
    pub const ALL: [DType; 9] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::F64,
        DType::I8,
        DType::U8,
        DType::I32,
        DType::I64,
        DType::Bool,
    ];

    /// Bytes an element takes.
    pub const fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::F16 | DType::BF16 => 2,
            DType::F32 | DType::I32 => 4,
            DType::F64 | DType::I64 => 8,
        }
    }

    /// The name in text forms: `f32`, `i8`, ...
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F64 => "f64",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::Bool => "bool",
        }
    }

    /// Is this a floating-point type?
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16 | DType::F64)
    }

    /// Is this one of the two 8-bit integer types that engines compute in?
    pub const fn is_int8(self) -> bool {
        matches!(self, DType::I8 | DType::U8)
    }
}

/// `x` as the nearest f16, rounded once (`f16::from_f64` looks at its upper half alone).
pub fn to_f16(x: f64) -> f16 {
    f16::from_f32(rounded_to_odd(x))
}

/// `x` as the nearest bf16, rounded once.
pub fn to_bf16(x: f64) -> bf16 {
    bf16::from_f32(rounded_to_odd(x))
}

/// `x` cut to an f32, with its last bit set where something was cut off: as a shorter type rounds that number, it would
/// have rounded `x`.
fn rounded_to_odd(x: f64) -> f32 {
    let near = x as f32;
    if x.is_nan() || f64::from(near) == x {
        return near;
    }
    let beyond = f64::from(near).abs() > x.abs();
    f32::from_bits((near.to_bits() - u32::from(beyond)) | 1)
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        DType::ALL.into_iter().find(|d| d.name() == s).ok_or_else(|| format!("unknown element type `{s}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Just above the middle between two numbers of the shorter type is no tie, however little above.
    #[test]
    fn short_floats_are_rounded_once() {
        let half = |steps: f64| 1.0 + steps * 2f64.powi(-11);
        assert_eq!(to_f16(half(1.0)).to_f64(), 1.0);
        assert_eq!(to_f16(half(1.0) + 2f64.powi(-40)).to_f64(), half(2.0));
        assert_eq!(to_f16(-half(3.0) + 2f64.powi(-40)).to_f64(), -half(2.0));
        assert_eq!(to_bf16(1.0 + 2f64.powi(-8) + 2f64.powi(-23)).to_f64(), 1.0 + 2f64.powi(-7));
        assert_eq!((to_f16(65_520.0), to_f16(65_519.9).to_f64()), (f16::INFINITY, 65_504.0));
        assert!(to_bf16(1e300).is_infinite() && to_bf16(f64::NAN).is_nan());
    }
}
