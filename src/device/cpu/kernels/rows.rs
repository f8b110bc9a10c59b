//! Softmax and LayerNormalization, f32: each row's sums in a fixed order, so that its bits depend on nothing else.

use super::functions;
use crate::base::{DType, Result};
use crate::device::cpu::simd::{Simd, with_isa, with_simd};
use crate::device::cpu::{Constant, Family, Io, Isa, Kernel, constant};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use std::marker::PhantomData;

/// The family.
pub struct Rows;

/// Sums that a row is added up in, side by side.
const LANES: usize = 16;

impl Family for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn doc(&self) -> &'static str {
        "Softmax, LogSoftmax and LayerNormalization, f32"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let x = &p.inputs[0];
        let fits = match p.op() {
            Some(Op::Softmax(s)) => s.extent(&x.shape).is_ok(),
            // scale and bias of the whole row, known at build time
            Some(Op::LayerNorm(l)) => l
                .row(&x.shape)
                .is_ok_and(|row| p.inputs[1..].iter().all(|i| i.constant && i.shape.numel() == row.numel())),
            _ => false,
        };
        let float = p.inputs.iter().all(|i| i.dtype == DType::F32) && !x.constant;
        if fits && float && p.is_stored(Layout::Plain) {
            vec![isa.min(Isa::Avx512Vnni).name()]
        } else {
            vec![]
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let x = &step.problem.inputs[0].shape;
        Ok(match step.problem.op() {
            Some(Op::LayerNorm(l)) => Box::new(Normalize {
                n: step.problem.inputs[1].shape.numel(),
                rows: x.numel() / step.problem.inputs[1].shape.numel().max(1),
                epsilon: l.epsilon,
                scale: constant(&step.packed, 0)?,
                bias: (step.packed.len() > 1).then(|| constant(&step.packed, 1)).transpose()?,
                isa,
            }),
            Some(Op::Softmax(s)) => {
                let Ok(extent) = s.extent(x) else { unreachable!("`variants` asked for it") };
                with_simd!(isa, S => Box::new(Exponents::<S> { extent, log: s.log, simd: PhantomData }))
            }
            _ => unreachable!("`variants` knows two operators"),
        })
    }
}

/// The sum of `f` of the numbers: number `i` is added to sum `i % LANES`, then the sums in order.
#[inline(always)]
pub fn sum(v: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    for block in v.chunks(LANES) {
        sums.iter_mut().zip(block).for_each(|(s, &x)| *s += f(x));
    }
    sums.iter().sum()
}

struct Exponents<S> {
    /// Numbers of elements before, along and after what is summed over.
    extent: [usize; 3],
    log: bool,
    simd: PhantomData<S>,
}

impl<S: Simd> Exponents<S> {
    /// One row, contiguous.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`].
    #[inline(always)]
    unsafe fn row(&self, row: &mut [f32]) {
        let max = row.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m });
        if self.log {
            let ln = sum(row, |x| (x - max).exp()).ln();
            row.iter_mut().for_each(|y| *y = *y - max - ln);
            return;
        }
        for block in row.chunks_mut(S::LANES) {
            // SAFETY: the caller's promise; as many numbers as the block has.
            unsafe {
                let x = S::float(S::load_n(block.as_ptr().cast(), block.len()));
                let e = functions::exp::<S>(S::sub_f(x, S::splat_f(max)));
                S::store_n(block.as_mut_ptr().cast(), S::bits(e), block.len());
            }
        }
        let sum = sum(row, |x| x);
        row.iter_mut().for_each(|y| *y /= sum);
    }
}

impl<S: Simd> Kernel for Exponents<S> {
    fn tasks(&self) -> usize {
        self.extent[0]
    }

    fn scratch(&self) -> usize {
        if self.extent[2] == 1 { 0 } else { self.extent[1] * 4 }
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let [_, n, inner] = self.extent;
        let range = task * n * inner..(task + 1) * n * inner;
        let x = &io.input::<f32>(0, image)[range.clone()];
        // SAFETY: tasks differ in their range; `load` chose `S` for a CPU that has it.
        unsafe {
            let y = io.output::<f32>(0, image, range);
            S::within(
                #[inline(always)]
                || {
                    if inner == 1 {
                        y.copy_from_slice(x);
                        return self.row(y);
                    }
                    let row: &mut [f32] = bytemuck::cast_slice_mut(&mut scratch[..n * 4]);
                    for i in 0..inner {
                        (0..n).for_each(|k| row[k] = x[k * inner + i]);
                        self.row(row);
                        (0..n).for_each(|k| y[k * inner + i] = row[k]);
                    }
                },
            );
        }
    }
}

struct Normalize {
    rows: usize,
    n: usize,
    epsilon: f32,
    scale: Constant<f32>,
    bias: Option<Constant<f32>>,
    isa: Isa,
}

impl Kernel for Normalize {
    fn tasks(&self) -> usize {
        self.rows
    }

    fn run(&self, io: &Io, image: usize, row: usize, _: &mut [u8]) {
        let range = row * self.n..(row + 1) * self.n;
        let x = &io.input::<f32>(0, image)[range.clone()];
        // SAFETY: tasks differ in their row.
        let y = unsafe { io.output::<f32>(0, image, range) };
        with_isa(
            self.isa,
            #[inline(always)]
            || {
                let n = self.n as f32;
                let mean = sum(x, |x| x) / n;
                let variance = sum(x, |x| (x - mean) * (x - mean)) / n;
                let factor = 1.0 / (variance + self.epsilon).sqrt();
                for ((y, &x), &s) in y.iter_mut().zip(x).zip(self.scale.iter()) {
                    *y = (x - mean) * factor * s;
                }
                if let Some(b) = &self.bias {
                    y.iter_mut().zip(b.iter()).for_each(|(y, &b)| *y += b);
                }
            },
        );
    }
}
