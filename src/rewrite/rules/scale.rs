//! A product with a constant per channel (or a division by one) goes into the weights and the bias before it.

use crate::ir::ops::BinaryFn;
use crate::ir::{NodeId, Op};
use crate::rewrite::weighted::per_channel;
use crate::rewrite::{Context, Decline, Outcome, Rule, blocked, require};

/// `Mul(Conv(x), constant) -> Conv(x) with other weights`
pub struct ScaleWeights;

impl Rule for ScaleWeights {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn doc(&self) -> &'static str {
        "Mul(Conv(x), constant) -> Conv(x) with other weights"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let Op::Binary(b) = &node.op else { return Err(Decline::Nothing) };
        let divides = b.f == BinaryFn::Div;
        require(divides || b.f == BinaryFn::Mul)?;
        let [x, k] = c.with_constant(node)?;
        require(x == 0 || !divides)?;
        let main = c.weighted_before(node.inputs[x])?;
        let out = &c.value(node.inputs[x]).fact.shape;
        let Some(mut factor) = per_channel(c.constant(node, k)?, out, main.channel_axis) else {
            return blocked("the constant differs within a channel");
        };
        if divides {
            factor.iter_mut().for_each(|f| *f = 1.0 / *f);
        }
        let shift = vec![0.0; factor.len()];
        Ok(main.absorb(c, at, [factor, shift])?.into())
    }
}
