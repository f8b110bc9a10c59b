//! `ArgMax` and `ArgMin`: where along an axis the extreme stands.

use super::axes::{around, axis_of};
use super::{Operator, Role, arity};
use crate::base::{DType, Shape};
use crate::ir::array::{Array, Data};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// The index of the largest (or smallest) element along an axis, as I64.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArgMax {
    /// The smallest instead.
    pub min: bool,
    /// The axis; negative ones count from the end.
    pub axis: i64,
    /// Keep the axis, with size 1.
    pub keepdims: bool,
    /// Of equal elements the last, not the first.
    pub last: bool,
}

impl ArgMax {
    fn output(&self, x: &Shape) -> Check<Shape> {
        let axis = axis_of(x, self.axis)?;
        let mut shape = x.clone();
        match self.keepdims {
            true => shape.0[axis] = 1,
            false => drop(shape.0.remove(axis)),
        }
        if x[axis] == 0 { Err(format!("axis {axis} of {x} is empty")) } else { Ok(shape) }
    }
}

impl Operator for ArgMax {
    const KINDS: &'static [&'static str] = &["ArgMax", "ArgMin"];

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(ArgMax {
            min: kind == "ArgMin",
            axis: attrs.int("axis")?.unwrap_or(0),
            keepdims: attrs.flag("keepdims", true)?,
            last: attrs.flag("select_last_index", false)?,
        })
    }

    fn kind(&self) -> &'static str {
        if self.min { "ArgMin" } else { "ArgMax" }
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with_unless(self.axis == 0, "axis", Attr::Int(self.axis))
            .with_unless(self.keepdims, "keepdims", Attr::Int(0))
            .with_unless(!self.last, "select_last_index", Attr::Int(1))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(vec![Fact { dtype: DType::I64, shape: self.output(&inputs[0].shape)? }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0];
        let extent = around(&x.shape, axis_of(&x.shape, self.axis)?);
        let found = match &x.data {
            Data::Real(v) => self.search(v, extent),
            Data::Int(v) => self.search(v, extent),
        };
        Ok(vec![Array::int(self.output(&x.shape)?, found)])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}

impl ArgMax {
    /// The index of the extreme of these numbers.
    pub fn best(&self, v: &[f64]) -> i64 {
        self.first_of(v.len(), |k| v[k])
    }

    fn first_of<T: PartialOrd>(&self, n: usize, at: impl Fn(usize) -> T) -> i64 {
        let better = |a: T, b: T| if self.min { a < b } else { a > b } || (self.last && a == b);
        (1..n).fold(0, |best, k| if better(at(k), at(best)) { k } else { best }) as i64
    }

    fn search<T: Copy + PartialOrd>(&self, v: &[T], [outer, n, inner]: [usize; 3]) -> Vec<i64> {
        let best = |o: usize, i: usize| self.first_of(n, |k| v[(o * n + k) * inner + i]);
        (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))).map(|(o, i)| best(o, i)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first_or_the_last() {
        let x = Array::int([1, 4], vec![1, 3, 3, 0]);
        let op = |last| ArgMax { min: false, axis: 1, keepdims: false, last };
        assert_eq!(op(false).eval(&[&x]).unwrap()[0], Array::int([1], vec![1]));
        assert_eq!(op(true).eval(&[&x]).unwrap()[0], Array::int([1], vec![2]));
    }
}
