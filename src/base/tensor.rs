//! Tensors: typed numbers with a shape, row-major and dense.

use super::dtype::{to_bf16, to_f16};
use super::{DType, Shape};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A Rust type that a tensor can hold.
pub trait Element: Pod {
    /// The element type it stands for.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: DType = DType::$d; })* };
}
elements!(f32 => F32, f16 => F16, bf16 => BF16, f64 => F64, i8 => I8, u8 => U8, i32 => I32, i64 => I64);

/// Numbers of one type in a shape. Cloning shares the data.
///
/// The data is aligned to 8 bytes, little endian, `shape.numel() * dtype.size()` bytes long. A `Bool` is a byte
/// of 0 or 1.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Tensor {
    dtype: DType,
    shape: Shape,
    words: Arc<[u64]>,
}

impl Tensor {
    /// A tensor of `values`, whose number must be that of `shape`'s elements.
    ///
    /// # Panics
    /// Where the numbers differ: a mistake of the caller. Data from files goes through [`Tensor::from_bytes`].
    pub fn new<T: Element>(shape: impl Into<Shape>, values: &[T]) -> Self {
        let shape = shape.into();
        assert_eq!(shape.numel(), values.len(), "shape {shape} holds another number of values");
        Tensor { dtype: T::DTYPE, shape, words: words_of(bytemuck::cast_slice(values)) }
    }

    /// A scalar.
    pub fn scalar<T: Element>(value: T) -> Self {
        Tensor::new(Shape::scalar(), &[value])
    }

    /// A tensor over little-endian bytes. `None` where their number does not fit the shape.
    pub fn from_bytes(dtype: DType, shape: impl Into<Shape>, bytes: &[u8]) -> Option<Self> {
        let shape = shape.into();
        let want = shape.checked_numel()?.checked_mul(dtype.size())?;
        (bytes.len() == want).then(|| Tensor { dtype, shape, words: words_of(bytes) })
    }

    /// A tensor of zeros.
    pub fn zeros(dtype: DType, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let words = vec![0u64; (shape.numel() * dtype.size()).div_ceil(8)].into();
        Tensor { dtype, shape, words }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The data as bytes, little endian.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.numel() * self.dtype.size()]
    }

    /// The values, where the tensor holds `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        (self.dtype == T::DTYPE).then(|| bytemuck::cast_slice(self.bytes()))
    }

    /// The values as f64, whatever their type. Integers beyond 2^53 lose their last digits.
    pub fn to_f64(&self) -> Vec<f64> {
        let b = self.bytes();
        match self.dtype {
            DType::F32 => cast::<f32>(b).iter().map(|&v| v.into()).collect(),
            DType::F16 => cast::<f16>(b).iter().map(|&v| v.into()).collect(),
            DType::BF16 => cast::<bf16>(b).iter().map(|&v| v.into()).collect(),
            DType::F64 => cast::<f64>(b).to_vec(),
            _ => self.to_i64().iter().map(|&v| v as f64).collect(),
        }
    }

    /// The values as i64. Floats are truncated toward zero (NaN to 0), as a cast does.
    pub fn to_i64(&self) -> Vec<i64> {
        let b = self.bytes();
        match self.dtype {
            DType::I8 => cast::<i8>(b).iter().map(|&v| v.into()).collect(),
            DType::U8 | DType::Bool => b.iter().map(|&v| v.into()).collect(),
            DType::I32 => cast::<i32>(b).iter().map(|&v| v.into()).collect(),
            DType::I64 => cast::<i64>(b).to_vec(),
            _ => self.to_f64().iter().map(|&v| v as i64).collect(),
        }
    }

    /// The values as f32: borrowed where they are, else rounded once.
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        let b = self.bytes();
        match self.dtype {
            DType::F32 => Cow::Borrowed(cast(b)),
            DType::F16 => Cow::Owned(cast::<f16>(b).to_f32_vec()),
            _ => Cow::Owned(self.to_f64().iter().map(|&v| v as f32).collect()),
        }
    }

    /// A tensor of floats with `f` of every number, from the number of its row (of `len` numbers) and itself: computed in
    /// f64, rounded once. Integers become f64.
    pub fn map_rows(&self, len: usize, f: impl Fn(usize, f64) -> f64) -> Self {
        match self.dtype {
            DType::F32 => self.map_rows_of::<f32>(len, |row, v| f(row, v.into()) as f32),
            DType::F16 => self.map_rows_of::<f16>(len, |row, v| to_f16(f(row, v.into()))),
            DType::BF16 => self.map_rows_of::<bf16>(len, |row, v| to_bf16(f(row, v.into()))),
            _ => Tensor::new(self.shape.clone(), &self.to_f64()).map_rows_of::<f64>(len, f),
        }
    }

    fn map_rows_of<T: Element>(&self, len: usize, f: impl Fn(usize, T) -> T) -> Self {
        let mut values = cast::<T>(self.bytes()).to_vec();
        for (row, values) in values.chunks_mut(len.max(1)).enumerate() {
            values.iter_mut().for_each(|v| *v = f(row, *v));
        }
        Tensor::new(self.shape.clone(), &values)
    }
}

