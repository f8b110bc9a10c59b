//! Arrays of the oracle: f64 for floats, i64 for integers, so that an operator's plain loops mean the real thing:
//! float graphs are evaluated in f64, quantized ones in exact integers, shape arithmetic in i64.

use crate::base::dtype::{to_bf16, to_f16};
use crate::base::{DType, Shape, Tensor};
use std::borrow::Cow;

/// The numbers of an [`Array`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Reals.
    Real(Vec<f64>),
    /// Integers and booleans (0 or 1).
    Int(Vec<i64>),
}

/// Numbers in a shape, row-major.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Array {
    pub shape: Shape,
    pub data: Data,
}

/// What plain loops need of a number: both kinds of [`Data`] have it.
pub trait Number:
    Copy + Send + Sync + PartialOrd + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self>
{
    /// 0.
    const ZERO: Self;
    /// Lower than every number.
    const LOWEST: Self;
}

impl Number for f64 {
    const ZERO: f64 = 0.0;
    const LOWEST: f64 = f64::NEG_INFINITY;
}

impl Number for i64 {
    const ZERO: i64 = 0;
    const LOWEST: i64 = i64::MIN;
}

impl Array {
    /// An array of reals.
    pub fn real(shape: impl Into<Shape>, values: Vec<f64>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.numel(), values.len(), "shape {shape}");
        Array { shape, data: Data::Real(values) }
    }

    /// An array of integers.
    pub fn int(shape: impl Into<Shape>, values: Vec<i64>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.numel(), values.len(), "shape {shape}");
        Array { shape, data: Data::Int(values) }
    }

    /// The numbers of a tensor.
    pub fn of(t: &Tensor) -> Self {
        let data = if t.dtype().is_float() { Data::Real(t.to_f64()) } else { Data::Int(t.to_i64()) };
        Array { shape: t.shape().clone(), data }
    }

    /// The array as a tensor of `dtype`: floats rounded once, integers wrapped as a cast does.
    pub fn to_tensor(&self, dtype: DType) -> Tensor {
        let s = self.shape.clone();
        match dtype {
            DType::F32 => Tensor::new(s, &self.map_real(|v| v as f32)),
            DType::F16 => Tensor::new(s, &self.map_real(to_f16)),
            DType::BF16 => Tensor::new(s, &self.map_real(to_bf16)),
            DType::F64 => Tensor::new(s, &self.map_real(|v| v)),
            DType::I8 => Tensor::new(s, &self.map_int(|v| v as i8)),
            DType::U8 => Tensor::new(s, &self.map_int(|v| v as u8)),
            DType::I32 => Tensor::new(s, &self.map_int(|v| v as i32)),
            DType::I64 => Tensor::new(s, &self.map_int(|v| v)),
            DType::Bool => {
                let bytes = self.map_int(|v| u8::from(v != 0));
                Tensor::from_bytes(DType::Bool, s.clone(), &bytes)
                    .unwrap_or_else(|| Tensor::zeros(DType::Bool, s))
            }
        }
    }

    /// The numbers as f64.
    pub fn reals(&self) -> Vec<f64> {
        self.map_real(|v| v)
    }

    /// The numbers as f64, borrowed where they are.
    pub fn as_reals(&self) -> Cow<'_, [f64]> {
        match &self.data {
            Data::Real(v) => Cow::Borrowed(v),
            Data::Int(_) => Cow::Owned(self.reals()),
        }
    }

    /// The numbers as i64; reals are truncated toward zero.
    pub fn ints(&self) -> Vec<i64> {
        self.map_int(|v| v)
    }

    /// The same numbers in another shape.
    pub fn reshaped(self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.numel(), self.shape.numel(), "reshape of {} to {shape}", self.shape);
        Array { shape, data: self.data }
    }

    /// An array of `shape` whose element `i` is element `from(i)` of this one, or 0 where that is `None`: every
    /// operator that only moves data is a choice of `from`.
    pub fn gather(&self, shape: Shape, from: impl Fn(usize) -> Option<usize>) -> Self {
        let n = shape.numel();
        let data = match &self.data {
            Data::Real(v) => Data::Real((0..n).map(|i| from(i).map_or(0.0, |j| v[j])).collect()),
            Data::Int(v) => Data::Int((0..n).map(|i| from(i).map_or(0, |j| v[j])).collect()),
        };
        Array { shape, data }
    }

    fn map_real<T>(&self, f: impl Fn(f64) -> T) -> Vec<T> {
        match &self.data {
            Data::Real(v) => v.iter().map(|&x| f(x)).collect(),
            Data::Int(v) => v.iter().map(|&x| f(x as f64)).collect(),
        }
    }

    fn map_int<T>(&self, f: impl Fn(i64) -> T) -> Vec<T> {
        match &self.data {
            Data::Real(v) => v.iter().map(|&x| f(x as i64)).collect(),
            Data::Int(v) => v.iter().map(|&x| f(x)).collect(),
        }
    }
}

/// The indices along every axis of element `i` of `shape`.
pub fn unravel(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for (a, &d) in at.iter_mut().zip(shape).rev() {
        *a = i % d.max(1);
        i /= d.max(1);
    }
    at
}

/// The element number of `at` in a tensor of these strides.
pub fn ravel(at: &[usize], strides: &[usize]) -> usize {
    at.iter().zip(strides).map(|(a, s)| a * s).sum()
}

/// Strides (in elements) by which a tensor of shape `s` is read as one of shape `out`: 0 along broadcast axes.
pub fn broadcast_strides(s: &Shape, out: &Shape) -> Vec<usize> {
    let skip = out.rank() - s.rank();
    let own = s.strides();
    (0..out.rank()).map(|i| if i < skip || s[i - skip] == 1 { 0 } else { own[i - skip] }).collect()
}
