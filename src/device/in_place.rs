//! Which inputs of a problem an output may be written over.

use super::Problem;
use crate::ir::Op;
use crate::ir::ops::BinaryFn;

impl Problem {
    /// The inputs that are no constants, by number, of which each element is read for one element of the output alone, that
    /// of the same place: a residual, the sides of an elementwise operator.
    pub fn meets(&self) -> Vec<usize> {
        let last = self.activations().count().wrapping_sub(1);
        let second = self.halves().map(|(_, second)| second);
        match second.as_ref().unwrap_or(self).op() {
            Some(op) if op.fused().residual => vec![last],
            Some(Op::Binary(b)) if matches!(b.f, BinaryFn::Add | BinaryFn::Mul) && second.is_none() => (0
                ..=last)
                .filter(|&i| self.activations().nth(i).is_some_and(|o| o.shape == self.outputs[0].shape))
                .collect(),
            _ => vec![],
        }
    }
}
