//! `Concat`: tensors one after the other along an axis.

use super::axes::{around, axis_of};
use super::{Operator, Role};
use crate::ir::array::{Array, Data};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Joins tensors that differ along one axis alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Concat {
    /// The axis; negative ones count from the end.
    pub axis: i64,
}

impl Operator for Concat {
    const KINDS: &'static [&'static str] = &["Concat"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(Concat { axis: attrs.int("axis")?.unwrap_or(1) }) // opset 1 has this default, later ones none
    }

    fn kind(&self) -> &'static str {
        "Concat"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("axis", Attr::Int(self.axis))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        let first = inputs.first().ok_or("has no inputs")?;
        let axis = axis_of(&first.shape, self.axis)?;
        let mut shape = first.shape.clone();
        for other in &inputs[1..] {
            let s = &other.shape;
            if s.rank() != shape.rank() || (0..s.rank()).any(|a| a != axis && s[a] != shape[a]) {
                return Err(format!("inputs {} and {s} cannot be joined along axis {axis}", first.shape));
            }
            if other.dtype != first.dtype {
                return Err(format!("joins {} and {}", first.dtype, other.dtype));
            }
            shape.0[axis] = shape[axis].saturating_add(s[axis]);
        }
        Ok(vec![Fact { dtype: first.dtype, shape }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let axis = axis_of(&inputs[0].shape, self.axis)?;
        let mut shape = inputs[0].shape.clone();
        shape.0[axis] = inputs.iter().map(|x| x.shape[axis]).sum();
        let outer = around(&shape, axis)[0];
        // elements of each input that stand together
        let runs: Vec<usize> = inputs.iter().map(|x| x.shape[axis..].iter().product()).collect();
        let data = match inputs.iter().all(|x| matches!(x.data, Data::Int(_))) {
            true => Data::Int(join(outer, &runs, &inputs.iter().map(|x| x.ints()).collect::<Vec<_>>())),
            false => Data::Real(join(outer, &runs, &inputs.iter().map(|x| x.reals()).collect::<Vec<_>>())),
        };
        Ok(vec![Array { shape, data }])
    }

    fn role(&self) -> Role {
        Role::Concat
    }
}

fn join<T: Copy>(outer: usize, runs: &[usize], parts: &[Vec<T>]) -> Vec<T> {
    let mut y = Vec::new();
    for o in 0..outer {
        for (part, n) in parts.iter().zip(runs) {
            y.extend_from_slice(&part[o * n..(o + 1) * n]);
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_along_an_inner_axis() {
        let a = Array::int([2, 1], vec![1, 2]);
        let b = Array::int([2, 2], vec![3, 4, 5, 6]);
        let y = Concat { axis: -1 }.eval(&[&a, &b]).unwrap();
        assert_eq!(y[0], Array::int([2, 3], vec![1, 3, 4, 2, 5, 6]));
        let wrong = [Fact::f32([2, 1]), Fact::f32([3, 1])];
        assert!(Concat { axis: 1 }.infer(&wrong).is_err());
    }
}
