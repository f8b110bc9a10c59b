//! Reductions over axes: mean, sum, extremes, norms. One row a function.

use super::axes::axes_of;
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, Data, ravel, unravel};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Makes the functions. A row: the variant, its ONNX operator type, and its meaning for a list of reals.
macro_rules! functions {
    ($($name:ident $kind:literal |$v:ident| $f:expr;)*) => {
        /// A function of a list of numbers.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum ReduceFn { $($name,)* }

        const KINDS: &[&str] = &[$($kind),*];

        impl ReduceFn {
            fn parse(kind: &str) -> Check<Self> {
                match kind {
                    $($kind => Ok(ReduceFn::$name),)*
                    _ => Err(format!("{kind} is no reduction")),
                }
            }

            fn kind(&self) -> &'static str {
                match self { $(ReduceFn::$name => $kind,)* }
            }

            /// The function of these reals.
            pub fn real(&self, v: &[f64]) -> f64 {
                match self { $(ReduceFn::$name => { let $v = v; $f })* }
            }
        }
    };
}

functions! {
    Mean "ReduceMean" |v| v.iter().sum::<f64>() / v.len() as f64;
    Sum "ReduceSum" |v| v.iter().sum();
    Max "ReduceMax" |v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Min "ReduceMin" |v| v.iter().copied().fold(f64::INFINITY, f64::min);
    Prod "ReduceProd" |v| v.iter().product();
    L1 "ReduceL1" |v| v.iter().map(|x| x.abs()).sum();
    L2 "ReduceL2" |v| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    SumSquare "ReduceSumSquare" |v| v.iter().map(|x| x * x).sum();
    LogSum "ReduceLogSum" |v| v.iter().sum::<f64>().ln();
    LogSumExp "ReduceLogSumExp" |v| {
        let max = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if max.is_finite() { max + v.iter().map(|x| (x - max).exp()).sum::<f64>().ln() } else { max }
    };
}

impl ReduceFn {
    /// The function of these integers: exact where the result is one of them or their sum or product.
    pub fn int(&self, v: &[i64]) -> i64 {
        match self {
            ReduceFn::Sum => v.iter().fold(0, |a, &b| a.wrapping_add(b)),
            ReduceFn::Prod => v.iter().fold(1, |a, &b| a.wrapping_mul(b)),
            ReduceFn::Max => v.iter().copied().max().unwrap_or(i64::MIN),
            ReduceFn::Min => v.iter().copied().min().unwrap_or(i64::MAX),
            _ => self.real(&v.iter().map(|&x| x as f64).collect::<Vec<_>>()) as i64,
        }
    }
}

/// A function of all numbers along some axes. The axes are an attribute before opset 18 (ReduceSum: 13), input 1
/// since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reduce {
    /// The function.
    pub f: ReduceFn,
    /// The axes; empty means all.
    pub axes: Vec<i64>,
    /// Keep the axes, with size 1.
    pub keepdims: bool,
    /// Empty `axes` mean none, and the output is the input.
    pub noop: bool,
}

impl Reduce {
    /// For each axis of an input of this shape, does the reduction run over it?
    pub fn reduced(&self, x: &Shape) -> Check<Vec<bool>> {
        if self.axes.is_empty() {
            return Ok(vec![!self.noop; x.rank()]);
        }
        let axes = axes_of(x, &self.axes)?;
        Ok((0..x.rank()).map(|a| axes.contains(&a)).collect())
    }

    /// Is it, on an input of this shape, the mean over height and width: a global average pooling?
    pub fn is_spatial_mean(&self, x: &Shape) -> bool {
        self.f == ReduceFn::Mean && self.reduced(x) == Ok(vec![false, false, true, true])
    }

    fn is_noop(&self) -> bool {
        self.noop && self.axes.is_empty()
    }

    fn output(&self, x: &Shape) -> Check<Shape> {
        let reduced = self.reduced(x)?;
        let kept = |a: &usize| self.keepdims || !reduced[*a];
        Ok(Shape((0..x.rank()).filter(kept).map(|a| if reduced[a] { 1 } else { x[a] }).collect()))
    }
}

impl Operator for Reduce {
    const KINDS: &'static [&'static str] = KINDS;

    fn parameters(_: &str) -> &'static [(usize, &'static str)] {
        &[(1, "axes")]
    }

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(Reduce {
            f: ReduceFn::parse(kind)?,
            axes: attrs.ints("axes")?.unwrap_or_default(),
            keepdims: attrs.flag("keepdims", true)?,
            noop: attrs.flag("noop_with_empty_axes", false)?,
        })
    }

    fn kind(&self) -> &'static str {
        self.f.kind()
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with_unless(self.axes.is_empty(), "axes", Attr::Ints(self.axes.clone()))
            .with_unless(self.keepdims, "keepdims", Attr::Int(0))
            .with_unless(!self.noop, "noop_with_empty_axes", Attr::Int(1))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: self.output(&inputs[0].shape)? }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0];
        if self.is_noop() {
            return Ok(vec![x.clone()]);
        }
        let reduced = self.reduced(&x.shape)?;
        let ones = Shape((0..x.shape.rank()).map(|a| if reduced[a] { 1 } else { x.shape[a] }).collect());
        let mut strides = ones.strides();
        (0..strides.len()).filter(|&a| reduced[a]).for_each(|a| strides[a] = 0);
        let mut members = vec![Vec::new(); ones.numel()];
        (0..x.shape.numel()).for_each(|i| members[ravel(&unravel(i, &x.shape), &strides)].push(i));
        let data = match &x.data {
            Data::Real(v) => Data::Real(each(&members, v, |m| self.f.real(m))),
            Data::Int(v) => Data::Int(each(&members, v, |m| self.f.int(m))),
        };
        Ok(vec![Array { shape: self.output(&x.shape)?, data }])
    }

    /// A mean over height and width becomes a pooling, which has an integer form, by a rewrite.
    fn role(&self) -> Role {
        match self.f {
            ReduceFn::Max | ReduceFn::Min => Role::Move,
            _ => Role::Float,
        }
    }
}

/// `f` of the members of each group.
fn each<T: Copy>(groups: &[Vec<usize>], v: &[T], f: impl Fn(&[T]) -> T) -> Vec<T> {
    groups.iter().map(|g| f(&g.iter().map(|&i| v[i]).collect::<Vec<_>>())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduces_the_named_axes() {
        let x = Array::int([2, 3], vec![0, 1, 2, 3, 4, 5]);
        let op =
            |axes: &[i64], keepdims| Reduce { f: ReduceFn::Sum, axes: axes.to_vec(), keepdims, noop: false };
        assert_eq!(op(&[0], false).eval(&[&x]).unwrap()[0], Array::int([3], vec![3, 5, 7]));
        assert_eq!(op(&[-1], true).eval(&[&x]).unwrap()[0], Array::int([2, 1], vec![3, 12]));
        assert_eq!(op(&[], false).eval(&[&x]).unwrap()[0], Array::int([], vec![15]));
        let mean = Reduce { f: ReduceFn::Mean, ..op(&[-1, 2], true) };
        assert!(mean.is_spatial_mean(&Shape::from([1, 3, 5, 5])));
        assert!(!mean.is_spatial_mean(&Shape::from([1, 3, 5])));
    }
}
