//! Conversions: quantize, dequantize, rescale, and between layouts.

use super::elementwise::{BLOCK, chunk};

use crate::base::codes::machine;
use crate::base::quant::QuantParams;
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::simd::{Simd, with_simd};
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
            Work::Op(_) => vec![],
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
    /// Converts `n` neighbours, at most a register of them.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; `from` and `to` are good for `n` numbers of their types.
    #[inline(always)]
    unsafe fn few(&self, from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let (t, out) = match &self.how {
                How::Copy if self.to.size() == 4 => return S::store_n(to, S::load_n(from, n), n),
                How::Copy => return std::ptr::copy_nonoverlapping(from, to, n * self.to.size()),
                How::Quantize(q) => {
                    let t = S::div_f(S::float(S::load_n(from, n)), S::splat_f(q.scale.get()));
                    (t, Output { lo: f32::NEG_INFINITY, hi: f32::INFINITY, quant: Some(*q) })
                }
                How::Rescale((m, zp), out) => {
                    let x = match self.from {
                        DType::U8 => S::widen_u8(from, n),
                        _ => S::widen_i8(from, n),
                    };
                    (S::mul_f(S::to_float(S::add(x, S::splat(-zp))), S::splat_f(*m)), *out)
                }
            };
            let (lo, hi) = out.bounds();
            let t = S::min_f(S::splat_f(hi), S::max_f(S::splat_f(lo), t));
            match out.quant {
                Some(q) => S::narrow(to, S::add(S::round(t), S::splat(q.zero_point)), n),
                None => S::store_n(to, S::bits(t), n),
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
            for (x, y) in x.chunks(S::LANES * a).zip(y.chunks_mut(S::LANES * b)) {
                self.few(x.as_ptr(), y.as_mut_ptr(), x.len() / a);
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
                    for at in (0..count).step_by(S::LANES) {
                        // SAFETY: both sides have `count` numbers.
                        unsafe {
                            let to = to.as_mut_ptr().add(at).cast();
                            self.few(from.as_ptr().add(at * size), to, S::LANES.min(count - at));
                        }
                    }
                }
                if columns <= 4 {
                    few_columns(&tile, columns, y);
                    continue;
                }
                for (r, y) in y.chunks_exact_mut(columns).enumerate() {
                    y[c..c + n].iter_mut().zip(&tile).for_each(|(y, row)| *y = row[r]);
                }
            }
        }
    }
}

/// Writes up to four columns (the channels of an image) side by side, all of a row at once.
#[inline(always)]
fn few_columns<T: Pod>(tile: &[[T; TILE]; TILE], columns: usize, y: &mut [T]) {
    let mut rows = [[T::zeroed(); 4]; TILE];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = [tile[0][r], tile[1][r], tile[2][r], tile[3][r]];
    }
    // each row is written as four numbers, of which the next row overwrites what is too much, as far as there is a next
    let whole = y.len().saturating_sub(3).div_ceil(columns);
    for (r, row) in rows.iter().enumerate().take(whole) {
        y[r * columns..][..4].copy_from_slice(row);
    }
    for (r, y) in y.chunks_exact_mut(columns).enumerate().skip(whole) {
        y.copy_from_slice(&rows[r][..columns]);
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
