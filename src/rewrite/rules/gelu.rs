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
        c.is_binary(at, BinaryFn::Mul)?;
        let mut product = Factors { nodes: vec![at], number: 1.0, values: Vec::new() };
        product.collect(c, at);
        let [a, b] = product.values[..] else { return Err(Decline::Nothing) };
        require(near(product.number, 0.5))?;
        let (x, mut nodes) = gate(c, b, a).or_else(|_| gate(c, a, b))?;
        nodes.extend(product.nodes.into_iter().rev());
        c.closed(&nodes)?;
        Ok(c.fuse(at, &nodes, Unary { f: UnaryFn::Gelu }, vec![x]).into())
    }
}

/// A product taken apart: its constant factor and the two others.
struct Factors {
    nodes: Vec<NodeId>,
    number: f64,
    values: Vec<ValueId>,
}

impl Factors {
    /// Takes products and halves apart, back from node `at`, as far as a product goes.
    fn collect(&mut self, c: &Context, at: NodeId) {
        for &v in &c.node(at).inputs {
            let divided = c.binary(v, BinaryFn::Div).ok().filter(|(_, n)| c.constant_input(n, 1).is_some());
            if let Ok(k) = c.number(v) {
                self.number *= k;
            } else if let Ok((id, _)) = c.binary(v, BinaryFn::Mul) {
                self.nodes.push(id);
                self.collect(c, id);
            } else if let Some((id, n)) = divided.filter(|(_, n)| c.number(n.inputs[1]).is_ok()) {
                self.nodes.push(id);
                self.number /= c.number(n.inputs[1]).unwrap_or(1.0);
                self.values.push(n.inputs[0]);
            } else {
                self.values.push(v);
            }
        }
    }
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
