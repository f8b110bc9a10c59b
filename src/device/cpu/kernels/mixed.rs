//! Element by element, of any types: Cast, Where, comparisons, arithmetic of integers and of truth values. Each element
//! is computed by the operator's own definition, in f64 or i64.

use super::elementwise::{BLOCK, Order, chunk};
use crate::base::dtype::{to_bf16, to_f16};
use crate::base::{DType, Result};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Operand, Problem};
use crate::ir::Op;
use crate::ir::ops::{Binary, UnaryFn};
use bytemuck::Pod;
use bytes::Bytes;
use half::{bf16, f16};

/// The family.
pub struct Mixed;

impl Family for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }

    fn doc(&self) -> &'static str {
        "Cast, Where, comparisons, and functions of other types than f32: by definition, element by element"
    }

    fn variants(&self, p: &Problem, _: Isa) -> Vec<&'static str> {
        let known = match p.op() {
            Some(Op::Cast(_) | Op::Where(_)) => true,
            // the rest is f32, which has families of its own
            Some(Op::Binary(b)) => b.f.is_predicate() || p.inputs.iter().any(|o| o.dtype != DType::F32),
            Some(Op::Unary(_)) => p.inputs[0].dtype != DType::F32,
            _ => false,
        };
        let float = |o: &Operand| o.constant || !o.dtype.is_int8();
        let small = p.outputs.iter().all(|o| o.shape.numel() <= u32::MAX as usize);
        if known && small && p.inputs.iter().chain(&p.outputs).all(float) { vec!["element"] } else { vec![] }
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let f = match p.op() {
            Some(Op::Cast(_)) => Function::Cast,
            Some(Op::Where(_)) => Function::Where,
            Some(Op::Binary(b)) => Function::Binary(b.clone()),
            Some(Op::Unary(u)) => Function::Unary(u.f),
            _ => unreachable!("`variants` knows four operators"),
        };
        let (mut activation, mut packed) = (0, step.packed.iter());
        let side = |o: &Operand| {
            let constant = o.constant.then(|| packed.next().cloned().unwrap_or_default());
            activation += usize::from(!o.constant);
            let from = constant.map_or(From::Input(activation.max(1) - 1), From::Constant);
            Side { from, dtype: o.dtype, order: Order::of(o, &p.outputs[0]) }
        };
        let sides = p.inputs.iter().map(side).collect();
        let out = &p.outputs[0];
        Ok(Box::new(Elements { f, sides, to: out.dtype, n: out.shape.numel() }))
    }
}

/// A number as the definitions of operators have it.
#[derive(Clone, Copy)]
enum Number {
    Real(f64),
    Int(i64),
}

impl Number {
    fn real(self) -> f64 {
        match self {
            Number::Real(v) => v,
            Number::Int(v) => v as f64,
        }
    }

    /// Reals are truncated toward zero.
    fn int(self) -> i64 {
        match self {
            Number::Real(v) => v as i64,
            Number::Int(v) => v,
        }
    }

    /// Element `i` of numbers of this type.
    fn read(dtype: DType, bytes: &[u8], i: usize) -> Number {
        match dtype {
            DType::F32 => Number::Real(at::<f32>(bytes, i).into()),
            DType::F64 => Number::Real(at(bytes, i)),
            DType::F16 => Number::Real(at::<f16>(bytes, i).to_f64()),
            DType::BF16 => Number::Real(at::<bf16>(bytes, i).to_f64()),
            DType::I64 => Number::Int(at(bytes, i)),
            DType::I32 => Number::Int(at::<i32>(bytes, i).into()),
            DType::I8 => Number::Int(at::<i8>(bytes, i).into()),
            DType::U8 | DType::Bool => Number::Int(bytes[i].into()),
        }
    }

    /// Rounded once, or wrapped, and written as element `i`.
    fn write(self, dtype: DType, bytes: &mut [u8], i: usize) {
        match dtype {
            DType::F32 => put(bytes, i, self.real() as f32),
            DType::F64 => put(bytes, i, self.real()),
            DType::F16 => put(bytes, i, to_f16(self.real())),
            DType::BF16 => put(bytes, i, to_bf16(self.real())),
            DType::I64 => put(bytes, i, self.int()),
            DType::I32 => put(bytes, i, self.int() as i32),
            DType::I8 | DType::U8 => put(bytes, i, self.int() as u8),
            DType::Bool => put(bytes, i, u8::from(self.int() != 0)),
        }
    }
}

fn at<T: Pod>(bytes: &[u8], i: usize) -> T {
    bytemuck::pod_read_unaligned(&bytes[i * size_of::<T>()..(i + 1) * size_of::<T>()])
}

fn put<T: Pod>(bytes: &mut [u8], i: usize, v: T) {
    bytes[i * size_of::<T>()..(i + 1) * size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&v));
}

enum Function {
    Cast,
    Where,
    Binary(Binary),
    Unary(UnaryFn),
}

impl Function {
    /// The function of the operands that `of` gives, for an output of type `to`.
    fn apply(&self, to: DType, of: impl Fn(usize) -> Number) -> Number {
        match self {
            // what is not 0 is true, however small
            Function::Cast if to == DType::Bool => Number::Int(i64::from(of(0).real() != 0.0)),
            Function::Cast => of(0),
            Function::Where => of(if of(0).int() != 0 { 1 } else { 2 }),
            Function::Unary(f) => match of(0) {
                Number::Int(x) => Number::Int(f.apply(x as f64) as i64),
                Number::Real(x) => Number::Real(f.apply(x)),
            },
            Function::Binary(b) => match (of(0), of(1)) {
                (Number::Int(x), Number::Int(y)) => Number::Int(b.f.int()(x, y)),
                (x, y) => Number::Real(b.fused.activation.apply(b.f.real()(x.real(), y.real()))),
            },
        }
    }
}

enum From {
    Input(usize),
    Constant(Bytes),
}

struct Side {
    from: From,
    dtype: DType,
    order: Order,
}

struct Elements {
    f: Function,
    sides: Vec<Side>,
    to: DType,
    n: usize,
}

impl Kernel for Elements {
    fn tasks(&self) -> usize {
        self.n.div_ceil(BLOCK)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let (range, size) = (chunk(task, self.n), self.to.size());
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<u8>(0, image, range.start * size..range.end * size) };
        for (e, i) in range.enumerate() {
            let of = |s: usize| {
                let s = &self.sides[s];
                let bytes = match &s.from {
                    From::Input(i) => io.input::<u8>(*i, image),
                    From::Constant(bytes) => bytes,
                };
                Number::read(s.dtype, bytes, s.order.at(i))
            };
            self.f.apply(self.to, of).write(self.to, y, e);
        }
    }
}
