//! Any float operator by its definition, in f64: what has no kernel of its own still runs, slowly, and allocates.
//! `tests/allocations.rs` says what falls to it.

use crate::base::codes::machine;
use crate::base::{Diagnostic, Result, Tensor};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Operand, Problem};
use crate::ir::{Array, Op};

/// The family.
pub struct Plain;

impl Family for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn doc(&self) -> &'static str {
        "any float operator by its definition: slow, the last resort"
    }

    fn variants(&self, p: &Problem, _: Isa) -> Vec<&'static str> {
        let float = |o: &Operand| o.constant || !o.dtype.is_int8();
        if p.op().is_some() && p.inputs.iter().all(float) && p.outputs.iter().all(float) {
            vec!["f64"]
        } else {
            vec![]
        }
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let Some(op) = p.op() else { unreachable!("`variants` asked for an operator") };
        let mut packed = step.packed.iter();
        let constants = (p.inputs.iter())
            .map(|o| match o.constant {
                false => Some(None),
                true => {
                    Tensor::from_bytes(o.dtype, o.shape.clone(), packed.next()?).map(|t| Some(Array::of(&t)))
                }
            })
            .collect::<Option<Vec<_>>>();
        let constants =
            constants.ok_or_else(|| Diagnostic::new(machine::INTERNAL, format!("{p}: a constant is cut")))?;
        Ok(Box::new(ByDefinition {
            op: op.clone(),
            constants,
            inputs: p.inputs.clone(),
            outputs: p.outputs.clone(),
        }))
    }
}

struct ByDefinition {
    op: Op,
    constants: Vec<Option<Array>>,
    inputs: Vec<Operand>,
    outputs: Vec<Operand>,
}

impl ByDefinition {
    fn read(&self, io: &Io, image: usize) -> Vec<Array> {
        let mut activation = 0;
        let each = self.inputs.iter().zip(&self.constants).map(|(o, c)| match c {
            Some(c) => c.clone(),
            None => {
                activation += 1;
                let bytes = io.input::<u8>(activation - 1, image);
                let t = Tensor::from_bytes(o.dtype, o.shape.clone(), bytes)
                    .unwrap_or_else(|| Tensor::zeros(o.dtype, o.shape.clone()));
                Array::of(&t).gather(o.shape.clone(), |i| Some(o.layout.place(&o.shape, i)))
            }
        });
        each.collect()
    }
}

impl Kernel for ByDefinition {
    fn run(&self, io: &Io, image: usize, _: usize, _: &mut [u8]) {
        let inputs = self.read(io, image);
        // `infer` accepted these shapes, so evaluation cannot refuse them; if it did, the output keeps its poison and
        // the tuner's check rejects the tactic
        let Ok(outputs) = self.op.eval(&inputs.iter().collect::<Vec<_>>()) else { return };
        for (i, (o, a)) in self.outputs.iter().zip(outputs).enumerate() {
            let t = a.to_tensor(o.dtype);
            let size = o.dtype.size();
            // SAFETY: one task an image.
            let y = unsafe { io.whole_output::<u8>(i, image) };
            for (e, number) in t.bytes().chunks_exact(size).enumerate() {
                let at = o.layout.place(&o.shape, e) * size;
                y[at..at + size].copy_from_slice(number);
            }
        }
    }
}
