//! A matrix product with a constant right matrix becomes a linear layer: alpha goes into the weights, beta into the
//! bias, in f64 and rounded once.

use super::matmul_to_linear::linear_weight;
use crate::ir::ops::{Gemm, Linear};
use crate::ir::{NodeId, Op, Patch};
use crate::rewrite::weighted::{per_channel, rounded};
use crate::rewrite::{Context, Decline, Outcome, Rule, blocked, require};

/// `Gemm(x, W, b) -> Linear(x, W, b)`
pub struct GemmToLinear;

impl Rule for GemmToLinear {
    fn name(&self) -> &'static str {
        "gemm-to-linear"
    }

    fn doc(&self) -> &'static str {
        "Gemm(x, W, b) -> Linear(x, W, b)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let Op::Gemm(gemm) = &node.op else { return Err(Decline::Nothing) };
        let gemm: &Gemm = gemm;
        require(c.constant_input(node, 1).is_some())?;
        if gemm.trans_a {
            return blocked("transA is set and the left matrix is no constant");
        }
        let out = &c.value(node.outputs[0]).fact.shape;
        let mut patch = Patch::new(c);
        let mut inputs = vec![node.inputs[0]];
        inputs.push(linear_weight(c, &mut patch, node, gemm.trans_b, f64::from(gemm.alpha))?);
        if let Some(&addend) = node.inputs.get(2) {
            let Some(t) = c.constant_input(node, 2) else { return blocked("the addend is no constant") };
            let Some(b) = per_channel(t, out, 1) else {
                return blocked("the addend differs from row to row");
            };
            if gemm.beta == 1.0 && *t.shape() == [out[1]].into() {
                inputs.push(addend);
            } else {
                c.may_change(addend)?;
                let b = b.into_iter().map(|b| b * f64::from(gemm.beta)).collect();
                let b = rounded(&[out[1]].into(), b, t)?;
                inputs.push(patch.constant(c.constant_name(Some(addend), node, "bias"), b));
            }
        }
        c.fuse_in(&mut patch, at, &[at], Linear::default(), inputs);
        Ok(patch.into())
    }
}
