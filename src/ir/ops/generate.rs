//! `ConstantOfShape` and `Range`: tensors out of nothing but parameters. All their inputs are parameters, so that a
//! node has none left and folds to a constant.

use super::{Operator, Role, arity};
use crate::base::shape::MAX_ELEMENTS;
use crate::base::{DType, Shape, Tensor};
use crate::ir::array::{Array, Data};
use crate::ir::attrs::{Attr, Attrs, Check, sizes};
use crate::ir::graph::Fact;

/// What is made.
#[derive(Clone, PartialEq, Debug)]
pub enum Generate {
    /// ONNX `ConstantOfShape`: one number everywhere.
    Fill {
        /// The shape.
        shape: Vec<usize>,
        /// The number: a tensor of one element.
        value: Tensor,
    },
    /// ONNX `Range`: `start`, `start + delta`, .. to before `limit`.
    Range {
        /// Start, limit and delta: tensors of one element, of one type.
        bounds: [Tensor; 3],
    },
}

/// The number of elements of a range.
fn count([start, limit, delta]: &[Tensor; 3]) -> Check<usize> {
    let n = match start.dtype().is_float() {
        true => ((limit.to_f64()[0] - start.to_f64()[0]) / delta.to_f64()[0]).ceil(),
        false => {
            let (s, l, d) = (start.to_i64()[0], limit.to_i64()[0], i128::from(delta.to_i64()[0]));
            if d == 0 {
                return Err("the step of a range is 0".into());
            }
            ((i128::from(l) - i128::from(s) + d - d.signum()) / d) as f64
        }
    };
    match n.is_finite() && n <= MAX_ELEMENTS as f64 {
        true => Ok(n.max(0.0) as usize),
        false => Err(format!("a range of {n} numbers")),
    }
}

impl Operator for Generate {
    const KINDS: &'static [&'static str] = &["ConstantOfShape", "Range"];

    fn parameters(kind: &str) -> &'static [(usize, &'static str)] {
        if kind == "Range" { &[(0, "start"), (1, "limit"), (2, "delta")] } else { &[(0, "shape")] }
    }

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        if kind == "Range" {
            let mut bound = |name: &str| {
                let t = attrs.tensor(name)?.filter(|t| t.numel() == 1);
                t.ok_or_else(|| format!("attribute `{name}` is missing or not one number"))
            };
            let bounds = [bound("start")?, bound("limit")?, bound("delta")?];
            if bounds.iter().any(|b| b.dtype() != bounds[0].dtype()) {
                return Err("start, limit and delta differ in type".into());
            }
            return Ok(Generate::Range { bounds });
        }
        let value = attrs.tensor("value")?.unwrap_or_else(|| Tensor::new([1], &[0f32]));
        if value.numel() != 1 {
            return Err(format!("`value` has {} numbers where 1 is expected", value.numel()));
        }
        let shape = attrs.ints("shape")?.ok_or("attribute `shape` is missing")?;
        Ok(Generate::Fill { shape: sizes("shape", &shape)?, value })
    }

    fn kind(&self) -> &'static str {
        match self {
            Generate::Fill { .. } => "ConstantOfShape",
            Generate::Range { .. } => "Range",
        }
    }

    fn attrs(&self) -> Attrs {
        match self {
            Generate::Fill { shape, value } => Attrs::new()
                .with("shape", Attr::Ints(shape.iter().map(|&d| d as i64).collect()))
                .with("value", Attr::Tensor(value.clone())),
            Generate::Range { bounds } => (["start", "limit", "delta"].iter().zip(bounds))
                .fold(Attrs::new(), |attrs, (name, b)| attrs.with(name, Attr::Tensor(b.clone()))),
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 0..=0)?;
        let (dtype, shape): (DType, Shape) = match self {
            Generate::Fill { shape, value } => (value.dtype(), Shape::new(shape)),
            Generate::Range { bounds } => (bounds[0].dtype(), [count(bounds)?].into()),
        };
        Ok(vec![Fact { dtype, shape }])
    }

    fn eval(&self, _: &[&Array]) -> Check<Vec<Array>> {
        Ok(vec![match self {
            Generate::Fill { shape, value } => Array::of(value).gather(Shape::new(shape), |_| Some(0)),
            Generate::Range { bounds } => {
                let [start, _, delta] = bounds.each_ref().map(Array::of);
                let n = count(bounds)?;
                let data = match (&start.data, &delta.data) {
                    (Data::Int(s), Data::Int(d)) => {
                        Data::Int((0..n).map(|i| s[0].wrapping_add((i as i64).wrapping_mul(d[0]))).collect())
                    }
                    _ => {
                        let (s, d) = (start.reals()[0], delta.reals()[0]);
                        Data::Real((0..n).map(|i| s + i as f64 * d).collect())
                    }
                };
                Array { shape: [n].into(), data }
            }
        }])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_before_their_limit() {
        let range = |b: [i64; 3]| Generate::Range { bounds: b.map(Tensor::scalar) };
        assert_eq!(range([10, 4, -2]).eval(&[]).unwrap()[0], Array::int([3], vec![10, 8, 6]));
        assert_eq!(range([1, 8, 3]).eval(&[]).unwrap()[0], Array::int([3], vec![1, 4, 7]));
        assert_eq!(range([1, 0, 1]).infer(&[]).unwrap()[0].shape, Shape::from([0]));
        assert!(range([0, i64::MAX, 1]).infer(&[]).is_err());
        assert!(range([i64::MIN, i64::MAX, 0]).infer(&[]).is_err());
        let nan = Generate::Range { bounds: [0.0, f32::NAN, 1.0].map(Tensor::scalar) };
        assert!(nan.infer(&[]).is_err());
    }
}
