//! Which inputs of a problem an output may be written over.

use super::Problem;
use crate::ir::Op;
use crate::ir::ops::BinaryFn;

impl Problem {
    /// The inputs that are no constants, by number, of which each element is read for one element of the output alone, that
    /// of the same place: a residual, the sides of a sum or a product.
    pub fn meets(&self) -> Vec<usize> {
        let n = self.activations().count();
        match self.last_op() {
            Some(op) if op.fused().residual => {
                let last = self.inputs.last().filter(|o| !o.constant);
                last.map(|_| n - 1).into_iter().collect()
            }
            Some(Op::Binary(b)) if matches!(b.f, BinaryFn::Add | BinaryFn::Mul) && self.op().is_some() => {
                let whole =
                    |i: &usize| self.activations().nth(*i).map(|o| &o.shape) == Some(&self.outputs[0].shape);
                (0..n).filter(whole).collect()
            }
            _ => vec![],
        }
    }
}
