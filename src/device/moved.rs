//! Where the elements of moved tensors come from: found by evaluating the operator on the numbers of the elements
//! themselves.

use super::{Operand, Problem};
use crate::base::Tensor;
use crate::ir::ops::{Pad, PadMode};
use crate::ir::{Array, Op};

/// Most inputs a Concat may have: an origin keeps them in its upper bits.
pub const MAX_INPUTS: usize = 32;
/// Bits of a place within an input.
pub const SHIFT: u32 = 26;
/// The origin of an element that comes from no input: padding.
pub const NOWHERE: u32 = u32::MAX;

/// The operands that elements come from: all that are joined, of other operators those that are no constants.
pub fn moved(p: &Problem) -> Vec<&Operand> {
    let joins = joins(p);
    p.inputs.iter().filter(|o| joins || !o.constant).collect()
}

fn joins(p: &Problem) -> bool {
    matches!(p.op(), Some(Op::Concat(_)))
}

/// The operand, of those that are [`moved`], and the place in it that an origin stands for; `None` for padding.
#[inline(always)]
pub fn input_and_place(origin: u32) -> Option<(usize, usize)> {
    (origin != NOWHERE).then_some(((origin >> SHIFT) as usize, (origin & ((1 << SHIFT) - 1)) as usize))
}

/// The constant other than 0 that the operator pads with, if it does.
pub fn padding(p: &Problem) -> Option<f32> {
    match p.op() {
        Some(Op::Pad(Pad { mode: PadMode::Constant(value), .. })) if *value != 0.0 => Some(*value),
        _ => None,
    }
}

/// For each output, for each element in the order of memory (without gaps between rows), its origin. `None` where the
/// operator refuses, or where there are more inputs or elements than an origin can name.
pub fn origins(p: &Problem, constants: &[Tensor]) -> Option<Vec<Vec<u32>>> {
    let all = moved(p);
    if all.iter().any(|o| o.shape.numel() >= 1 << SHIFT) || all.len() > MAX_INPUTS {
        return None;
    }
    let (mut number, mut constants, joins) = (0, constants.iter(), joins(p));
    let numbered = |o: &Operand| {
        if o.constant && !joins {
            return constants.next().map(Array::of);
        }
        // counted from 1: 0 is padding
        let place = |i: usize| (number << SHIFT | o.layout.place(&o.shape, i) as i64) + 1;
        let a = Array::int(o.shape.clone(), (0..o.shape.numel()).map(place).collect());
        number += 1;
        Some(a)
    };
    let inputs = p.inputs.iter().map(numbered).collect::<Option<Vec<_>>>()?;
    let op = match p.op()? {
        // a constant is no number of an element
        Op::Pad(pad) if padding(p).is_some() => Pad { mode: PadMode::Constant(0.0), ..pad.clone() }.into(),
        op => op.clone(),
    };
    let results = op.eval(&inputs.iter().collect::<Vec<_>>()).ok()?;
    let output = |(o, a): (&Operand, Array)| {
        let mut origins = vec![NOWHERE; o.shape.numel()];
        for (i, from) in a.ints().into_iter().enumerate() {
            origins[o.layout.place(&o.shape, i)] = u32::try_from(from - 1).unwrap_or(NOWHERE);
        }
        origins
    };
    Some(p.outputs.iter().zip(results).map(output).collect())
}
