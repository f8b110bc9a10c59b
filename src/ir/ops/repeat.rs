//! `Expand` and `Tile`: the same numbers again and again.

use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, ravel, unravel};
use crate::ir::attrs::{Attr, Attrs, Check, sizes};
use crate::ir::graph::Fact;

/// How a tensor is repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// ONNX `Expand`: to the shape that it and `shape` broadcast to.
    Expand {
        /// The other shape.
        shape: Vec<usize>,
    },
    /// ONNX `Tile`: so many times along each axis.
    Tile {
        /// One number per axis.
        repeats: Vec<usize>,
    },
}

impl Repeat {
    fn output(&self, x: &Shape) -> Check<Shape> {
        match self {
            Repeat::Expand { shape } => {
                let to = Shape::new(shape);
                x.broadcast(&to).ok_or_else(|| format!("shapes {x} and {to} do not broadcast"))
            }
            Repeat::Tile { repeats } if repeats.len() == x.rank() => {
                Ok(Shape(x.iter().zip(repeats).map(|(&d, &r)| d.saturating_mul(r)).collect()))
            }
            Repeat::Tile { repeats } => Err(format!("repeats {repeats:?} for input {x}")),
        }
    }
}

impl Operator for Repeat {
    const KINDS: &'static [&'static str] = &["Expand", "Tile"];

    fn parameters(kind: &str) -> &'static [(usize, &'static str)] {
        if kind == "Tile" { &[(1, "repeats")] } else { &[(1, "shape")] }
    }

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        let mut list = |name: &str| -> Check<Vec<usize>> {
            let list = attrs.ints(name)?.ok_or_else(|| format!("attribute `{name}` is missing"))?;
            sizes(name, &list)
        };
        Ok(match kind {
            "Tile" => Repeat::Tile { repeats: list("repeats")? },
            _ => Repeat::Expand { shape: list("shape")? },
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Repeat::Expand { .. } => "Expand",
            Repeat::Tile { .. } => "Tile",
        }
    }

    fn attrs(&self) -> Attrs {
        let ints = |v: &[usize]| Attr::Ints(v.iter().map(|&i| i as i64).collect());
        match self {
            Repeat::Expand { shape } => Attrs::new().with("shape", ints(shape)),
            Repeat::Tile { repeats } => Attrs::new().with("repeats", ints(repeats)),
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: self.output(&inputs[0].shape)? }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = &inputs[0].shape;
        let shape = self.output(x)?;
        let (skip, strides) = (shape.rank() - x.rank(), x.strides());
        Ok(vec![inputs[0].gather(shape.clone(), |i| {
            let at = unravel(i, &shape);
            Some(ravel(&at[skip..].iter().zip(&**x).map(|(o, d)| o % d).collect::<Vec<_>>(), &strides))
        })])
    }

    fn role(&self) -> Role {
        Role::Move
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_as_numpy_does() {
        let x = Array::int([2, 1], vec![1, 2]);
        let y = Repeat::Expand { shape: vec![2, 1, 2] }.eval(&[&x]).unwrap();
        assert_eq!(y[0], Array::int([2, 2, 2], vec![1, 1, 2, 2, 1, 1, 2, 2]));
        let y = Repeat::Tile { repeats: vec![2, 2] }.eval(&[&x]).unwrap();
        assert_eq!(y[0], Array::int([4, 2], vec![1, 1, 2, 2, 1, 1, 2, 2]));
    }
}
