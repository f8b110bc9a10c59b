//! Operators that only move numbers, of any type: the index of each output element is found once, by evaluating the
//! operator on the numbers of the elements themselves.

use super::elementwise::{BLOCK, chunk};
use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Numerics, Problem};
use crate::ir::ops::{Pool, Role};
use crate::ir::{Array, Op};
use bytemuck::Pod;

/// The family.
pub struct Move;

impl Family for Move {
    fn name(&self) -> &'static str {
        "move"
    }

    fn doc(&self) -> &'static str {
        "operators that only move numbers, of any type: an index for each element"
    }

    fn variants(&self, p: &Problem, _: Isa) -> Vec<&'static str> {
        let Some(op) = p.op() else { return vec![] };
        let moves = matches!(op.role(), Role::Move | Role::Concat) && !matches!(op, Op::Pool(Pool { .. }));
        let fits =
            p.outputs.len() == 1 && p.inputs.iter().all(|i| !i.constant) && p.inputs.len() <= MAX_INPUTS;
        // a rescaling Concat computes: only same types here
        let same = p.inputs.iter().all(|i| i.dtype == p.outputs[0].dtype);
        if moves && fits && same && indices(p).is_some() { vec!["index"] } else { vec![] }
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let indices = indices(p)
            .ok_or_else(|| Diagnostic::new(machine::INTERNAL, format!("{p} does more than move numbers")))?;
        let rescale = match &step.numerics {
            Numerics::Rescale { inputs, output } => Some((inputs.clone(), *output)),
            _ => None,
        };
        Ok(Box::new(Gather {
            indices,
            size: p.outputs[0].dtype.size(),
            fill: fill(p),
            rescale,
            signed: p.inputs.iter().map(|i| i.dtype == crate::base::DType::I8).collect(),
        }))
    }
}

/// Most inputs a Concat may have: an index keeps them in its upper bits.
const MAX_INPUTS: usize = 64;
/// Bits of an index within an input.
const SHIFT: u32 = 26;
/// The index of an element that comes from no input.
const NOWHERE: u32 = u32::MAX;

/// For each place of the output in memory: input and place in it. `None` where the operator computes, or is too large.
fn indices(p: &Problem) -> Option<Vec<u32>> {
    let op = p.op()?;
    if p.inputs.iter().any(|i| i.shape.numel() >= 1 << SHIFT) {
        return None;
    }
    let numbered = |(n, o): (usize, &crate::device::Operand)| {
        let place = |i: usize| ((n as i64) << SHIFT | o.layout.place(&o.shape, i) as i64) + 1; // 0 is padding
        Array::int(o.shape.clone(), (0..o.shape.numel()).map(place).collect())
    };
    let inputs: Vec<Array> = p.inputs.iter().enumerate().map(numbered).collect();
    let moved = op.eval(&inputs.iter().collect::<Vec<_>>()).ok()?;
    let out = &p.outputs[0];
    let mut indices = vec![NOWHERE; out.shape.numel()];
    for (i, &from) in moved.first()?.ints().iter().enumerate() {
        indices[out.layout.place(&out.shape, i)] = (from as u32).wrapping_sub(1);
    }
    Some(indices)
}

/// What stands where no input does: zero, or whatever a quantized zero is.
fn fill(_: &Problem) -> u8 {
    0
}

struct Gather {
    indices: Vec<u32>,
    size: usize,
    fill: u8,
    rescale: Option<(Vec<(f32, i32)>, crate::device::numerics::Output)>,
    signed: Vec<bool>,
}

impl Gather {
    fn copy<T: Pod>(&self, io: &Io, image: usize, task: usize) {
        let range = chunk(task, self.indices.len());
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<T>(0, image, range.clone()) };
        for (y, &i) in y.iter_mut().zip(&self.indices[range]) {
            *y = match i {
                NOWHERE => bytemuck::Zeroable::zeroed(),
                i => io.input::<T>((i >> SHIFT) as usize, image)[(i & ((1 << SHIFT) - 1)) as usize],
            };
        }
    }
}

impl Kernel for Gather {
    fn tasks(&self) -> usize {
        self.indices.len().div_ceil(BLOCK)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let Some((scales, out)) = &self.rescale else {
            return match self.size {
                1 => self.copy::<u8>(io, image, task),
                2 => self.copy::<u16>(io, image, task),
                8 => self.copy::<u64>(io, image, task),
                _ => self.copy::<u32>(io, image, task),
            };
        };
        let range = chunk(task, self.indices.len());
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<u8>(0, image, range.clone()) };
        for (y, &i) in y.iter_mut().zip(&self.indices[range]) {
            let (n, at) = ((i >> SHIFT) as usize, (i & ((1 << SHIFT) - 1)) as usize);
            *y = match i {
                NOWHERE => self.fill,
                _ => {
                    let x = io.input::<u8>(n, image)[at];
                    let x = if self.signed[n] { i32::from(x as i8) } else { i32::from(x) };
                    out.store((x - scales[n].1) as f32 * scales[n].0) as u8
                }
            };
        }
    }
}