fn cast<T: Pod>(b: &[u8]) -> &[T] {
    bytemuck::cast_slice(b) // aligned to 8 bytes by construction
}

fn words_of(bytes: &[u8]) -> Arc<[u64]> {
    if let Ok(words) = bytemuck::try_cast_slice::<u8, u64>(bytes) {
        return words.into();
    }
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words.into()
}

/// The stored form: type, shape, bytes. A length that does not fit the shape is an error, not a tensor.
#[derive(Serialize, Deserialize)]
struct Stored(DType, Shape, Vec<u8>);

impl From<Tensor> for Stored {
    fn from(t: Tensor) -> Stored {
        Stored(t.dtype, t.shape.clone(), t.bytes().to_vec())
    }
}

impl TryFrom<Stored> for Tensor {
    type Error = String;
    fn try_from(Stored(dtype, shape, bytes): Stored) -> Result<Tensor, String> {
        let n = bytes.len();
        Tensor::from_bytes(dtype, shape.clone(), &bytes)
            .ok_or_else(|| format!("{n} bytes for a {dtype}{shape}"))
    }
}

impl PartialEq for Tensor {
    fn eq(&self, o: &Tensor) -> bool {
        self.dtype == o.dtype && self.shape == o.shape && self.bytes() == o.bytes()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)?;
        let head: Vec<f64> = self.to_f64().into_iter().take(8).collect();
        write!(f, " {head:?}{}", if self.numel() > 8 { ".." } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_fit_the_shape() {
        assert!(Tensor::from_bytes(DType::F32, [2], &[0; 8]).is_some());
        assert!(Tensor::from_bytes(DType::F32, [2], &[0; 7]).is_none());
        assert!(Tensor::from_bytes(DType::F32, [usize::MAX, 4], &[]).is_none());
    }

    #[test]
    fn rows_are_computed_in_f64_and_rounded_once() {
        let t = Tensor::new([2, 2], &[1.0f32, 3.0, 0.1, -0.1]);
        let third = |row: usize, v: f64| v / (row as f64 * 2.0 + 1.0);
        let want = [1.0, 3.0, (f64::from(0.1f32) / 3.0) as f32, (f64::from(-0.1f32) / 3.0) as f32];
        assert_eq!(t.map_rows(2, third), Tensor::new([2, 2], &want));
        // just above the middle between two halves
        let halves = Tensor::new([1], &[f16::from_f32(1.0)]);
        let above = halves.map_rows(1, |_, v| v + 2f64.powi(-11) + 2f64.powi(-40));
        assert_eq!(above, Tensor::new([1], &[f16::from_f32(1.0 + 2f32.powi(-10))]));
    }

    #[test]
    fn half_floats_widen() {
        let t = Tensor::new([2], &[f16::from_f32(1.5), f16::from_f32(-2.0)]);
        assert_eq!(t.to_f32().as_ref(), [1.5, -2.0]);
    }
}
