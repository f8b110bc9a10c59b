//! Any reduction over any axes, and ArgMax, f32: the members of each result are copied side by side, then the
//! operator's own definition is applied to them.

use super::elementwise::BLOCK;
use crate::base::{DType, Result};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Operand, Problem};
use crate::ir::Op;
use crate::ir::array::{ravel, unravel};
use crate::ir::ops::{ArgMax, ReduceFn};

/// The family.
pub struct Members;

impl Family for Members {
    fn name(&self) -> &'static str {
        "members"
    }

    fn doc(&self) -> &'static str {
        "any reduction over any axes and ArgMax, f32: by definition over the members of each result"
    }

    fn variants(&self, p: &Problem, _: Isa) -> Vec<&'static str> {
        let known = p.inputs.len() == 1 && reduced(p).is_some();
        let x = &p.inputs[0];
        let fits = known && !x.constant && x.dtype == DType::F32 && x.shape.numel() <= u32::MAX as usize;
        if fits { vec!["f64"] } else { vec![] }
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let how = match p.op() {
            Some(Op::Reduce(r)) => How::Reduce(r.f),
            Some(Op::ArgMax(a)) => How::ArgMax(a.clone()),
            _ => unreachable!("`variants` knows two operators"),
        };
        let Some(reduced) = reduced(p) else { unreachable!("`variants` asked for it") };
        let (x, y) = (&p.inputs[0], &p.outputs[0]);
        let row_major = places(x, &reduced, false);
        let mut starts = vec![0; row_major.len()];
        row_major.iter().enumerate().for_each(|(i, &at)| starts[y.layout.place(&y.shape, i)] = at);
        Ok(Box::new(Each { how, starts, members: places(x, &reduced, true) }))
    }
}

/// For each axis, do the members of a result lie along it?
fn reduced(p: &Problem) -> Option<Vec<bool>> {
    let x = &p.inputs[0].shape;
    match p.op()? {
        Op::Reduce(r) if !(r.noop && r.axes.is_empty()) => r.reduced(x).ok(),
        Op::ArgMax(a) => x.axis(a.axis).map(|axis| (0..x.rank()).map(|a| a == axis).collect()),
        _ => None,
    }
}

/// The places in memory of the elements that lie along these axes (or along the others), row-major: where the results'
/// first members are, and how far the others are from the first.
fn places(x: &Operand, axes: &[bool], along: bool) -> Vec<u32> {
    let shape: Vec<usize> = x.shape.iter().zip(axes).map(|(&n, &a)| if a == along { n } else { 1 }).collect();
    let strides = x.shape.strides();
    let place = |i: usize| x.layout.place(&x.shape, ravel(&unravel(i, &shape), &strides)) as u32;
    (0..shape.iter().product()).map(place).collect()
}

enum How {
    Reduce(ReduceFn),
    ArgMax(ArgMax),
}

struct Each {
    how: How,
    /// For each result, in memory order, the place of its first member.
    starts: Vec<u32>,
    /// How far each member is from the first.
    members: Vec<u32>,
}

impl Each {
    /// Results that a task computes.
    fn results(&self) -> usize {
        (BLOCK / self.members.len().max(1)).max(1)
    }

    /// The members of the result whose first is at `start`, copied to `to`.
    fn gather<'a>(&self, x: &[f32], start: u32, to: &'a mut [f64]) -> &'a [f64] {
        to.iter_mut().zip(&self.members).for_each(|(to, &m)| *to = x[(start + m) as usize].into());
        to
    }
}

impl Kernel for Each {
    fn tasks(&self) -> usize {
        self.starts.len().div_ceil(self.results())
    }

    fn scratch(&self) -> usize {
        self.members.len() * size_of::<f64>()
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let first = task * self.results();
        let range = first..(first + self.results()).min(self.starts.len());
        let x = io.input::<f32>(0, image);
        let side_by_side: &mut [f64] = bytemuck::cast_slice_mut(&mut scratch[..self.scratch()]);
        let starts = &self.starts[range.clone()];
        // SAFETY: tasks differ in their range.
        unsafe {
            match &self.how {
                How::Reduce(f) => {
                    let y = io.output::<f32>(0, image, range);
                    y.iter_mut()
                        .zip(starts)
                        .for_each(|(y, &s)| *y = f.real(self.gather(x, s, side_by_side)) as f32);
                }
                How::ArgMax(a) => {
                    let y = io.output::<i64>(0, image, range);
                    y.iter_mut().zip(starts).for_each(|(y, &s)| *y = a.best(self.gather(x, s, side_by_side)));
                }
            }
        }
    }
}
