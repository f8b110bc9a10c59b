//! A pooling whose one window is the whole image is a global one.

use crate::ir::ops::{Pool, PoolFn};
use crate::ir::{NodeId, Op};
use crate::rewrite::{Context, Decline, Outcome, Rule, require};

/// `AveragePool(x) over the whole image -> GlobalAveragePool(x)`
pub struct GlobalPool;

impl Rule for GlobalPool {
    fn name(&self) -> &'static str {
        "global-pool"
    }

    fn doc(&self) -> &'static str {
        "AveragePool(x) over the whole image -> GlobalAveragePool(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let Op::Pool(pool) = &node.op else { return Err(Decline::Nothing) };
        require(pool.window.is_some())?;
        let g = pool.geometry(&c.value(node.inputs[0]).fact.shape).map_err(Decline::Blocked)?;
        require(g.output == [1, 1] && g.kernel == g.input && g.dilations == [1, 1] && !g.padded())?;
        let f = if pool.f == PoolFn::Max { PoolFn::Max } else { PoolFn::Average { include_pad: false } };
        Ok(c.fuse(at, &[at], Pool { f, window: None }, node.inputs.clone()).into())
    }
}
