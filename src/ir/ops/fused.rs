//! What a convolution or matrix product takes along: a residual to add, a function and an activation to apply.

use super::{Operator, Unary, UnaryFn, arity};
use crate::base::Shape;
use crate::base::quant::{Activation, After};
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Fused into a node that accumulates: `activation(function(acc + bias + residual))`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Fused {
    /// The last input is a residual, of the output's shape.
    pub residual: bool,
    /// Applied to the sums; one that has a [formula](super::formula). Never fused into functions of two tensors.
    pub function: Option<UnaryFn>,
    /// Applied last.
    pub activation: Activation,
}

/// Before the names of the function's own attributes.
const FUNCTION: &str = "function_";

impl Fused {
    /// Takes `residual`, `function` with its attributes, `act`, `act_min` and `act_max`.
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
        Ok(Fused { residual, function: function(attrs)?, activation })
    }

    /// Is anything applied to the sums?
    pub fn applies(&self) -> bool {
        self.function.is_some() || self.activation != Activation::None
    }

    /// Adds its attributes to `attrs`.
    pub fn write(&self, attrs: Attrs) -> Attrs {
        let mut attrs = attrs.with_unless(!self.residual, "residual", Attr::Int(1));
        if let Some(f) = self.function.map(|f| Unary { f }) {
            attrs = attrs.with("function", Attr::Str(f.kind().into()));
            attrs = (f.attrs().0.into_iter()).fold(attrs, |a, (k, v)| a.with(&format!("{FUNCTION}{k}"), v));
        }
        match self.activation {
            Activation::None => attrs,
            Activation::Relu => attrs.with("act", Attr::Str("Relu".into())),
            Activation::Clip { lo, hi } => attrs
                .with("act", Attr::Str("Clip".into()))
                .with_unless(lo == f32::NEG_INFINITY, "act_min", Attr::Float(lo))
                .with_unless(hi == f32::INFINITY, "act_max", Attr::Float(hi)),
        }
    }

    /// What an 8-bit epilogue is made for.
    pub fn after(&self) -> After {
        After { function: self.function.is_some(), activation: self.activation }
    }

    /// Splits the inputs after the weight, `[bias] [residual]`, of a node with `n` inputs in all: does it have a
    /// bias, and which input is the residual?
    pub fn extra_inputs(&self, n: usize) -> (bool, Option<usize>) {
        let bias = n == 3 + usize::from(self.residual);
        (bias, self.residual.then(|| n - 1))
    }

    /// Turns the real sums `y` into the node's output: bias of the channel of each element, residual, function,
    /// activation.
    pub fn apply(&self, y: &mut [f64], inputs: &[&Array], channel: impl Fn(usize) -> usize) {
        let (bias, residual) = self.extra_inputs(inputs.len());
        let bias = bias.then(|| inputs[2].reals());
        let residual = residual.map(|r| inputs[r].reals());
        for (i, y) in y.iter_mut().enumerate() {
            let b = bias.as_ref().map_or(0.0, |b| b[channel(i)]);
            let r = residual.as_ref().map_or(0.0, |r| r[i]);
            let t = *y + b + r;
            *y = self.activation.apply(self.function.map_or(t, |f| f.apply(t)));
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

/// Takes `function` and the attributes of that function.
fn function(attrs: &mut Attrs) -> Check<Option<UnaryFn>> {
    let Some(kind) = attrs.text("function")? else { return Ok(None) };
    let own = |k: &String| k.strip_prefix(FUNCTION).map(str::to_string);
    let names: Vec<String> = attrs.0.keys().filter(|k| own(k).is_some()).cloned().collect();
    let taken = names.iter().filter_map(|k| Some((own(k)?, attrs.0.remove(k)?)));
    let mut taken = Attrs(taken.collect());
    let f = Unary::parse(&kind, &mut taken)?.f;
    match f.has_formula() && taken.0.is_empty() {
        true => Ok(Some(f)),
        false => Err(format!("function `{kind}` cannot be fused")),
    }
}
