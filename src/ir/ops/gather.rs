//! `Gather`: the entries of an axis that indices choose, constant indices or computed ones.

use super::axes::{around, axis_of};
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Inputs: the data and the integer indices; a negative index counts from the end. The output has the indices' axes
/// in place of `axis`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gather {
    /// The axis; negative ones count from the end.
    pub axis: i64,
}

impl Gather {
    fn output(&self, x: &Shape, indices: &Shape) -> Check<Shape> {
        let axis = axis_of(x, self.axis)?;
        Ok(Shape([&x[..axis], indices, &x[axis + 1..]].concat()))
    }
}

impl Operator for Gather {
    const KINDS: &'static [&'static str] = &["Gather"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(Gather { axis: attrs.int("axis")?.unwrap_or(0) })
    }

    fn kind(&self) -> &'static str {
        "Gather"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with_unless(self.axis == 0, "axis", Attr::Int(self.axis))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 2..=2)?;
        if inputs[1].dtype.is_float() {
            return Err(format!("indices are {}, where integers are expected", inputs[1].dtype));
        }
        let shape = self.output(&inputs[0].shape, &inputs[1].shape)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let (x, indices) = (inputs[0], inputs[1]);
        let [_, n, inner] = around(&x.shape, axis_of(&x.shape, self.axis)?);
        let chosen = indices.ints().into_iter().map(|i| {
            let at = if i < 0 { i.saturating_add(n as i64) } else { i };
            usize::try_from(at).ok().filter(|&at| at < n).ok_or(format!("index {i} of {n} entries"))
        });
        let chosen = chosen.collect::<Check<Vec<usize>>>()?;
        let k = chosen.len();
        let from = |i: usize| Some((i / inner / k * n + chosen[i / inner % k]) * inner + i % inner);
        Ok(vec![x.gather(self.output(&x.shape, &indices.shape)?, from)])
    }

    fn role(&self) -> Role {
        Role::Move
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_take_the_place_of_the_axis() {
        let x = Array::int([2, 3], vec![0, 1, 2, 3, 4, 5]);
        let i = Array::int([1, 2], vec![-1, 0]);
        let y = Gather { axis: 1 }.eval(&[&x, &i]).unwrap();
        assert_eq!(y[0], Array::int([2, 1, 2], vec![2, 0, 5, 3]));
        assert!(Gather { axis: 1 }.eval(&[&x, &Array::int([1], vec![3])]).is_err());
    }
}
