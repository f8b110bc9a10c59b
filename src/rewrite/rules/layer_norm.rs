//! Layer normalization (Ba et al., 2016) written out: ReduceMean, Sub, Pow or Mul, ReduceMean, Add, Sqrt, Div, Mul, Add.
//! The last sum may be missing.

use crate::ir::ops::{BinaryFn, LayerNorm, ReduceFn, UnaryFn};
use crate::ir::{NodeId, Op, ValueId};
use crate::rewrite::{Context, Decline, Outcome, Rule, require};

/// `(x - mean) / sqrt(variance + eps) * scale + bias -> LayerNormalization(x)`
pub struct LayerNormPattern;

impl Rule for LayerNormPattern {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn doc(&self) -> &'static str {
        "(x - mean) / sqrt(variance + eps) * scale + bias -> LayerNormalization(x)"
    }

    fn apply(&self, c: &Context, at: NodeId) -> Outcome {
        let (scaled, bias) = match c.is_binary(at, BinaryFn::Add) {
            Ok(()) => {
                let [x, k] = c.with_constant(c.node(at))?;
                (c.producer(c.node(at).inputs[x])?, Some(c.node(at).inputs[k]))
            }
            Err(_) => (at, None),
        };
        c.is_binary(scaled, BinaryFn::Mul)?;
        let [q, k] = c.with_constant(c.node(scaled))?;
        let (scale, quotient) = (c.node(scaled).inputs[k], c.node(scaled).inputs[q]);
        let found = normalized(c, quotient)?;
        let mut nodes = found.nodes;
        nodes.push(scaled);
        if bias.is_some() {
            nodes.push(at);
        } else if let [next] = c.consumers(c.output(at)?) {
            // the sum comes later in the same sweep
            let sum = c.is_binary(*next, BinaryFn::Add).is_ok() && c.with_constant(c.node(*next)).is_ok();
            require(!sum)?;
        }
        c.closed(&nodes)?;
        let inputs = [found.x, scale].into_iter().chain(bias).collect();
        let op = LayerNorm { axis: found.axis, epsilon: found.epsilon };
        let facts: Vec<_> = [found.x, scale].iter().chain(&bias).map(|&v| c.value(v).fact.clone()).collect();
        require(Op::from(op.clone()).infer(&facts).is_ok())?;
        Ok(c.fuse(at, &nodes, op, inputs).into())
    }
}

struct Normalized {
    x: ValueId,
    axis: i64,
    epsilon: f32,
    nodes: Vec<NodeId>,
}

/// `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)` at value `v`.
fn normalized(c: &Context, v: ValueId) -> Result<Normalized, Decline> {
    let (div, node) = c.binary(v, BinaryFn::Div)?;
    let (centred, deviation) = (node.inputs[0], node.inputs[1]);
    let (sub, node) = c.binary(centred, BinaryFn::Sub)?;
    let x = node.inputs[0];
    let (mean, axis) = trailing_mean(c, node.inputs[1], x)?;

    let (root, f, sum) = c.unary(deviation)?;
    require(f == UnaryFn::Sqrt)?;
    let (add, node) = c.binary(sum, BinaryFn::Add)?;
    let (variance, epsilon) = c.variable_and_number(node)?;
    let squared = c.node(c.producer(variance)?).inputs[0];
    let (variance_mean, second_axis) = trailing_mean(c, variance, squared)?;
    require(axis == second_axis)?;
    let (square, again) = square(c, squared)?;
    let mut nodes = vec![mean, sub];
    // some exporters write the difference twice
    if again != centred {
        let (sub2, node) = c.binary(again, BinaryFn::Sub)?;
        require(node.inputs[0] == x)?;
        let mean2 = trailing_mean(c, node.inputs[1], x)?;
        require(mean2.1 == axis)?;
        nodes.extend([mean2.0, sub2].into_iter().filter(|n| *n != mean));
    }
    nodes.extend([square, variance_mean, add, root, div]);
    Ok(Normalized { x, axis, epsilon: epsilon as f32, nodes })
}

/// The node that writes `v`, the mean of `x` over its last axes (kept with size 1), and the first of these, counted
/// from the end.
fn trailing_mean(c: &Context, v: ValueId, x: ValueId) -> Result<(NodeId, i64), Decline> {
    let id = c.producer(v)?;
    let Op::Reduce(r) = &c.node(id).op else { return Err(Decline::Nothing) };
    require(r.f == ReduceFn::Mean && r.keepdims && c.node(id).inputs[0] == x)?;
    let reduced = r.reduced(&c.value(x).fact.shape).map_err(|_| Decline::Nothing)?;
    let first = reduced.iter().position(|&r| r).ok_or(Decline::Nothing)?;
    require(reduced[first..].iter().all(|&r| r))?;
    Ok((id, first as i64 - reduced.len() as i64))
}

/// `d ^ 2` or `d * d` at value `v`: the node and `d`.
fn square(c: &Context, v: ValueId) -> Result<(NodeId, ValueId), Decline> {
    let id = c.producer(v)?;
    let node = c.node(id);
    let fits = match c.is_binary(id, BinaryFn::Pow) {
        Ok(()) => c.number(node.inputs[1])? == 2.0,
        Err(_) => c.is_binary(id, BinaryFn::Mul).is_ok() && node.inputs[0] == node.inputs[1],
    };
    require(fits)?;
    Ok((id, node.inputs[0]))
}
