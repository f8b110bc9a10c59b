//! Functions of one tensor and of two, element by element.

use super::functions;
use crate::base::codes::machine;
use crate::base::{DType, Diagnostic, Result, Shape};
use crate::device::cpu::simd::{Simd, with_isa, with_simd};
use crate::device::cpu::{Constant, Family, Io, Isa, Kernel, constant};
use crate::device::numerics::Output;
use crate::device::{Bound, Numerics, Operand, Problem};
use crate::ir::Op;
use crate::ir::array::{broadcast_strides, ravel, unravel};
use crate::ir::ops::{BinaryFn, Fused, UnaryFn};
use std::marker::PhantomData;
use std::ops::Range;

/// Elements of a task.
pub const BLOCK: usize = 1 << 14;

/// The elements of task `task` of `n`.
pub fn chunk(task: usize, n: usize) -> Range<usize> {
    task * BLOCK..((task + 1) * BLOCK).min(n)
}

/// Functions of one tensor.
pub struct Map;

impl Family for Map {
    fn name(&self) -> &'static str {
        "map"
    }

    fn doc(&self) -> &'static str {
        "functions of one tensor: f32 by formula, 8-bit by a table of 256 entries"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let dtype = p.inputs[0].dtype;
        let known = !p.inputs[0].constant && (dtype == DType::F32 || dtype.is_int8());
        match p.op() {
            Some(Op::Unary(_)) if known && p.inputs[0].layout == p.outputs[0].layout => {
                vec![isa.min(Isa::Avx512Vnni).name()]
            }
            _ => vec![],
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let n = step.problem.outputs[0].shape.numel();
        match (&step.numerics, step.problem.op()) {
            (Numerics::Table(table), _) => Ok(Box::new(Lookup { table: table.clone(), n })),
            (_, Some(Op::Unary(u))) if step.problem.inputs[0].dtype == DType::F32 => {
                if u.f.has_formula() {
                    return Ok(with_simd!(isa, S => Box::new(Vectors::<S> { f: u.f, n, simd: PhantomData })));
                }
                Ok(Box::new(Apply { f: u.f, n, isa }))
            }
            _ => Err(Diagnostic::new(machine::INTERNAL, format!("{} has no table", step.problem))),
        }
    }
}

struct Lookup {
    table: Vec<u8>,
    n: usize,
}

impl Kernel for Lookup {
    fn tasks(&self) -> usize {
        self.n.div_ceil(BLOCK)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let range = chunk(task, self.n);
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<u8>(0, image, range.clone()) };
        y.iter_mut()
            .zip(&io.input::<u8>(0, image)[range])
            .for_each(|(y, &x)| *y = self.table[usize::from(x)]);
    }
}

struct Apply {
    f: UnaryFn,
    n: usize,
    isa: Isa,
}

impl Kernel for Apply {
    fn tasks(&self) -> usize {
        self.n.div_ceil(BLOCK)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let range = chunk(task, self.n);
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<f32>(0, image, range.clone()) };
        let x = &io.input::<f32>(0, image)[range];
        with_isa(
            self.isa,
            #[inline(always)]
            || match self.f.activation() {
                Some(a) => {
                    let (lo, hi) = a.bounds();
                    for (y, &x) in y.iter_mut().zip(x) {
                        let t = if x < lo { lo } else { x }; // NaN passes
                        *y = if t > hi { hi } else { t };
                    }
                }
                None => y.iter_mut().zip(x).for_each(|(y, &x)| *y = self.f.apply(x.into()) as f32),
            },
        );
    }
}

/// A function that has a vector form.
struct Vectors<S> {
    f: UnaryFn,
    n: usize,
    simd: PhantomData<S>,
}

impl<S: Simd> Kernel for Vectors<S> {
    fn tasks(&self) -> usize {
        self.n.div_ceil(BLOCK)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let range = chunk(task, self.n);
        let x = &io.input::<f32>(0, image)[range.clone()];
        // SAFETY: tasks differ in their range; `load` chose `S` for a CPU that has it.
        unsafe {
            let y = io.output::<f32>(0, image, range);
            S::within(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
                        let t = S::float(S::load_n(x.as_ptr().cast(), x.len()));
                        let t = functions::apply::<S>(&self.f, t);
                        S::store_n(y.as_mut_ptr().cast(), S::bits(t), x.len());
                    }
                },
            );
        }
    }
}

/// Functions of two tensors.
pub struct Pairs;

