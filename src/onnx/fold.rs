//! Computing at import what depends on constants alone.

use super::build::Failure;
use crate::base::codes::model::FOLD_LIMIT;
use crate::base::{DType, Diagnostic, Result, Shape, Tensor};
use crate::ir::ops::Cast;
use crate::ir::{Array, Data, Fact, Op};

/// How much may still be computed at import, in elements read and written and products.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Budget { left: limit }
    }

    /// Adds what the file itself accounts for.
    pub(super) fn earn(&mut self, elements: usize) {
        self.left = self.left.saturating_add((elements as u64).saturating_mul(16));
    }

    fn spend(&mut self, cost: u64) -> Result<()> {
        self.left = self.left.checked_sub(cost).ok_or_else(|| {
            Diagnostic::new(
                FOLD_LIMIT,
                format!(
                    "computing this constant would take {cost} steps; at this point {} are left",
                    self.left
                ),
            )
        })?;
        Ok(())
    }
}

/// Does the operator look at the shape of its input only, so that it is constant whatever it reads?
pub(super) fn reads_only_the_shape(op: &Op) -> bool {
    matches!(op.kind(), "Shape" | "Size")
}

/// The value of a `Shape` or `Size` of a tensor of this type: computed from an array that has a shape and no numbers.
pub(super) fn of_shape(op: &Op, input: &Fact, out: &[Fact]) -> std::result::Result<Vec<Tensor>, Failure> {
    let hollow = Array { shape: input.shape.clone(), data: Data::Int(Vec::new()) };
    tensors(op, &[hollow], out)
}

/// The results of an operator over constants; `out` is what it infers.
pub(super) fn of_constants(
    op: &Op,
    inputs: &[Tensor],
    out: &[Fact],
    budget: &mut Budget,
) -> std::result::Result<Vec<Tensor>, Failure> {
    let facts: Vec<Fact> =
        inputs.iter().map(|t| Fact { dtype: t.dtype(), shape: t.shape().clone() }).collect();
    let numel = |s: &Shape| s.numel() as u64;
    let elements: u64 = facts.iter().chain(out).map(|f| numel(&f.shape)).fold(0, u64::saturating_add);
    let macs = out.first().map_or(0, |f| op.macs(&facts, f));
    budget.spend(elements.saturating_add(macs))?;
    if let (Op::Cast(Cast { to: DType::F32 }), [halves]) = (op, inputs) {
        // a model's weights, often: without the way through f64, which gives the same
        return Ok(vec![Tensor::new(halves.shape().clone(), &halves.to_f32())]);
    }
    let arrays: Vec<Array> = inputs.iter().map(Array::of).collect();
    tensors(op, &arrays, out)
}

fn tensors(op: &Op, inputs: &[Array], out: &[Fact]) -> std::result::Result<Vec<Tensor>, Failure> {
    let values = op.eval(&inputs.iter().collect::<Vec<_>>()).map_err(Failure::Clash)?;
    let fits = values.len() == out.len() && values.iter().zip(out).all(|(v, f)| v.shape == f.shape);
    match fits {
        true => Ok(values.iter().zip(out).map(|(v, f)| v.to_tensor(f.dtype)).collect()),
        false => Err(Failure::Clash(format!("{} gives another shape than it infers", op.kind()))),
    }
}
