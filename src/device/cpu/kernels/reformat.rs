//! Conversions: quantize, dequantize, rescale, and between layouts.

use super::divide::Divisor;
use super::elementwise::{BLOCK, chunk};
use crate::base::codes::machine;
use crate::base::quant::QuantParams;
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::simd::{MOST_LANES, Simd, quads, with_simd};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::numerics::Output;
use crate::device::{Bound, Numerics, Operand, Problem, Work};
use bytemuck::Pod;
use std::marker::PhantomData;
use std::ops::Range;

/// The family.
pub struct Convert;

impl Family for Convert {
    fn name(&self) -> &'static str {
        "reformat"
    }

    fn doc(&self) -> &'static str {
        "between types, scales and layouts"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        match p.work {
            Work::Reformat => vec![isa.min(Isa::Avx512Vnni).name()],
            Work::Op(_) | Work::Pixels | Work::Pair(_) => vec![],
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let (from, to) = (step.problem.inputs[0].clone(), step.problem.outputs[0].clone());
        let how = match &step.numerics {
            Numerics::Quantize(q) => How::Quantize(*q),
            Numerics::Rescale { inputs, output } => How::Rescale(inputs[0], *output),
            _ => How::Copy,
        };
        let n = from.shape.numel();
        let order = Order::of(&from, &to);
        match (&how, from.dtype == to.dtype) {
            (How::Copy, false) => Err(Diagnostic::new(
                machine::INTERNAL,
                format!("no scales for the conversion {}", step.problem),
            )),
            _ => Ok(with_simd!(isa, S => {
                Box::new(Conversion::<S> { from: from.dtype, to: to.dtype, how, order, n, simd: PhantomData })
            })),
        }
    }
}

enum How {
    Copy,
    Quantize(QuantParams),
    Rescale((f32, i32), Output),
}

/// Where the element at a place of the output lies in the input.
#[derive(Clone, Copy)]
enum Order {
    Same,
    /// The output is the transpose of the input, and has so many rows and columns.
    Transposed {
        rows: usize,
        columns: usize,
    },
}

impl Order {
    /// Between the two layouts of an image: channels by pixels, or pixels by channels.
    fn of(from: &Operand, to: &Operand) -> Self {
        if from.layout == to.layout {
            return Order::Same;
        }
        let s = &from.shape;
        let (channels, pixels) = (s[1], s[2] * s[3]);
        match to.layout {
            crate::device::Layout::ChannelsLast => Order::Transposed { rows: pixels, columns: channels },
            crate::device::Layout::Plain => Order::Transposed { rows: channels, columns: pixels },
        }
    }

    /// Rows of the output that a task writes.
    fn rows_each(columns: usize) -> usize {
        (BLOCK / columns.max(1)).max(1).next_multiple_of(TILE)
    }

    fn tasks(self, n: usize) -> usize {
        match self {
            Order::Same => n.div_ceil(BLOCK),
            Order::Transposed { rows, columns } => rows.div_ceil(Order::rows_each(columns)),
        }
    }
}

/// Rows and columns that are transposed at once.
const TILE: usize = 16;

struct Conversion<S> {
    from: DType,
    to: DType,
    how: How,
    order: Order,
    n: usize,
    simd: PhantomData<S>,
}