impl Family for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn doc(&self) -> &'static str {
        "functions of two tensors: f32 with broadcasting, sums and products of 8-bit tensors of one shape"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let Some(Op::Binary(b)) = p.op() else { return vec![] };
        let float = p.inputs.iter().all(|i| i.dtype == DType::F32) && !b.f.is_predicate();
        let out = &p.outputs[0];
        let like =
            |i: &Operand| i.shape == out.shape && i.layout == out.layout && !i.constant && i.dtype.is_int8();
        let same = p.inputs.iter().all(like);
        let int = same && matches!(b.f, BinaryFn::Add | BinaryFn::Mul);
        if float || int { vec![isa.min(Isa::Avx512Vnni).name()] } else { vec![] }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let Some(Op::Binary(b)) = p.op() else { unreachable!("`variants` asked for a Binary") };
        if p.is_int8() {
            return with_simd!(isa, S => match Combine::<S>::new(step) {
                Some(combine) => Ok(Box::new(combine)),
                None => Err(Diagnostic::new(machine::INTERNAL, format!("{p} has no scales"))),
            });
        }
        let mut activation = 0;
        let side = |i: usize, activation: &mut usize| -> Result<Side> {
            let o = &p.inputs[i];
            let from = match o.constant {
                true => From::Constant(constant(&step.packed, i - *activation)?),
                false => From::Input(*activation),
            };
            *activation += usize::from(!o.constant);
            Ok(Side { from, order: Order::of(o, &p.outputs[0]) })
        };
        let sides = [side(0, &mut activation)?, side(1, &mut activation)?];
        Ok(Box::new(Float { f: b.f, fused: b.fused, sides, n: p.outputs[0].shape.numel(), isa }))
    }
}

enum From {
    Input(usize),
    Constant(Constant<f32>),
}

/// How an operand is read in the order in which the output lies in memory.
pub enum Order {
    /// Element for element.
    Same,
    /// One number.
    Scalar,
    /// Repeats with this period: channels of a channels-last image.
    Cycle(usize),
    /// Anything else: an index for each element.
    Indices(Vec<u32>),
}

impl Order {
    /// How `o`, broadcast to the shape of `out`, is read.
    pub fn of(o: &Operand, out: &Operand) -> Order {
        if o.shape.numel() == 1 {
            return Order::Scalar;
        }
        if o.shape == out.shape && o.layout == out.layout {
            return Order::Same;
        }
        let indices = indices(o, out);
        let period = o.shape.numel();
        match indices.iter().enumerate().all(|(i, &j)| i % period == j as usize) {
            true => Order::Cycle(period),
            false => Order::Indices(indices),
        }
    }

    /// The place in memory of what stands beside the output's place `i`.
    #[inline(always)]
    pub fn at(&self, i: usize) -> usize {
        match self {
            Order::Same => i,
            Order::Scalar => 0,
            Order::Cycle(period) => i % period,
            Order::Indices(v) => v[i] as usize,
        }
    }
}

/// For each place of the output in memory, the place of the operand.
fn indices(o: &Operand, out: &Operand) -> Vec<u32> {
    let strides = broadcast_strides(&o.shape, &out.shape);
    // an operand of lower rank is [C, 1, 1] or the like: its memory is row-major whatever the layout
    let own = |i: usize| if o.shape.rank() == out.shape.rank() { o.layout.place(&o.shape, i) } else { i };
    let mut v = vec![0u32; out.shape.numel()];
    let shape: &Shape = &out.shape;
    for i in 0..v.len() {
        v[out.layout.place(shape, i)] = own(ravel(&unravel(i, shape), &strides)) as u32;
    }
    v
}

struct Side {
    from: From,
    order: Order,
}

impl Side {
    fn read<'a>(&'a self, io: &'a Io, image: usize) -> &'a [f32] {
        match &self.from {
            From::Input(i) => io.input(*i, image),
            From::Constant(c) => c,
        }
    }
}

struct Float {
    f: BinaryFn,
    fused: Fused,
    sides: [Side; 2],
    n: usize,
    isa: Isa,
}

impl Float {
    #[inline(always)]
    fn apply(&self, io: &Io, image: usize, range: Range<usize>, f: impl Fn(f32, f32) -> f32) {
        let (a, b) = (self.sides[0].read(io, image), self.sides[1].read(io, image));
        let (lo, hi) = self.fused.activation.bounds();
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<f32>(0, image, range.clone()) };
        let clamp = |t: f32| {
            let t = if t < lo { lo } else { t };
            if t > hi { hi } else { t }
        };
        match (&self.sides[0].order, &self.sides[1].order) {
            (Order::Same, Order::Same) => {
                for ((y, a), b) in y.iter_mut().zip(&a[range.clone()]).zip(&b[range]) {
                    *y = clamp(f(*a, *b));
                }
            }
            (Order::Same, Order::Scalar) => {
                y.iter_mut().zip(&a[range]).for_each(|(y, a)| *y = clamp(f(*a, b[0])));
            }
            (oa, ob) => {
                y.iter_mut().zip(range).for_each(|(y, i)| *y = clamp(f(a[oa.at(i)], b[ob.at(i)])));
            }
        }
    }
}

