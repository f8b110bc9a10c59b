//! A node that only moves numbers, or takes their maximum, keeps their scale: a value without one takes it over from
//! the other side. Backwards only where nobody else reads the input.

use crate::ir::{NodeId, Op, Role};
use crate::rewrite::{Context, Decline, Edit, Outcome, Rule, blocked, require};

/// `scale before a move <-> scale after it`
pub struct QuantThroughMoves;

impl Rule for QuantThroughMoves {
    fn name(&self) -> &'static str {
        "qdq-through-moves"
    }

    fn doc(&self) -> &'static str {
        "scale before a move <-> scale after it"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        require(node.op.role() == Role::Move && node.inputs.len() == 1 && !matches!(node.op, Op::Cast(_)))?;
        let x = node.inputs[0];
        require(c.value(x).constant.is_none() && c.value(x).fact.dtype.is_float())?;
        if let Some(params) = c.value(x).quant {
            let bare = node.outputs.iter().find(|&&y| c.value(y).quant.is_none());
            return bare.map(|&y| Edit::Quantize(y, params)).ok_or(Decline::Nothing);
        }
        let y = c.output(at)?;
        let params = c.value(y).quant.ok_or(Decline::Nothing)?;
        if c.consumers(x).len() > 1 || c.is_output(x) {
            return blocked(format!("{} is read elsewhere, without the scale", c.value(x).name));
        }
        Ok(Edit::Quantize(x, params))
    }
}
