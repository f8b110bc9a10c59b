//! Zeros around an image go into the padding of the convolution or of the average that counts it. The padding of a
//! maximum is minus infinity: zeros may go there only where no element is negative and no window is all padding.

use crate::ir::ops::{Conv, PadMode, Pads, Pool, PoolFn, Window};
use crate::ir::{NodeId, Op};
use crate::rewrite::{Context, Decline, Outcome, Rule, blocked, require};

/// `Conv(Pad(x)) -> Conv(x) with pads`
pub struct PadIntoWindow;

impl Rule for PadIntoWindow {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn doc(&self) -> &'static str {
        "Conv(Pad(x)) -> Conv(x) with pads"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        require(matches!(node.op, Op::Conv(_) | Op::Pool(_)))?;
        let before = c.producer(node.inputs[0])?;
        let Op::Pad(pad) = &c.node(before).op else { return Err(Decline::Nothing) };
        let x = c.node(before).inputs[0];
        let ends = pad.ends(&c.value(x).fact.shape).map_err(Decline::Blocked)?;
        let PadMode::Constant(value) = pad.mode else {
            return blocked("the padding is no constant");
        };
        let [[0, 0], [0, 0], [top, bottom], [left, right]] = ends[..] else {
            return blocked("it pads other axes than height and width");
        };
        let added = [top, left, bottom, right].map(|n| usize::try_from(n).ok());
        let [Some(a), Some(b), Some(d), Some(e)] = added else { return blocked("it cuts off") };
        let padded = |w: &Window| -> Result<Window, Decline> {
            let Pads::Explicit(p) = w.pads else { return blocked("the window pads by auto_pad") };
            Ok(Window { pads: Pads::Explicit([p[0] + a, p[1] + b, p[2] + d, p[3] + e]), ..w.clone() })
        };
        let op: Op = match &node.op {
            Op::Conv(conv) if value == 0.0 => Conv { window: padded(&conv.window)?, ..conv.clone() }.into(),
            Op::Pool(pool) => padded_pool(pool, value, padded)?,
            _ => return blocked(format!("the padding is {value}, not 0")),
        };
        c.may_vanish(node.inputs[0])?;
        let mut inputs = node.inputs.clone();
        inputs[0] = x;
        let facts: Vec<_> = inputs.iter().map(|&v| c.value(v).fact.clone()).collect();
        op.infer(&facts).map_err(Decline::Blocked)?; // pads as large as the window
        Ok(c.fuse(at, &[before, at], op, inputs).into())
    }
}

fn padded_pool(
    pool: &Pool,
    value: f32,
    padded: impl Fn(&Window) -> Result<Window, Decline>,
) -> Result<Op, Decline> {
    let Some(window) = &pool.window else { return blocked("a pooling over the whole image has no padding") };
    let unpadded = matches!(window.pads, Pads::Explicit([0, 0, 0, 0]));
    let f = match pool.f {
        PoolFn::Max if value == f32::NEG_INFINITY => PoolFn::Max,
        PoolFn::Max => return blocked(format!("the padding of a maximum is -inf, not {value}")),
        PoolFn::Average { .. } if value != 0.0 => return blocked(format!("the padding is {value}, not 0")),
        PoolFn::Average { include_pad } if !include_pad && !unpadded => {
            return blocked("the average does not count its own padding");
        }
        // without padding of its own it counts all that it sees, the pad's zeros among it
        PoolFn::Average { .. } if window.ceil => return blocked("windows hang over the image (ceil_mode)"),
        PoolFn::Average { .. } => PoolFn::Average { include_pad: true },
    };
    Ok(Pool { f, window: Some(padded(window)?) }.into())
}