impl Kernel for Float {
    fn tasks(&self) -> usize {
        self.n.div_ceil(BLOCK)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let range = chunk(task, self.n);
        let real = self.f.real();
        with_isa(
            self.isa,
            #[inline(always)]
            || match self.f {
                BinaryFn::Add => self.apply(io, image, range.clone(), |a, b| a + b),
                BinaryFn::Sub => self.apply(io, image, range.clone(), |a, b| a - b),
                BinaryFn::Mul => self.apply(io, image, range.clone(), |a, b| a * b),
                BinaryFn::Div => self.apply(io, image, range.clone(), |a, b| a / b),
                BinaryFn::PRelu => {
                    self.apply(io, image, range.clone(), |a, b| if a < 0.0 { a * b } else { a })
                }
                _ => self.apply(io, image, range.clone(), |a, b| real(a.into(), b.into()) as f32),
            },
        );
    }
}

/// Sums and products of 8-bit tensors.
struct Combine<S> {
    how: How,
    output: Output,
    signed: [bool; 2],
    n: usize,
    simd: PhantomData<S>,
}

/// What is computed of `a` and `b`, whose zero points have been taken away, as [`Numerics`] has it.
#[derive(Clone, Copy)]
enum How {
    Add { m: [f32; 2], zero_points: [i32; 2] },
    Mul { m: f32, zero_points: [i32; 2] },
}

impl<S: Simd> Combine<S> {
    fn new(step: &Bound) -> Option<Self> {
        let p = &step.problem;
        let (how, output) = match step.numerics {
            Numerics::Add { m, zero_points, output } => (How::Add { m, zero_points }, output),
            Numerics::Mul { m, zero_points, output } => (How::Mul { m, zero_points }, output),
            _ => return None,
        };
        let signed = [p.inputs[0].dtype == DType::I8, p.inputs[1].dtype == DType::I8];
        Some(Combine { how, output, signed, n: p.outputs[0].shape.numel(), simd: PhantomData })
    }

    /// The numbers before rounding, of at most a register of elements.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`].
    #[inline(always)]
    unsafe fn real(&self, a: &[u8], b: &[u8]) -> S::F {
        // SAFETY: the caller's promise.
        unsafe {
            let wide = |x: &[u8], signed: bool| match signed {
                true => S::widen_i8(x.as_ptr(), x.len()),
                false => S::widen_u8(x.as_ptr(), x.len()),
            };
            let (How::Add { zero_points: z, .. } | How::Mul { zero_points: z, .. }) = self.how;
            let a = S::to_float(S::add(wide(a, self.signed[0]), S::splat(-z[0])));
            let b = S::to_float(S::add(wide(b, self.signed[1]), S::splat(-z[1])));
            match self.how {
                How::Add { m, .. } => S::fma(b, S::splat_f(m[1]), S::mul_f(a, S::splat_f(m[0]))),
                How::Mul { m, .. } => S::mul_f(S::mul_f(a, b), S::splat_f(m)), // a b is exact: 16 bits
            }
        }
    }
}

impl<S: Simd> Kernel for Combine<S> {
    fn tasks(&self) -> usize {
        self.n.div_ceil(BLOCK)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let range = chunk(task, self.n);
        let (a, b) = (&io.input::<u8>(0, image)[range.clone()], &io.input::<u8>(1, image)[range.clone()]);
        let blocks = a.chunks(S::LANES).zip(b.chunks(S::LANES));
        let (lo, hi) = self.output.bounds();
        // SAFETY: tasks differ in their range; `load` chose `S` for a CPU that has it.
        unsafe {
            S::within(
                #[inline(always)]
                || {
                    let (lo, hi) = (S::splat_f(lo), S::splat_f(hi));
                    match self.output.quant {
                        Some(q) => {
                            let (y, zp) = (io.output::<u8>(0, image, range.clone()), S::splat(q.zero_point));
                            for (y, (a, b)) in y.chunks_mut(S::LANES).zip(blocks) {
                                let t = S::min_f(hi, S::max_f(lo, self.real(a, b)));
                                S::narrow(y.as_mut_ptr(), S::add(S::round(t), zp), y.len());
                            }
                        }
                        None => {
                            let y = io.output::<f32>(0, image, range.clone());
                            for (y, (a, b)) in y.chunks_mut(S::LANES).zip(blocks) {
                                let t = S::min_f(hi, S::max_f(lo, self.real(a, b)));
                                S::store_n(y.as_mut_ptr().cast(), S::bits(t), y.len());
                            }
                        }
                    }
                },
            );
        }
    }
}
