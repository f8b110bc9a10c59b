//! The Gaussian error linear unit (Hendrycks and Gimpel, 2016), written out with Erf: factors in any order, the root
//! as a factor or a divisor.

use crate::ir::ops::{BinaryFn, Unary, UnaryFn};
use crate::ir::{NodeId, ValueId};
use crate::rewrite::pattern::near;
use crate::rewrite::{Context, Decline, Outcome, Rule, require};
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// `x * 0.5 * (1 + erf(x / sqrt 2)) -> Gelu(x)`
pub struct Gelu;

impl Rule for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn doc(&self) -> &'static str {
        "x * 0.5 * (1 + erf(x / sqrt 2)) -> Gelu(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let (x, nodes) = halved_last(c, at).or_else(|_| halved_inside(c, at))?;
        c.closed(&nodes)?;
        Ok(c.fuse(at, &nodes, Unary { f: UnaryFn::Gelu }, vec![x]).into())
    }
}

/// `(x * (1 + erf)) / 2`.
fn halved_last(c: &Context, at: NodeId) -> Result<(ValueId, Vec<NodeId>), Decline> {
    let (id, node) = c.binary(halved(c, at)?, BinaryFn::Mul)?;
    let [a, b] = [node.inputs[0], node.inputs[1]];
    let (x, mut nodes) = gate(c, b, a).or_else(|_| gate(c, a, b))?;
    nodes.extend([id, at]);
    Ok((x, nodes))
}

/// `(x / 2) * (1 + erf)` or `x * ((1 + erf) / 2)`.
fn halved_inside(c: &Context, at: NodeId) -> Result<(ValueId, Vec<NodeId>), Decline> {
    c.is_binary(at, BinaryFn::Mul)?;
    let inputs = &c.node(at).inputs;
    for (part, other) in [(inputs[0], inputs[1]), (inputs[1], inputs[0])] {
        let Ok(id) = c.producer(part) else { continue };
        let Ok(half) = halved(c, id) else { continue };
        if let Ok((x, mut nodes)) = gate(c, other, half).or_else(|_| gate(c, half, other)) {
            nodes.extend([id, at]);
            return Ok((x, nodes));
        }
    }
    Err(Decline::Nothing)
}

/// `v * 0.5` or `v / 2` at a node: `v`.
fn halved(c: &Context, at: NodeId) -> Result<ValueId, Decline> {
    let node = c.node(at);
    let (v, k) = c.variable_and_number(node)?;
    let fits = match c.is_binary(at, BinaryFn::Div) {
        Ok(()) => node.inputs[0] == v && k == 2.0,
        Err(_) => c.is_binary(at, BinaryFn::Mul).is_ok() && k == 0.5,
    };
    require(fits)?;
    Ok(v)
}

/// `1 + erf(x / sqrt 2)` at value `v`: its nodes in order.
fn gate(c: &Context, v: ValueId, x: ValueId) -> Result<(ValueId, Vec<NodeId>), Decline> {
    let (sum, node) = c.binary(v, BinaryFn::Add)?;
    let (e, one) = c.variable_and_number(node)?;
    require(one == 1.0)?;
    let (erf, f, z) = c.unary(e)?;
    require(f == UnaryFn::Erf)?;
    let id = c.producer(z)?;
    let node = c.node(id);
    let (argument, number) = c.variable_and_number(node)?;
    let root = match c.is_binary(id, BinaryFn::Div) {
        Ok(()) => node.inputs[0] == argument && near(number, SQRT_2),
        Err(_) => c.is_binary(id, BinaryFn::Mul).is_ok() && near(number, FRAC_1_SQRT_2),
    };
    require(root && argument == x)?;
    Ok((x, vec![id, erf, sum]))
}
