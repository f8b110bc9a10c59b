//! `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`: the same numbers in another shape. In a batch each image is
//! reshaped alone.

use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// How the new shape is stated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reshape {
    /// ONNX `Reshape`: -1 takes what is left, 0 copies the input's axis (unless `allow_zero`).
    To {
        /// The new shape.
        shape: Vec<i64>,
        /// A 0 means 0.
        allow_zero: bool,
    },
    /// All axes before `axis` into one, the others into another.
    Flatten {
        /// The first axis of the second group.
        axis: i64,
    },
    /// Drops axes of size 1: these, or all where there are none.
    Squeeze {
        /// The axes.
        axes: Vec<i64>,
    },
    /// Adds axes of size 1 where these will be in the result.
    Unsqueeze {
        /// The axes.
        axes: Vec<i64>,
    },
}

impl Reshape {
    /// The result's shape for this input.
    pub fn output(&self, x: &Shape) -> Check<Shape> {
        let y = match self {
            Reshape::To { shape, allow_zero } => reshape(x, shape, *allow_zero)?,
            Reshape::Flatten { axis } => {
                let rank = x.rank() as i64;
                let a = if *axis < 0 { axis + rank } else { *axis };
                if !(0..=rank).contains(&a) {
                    return Err(format!("axis {axis} for input {x}"));
                }
                let (head, tail) = x.split_at(a as usize);
                [head.iter().product(), tail.iter().product()].into()
            }
            Reshape::Squeeze { axes } => squeeze(x, axes)?,
            Reshape::Unsqueeze { axes } => unsqueeze(x, axes)?,
        };
        match y.checked_numel() == Some(x.numel()) {
            true => Ok(y),
            false => Err(format!("{x} has {} elements, the new shape {y} another number", x.numel())),
        }
    }
}

fn reshape(x: &Shape, to: &[i64], allow_zero: bool) -> Check<Shape> {
    let mut dims = Vec::with_capacity(to.len());
    for (i, &d) in to.iter().enumerate() {
        dims.push(match d {
            0 if !allow_zero => {
                *x.get(i).ok_or(format!("shape {to:?} copies axis {i}, which {x} does not have"))?
            }
            -1 => 1,
            d => usize::try_from(d).map_err(|_| format!("shape {to:?} has a negative size"))?,
        });
    }
    let known = Shape(dims.clone()).checked_numel().ok_or(format!("shape {to:?} is too large"))?;
    match to.iter().filter(|&&d| d == -1).count() {
        0 => {}
        1 if known > 0 && x.numel().is_multiple_of(known) => {
            let i = to.iter().position(|&d| d == -1).unwrap_or(0);
            dims[i] = x.numel() / known;
        }
        _ => return Err(format!("shape {to:?} does not fit input {x}")),
    }
    Ok(Shape(dims))
}

fn squeeze(x: &Shape, axes: &[i64]) -> Check<Shape> {
    let drop: Vec<usize> = match axes {
        [] => (0..x.rank()).filter(|&a| x[a] == 1).collect(),
        _ => {
            axes.iter().map(|&a| x.axis(a).ok_or(format!("axis {a} for input {x}"))).collect::<Check<_>>()?
        }
    };
    if let Some(a) = drop.iter().find(|&&a| x[a] != 1) {
        return Err(format!("axis {a} of {x} is not 1 and cannot be squeezed"));
    }
    Ok(Shape((0..x.rank()).filter(|a| !drop.contains(a)).map(|a| x[a]).collect()))
}

fn unsqueeze(x: &Shape, axes: &[i64]) -> Check<Shape> {
    let rank = Shape(vec![1; x.rank() + axes.len()]);
    let new: Vec<usize> =
        axes.iter().map(|&a| rank.axis(a).ok_or(format!("axis {a} for input {x}"))).collect::<Check<_>>()?;
    let mut old = x.iter();
    let dims: Vec<usize> = (0..rank.rank())
        .map(|a| if new.contains(&a) { 1 } else { old.next().copied().unwrap_or(1) })
        .collect();
    Ok(Shape(dims))
}

impl Operator for Reshape {
    const KINDS: &'static [&'static str] = &["Reshape", "Flatten", "Squeeze", "Unsqueeze"];

    /// The second input is `shape` for Reshape and `axes` for the others: both names lead to the same list.
    fn parameters(_: &str) -> &'static [(usize, &'static str)] {
        &[(1, "shape")]
    }

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        // as an attribute (older opsets) the axes are `axes`, as an input they come under the parameter's name
        let list = match attrs.ints("shape")? {
            Some(list) => Some(list),
            None => attrs.ints("axes")?,
        };
        Ok(match kind {
            "Reshape" => Reshape::To {
                shape: list.ok_or("attribute `shape` is missing")?,
                allow_zero: attrs.flag("allowzero", false)?,
            },
            "Flatten" => Reshape::Flatten { axis: attrs.int("axis")?.unwrap_or(1) },
            "Squeeze" => Reshape::Squeeze { axes: list.unwrap_or_default() },
            _ => Reshape::Unsqueeze { axes: list.ok_or("attribute `axes` is missing")? },
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Reshape::To { .. } => "Reshape",
            Reshape::Flatten { .. } => "Flatten",
            Reshape::Squeeze { .. } => "Squeeze",
            Reshape::Unsqueeze { .. } => "Unsqueeze",
        }
    }

    fn attrs(&self) -> Attrs {
        match self {
            Reshape::To { shape, allow_zero } => Attrs::new()
                .with("shape", Attr::Ints(shape.clone()))
                .with_unless(!allow_zero, "allowzero", Attr::Int(1)),
            Reshape::Flatten { axis } => Attrs::new().with_unless(*axis == 1, "axis", Attr::Int(*axis)),
            Reshape::Squeeze { axes } => {
                Attrs::new().with_unless(axes.is_empty(), "axes", Attr::Ints(axes.clone()))
            }
            // without axes a Squeeze drops all it can; an Unsqueeze must say that it adds none
            Reshape::Unsqueeze { axes } => Attrs::new().with("axes", Attr::Ints(axes.clone())),
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: self.output(&inputs[0].shape)? }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let shape = self.output(&inputs[0].shape)?;
        Ok(vec![inputs[0].clone().reshaped(shape)])
    }

    fn role(&self) -> Role {
        Role::Move
    }
}
