//! Small steps that patterns are matched in.

use super::{Context, Decline, require};
use crate::ir::ops::{BinaryFn, UnaryFn};
use crate::ir::{Node, NodeId, Op, ValueId};

impl Context<'_> {
    /// The function of two numbers that writes `v`, without an activation, and its node.
    pub(crate) fn binary(&self, v: ValueId, f: BinaryFn) -> Result<(NodeId, &Node), Decline> {
        let id = self.producer(v)?;
        self.is_binary(id, f)?;
        Ok((id, self.node(id)))
    }

    /// Goes on where the node is this function of two numbers, without an activation.
    pub(crate) fn is_binary(&self, id: NodeId, f: BinaryFn) -> Result<(), Decline> {
        match &self.node(id).op {
            Op::Binary(b) => require(b.f == f && *b == crate::ir::ops::Binary::new(f)),
            _ => Err(Decline::Nothing),
        }
    }

    /// The function of one number that writes `v`, its node and its argument.
    pub(crate) fn unary(&self, v: ValueId) -> Result<(NodeId, UnaryFn, ValueId), Decline> {
        let id = self.producer(v)?;
        match &self.node(id).op {
            Op::Unary(u) => Ok((id, u.f, self.node(id).inputs[0])),
            _ => Err(Decline::Nothing),
        }
    }

    /// The one number that `v` is everywhere, if it is such a constant.
    pub(crate) fn number(&self, v: ValueId) -> Result<f64, Decline> {
        let t = self.value(v).constant.as_ref().ok_or(Decline::Nothing)?;
        let v = t.to_f64();
        let first = *v.first().ok_or(Decline::Nothing)?;
        require(v.iter().all(|&x| x == first))?;
        Ok(first)
    }

    /// Of a commutative node, the variable operand and the constant number.
    pub(crate) fn variable_and_number(&self, node: &Node) -> Result<(ValueId, f64), Decline> {
        let [x, k] = self.with_constant(node)?;
        Ok((node.inputs[x], self.number(node.inputs[k])?))
    }

    /// The operand of a node with two inputs that is not `v`.
    pub(crate) fn other(&self, node: &Node, v: ValueId) -> Result<ValueId, Decline> {
        match node.inputs[..] {
            [a, b] if a == v => Ok(b),
            [a, b] if b == v => Ok(a),
            _ => Err(Decline::Nothing),
        }
    }

    /// Declines unless every value that these nodes write is read by these nodes alone; the last one's may go
    /// anywhere.
    pub(crate) fn closed(&self, nodes: &[NodeId]) -> Result<(), Decline> {
        let Some((_, inner)) = nodes.split_last() else { return Err(Decline::Nothing) };
        for v in inner.iter().flat_map(|&n| &self.node(n).outputs) {
            let value = self.value(*v);
            if self.is_output(*v) || self.consumers(*v).iter().any(|n| !nodes.contains(n)) {
                return super::blocked(format!("{}, inside the pattern, is read elsewhere", value.name));
            }
            if value.quant.is_some() {
                return super::blocked(format!("{}, inside the pattern, has a scale of its own", value.name));
            }
        }
        Ok(())
    }
}

/// Equal up to the digits that exporters write.
pub(crate) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs()
}
