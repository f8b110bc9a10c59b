//! A clamp (Relu, Clip) goes into the convolution, linear layer, sum or product before it, onto a clamp that is there
//! already. Any other function that epilogues can compute goes into the convolution or linear layer before it.

use crate::base::quant::Activation;
use crate::ir::ops::{BinaryFn, Fused, Unary, UnaryFn};
use crate::ir::{NodeId, Op};
use crate::rewrite::weighted::with_fused;
use crate::rewrite::{Context, Decline, Outcome, Rule, blocked, require};

/// `Relu(Conv(x)), Gelu(Conv(x)) -> Conv(x) with an activation`
pub struct ActivationFold;

impl Rule for ActivationFold {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn doc(&self) -> &'static str {
        "Relu(Conv(x)), Gelu(Conv(x)) -> Conv(x) with an activation"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let Op::Unary(u) = &node.op else { return Err(Decline::Nothing) };
        let clamp = u.f.activation();
        require(clamp.is_some() || u.f.has_formula())?;
        let before = c.producer(node.inputs[0])?;
        let main = c.node(before);
        require(match &main.op {
            Op::Conv(_) | Op::Linear(_) => true,
            Op::Binary(b) if clamp.is_some() => {
                matches!(b.f, BinaryFn::Add | BinaryFn::Sub | BinaryFn::Mul | BinaryFn::Div)
            }
            _ => false,
        })?;
        require(c.value(node.outputs[0]).fact.dtype.is_float())?;
        c.may_vanish(node.inputs[0])?;
        let first = main.op.fused();
        let fused = match clamp {
            Some(second) => Fused { activation: compose(first.activation, second)?, ..first },
            None if first.applies() => return blocked(format!("{} has an activation already", main.name)),
            None => Fused { function: Some(u.f), ..first },
        };
        let op = with_fused(&main.op, fused)?;
        Ok(c.fuse(before, &[before, at], op, main.inputs.clone()).into())
    }
}

/// The clamp that does what `first` and then `second` do.
pub(super) fn compose(first: Activation, second: Activation) -> Result<Activation, Decline> {
    let (lo, hi) = first.bounds();
    let bounds = [lo, hi].map(|b| second.apply(f64::from(b)) as f32);
    if first.bounds().0 > first.bounds().1 || second.bounds().0 > second.bounds().1 {
        return blocked("the bounds of a clamp are the wrong way round");
    }
    Ok(match bounds {
        [f32::NEG_INFINITY, f32::INFINITY] => Activation::None,
        [0.0, f32::INFINITY] => Activation::Relu,
        [lo, hi] => Activation::Clip { lo, hi },
    })
}

/// The operator that clamps to these bounds.
pub(super) fn clamp(lo: f32, hi: f32) -> Unary {
    let f = if (lo, hi) == (0.0, f32::INFINITY) { UnaryFn::Relu } else { UnaryFn::Clip { min: lo, max: hi } };
    Unary { f }
}
