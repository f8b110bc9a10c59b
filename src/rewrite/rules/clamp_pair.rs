//! Two clamps in a row are one.

use super::activation::{clamp, compose};
use crate::ir::{NodeId, Op};
use crate::rewrite::{Context, Decline, Outcome, Rule};

/// `Clip(Clip(x)) -> Clip(x)`
pub struct ClampPair;

impl Rule for ClampPair {
    fn name(&self) -> &'static str {
        "clamp-pair"
    }

    fn doc(&self) -> &'static str {
        "Clip(Clip(x)) -> Clip(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let Op::Unary(second) = &c.node(at).op else { return Err(Decline::Nothing) };
        let second = second.f.activation().ok_or(Decline::Nothing)?;
        let between = c.node(at).inputs[0];
        let (before, first, x) = c.unary(between)?;
        let first = first.activation().ok_or(Decline::Nothing)?;
        c.may_vanish(between)?;
        let (lo, hi) = compose(first, second)?.bounds();
        Ok(c.fuse(before, &[before, at], clamp(lo, hi), vec![x]).into())
    }
}
