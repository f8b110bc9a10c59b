//! Removes nodes that give their input as it is: Identity and Dropout, and those that happen to: a cast to the same
//! type, a transposition in order, a pad of nothing, a sum with 0.

use crate::ir::ops::resize::Extent;
use crate::ir::ops::{BinaryFn, Fused, Resize, UnaryFn};
use crate::ir::{Node, NodeId, Op};
use crate::rewrite::{Context, Decline, Outcome, Rule, require};

/// `Identity(x) -> x`
pub struct DropIdentity;

impl Rule for DropIdentity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn doc(&self) -> &'static str {
        "Identity(x) -> x"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let node = c.node(at);
        let y = c.value(c.output(at)?);
        let kept = kept_input(c, node)?;
        let x = *node.inputs.get(kept).ok_or(Decline::Nothing)?;
        require(c.value(x).fact == y.fact)?;
        c.bypass(at, x)
    }
}

/// The input that the node gives as it is, if its output has the same shape and type.
fn kept_input(c: &Context, node: &Node) -> Result<usize, Decline> {
    let x = &c.value(*node.inputs.first().ok_or(Decline::Nothing)?).fact.shape;
    let same = match &node.op {
        Op::Identity(_) | Op::Cast(_) | Op::Reshape(_) | Op::Repeat(_) => true,
        Op::Concat(_) | Op::Split(_) => node.inputs.len() == 1 && node.outputs.len() == 1,
        Op::Transpose(t) => {
            let axes = t.axes(x).map_err(|_| Decline::Nothing)?;
            axes.iter().filter(|&&a| x[a] > 1).is_sorted()
        }
        Op::Pad(p) => p.pads.iter().all(|&p| p == 0),
        Op::Slice(s) => {
            let spans = s.spans(x).map_err(|_| Decline::Nothing)?;
            spans.iter().zip(x.iter()).all(|(s, &n)| s.count == n && s.start == 0 && (s.step == 1 || n == 1))
        }
        Op::Resize(r) => is_resize_by_one(r),
        Op::Unary(u) => u.f == UnaryFn::Clip { min: f32::NEG_INFINITY, max: f32::INFINITY },
        Op::Binary(b) if b.fused == Fused::default() => return neutral_operand(c, node, b.f),
        _ => false,
    };
    require(same).map(|()| 0)
}

fn is_resize_by_one(r: &Resize) -> bool {
    match &r.extent {
        Extent::Scales(s) => s.iter().all(|&s| s == 1.0),
        Extent::Sizes(_) => true, // equal shapes are asked for anyway
    }
}

/// Of `x + 0`, `x - 0`, `x * 1`, `x / 1` and `x ^ 1`, the position of `x`.
fn neutral_operand(c: &Context, node: &Node, f: BinaryFn) -> Result<usize, Decline> {
    let [x, k] = c.with_constant(node)?;
    let (neutral, either) = match f {
        BinaryFn::Add => (0.0, true),
        BinaryFn::Mul => (1.0, true),
        BinaryFn::Sub => (0.0, false),
        BinaryFn::Div | BinaryFn::Pow => (1.0, false),
        _ => return Err(Decline::Nothing),
    };
    require((either || x == 0) && c.number(node.inputs[k])? == neutral)?;
    Ok(x)
}
