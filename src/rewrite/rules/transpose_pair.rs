//! Two transpositions in a row are one; where they undo each other, none is left (rule `identity`).

use crate::ir::ops::Transpose;
use crate::ir::{NodeId, Op};
use crate::rewrite::{Context, Decline, Outcome, Rule};

/// `Transpose(Transpose(x)) -> Transpose(x)`
pub struct TransposePair;

impl Rule for TransposePair {
    fn name(&self) -> &'static str {
        "transpose-pair"
    }

    fn doc(&self) -> &'static str {
        "Transpose(Transpose(x)) -> Transpose(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let Op::Transpose(second) = &c.node(at).op else { return Err(Decline::Nothing) };
        let between = c.node(at).inputs[0];
        let before = c.producer(between)?;
        let Op::Transpose(first) = &c.node(before).op else { return Err(Decline::Nothing) };
        let x = c.node(before).inputs[0];
        let inner = first.axes(&c.value(x).fact.shape).map_err(Decline::Blocked)?;
        let outer = second.axes(&c.value(between).fact.shape).map_err(Decline::Blocked)?;
        let perm = outer.iter().map(|&a| inner[a] as i64).collect();
        c.merge_moves(before, at, Transpose { perm })
    }
}
