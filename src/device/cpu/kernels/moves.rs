//! Operators that only move numbers, of any type: where each output element comes from is found once ([`origins`]).

use super::elementwise::{BLOCK, chunk};
use crate::base::codes::machine;
use crate::base::{DType, Diagnostic, Result, Tensor};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::moved::{MAX_INPUTS, NOWHERE, SHIFT, origins, padding};
use crate::device::numerics::Output;
use crate::device::{Bound, Numerics, Operand, Problem};
use crate::ir::Op;
use crate::ir::ops::Role;
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
        let moved: Vec<&Operand> = p.activations().collect();
        let small = moved.iter().all(|i| i.shape.numel() < 1 << SHIFT) && moved.len() <= MAX_INPUTS;
        let role = p.op().map(Op::role);
        let types = |o: &Operand| o.dtype == moved[0].dtype;
        let fits = match role {
            _ if moved.is_empty() => false,
            Some(Role::Move) => moves(p) && moved.iter().all(|o| types(o)) && p.outputs.iter().all(types),
            // this kernel reads no constants; between scales: from 8 bits to 8 bits or F32
            Some(Role::Concat) if moved.len() == p.inputs.len() => {
                let int8 = moved.iter().all(|o| o.dtype.is_int8());
                moved.iter().all(|o| types(o)) && types(&p.outputs[0])
                    || int8 && (p.outputs[0].dtype.is_int8() || p.outputs[0].dtype == DType::F32)
            }
            _ if padding(p).is_some() => moved[0].dtype == DType::F32 && p.outputs.iter().all(types),
            _ => false,
        };
        if fits && small { vec!["index"] } else { vec![] }
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let broken = |why: &str| Err(Diagnostic::new(machine::INTERNAL, format!("no move is {p}: {why}")));
        let Some(indices) = indices(step) else { return broken("it cannot be evaluated") };
        let rescale = match &step.numerics {
            Numerics::Rescale { inputs, output } => Some((inputs.clone(), *output)),
            _ => None,
        };
        let same = p.activations().chain(&p.outputs).all(|o| o.dtype == p.outputs[0].dtype);
        if rescale.is_none() && !same {
            return broken("it has no scales");
        }
        if rescale.is_none()
            && let Some(copies) = Copies::of(&indices, p.outputs[0].dtype.size(), fill(p))
        {
            return Ok(Box::new(copies));
        }
        Ok(Box::new(Gather {
            starts: starts(&indices),
            indices,
            size: p.outputs[0].dtype.size(),
            fill: fill(p),
            rescale,
            signed: p.activations().map(|o| o.dtype == DType::I8).collect(),
        }))
    }
}

fn moves(p: &Problem) -> bool {
    !matches!(p.op(), Some(Op::Pool(_) | Op::Reduce(_)))
}

/// The bytes of an element that comes from no input; elements of smaller types have the first of them.
fn fill(p: &Problem) -> [u8; 8] {
    let mut fill = [0; 8];
    fill[..4].copy_from_slice(&padding(p).unwrap_or(0.0).to_le_bytes());
    fill
}

/// [`origins`] of a step.
fn indices(step: &Bound) -> Option<Vec<Vec<u32>>> {
    let constants = step.problem.inputs.iter().filter(|o| o.constant).zip(&step.packed);
    let tensors = constants.map(|(o, bytes)| Tensor::from_bytes(o.dtype, o.shape.clone(), bytes));
    origins(&step.problem, &tensors.collect::<Option<Vec<_>>>()?)
}

