//! A constant per channel, added to a convolution or linear layer, goes into its bias.

use crate::ir::ops::BinaryFn;
use crate::ir::{NodeId, Op};
use crate::rewrite::weighted::per_channel;
use crate::rewrite::{Context, Outcome, Rule, blocked, require};

/// `Add(Conv(x), constant) -> Conv(x) with bias`
pub struct Bias;

impl Rule for Bias {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn doc(&self) -> &'static str {
        "Add(Conv(x), constant) -> Conv(x) with bias"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        require(matches!(&node.op, Op::Binary(b) if b.f == BinaryFn::Add))?;
        let [x, k] = c.with_constant(node)?;
        let main = c.weighted_before(node.inputs[x])?;
        let out = &c.value(node.inputs[x]).fact.shape;
        match per_channel(c.constant(node, k)?, out, main.channel_axis) {
            Some(shift) => Ok(main.absorb(c, at, [vec![1.0; shift.len()], shift])?.into()),
            None => blocked("the constant differs within a channel"),
        }
    }
}
