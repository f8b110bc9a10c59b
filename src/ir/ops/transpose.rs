//! `Transpose`: the same numbers with the axes in another order.

use super::axes::axes_of;
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, ravel, unravel};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Permutation of axes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transpose {
    /// Axis `i` of the output is axis `perm[i]` of the input; empty reverses them all.
    pub perm: Vec<i64>,
}

impl Transpose {
    /// For each axis of the output, the axis of an input of this shape.
    pub fn axes(&self, x: &Shape) -> Check<Vec<usize>> {
        match self.perm.len() {
            0 => Ok((0..x.rank()).rev().collect()),
            n if n == x.rank() => axes_of(x, &self.perm),
            _ => Err(format!("`perm` {:?} for input {x}", self.perm)),
        }
    }
}

impl Operator for Transpose {
    const KINDS: &'static [&'static str] = &["Transpose"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(Transpose { perm: attrs.ints("perm")?.unwrap_or_default() })
    }

    fn kind(&self) -> &'static str {
        "Transpose"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with_unless(self.perm.is_empty(), "perm", Attr::Ints(self.perm.clone()))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        let x = &inputs[0].shape;
        let shape = Shape(self.axes(x)?.into_iter().map(|a| x[a]).collect());
        Ok(vec![Fact { dtype: inputs[0].dtype, shape }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = &inputs[0].shape;
        let axes = self.axes(x)?;
        let own = x.strides();
        let strides: Vec<usize> = axes.iter().map(|&a| own[a]).collect();
        let shape = Shape(axes.into_iter().map(|a| x[a]).collect());
        Ok(vec![inputs[0].gather(shape.clone(), |i| Some(ravel(&unravel(i, &shape), &strides)))])
    }

    fn role(&self) -> Role {
        Role::Move
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_axes_as_numpy_does() {
        let x = Array::int([1, 2, 3], vec![0, 1, 2, 3, 4, 5]);
        let y = Transpose { perm: vec![2, 0, -2] }.eval(&[&x]).unwrap();
        assert_eq!(y[0], Array::int([3, 1, 2], vec![0, 3, 1, 4, 2, 5]));
        assert!(Transpose { perm: vec![0, 0, 1] }.axes(&x.shape).is_err());
    }
}
