//! `Where`: of two tensors, the element that a condition chooses, with broadcasting.

use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, Data, broadcast_strides, ravel, unravel};
use crate::ir::attrs::{Attrs, Check};
use crate::ir::graph::Fact;

/// Inputs: the condition, the element where it holds, the element where it does not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Where;

fn output(c: &Shape, a: &Shape, b: &Shape) -> Check<Shape> {
    a.broadcast(b)
        .and_then(|s| s.broadcast(c))
        .ok_or_else(|| format!("shapes {c}, {a} and {b} do not broadcast"))
}

impl Operator for Where {
    const KINDS: &'static [&'static str] = &["Where"];

    fn parse(_: &str, _: &mut Attrs) -> Check<Self> {
        Ok(Where)
    }

    fn kind(&self) -> &'static str {
        "Where"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 3..=3)?;
        if inputs[1].dtype != inputs[2].dtype {
            return Err(format!("chooses between {} and {}", inputs[1].dtype, inputs[2].dtype));
        }
        let shape = output(&inputs[0].shape, &inputs[1].shape, &inputs[2].shape)?;
        Ok(vec![Fact { dtype: inputs[1].dtype, shape }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let shape = output(&inputs[0].shape, &inputs[1].shape, &inputs[2].shape)?;
        let strides: Vec<_> = inputs.iter().map(|x| broadcast_strides(&x.shape, &shape)).collect();
        let condition = inputs[0].ints();
        let chosen = (0..shape.numel()).map(|i| {
            let at = unravel(i, &shape);
            let which = if condition[ravel(&at, &strides[0])] != 0 { 1 } else { 2 };
            (which, ravel(&at, &strides[which]))
        });
        let data = match (&inputs[1].data, &inputs[2].data) {
            (Data::Int(a), Data::Int(b)) => Data::Int(chosen.map(|(w, i)| [a, b][w - 1][i]).collect()),
            _ => {
                let sides = [inputs[1].reals(), inputs[2].reals()];
                Data::Real(chosen.map(|(w, i)| sides[w - 1][i]).collect())
            }
        };
        Ok(vec![Array { shape, data }])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}
