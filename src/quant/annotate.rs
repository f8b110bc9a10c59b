//! Scales onto the graph.

use super::coding::Coding;
use super::weights::channel_scales;
use crate::base::quant::{QuantParams, Range};
use crate::ir::ops::Role;
use crate::ir::{Graph, NodeId, ValueId};

/// The parameters of a tensor with this range, stored so.
pub fn params(coding: Coding, range: Range) -> QuantParams {
    match coding {
        Coding::Signed => QuantParams::signed(range.amax()),
        Coding::Unsigned => QuantParams::unsigned(Range::unsigned(range.hi)),
        Coding::Shifted => QuantParams::unsigned(range),
    }
}

/// Sets `Value::quant` of every value with parameters that has none of its own yet, and `Value::channels` of the
/// weights of 8-bit nodes. Parameters and precisions must be there.
pub fn annotate(g: &mut Graph, params: &[Option<QuantParams>]) {
    for v in g.live_values() {
        let value = g.value_mut(v);
        value.quant = value.quant.or(params[v.index()]);
    }
    let nodes: Vec<NodeId> = g.nodes().filter(|(_, n)| n.is_int8()).map(|(id, _)| id).collect();
    for id in nodes {
        let Role::Multiply { channel_axis } = g.node(id).op.role() else { continue };
        let w: ValueId = g.node(id).inputs[1];
        let missing = g.value(w).channels.is_none();
        if let Some(scales) =
            g.value(w).constant.as_ref().filter(|_| missing).map(|t| channel_scales(t, channel_axis))
        {
            g.value_mut(w).channels = Some(scales);
        }
    }
}
