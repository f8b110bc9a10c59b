//! What a convolution or matrix product takes along: a residual to add and an activation to apply.

use crate::base::quant::Activation;
use crate::ir::attrs::{Attr, Attrs, Check};

/// Fused into a node that accumulates: `activation(acc + bias + residual)`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Fused {
    /// The last input is a residual, of the output's shape.
    pub residual: bool,
    /// Applied last.
    pub activation: Activation,
}

impl Fused {
    /// Takes `residual`, `act`, `act_min` and `act_max`.
    pub fn parse(attrs: &mut Attrs) -> Check<Self> {
        let residual = attrs.flag("residual", false)?;
        let (lo, hi) = (attrs.float("act_min")?, attrs.float("act_max")?);
        let activation = match attrs.text("act")?.as_deref() {
            None => Activation::None,
            Some("Relu") => Activation::Relu,
            Some("Clip") => {
                Activation::Clip { lo: lo.unwrap_or(f32::NEG_INFINITY), hi: hi.unwrap_or(f32::INFINITY) }
            }
            Some(other) => return Err(format!("activation `{other}` cannot be fused")),
        };
        Ok(Fused { residual, activation })
    }

    /// Adds its attributes to `attrs`.
    pub fn write(&self, attrs: Attrs) -> Attrs {
        let attrs = attrs.with_unless(!self.residual, "residual", Attr::Int(1));
        match self.activation {
            Activation::None => attrs,
            Activation::Relu => attrs.with("act", Attr::Str("Relu".into())),
            Activation::Clip { lo, hi } => attrs
                .with("act", Attr::Str("Clip".into()))
                .with_unless(lo == f32::NEG_INFINITY, "act_min", Attr::Float(lo))
                .with_unless(hi == f32::INFINITY, "act_max", Attr::Float(hi)),
        }
    }

    /// Splits the inputs after the weight, `[bias] [residual]`, of a node with `n` inputs in all: does it have a
    /// bias, and which input is the residual?
    pub fn extra_inputs(&self, n: usize) -> (bool, Option<usize>) {
        let bias = n == 3 + usize::from(self.residual);
        (bias, self.residual.then(|| n - 1))
    }
}
