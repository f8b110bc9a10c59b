//! Batch normalization after a convolution or linear layer goes into its weights and bias: `w g`, `(b - m) g + beta`
//! with `g = gamma / sqrt(variance + epsilon)` (Jacob et al., 2018), in f64 and rounded once.

use crate::ir::{Node, NodeId, Op};
use crate::rewrite::weighted::Affine;
use crate::rewrite::{Context, Decline, Outcome, Rule, require};

/// `BatchNormalization(Conv(x)) -> Conv(x) with other weights`
pub struct BatchNormFold;

impl Rule for BatchNormFold {
    fn name(&self) -> &'static str {
        "batch-norm-fold"
    }

    fn doc(&self) -> &'static str {
        "BatchNormalization(Conv(x)) -> Conv(x) with other weights"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let affine = affine(c, node)?;
        let main = c.weighted_before(node.inputs[0])?;
        require(main.channel_axis == 1)?;
        Ok(main.absorb(c, at, affine)?.into())
    }
}

/// The factor and the shift per channel of a batch normalization with constant parameters.
pub(super) fn affine(c: &Context, node: &Node) -> Result<Affine, Decline> {
    let Op::BatchNorm(norm) = &node.op else { return Err(Decline::Nothing) };
    let p = [1, 2, 3, 4].map(|i| c.constant_input(node, i).map(|t| t.to_f64()));
    let [Some(scale), Some(bias), Some(mean), Some(variance)] = &p else { return Err(Decline::Nothing) };
    let affine = norm.affine([scale, bias, mean, variance]);
    Ok([0, 1].map(|i| affine.iter().map(|a| a[i]).collect()))
}
