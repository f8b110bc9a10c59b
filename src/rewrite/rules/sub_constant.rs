//! Subtracting a constant is adding its negative; the rules for sums then apply.

use crate::ir::array::{Array, Data};
use crate::ir::ops::{Binary, BinaryFn};
use crate::ir::{NodeId, Op, Patch};
use crate::rewrite::{Context, Decline, Outcome, Rule, require};

/// `x - constant -> x + -constant`
pub struct SubConstant;

impl Rule for SubConstant {
    fn name(&self) -> &'static str {
        "sub-constant"
    }

    fn doc(&self) -> &'static str {
        "x - constant -> x + -constant"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let Op::Binary(b) = &node.op else { return Err(Decline::Nothing) };
        require(b.f == BinaryFn::Sub && c.with_constant(node)? == [0, 1])?;
        let t = c.constant(node, 1)?;
        c.may_change(node.inputs[1])?;
        let mut a = Array::of(t);
        match &mut a.data {
            Data::Real(v) => v.iter_mut().for_each(|x| *x = -*x),
            Data::Int(v) => v.iter_mut().for_each(|x| *x = x.wrapping_neg()),
        }
        let mut patch = Patch::new(c);
        let name = c.constant_name(Some(node.inputs[1]), node, "addend");
        let k = patch.constant(name, a.to_tensor(t.dtype()));
        let op = Binary { f: BinaryFn::Add, fused: b.fused };
        c.fuse_in(&mut patch, at, &[at], op, vec![node.inputs[0], k]);
        Ok(patch.into())
    }
}
