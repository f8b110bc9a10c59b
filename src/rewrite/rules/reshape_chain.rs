//! Reshapes in a row (Flatten, Squeeze and Unsqueeze too) are one, to the last shape.

use crate::ir::ops::Reshape;
use crate::ir::{NodeId, Op};
use crate::rewrite::{Context, Outcome, Rule, require};

/// `Reshape(Reshape(x)) -> Reshape(x)`
pub struct ReshapeChain;

impl Rule for ReshapeChain {
    fn name(&self) -> &'static str {
        "reshape-chain"
    }

    fn doc(&self) -> &'static str {
        "Reshape(Reshape(x)) -> Reshape(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        require(matches!(c.node(at).op, Op::Reshape(_)))?;
        let before = c.producer(c.node(at).inputs[0])?;
        require(matches!(c.node(before).op, Op::Reshape(_)))?;
        let shape = &c.value(c.output(at)?).fact.shape;
        let shape: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
        let allow_zero = shape.contains(&0);
        c.merge_moves(before, at, Reshape::To { shape, allow_zero })
    }
}
