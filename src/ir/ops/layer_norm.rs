//! `LayerNormalization`: every row to mean 0 and variance 1, then scaled and shifted.
//!
//! Inputs: `x`, `scale` and optionally `bias`, both of the shape of the axes normalized over (or broadcast to it).
//! The outputs for training (mean and inverse deviation) are not supported.

use super::axes::axis_of;
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, broadcast_strides, ravel, unravel};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Normalization over the last axes: `(x - mean) / sqrt(variance + epsilon) * scale + bias`.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct LayerNorm {
    /// The first of the axes; negative ones count from the end.
    pub axis: i64,
    pub epsilon: f32,
}

/// `(v - mean) / sqrt(variance + epsilon)` of the numbers, in place. The variance divides by their number.
pub(crate) fn normalize(v: &mut [f64], epsilon: f32) {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    let variance = v.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
    v.iter_mut().for_each(|x| *x = (*x - mean) * factor);
}

impl LayerNorm {
    /// The shape normalized over.
    pub fn row(&self, x: &Shape) -> Check<Shape> {
        Ok(Shape::new(&x[axis_of(x, self.axis)?..]))
    }
}

impl Operator for LayerNorm {
    const KINDS: &'static [&'static str] = &["LayerNormalization"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        attrs.int("stash_type")?; // the precision of the mean: at least this one
        Ok(LayerNorm {
            axis: attrs.int("axis")?.unwrap_or(-1),
            epsilon: attrs.float("epsilon")?.unwrap_or(1e-5),
        })
    }

    fn kind(&self) -> &'static str {
        "LayerNormalization"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with_unless(self.axis == -1, "axis", Attr::Int(self.axis)).with_unless(
            self.epsilon == 1e-5,
            "epsilon",
            Attr::Float(self.epsilon),
        )
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 2..=3)?;
        let row = self.row(&inputs[0].shape)?;
        for p in &inputs[1..] {
            if p.shape.broadcast(&row).as_ref() != Some(&row) {
                return Err(format!("scale or bias {} for rows of {row}", p.shape));
            }
        }
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0];
        let row = self.row(&x.shape)?;
        let parameter = |p: &Array| -> Vec<f64> {
            let (v, strides) = (p.reals(), broadcast_strides(&p.shape, &row));
            (0..row.numel()).map(|i| v[ravel(&unravel(i, &row), &strides)]).collect()
        };
        let scale = parameter(inputs[1]);
        let bias = inputs.get(2).map_or(vec![0.0; row.numel()], |b| parameter(b));
        let mut y = x.reals();
        for row in y.chunks_exact_mut(row.numel().max(1)) {
            normalize(row, self.epsilon);
            row.iter_mut().enumerate().for_each(|(i, y)| *y = *y * scale[i] + bias[i]);
        }
        Ok(vec![Array::real(x.shape.clone(), y)])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}
