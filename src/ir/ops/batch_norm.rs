//! `BatchNormalization` of a trained network: a factor and a shift per channel, which rewrites fold into the
//! convolution before it.
//!
//! Inputs: `x [1, C, ..]`, then `scale`, `bias`, `mean` and `variance`, each `[C]`.

use super::{Operator, Role, arity};
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, per channel.
#[derive(Clone, PartialEq, Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f32,
}

impl BatchNorm {
    /// The factor and the shift of each channel, from `[scale, bias, mean, variance]`.
    pub fn affine(&self, [scale, bias, mean, variance]: [&[f64]; 4]) -> Vec<[f64; 2]> {
        (0..scale.len())
            .map(|c| {
                let factor = scale[c] / (variance[c] + f64::from(self.epsilon)).sqrt();
                [factor, bias[c] - mean[c] * factor]
            })
            .collect()
    }
}

impl Operator for BatchNorm {
    const KINDS: &'static [&'static str] = &["BatchNormalization"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        attrs.float("momentum")?; // of training
        if attrs.flag("training_mode", false)? {
            return Err("training_mode is set; export the model for inference".into());
        }
        if !attrs.flag("spatial", true)? {
            return Err("spatial=0 (statistics per pixel) is not supported".into());
        }
        Ok(BatchNorm { epsilon: attrs.float("epsilon")?.unwrap_or(1e-5) })
    }

    fn kind(&self) -> &'static str {
        "BatchNormalization"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with_unless(self.epsilon == 1e-5, "epsilon", Attr::Float(self.epsilon))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 5..=5)?;
        let x = &inputs[0].shape;
        let channels = *x.get(1).ok_or_else(|| format!("input {x} has no axis of channels"))?;
        match inputs[1..].iter().find(|p| *p.shape != [channels]) {
            Some(p) => Err(format!("a parameter is {} for {channels} channels", p.shape)),
            None => Ok(vec![inputs[0].clone()]),
        }
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let s = &inputs[0].shape;
        let area: usize = s[2..].iter().product();
        let p: Vec<Vec<f64>> = inputs[1..].iter().map(|p| p.reals()).collect();
        let affine = self.affine([&p[0], &p[1], &p[2], &p[3]]);
        let mut y = inputs[0].reals();
        for (i, y) in y.iter_mut().enumerate() {
            let [factor, shift] = affine[i / area % s[1]];
            *y = *y * factor + shift;
        }
        Ok(vec![Array::real(s.clone(), y)])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}