impl<S: Simd> Conversion<S> {
    /// Converts `n` neighbours.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; `from` and `to` are good for `n` numbers of their types.
    #[inline(always)]
    unsafe fn neighbours(&self, from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.how {
                How::Copy => std::ptr::copy_nonoverlapping(from, to, n * self.to.size()),
                How::Quantize(q) => {
                    let (divisor, out) = (Divisor::new(q.scale), Output::unbounded(q));
                    stored::<S>(
                        out,
                        n,
                        to,
                        #[inline(always)]
                        |at, n| divisor.divide::<S>(S::float(S::load_n(from.add(4 * at), n))),
                    );
                }
                How::Rescale((m, zp), out) => {
                    let (m, zp) = (S::splat_f(m), S::splat(-zp));
                    match self.from {
                        DType::U8 => stored::<S>(
                            out,
                            n,
                            to,
                            #[inline(always)]
                            |at, n| S::mul_f(S::to_float(S::add(S::widen_u8(from.add(at), n), zp)), m),
                        ),
                        _ => stored::<S>(
                            out,
                            n,
                            to,
                            #[inline(always)]
                            |at, n| S::mul_f(S::to_float(S::add(S::widen_i8(from.add(at), n), zp)), m),
                        ),
                    }
                }
            }
        }
    }

    /// Converts a range in the order in which it lies.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; no other task has this range.
    #[inline(always)]
    unsafe fn line(&self, io: &Io, image: usize, range: Range<usize>) {
        let (a, b) = (self.from.size(), self.to.size());
        let x = &io.input::<u8>(0, image)[range.start * a..range.end * a];
        // SAFETY: the caller's promise; blocks have as many numbers on both sides.
        unsafe {
            let y = io.output::<u8>(0, image, range.start * b..range.end * b);
            self.neighbours(x.as_ptr(), y.as_mut_ptr(), y.len() / b);
        }
    }

    /// Writes rows of the output of up to four bytes (the channels of an image), whose columns are the rows of the input.
    ///
    /// # Safety
    /// As for [`Conversion::transpose`].
    #[inline(always)]
    unsafe fn pixels(&self, io: &Io, image: usize, [rows, columns]: [usize; 2], range: Range<usize>) {
        let (x, size) = (io.input::<u8>(0, image), self.from.size());
        // SAFETY: the caller's promise; arrays have room for the largest register.
        unsafe {
            let y = io.output::<u8>(0, image, range.start * columns..range.end * columns);
            let (mut channels, mut pixels) = ([[0u8; 4 * MOST_LANES]; 4], [0u32; 4 * MOST_LANES]);
            for (block, y) in y.chunks_mut(S::BYTES * columns).enumerate() {
                let (first, count) = (range.start + block * S::BYTES, y.len() / columns);
                for (c, to) in channels.iter_mut().enumerate().take(columns) {
                    let from = &x[(c * rows + first) * size..][..count * size];
                    self.neighbours(from.as_ptr(), to.as_mut_ptr(), count);
                }
                let [a, b, c, d] = [0, 1, 2, 3].map(|c: usize| S::load(channels[c].as_ptr()));
                for (i, v) in S::unquads(quads::<S>(a, b, c, d)).into_iter().enumerate() {
                    S::store(pixels.as_mut_ptr().add(i * S::LANES).cast(), v);
                }
                side_by_side(bytemuck::cast_slice(&pixels[..count]), columns, y);
            }
        }
    }

    /// Writes rows of the output, whose columns are the rows of the input; a number of the output is a `T`.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; no other task has these rows.
    #[inline(always)]
    unsafe fn transpose<T: Pod>(
        &self,
        io: &Io,
        image: usize,
        [rows, columns]: [usize; 2],
        range: Range<usize>,
    ) {
        let (x, size) = (io.input::<u8>(0, image), self.from.size());
        // SAFETY: the caller's promise.
        let y = unsafe { io.output::<T>(0, image, range.start * columns..range.end * columns) };
        let mut tile = [[T::zeroed(); TILE]; TILE];
        for (block, y) in y.chunks_mut(TILE * columns).enumerate() {
            let (first, count) = (range.start + block * TILE, y.len() / columns);
            for c in (0..columns).step_by(TILE) {
                let n = TILE.min(columns - c);
                for (i, to) in tile.iter_mut().enumerate().take(n) {
                    let from = &x[((c + i) * rows + first) * size..][..count * size];
                    // SAFETY: both sides have `count` numbers.
                    unsafe { self.neighbours(from.as_ptr(), to.as_mut_ptr().cast(), count) };
                }
                if columns <= 4 {
                    let pixels: [[T; 4]; TILE] =
                        std::array::from_fn(|r| [0, 1, 2, 3].map(|c: usize| tile[c][r]));
                    side_by_side(&pixels[..count], columns, y);
                    continue;
                }
                for (r, y) in y.chunks_exact_mut(columns).enumerate() {
                    y[c..c + n].iter_mut().zip(&tile).for_each(|(y, row)| *y = row[r]);
                }
            }
        }
    }
}

/// Stores `n` numbers, which `number` gives in units of the output: from the place it is asked for, as many as it is
/// asked for, at most a register.
///
/// # Safety
/// As for [`Simd`], inside of [`Simd::within`]; `to` is good for `n` numbers.
#[inline(always)]
unsafe fn stored<S: Simd>(out: Output, n: usize, to: *mut u8, number: impl Fn(usize, usize) -> S::F) {
    // SAFETY: the caller's promise.
    unsafe {
        // whole registers apart from others: how many lanes they have is known to the compiler
        let whole = n - n % S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            store::<S>(out, to, at, S::LANES, number(at, S::LANES));
        }
        if whole < n {
            store::<S>(out, to, whole, n - whole, number(whole, n - whole));
        }
    }
}

/// Stores `n` lanes at place `at`.
///
/// # Safety
/// As for [`stored`].
#[inline(always)]
unsafe fn store<S: Simd>(out: Output, to: *mut u8, at: usize, n: usize, t: S::F) {
    let (lo, hi) = out.bounds();
    // SAFETY: the caller's promise.
    unsafe {
        let t = S::min_f(S::splat_f(hi), S::max_f(S::splat_f(lo), t));
        match out.quant {
            Some(q) => S::narrow(to.add(at), S::add(S::round(t), S::splat(q.zero_point)), n),
            None => S::store_n(to.add(4 * at), S::bits(t), n),
        }
    }
}

/// Writes the first `columns` numbers of each pixel, one pixel after the other.
#[inline(always)]
fn side_by_side<T: Copy>(pixels: &[[T; 4]], columns: usize, y: &mut [T]) {
    // each is written as four numbers, of which the next one overwrites what is too much, as far as there is a next
    let whole = y.len().saturating_sub(3).div_ceil(columns);
    for (pixel, at) in pixels[..whole].iter().zip((0..).step_by(columns)) {
        y[at..at + 4].copy_from_slice(pixel);
    }
    for (pixel, y) in pixels.iter().zip(y.chunks_exact_mut(columns)).skip(whole) {
        y.copy_from_slice(&pixel[..columns]);
    }
}

impl<S: Simd> Kernel for Conversion<S> {
    fn tasks(&self) -> usize {
        self.order.tasks(self.n)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        // SAFETY: `load` chose `S` for a CPU that has it; tasks differ in their range or rows.
        unsafe {
            S::within(
                #[inline(always)]
                || match self.order {
                    Order::Same => self.line(io, image, chunk(task, self.n)),
                    Order::Transposed { rows, columns } => {
                        let each = Order::rows_each(columns);
                        let range = task * each..((task + 1) * each).min(rows);
                        match self.to.size() {
                            1 if columns <= 4 => self.pixels(io, image, [rows, columns], range),
                            1 => self.transpose::<u8>(io, image, [rows, columns], range),
                            2 => self.transpose::<u16>(io, image, [rows, columns], range),
                            8 => self.transpose::<u64>(io, image, [rows, columns], range),
                            _ => self.transpose::<u32>(io, image, [rows, columns], range),
                        }
                    }
                },
            );
        }
    }
}
