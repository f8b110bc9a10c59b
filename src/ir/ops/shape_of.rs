//! `Shape` and `Size`: the size of a value's axes, or their product. Since shapes are fixed, the result is known
//! whatever the value: constant folding needs the input's type alone.

use super::{Operator, Role, arity};
use crate::base::{DType, Shape};
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// What is asked of a shape. The result is I64.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShapeOf {
    /// The axes from `start` to before `end`; negative ones count from the end, and both are clamped.
    Axes {
        /// The first axis.
        start: i64,
        /// Where to stop; `None` is the rank.
        end: Option<i64>,
    },
    /// The number of elements, a scalar.
    Size,
}

impl ShapeOf {
    /// The result for a value of this shape.
    pub fn of(&self, x: &Shape) -> Array {
        let ints = |v: &[usize]| v.iter().map(|&d| d as i64).collect();
        match *self {
            ShapeOf::Size => Array::int([], vec![x.numel() as i64]),
            ShapeOf::Axes { start, end } => {
                let rank = x.rank() as i64;
                let at = |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
                let (start, end) = (at(start), end.map_or(x.rank(), at));
                let dims: Vec<i64> = ints(x.get(start..end).unwrap_or(&[]));
                Array::int([dims.len()], dims)
            }
        }
    }
}

impl Operator for ShapeOf {
    const KINDS: &'static [&'static str] = &["Shape", "Size"];

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(match kind {
            "Size" => ShapeOf::Size,
            _ => ShapeOf::Axes { start: attrs.int("start")?.unwrap_or(0), end: attrs.int("end")? },
        })
    }

    fn kind(&self) -> &'static str {
        if *self == ShapeOf::Size { "Size" } else { "Shape" }
    }

    fn attrs(&self) -> Attrs {
        match *self {
            ShapeOf::Size => Attrs::new(),
            ShapeOf::Axes { start, end } => Attrs::new()
                .with_unless(start == 0, "start", Attr::Int(start))
                .with_unless(end.is_none(), "end", Attr::Int(end.unwrap_or(0))),
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(vec![Fact { dtype: DType::I64, shape: self.of(&inputs[0].shape).shape }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        Ok(vec![self.of(&inputs[0].shape)])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_clamped() {
        let x = Shape::from([2, 3, 4]);
        let of = |start, end| ShapeOf::Axes { start, end }.of(&x).ints();
        assert_eq!(of(0, None), [2, 3, 4]);
        assert_eq!(of(-2, Some(-1)), [3]);
        assert_eq!(of(i64::MIN, Some(i64::MAX)), [2, 3, 4]);
        assert!(of(2, Some(1)).is_empty());
        assert_eq!(ShapeOf::Size.of(&x).ints(), [24]);
    }
}
