//! How each activation would be stored in 8 bits.

use super::Settings;
use crate::base::DType;
use crate::ir::ops::{BinaryFn, Role, UnaryFn};
use crate::ir::{Graph, Node, Op, ValueId};

/// How a tensor is stored in 8 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Coding {
    /// s8, symmetric.
    Signed,
    /// u8 from 0: the tensor cannot be negative.
    Unsigned,
    /// u8 with a zero point: the range need not be symmetric, as every reader can take the zero point away for nothing.
    Shifted,
}

/// For each value, how it would be stored; `None` for constants and values that are not f32.
pub fn codings(g: &Graph, settings: &Settings) -> Vec<Option<Coding>> {
    let non_negative = non_negative(g);
    let consumers = g.consumers();
    let producers = g.producers();
    let mut codings = vec![None; g.value_count()];
    for v in g.live_values() {
        let value = g.value(v);
        if value.constant.is_some() || value.fact.dtype != DType::F32 {
            continue;
        }
        let readers = &consumers[v.index()];
        // what only moves has the scale of what it moves
        let moved =
            producers[v.index()].is_some_and(|p| matches!(g.node(p).op.role(), Role::Move | Role::Concat));
        let shiftable =
            !moved && !readers.is_empty() && readers.iter().all(|&n| takes_zero_points(g, g.node(n), v));
        codings[v.index()] = Some(match () {
            () if !settings.unsigned => Coding::Signed,
            () if non_negative[v.index()] => Coding::Unsigned,
            () if shiftable => Coding::Shifted,
            () => Coding::Signed,
        });
    }
    codings
}

/// For each value: can it never be negative, whatever the input?
fn non_negative(g: &Graph) -> Vec<bool> {
    let mut known = vec![false; g.value_count()];
    for (_, n) in g.nodes() {
        let first = n.inputs.first().is_some_and(|v| known[v.index()]);
        let all = || n.inputs.iter().all(|v| known[v.index()] || constant_non_negative(g, *v));
        let fused = n.op.fused();
        let from_zero =
            fused.function.is_some_and(|f| f.is_non_negative()) && fused.activation.bounds().1 >= 0.0;
        let fused = fused.activation.is_non_negative() || from_zero;
        let result = fused
            || match &n.op {
                Op::Unary(u) => {
                    u.f.is_non_negative()
                        || (first && matches!(u.f, UnaryFn::LeakyRelu { .. } | UnaryFn::Silu | UnaryFn::Gelu))
                }
                Op::Softmax(s) => !s.log,
                Op::Binary(b) => matches!(b.f, BinaryFn::Add | BinaryFn::Mul | BinaryFn::Max) && all(),
                op => match op.role() {
                    Role::Move | Role::Average => first,
                    Role::Concat => all(),
                    _ => false,
                },
            };
        n.outputs.iter().for_each(|v| known[v.index()] = result);
    }
    known
}

fn constant_non_negative(g: &Graph, v: ValueId) -> bool {
    g.value(v).constant.as_ref().is_some_and(|t| t.to_f64().iter().all(|&x| x >= 0.0))
}

/// Does a zero point of `v` cost this reader nothing but a constant? What multiplies starts its sums at it, unless
/// padding makes them differ from pixel to pixel; what adds takes it away where it widens to f32.
fn takes_zero_points(g: &Graph, n: &Node, v: ValueId) -> bool {
    let multiplied = n.inputs.first() == Some(&v);
    match &n.op {
        Op::Linear(_) => true,
        Op::Conv(c) => {
            let facts = g.input_facts(n);
            // a network's first convolution is padded with the zero point, which no kernel for few channels minds
            let unpadded = c.geometry(&facts[0].shape, &facts[1].shape).is_ok_and(|w| !w.padded());
            !multiplied || unpadded || g.inputs.contains(&v)
        }
        Op::Binary(b) => matches!(b.f, BinaryFn::Add | BinaryFn::Mul),
        op => op.role() == Role::Average,
    }
}
