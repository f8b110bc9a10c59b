//! Cases in f32 as a plan that stores floats in halves has them.

use super::Case;
use crate::base::{DType, Tensor};
use crate::device::{Operand, Problem};
use crate::ir::Op;
use crate::plan::lower::stored_alike;
use half::f16;

/// The case with halves where it has f32 between nodes; `None` where it has none, or converts.
pub fn of(case: &Case) -> Option<Case> {
    let op = case.problem.op().filter(|op| !matches!(op, Op::Cast(_)))?.clone();
    let mut half = case.clone();
    let is_float = |o: &Operand| o.dtype == DType::F32;
    let between = |p: &Problem| p.activations().chain(&p.outputs).any(is_float);
    if !between(&case.problem) {
        return None;
    }
    let (mut constants, mut inputs) = (half.constants.iter_mut(), half.inputs.iter_mut());
    for (i, o) in half.problem.inputs.iter_mut().enumerate() {
        let stored = is_float(o) && (!o.constant || stored_alike(&op, i));
        let halved = |bytes: &[u8]| -> Vec<u8> {
            let floats: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            floats.into_iter().flat_map(|v| f16::from_f32(v).to_le_bytes()).collect()
        };
        match o.constant {
            true => {
                let t = constants.next()?;
                if stored {
                    *t = Tensor::from_bytes(DType::F16, t.shape().clone(), &halved(t.bytes()))?;
                }
            }
            false => {
                let bytes = inputs.next()?;
                if stored {
                    *bytes = halved(bytes);
                }
            }
        }
        if stored {
            o.dtype = DType::F16;
        }
    }
    let outputs = half.problem.outputs.iter_mut().filter(|o| is_float(o));
    outputs.for_each(|o| o.dtype = DType::F16);
    Some(half)
}
