//! The mean over height and width is a global average pooling, with a Reshape after it where the axes are dropped.

use crate::ir::ops::{Pool, PoolFn, Reshape};
use crate::ir::{Fact, Node, NodeId, Op, Patch, Value};
use crate::rewrite::{Context, Decline, Outcome, Rule, require};

/// `ReduceMean(x, height and width) -> GlobalAveragePool(x)`
pub struct MeanToPool;

impl Rule for MeanToPool {
    fn name(&self) -> &'static str {
        "mean-to-pool"
    }

    fn doc(&self) -> &'static str {
        "ReduceMean(x, height and width) -> GlobalAveragePool(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let Op::Reduce(reduce) = &node.op else { return Err(Decline::Nothing) };
        let x = &c.value(node.inputs[0]).fact;
        require(reduce.is_spatial_mean(&x.shape) && x.dtype.is_float())?;
        let pool = Pool { f: PoolFn::Average { include_pad: false }, window: None };
        if reduce.keepdims {
            return Ok(c.fuse(at, &[at], pool, node.inputs.clone()).into());
        }
        let y = c.value(node.outputs[0]);
        let mut patch = Patch::new(c);
        let fact = Fact { dtype: x.dtype, shape: [x.shape[0], x.shape[1], 1, 1].into() };
        let mean = patch.value(Value { quant: y.quant, ..Value::new(format!("{}.pool", y.name), fact) });
        patch.add(Node::new(node.name.clone(), pool.into(), node.inputs.clone(), vec![mean]));
        let shape = y.fact.shape.iter().map(|&d| d as i64).collect();
        let reshape = Reshape::To { shape, allow_zero: false };
        let reshape =
            Node::new(format!("{}.reshape", node.name), reshape.into(), vec![mean], node.outputs.clone());
        patch.add(Node { origin: node.origin.clone(), ..reshape }).remove(at);
        Ok(patch.into())
    }
}
