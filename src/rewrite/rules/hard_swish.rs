//! HardSwish (Howard et al., 2019), written out with a clamp or with the HardSigmoid of slope 1/6.

use crate::base::quant::Activation;
use crate::ir::ops::{BinaryFn, Unary, UnaryFn};
use crate::ir::{Node, NodeId, Op, ValueId};
use crate::rewrite::pattern::near;
use crate::rewrite::{Context, Decline, Outcome, Rule, require};

/// `x * Clip(x + 3, 0, 6) / 6, or x * HardSigmoid(x) -> HardSwish(x)`
pub struct HardSwish;

impl Rule for HardSwish {
    fn name(&self) -> &'static str {
        "hard-swish"
    }

    fn doc(&self) -> &'static str {
        "x * Clip(x + 3, 0, 6) / 6, or x * HardSigmoid(x) -> HardSwish(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let op = Unary { f: UnaryFn::HardSwish };
        let gate = |f| matches!(f, UnaryFn::HardSigmoid { alpha, beta } if near(alpha.into(), 1.0 / 6.0) && beta == 0.5);
        match gated(c, at, BinaryFn::Mul, gate, op.clone()) {
            Err(Decline::Nothing) => {}
            found => return found,
        }
        let (x, nodes) = sixth_last(c, at).or_else(|_| sixth_inside(c, at))?;
        c.closed(&nodes)?;
        Ok(c.fuse(at, &nodes, op, vec![x]).into())
    }
}

/// `f(x, gate(x))`, of a gate that is a function of one number, as one function.
pub(super) fn gated(
    c: &Context,
    at: NodeId,
    f: BinaryFn,
    is_gate: impl Fn(UnaryFn) -> bool,
    whole: Unary,
) -> Outcome {
    c.is_binary(at, f)?;
    let inputs = &c.node(at).inputs;
    for (&x, &g) in [(&inputs[0], &inputs[1]), (&inputs[1], &inputs[0])] {
        if let Ok((gate, f, argument)) = c.unary(g)
            && is_gate(f)
            && argument == x
        {
            c.closed(&[gate, at])?;
            return Ok(c.fuse(at, &[gate, at], whole, vec![x]).into());
        }
    }
    Err(Decline::Nothing)
}

/// `(x * clip(x + 3, 0, 6)) / 6`.
fn sixth_last(c: &Context, at: NodeId) -> Result<(ValueId, Vec<NodeId>), Decline> {
    let product = sixth(c, at)?;
    let (id, node) = c.binary(product, BinaryFn::Mul)?;
    let (x, mut nodes) = ramp_of(c, node)?;
    nodes.extend([id, at]);
    Ok((x, nodes))
}

/// `x * (clip(x + 3, 0, 6) / 6)`.
fn sixth_inside(c: &Context, at: NodeId) -> Result<(ValueId, Vec<NodeId>), Decline> {
    c.is_binary(at, BinaryFn::Mul)?;
    let node = c.node(at);
    for i in [0, 1] {
        let Ok(part) = c.producer(node.inputs[i]) else { continue };
        let Ok(clipped) = sixth(c, part) else { continue };
        if let Ok((x, mut nodes)) = ramp(c, clipped)
            && x == node.inputs[1 - i]
        {
            nodes.extend([part, at]);
            return Ok((x, nodes));
        }
    }
    Err(Decline::Nothing)
}

/// `v / 6` or `v * (1/6)` at a node: `v`.
fn sixth(c: &Context, at: NodeId) -> Result<ValueId, Decline> {
    let node = c.node(at);
    let (v, k) = c.variable_and_number(node)?;
    let fits = match c.is_binary(at, BinaryFn::Div) {
        Ok(()) => node.inputs[0] == v && k == 6.0,
        Err(_) => c.is_binary(at, BinaryFn::Mul).is_ok() && near(k, 1.0 / 6.0),
    };
    require(fits)?;
    Ok(v)
}

/// Of `x * clip(x + 3, 0, 6)`, `x` and the nodes of the ramp.
fn ramp_of(c: &Context, product: &Node) -> Result<(ValueId, Vec<NodeId>), Decline> {
    for &v in &product.inputs {
        if let Ok((x, nodes)) = ramp(c, v)
            && c.other(product, v) == Ok(x)
        {
            return Ok((x, nodes));
        }
    }
    Err(Decline::Nothing)
}

/// `clip(x + 3, 0, 6)` at value `v`, the clamp on its own or fused into the sum: `x` and the nodes.
fn ramp(c: &Context, v: ValueId) -> Result<(ValueId, Vec<NodeId>), Decline> {
    let last = c.producer(v)?;
    let (sum, activation, mut nodes) = match &c.node(last).op {
        Op::Unary(u) => {
            (c.producer(c.node(last).inputs[0])?, u.f.activation().ok_or(Decline::Nothing)?, vec![last])
        }
        op => (last, op.fused().activation, vec![]),
    };
    let Op::Binary(b) = &c.node(sum).op else { return Err(Decline::Nothing) };
    let plain = nodes.is_empty() || b.fused.activation == Activation::None;
    require(b.f == BinaryFn::Add && plain && activation.bounds() == (0.0, 6.0))?;
    let (x, three) = c.variable_and_number(c.node(sum))?;
    require(three == 3.0)?;
    nodes.insert(0, sum);
    Ok((x, nodes))
}
