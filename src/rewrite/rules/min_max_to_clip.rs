//! A maximum or minimum with one number is a clamp.

use super::activation::clamp;
use crate::ir::NodeId;
use crate::ir::ops::BinaryFn;
use crate::rewrite::{Context, Outcome, Rule, require};

/// `Max(x, number) -> Clip(x)`
pub struct MinMaxToClip;

impl Rule for MinMaxToClip {
    fn name(&self) -> &'static str {
        "min-max-to-clip"
    }

    fn doc(&self) -> &'static str {
        "Max(x, number) -> Clip(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let is_max = c.is_binary(at, BinaryFn::Max).is_ok();
        if !is_max {
            c.is_binary(at, BinaryFn::Min)?;
        }
        let (x, bound) = c.variable_and_number(node)?;
        let fact = &c.value(x).fact;
        require(*fact == c.value(node.outputs[0]).fact && fact.dtype.is_float() && !bound.is_nan())?;
        let bound = bound as f32;
        let op = if is_max { clamp(bound, f32::INFINITY) } else { clamp(f32::NEG_INFINITY, bound) };
        Ok(c.fuse(at, &[at], op, vec![x]).into())
    }
}
