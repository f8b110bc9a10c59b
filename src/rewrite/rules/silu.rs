//! The sigmoid-weighted linear unit (Elfwing et al., 2017), also called Swish.

use crate::ir::NodeId;
use crate::ir::ops::{BinaryFn, Unary, UnaryFn};
use crate::rewrite::{Context, Outcome, Rule};

/// `x * Sigmoid(x) -> Silu(x)`
pub struct Silu;

impl Rule for Silu {
    fn name(&self) -> &'static str {
        "silu"
    }

    fn doc(&self) -> &'static str {
        "x * Sigmoid(x) -> Silu(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        super::hard_swish::gated(c, at, BinaryFn::Mul, |f| f == UnaryFn::Sigmoid, Unary { f: UnaryFn::Silu })
    }
}
