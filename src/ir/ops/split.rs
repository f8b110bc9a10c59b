//! `Split`: parts of a tensor along an axis.

use super::axes::{around, axis_of};
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check, sizes};
use crate::ir::graph::Fact;

/// Most parts that a tensor is split into.
const MAX_PARTS: usize = 1 << 16;

/// Cuts a tensor along an axis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Split {
    /// The axis; negative ones count from the end.
    pub axis: i64,
    /// How it is cut.
    pub parts: Parts,
}

/// How a tensor is cut.
///
/// The sizes are `split`: an attribute before opset 13, input 1 since. Without sizes the parts are equal and their
/// number is that of the node's outputs, which an operator does not know here: the importer passes it as the
/// attribute `num_outputs`, which ONNX itself has since opset 18.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parts {
    /// Into parts of these sizes.
    Sizes(Vec<usize>),
    /// Into so many of the same size; the last is smaller where the axis does not divide.
    Equal(usize),
}

impl Split {
    /// The sizes of the parts of an input of this shape.
    pub fn sizes(&self, x: &Shape) -> Check<Vec<usize>> {
        let n = x[axis_of(x, self.axis)?];
        match &self.parts {
            Parts::Sizes(s) if s.iter().try_fold(0usize, |a, &b| a.checked_add(b)) == Some(n) => {
                Ok(s.clone())
            }
            Parts::Sizes(s) => Err(format!("sizes {s:?} do not add up to {n}, axis {} of {x}", self.axis)),
            Parts::Equal(k) => {
                let size = n.div_ceil((*k).max(1));
                match size.checked_mul(k.saturating_sub(1)).and_then(|used| n.checked_sub(used)) {
                    Some(last) if (1..=MAX_PARTS).contains(k) => {
                        Ok((0..*k).map(|i| if i + 1 < *k { size } else { last }).collect())
                    }
                    _ => Err(format!("axis {} of {x} cannot be split into {k} parts", self.axis)),
                }
            }
        }
    }
}

impl Operator for Split {
    const KINDS: &'static [&'static str] = &["Split"];

    fn parameters(_: &str) -> &'static [(usize, &'static str)] {
        &[(1, "split")]
    }

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        let number = attrs.int("num_outputs")?;
        let parts = match (attrs.ints("split")?, number) {
            (Some(list), _) => Parts::Sizes(sizes("split", &list)?),
            (None, Some(n)) => Parts::Equal(usize::try_from(n).map_err(|_| format!("num_outputs is {n}"))?),
            (None, None) => return Err("neither `split` nor `num_outputs` is given".into()),
        };
        Ok(Split { axis: attrs.int("axis")?.unwrap_or(0), parts })
    }

    fn kind(&self) -> &'static str {
        "Split"
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new().with_unless(self.axis == 0, "axis", Attr::Int(self.axis));
        match &self.parts {
            Parts::Sizes(s) => attrs.with("split", Attr::Ints(s.iter().map(|&i| i as i64).collect())),
            Parts::Equal(n) => attrs.with("num_outputs", Attr::Int(*n as i64)),
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        let x = &inputs[0].shape;
        let axis = axis_of(x, self.axis)?;
        let part = |n: usize| {
            let mut shape = x.clone();
            shape.0[axis] = n;
            Fact { dtype: inputs[0].dtype, shape }
        };
        Ok(self.sizes(x)?.into_iter().map(part).collect())
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0];
        let axis = axis_of(&x.shape, self.axis)?;
        let [_, n, inner] = around(&x.shape, axis);
        let mut start = 0;
        let mut parts = Vec::new();
        for size in self.sizes(&x.shape)? {
            let mut shape = x.shape.clone();
            shape.0[axis] = size;
            let run = size * inner;
            parts.push(x.gather(shape, |i| Some(i / run * n * inner + start * inner + i % run)));
            start += size;
        }
        Ok(parts)
    }

    fn role(&self) -> Role {
        Role::Move
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_parts_is_smaller() {
        let split = |n| Split { axis: 1, parts: Parts::Equal(n) };
        assert_eq!(split(3).sizes(&Shape::from([1, 7])), Ok(vec![3, 3, 1]));
        assert!(split(0).sizes(&Shape::from([1, 7])).is_err());
        assert!(split(usize::MAX).sizes(&Shape::from([1, 7])).is_err());
        let x = Array::int([2, 3], vec![0, 1, 2, 3, 4, 5]);
        let y = split(2).eval(&[&x]).unwrap();
        assert_eq!(y, [Array::int([2, 2], vec![0, 1, 3, 4]), Array::int([2, 1], vec![2, 5])]);
    }
}
