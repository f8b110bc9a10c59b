//! Conversions: quantize, dequantize, rescale, and between layouts.

use super::elementwise::{BLOCK, chunk};

use crate::base::codes::machine;
use crate::base::quant::QuantParams;
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::simd::with_isa;
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::numerics::Output;
use crate::device::{Bound, Numerics, Operand, Problem, Work};
use bytemuck::Pod;

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
            _ => Ok(Box::new(Conversion { from: from.dtype, to: to.dtype, how, order, n, isa })),
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

struct Conversion {
    from: DType,
    to: DType,
    how: How,
    order: Order,
    n: usize,
    isa: Isa,
}

impl Conversion {
    #[inline(always)]
    fn each<A: Pod, B: Pod>(&self, io: &Io, image: usize, task: usize, f: impl Fn(A) -> B) {
        let x = io.input::<A>(0, image);
        let Order::Transposed { rows, columns } = self.order else {
            let range = chunk(task, self.n);
            // SAFETY: tasks differ in their range.
            let y = unsafe { io.output::<B>(0, image, range.clone()) };
            return y.iter_mut().zip(&x[range]).for_each(|(y, &x)| *y = f(x));
        };
        let each = Order::rows_each(columns);
        let range = task * each..((task + 1) * each).min(rows);
        // SAFETY: tasks differ in their rows.
        let y = unsafe { io.output::<B>(0, image, range.start * columns..range.end * columns) };
        for (block, y) in y.chunks_mut(TILE * columns).enumerate() {
            let first = range.start + block * TILE;
            let count = y.len() / columns;
            for c in (0..columns).step_by(TILE) {
                let n = TILE.min(columns - c);
                let mut tile = [[B::zeroed(); TILE]; TILE];
                for (i, to) in tile.iter_mut().enumerate().take(n) {
                    let from = &x[(c + i) * rows + first..][..count];
                    match <&[A; TILE]>::try_from(from) {
                        Ok(from) => to.iter_mut().zip(from).for_each(|(y, &x)| *y = f(x)),
                        Err(_) => to.iter_mut().zip(from).for_each(|(y, &x)| *y = f(x)),
                    }
                }
                for (r, y) in y.chunks_exact_mut(columns).enumerate() {
                    y[c..c + n].iter_mut().enumerate().for_each(|(i, y)| *y = tile[i][r]);
                }
            }
        }
    }

    #[inline(always)]
    fn rescale<A: Pod>(&self, io: &Io, image: usize, task: usize, wide: impl Fn(A) -> i32) {
        let How::Rescale((m, zp), out) = &self.how else { return };
        match self.to {
            DType::F32 => self.each(io, image, task, |x: A| out.clamp((wide(x) - zp) as f32 * m)),
            _ => self.each(io, image, task, |x: A| out.store((wide(x) - zp) as f32 * m) as u8),
        }
    }
}

impl Kernel for Conversion {
    fn tasks(&self) -> usize {
        self.order.tasks(self.n)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        with_isa(
            self.isa,
            #[inline(always)]
            || match (&self.how, self.from) {
                (How::Quantize(q), _) => self.each(io, image, task, |x: f32| q.quantize(x) as u8),
                (How::Rescale(..), DType::U8) => self.rescale(io, image, task, |x: u8| i32::from(x)),
                (How::Rescale(..), _) => self.rescale(io, image, task, |x: i8| i32::from(x)),
                (How::Copy, d) if d.size() == 1 => self.each(io, image, task, |x: u8| x),
                (How::Copy, d) if d.size() == 2 => self.each(io, image, task, |x: u16| x),
                (How::Copy, d) if d.size() == 8 => self.each(io, image, task, |x: u64| x),
                (How::Copy, _) => self.each(io, image, task, |x: u32| x),
            },
        );
    }
}