/// The first task of each output, and the end.
fn starts(indices: &[Vec<u32>]) -> Vec<usize> {
    let ends = indices.iter().scan(0, |end, v| {
        *end += v.len().div_ceil(BLOCK);
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

/// Neighbours that stay neighbours are copied as one: channels of a Concat, rows of a Slice, heads of attention.
struct Copies {
    runs: Vec<Run>,
    /// The first run of each task, and the end.
    tasks: Vec<usize>,
    /// Bytes of an element.
    size: usize,
    /// What padding is filled with.
    fill: [u8; 8],
}

/// Elements in a row, of one output and of one input or of padding.
#[derive(Clone, Copy)]
struct Run {
    output: u32,
    to: u32,
    /// As an index has it.
    from: u32,
    len: u32,
}

/// Runs are worth their while from this length on, on average.
const RUN: usize = 8;

impl Copies {
    /// The runs of these indices, unless they are short.
    fn of(indices: &[Vec<u32>], size: usize, fill: [u8; 8]) -> Option<Self> {
        let mut copies = Copies { runs: Vec::new(), tasks: vec![0], size, fill };
        for (output, indices) in indices.iter().enumerate() {
            for (task, block) in indices.chunks(BLOCK).enumerate() {
                let mut to = task * BLOCK;
                for run in block.chunk_by(|&a, &b| if a == NOWHERE { b == a } else { b == a + 1 }) {
                    copies.runs.push(Run {
                        output: output as u32,
                        to: to as u32,
                        from: run[0],
                        len: run.len() as u32,
                    });
                    to += run.len();
                }
                copies.tasks.push(copies.runs.len());
            }
        }
        let elements: usize = indices.iter().map(Vec::len).sum();
        (copies.runs.len() * RUN <= elements).then_some(copies)
    }
}

impl Kernel for Copies {
    fn tasks(&self) -> usize {
        self.tasks.len() - 1
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        for r in &self.runs[self.tasks[task]..self.tasks[task + 1]] {
            let (to, len) = (r.to as usize * self.size, r.len as usize * self.size);
            // SAFETY: runs do not overlap.
            let y = unsafe { io.output::<u8>(r.output as usize, image, to..to + len) };
            match r.from {
                NOWHERE => {
                    y.chunks_exact_mut(self.size).for_each(|y| y.copy_from_slice(&self.fill[..self.size]));
                }
                from => {
                    let at = (from & ((1 << SHIFT) - 1)) as usize * self.size;
                    y.copy_from_slice(&io.input::<u8>((from >> SHIFT) as usize, image)[at..at + len]);
                }
            }
        }
    }
}

struct Gather {
    /// Of each output.
    indices: Vec<Vec<u32>>,
    starts: Vec<usize>,
    /// Bytes of an element.
    size: usize,
    /// What padding is filled with, unless it is rescaled.
    fill: [u8; 8],
    rescale: Option<(Vec<(f32, i32)>, Output)>,
    /// Is this input s8?
    signed: Vec<bool>,
}

impl Gather {
    /// Runs a task: each element is `f(input, place)`, or `padding`.
    #[inline(always)]
    fn each<T: Pod>(&self, io: &Io, image: usize, task: usize, padding: T, f: impl Fn(usize, usize) -> T) {
        let o = self.starts.partition_point(|&s| s <= task) - 1;
        let range = chunk(task - self.starts[o], self.indices[o].len());
        // SAFETY: tasks differ in their output or in their range.
        let y = unsafe { io.output::<T>(o, image, range.clone()) };
        for (y, &i) in y.iter_mut().zip(&self.indices[o][range]) {
            *y = match i {
                NOWHERE => padding,
                i => f((i >> SHIFT) as usize, (i & ((1 << SHIFT) - 1)) as usize),
            };
        }
    }

    fn copy<T: Pod>(&self, io: &Io, image: usize, task: usize) {
        let fill: T = bytemuck::pod_read_unaligned(&self.fill[..size_of::<T>()]);
        if self.signed.len() > 1 {
            return self.each(io, image, task, fill, |n, at| io.input::<T>(n, image)[at]);
        }
        let x = io.input::<T>(0, image);
        self.each(io, image, task, fill, |_, at| x[at]);
    }
}

impl Kernel for Gather {
    fn tasks(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
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
        let t = |n: usize, at: usize| {
            let x = io.input::<u8>(n, image)[at];
            let x = if self.signed[n] { i32::from(x as i8) } else { i32::from(x) };
            (x - scales[n].1) as f32 * scales[n].0
        };
        match out.quant {
            // what stands where no input does is a real 0
            Some(q) => self.each(io, image, task, q.zero_point as u8, |n, at| out.store(t(n, at)) as u8),
            None => self.each(io, image, task, 0.0, |n, at| out.clamp(t(n, at))),
        }
    }
}
