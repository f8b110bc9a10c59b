//! Computes nodes that read constants alone, and the shapes that nodes ask for, which are known. In f64, rounded once.

use crate::base::Tensor;
use crate::base::quant::Scale;
use crate::ir::array::Array;
use crate::ir::ops::{Quantize, ShapeOf};
use crate::ir::{ChannelScales, Node, NodeId, Op, Patch, Value};
use crate::rewrite::{Context, Decline, Outcome, Rule, blocked, require};

/// Largest result, in elements: larger constants would only make the engine larger than the node that computes them.
const MAX_ELEMENTS: usize = 1 << 26;

/// `f(constants) -> constant`
pub struct FoldConstants;

impl Rule for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn doc(&self) -> &'static str {
        "f(constants) -> constant"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        require(!node.outputs.iter().any(|&v| c.is_output(v)))?;
        let results = compute(c, node)?;
        let mut patch = Patch::new(c);
        for (&v, array) in node.outputs.iter().zip(results) {
            let old = c.value(v);
            let value = Value::constant(old.name.clone(), array.to_tensor(old.fact.dtype));
            let value = Value { quant: old.quant, channels: channels(c, node), ..value };
            let new = patch.value(value);
            patch.replace(v, new);
        }
        patch.remove(at);
        Ok(patch.into())
    }
}

fn compute(c: &Context, node: &Node) -> Result<Vec<Array>, Decline> {
    if let Op::ShapeOf(op) = &node.op {
        let op: &ShapeOf = op;
        return Ok(vec![op.of(&c.value(node.inputs[0]).fact.shape)]);
    }
    let constants: Option<Vec<&Tensor>> = (0..node.inputs.len()).map(|i| c.constant_input(node, i)).collect();
    let constants = constants.ok_or(Decline::Nothing)?;
    let size: usize = node.outputs.iter().map(|&v| c.value(v).fact.shape.numel()).sum();
    if size > MAX_ELEMENTS || c.macs(node) > MAX_ELEMENTS as u64 {
        return blocked(format!("the constant would have {size} elements"));
    }
    let arrays: Vec<Array> = constants.into_iter().map(Array::of).collect();
    let arrays: Vec<&Array> = arrays.iter().collect();
    node.op.eval(&arrays).or_else(blocked)
}

/// The scales that a dequantized weight brings along.
fn channels(c: &Context, node: &Node) -> Option<ChannelScales> {
    let Op::Quantize(Quantize::From { axis }) = &node.op else { return None };
    let symmetric = c.constant_input(node, 2).is_none_or(|z| z.to_i64().iter().all(|&z| z == 0));
    let scales = c.constant_input(node, 1)?;
    let shape = &c.value(node.outputs[0]).fact.shape;
    let axis = shape.axis(*axis)?;
    let scales: Option<Vec<Scale>> = scales.to_f32().iter().map(|&s| Scale::new(s)).collect();
    let scales = scales.filter(|s| symmetric && s.len() == shape[axis])?;
    Some(ChannelScales { axis, scales })
}
