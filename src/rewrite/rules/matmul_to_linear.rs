//! A product with a constant matrix on the right becomes a linear layer; the matrix is stored transposed, `[N, K]`.

use crate::ir::ops::Linear;
use crate::ir::{ChannelScales, Node, NodeId, Op, Patch, Value, ValueId};
use crate::rewrite::weighted::rounded;
use crate::rewrite::{Context, Decline, Outcome, Rule, blocked, require};

/// `MatMul(x, W) -> Linear(x, W)`
pub struct MatMulToLinear;

impl Rule for MatMulToLinear {
    fn name(&self) -> &'static str {
        "matmul-to-linear"
    }

    fn doc(&self) -> &'static str {
        "MatMul(x, W) -> Linear(x, W)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        require(matches!(node.op, Op::MatMul(_)))?;
        let w = c.constant(node, 1)?;
        require(c.constant_input(node, 0).is_none())?;
        if w.shape().rank() != 2 {
            return blocked(format!("the constant is {}, no matrix", w.shape()));
        }
        let mut patch = Patch::new(c);
        let weight = linear_weight(c, &mut patch, node, false, 1.0)?;
        c.fuse_in(&mut patch, at, &[at], Linear::default(), vec![node.inputs[0], weight]);
        Ok(patch.into())
    }
}

/// Input 1 of a matrix product as the weight `[N, K]` of a linear layer, times `alpha`. Scales of its own (Q/DQ
/// models) turn with it, unless `alpha` changes what they fit.
pub(super) fn linear_weight(
    c: &Context,
    patch: &mut Patch,
    node: &Node,
    transposed: bool,
    alpha: f64,
) -> Result<ValueId, Decline> {
    let old = node.inputs[1];
    if transposed && alpha == 1.0 {
        return Ok(old);
    }
    if alpha != 1.0 {
        c.may_change(old)?;
    }
    let t = c.constant(node, 1)?;
    let (rows, columns) = (t.shape()[0], t.shape()[1]);
    let w = t.to_f64();
    let w: Vec<f64> = match transposed {
        true => w.into_iter().map(|w| w * alpha).collect(),
        false => (0..rows * columns).map(|i| w[i % rows * columns + i / rows] * alpha).collect(),
    };
    let shape = if transposed { [rows, columns] } else { [columns, rows] };
    let value = Value::constant(c.constant_name(Some(old), node, "weight"), rounded(&shape.into(), w, t)?);
    let turned = |ch: &ChannelScales| ChannelScales { axis: 1 - ch.axis.min(1), scales: ch.scales.clone() };
    let (channels, quant) = (c.value(old).channels.as_ref().map(turned), c.value(old).quant);
    Ok(patch.value(Value { channels, quant, ..value }))
}
