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
    /// u8 with a zero point: the negative side is short, and every reader is unpadded.
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
        let readers: Vec<&Node> = consumers[v.index()].iter().map(|&n| g.node(n)).collect();
        let short = producers[v.index()].is_some_and(|p| short_negative_side(&g.node(p).op));
        codings[v.index()] = Some(match () {
            () if !settings.unsigned => Coding::Signed,
            () if non_negative[v.index()] => Coding::Unsigned,
            () if short && !readers.is_empty() && readers.iter().all(|n| unpadded(g, n)) => Coding::Shifted,
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
        let fused = n.op.fused().activation.is_non_negative();
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

/// Functions with a short negative side: below about -0.4 they never go.
fn short_negative_side(op: &Op) -> bool {
    matches!(op, Op::Unary(u) if matches!(u.f, UnaryFn::Gelu | UnaryFn::Silu | UnaryFn::HardSwish))
}

/// Does this node multiply without padding, so that a zero point costs nothing but a constant?
fn unpadded(g: &Graph, n: &Node) -> bool {
    match &n.op {
        Op::Linear(_) => true,
        Op::Conv(c) => {
            let facts = g.input_facts(n);
            !n.op.fused().residual && c.geometry(&facts[0].shape, &facts[1].shape).is_ok_and(|w| !w.padded())
        }
        _ => false,
    }
}
