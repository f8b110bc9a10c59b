//! What a convolution or matrix product takes along: a residual to add and an activation to apply.

use super::arity;
use crate::base::Shape;
use crate::base::quant::Activation;
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

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

    /// Turns the real sums `y` into the node's output: bias of the channel of each element, residual, activation.
    pub fn apply(&self, y: &mut [f64], inputs: &[&Array], channel: impl Fn(usize) -> usize) {
        let (bias, residual) = self.extra_inputs(inputs.len());
        let bias = bias.then(|| inputs[2].reals());
        let residual = residual.map(|r| inputs[r].reals());
        for (i, y) in y.iter_mut().enumerate() {
            let b = bias.as_ref().map_or(0.0, |b| b[channel(i)]);
            let r = residual.as_ref().map_or(0.0, |r| r[i]);
            *y = self.activation.apply(*y + b + r);
        }
    }

    /// Checks the number of inputs of the node: `x`, a weight, perhaps a bias, and the residual where there is one.
    pub fn arity(&self, inputs: &[Fact]) -> Check<()> {
        let residual = usize::from(self.residual);
        arity(inputs, 2 + residual..=3 + residual)
    }

    /// Checks the shapes of the bias, `[channels]`, and of the residual, that of the output, where there are any.
    pub fn check(&self, inputs: &[Fact], channels: usize, output: &Shape) -> Check<()> {
        let (bias, residual) = self.extra_inputs(inputs.len());
        if bias && *inputs[2].shape != [channels] {
            return Err(format!("bias {} for {channels} channels", inputs[2].shape));
        }
        match residual.map(|r| &inputs[r].shape).filter(|r| *r != output) {
            Some(r) => Err(format!("residual {r} for output {output}")),
            None => Ok(()),
        }
    }
}
