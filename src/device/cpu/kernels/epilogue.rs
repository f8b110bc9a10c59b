//! What happens to an accumulator: bias, residual, activation, and storing as f32, u8 or s8. Shared by every kernel
//! that accumulates.

use super::product::{F32, Int8, NR, Product};
use crate::base::codes::machine;
use crate::base::quant::Epilogue;
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::{Constant, Io, constant};
use crate::device::{Bound, Numerics};
use crate::ir::Op;
use crate::ir::ops::Fused;

/// The epilogue of a product: where an accumulator starts, and how a row of them is stored.
pub trait Finish<P: Product>: Send + Sync {
    /// What the accumulators of the channels from `c` start with.
    fn start(&self, c: usize) -> [P::Acc; NR];
    /// Stores `n` accumulators of the channels from `c` at element `at` of the output.
    ///
    /// # Safety
    /// No other task writes these elements.
    unsafe fn store(&self, io: &Io, image: usize, at: usize, c: usize, n: usize, acc: &[P::Acc; NR]);
}

/// f32: `activation(acc + bias + residual)`, where the accumulator starts at 0.
pub struct FloatFinish {
    bias: Option<Constant<f32>>,
    fused: Fused,
}

impl FloatFinish {
    /// The epilogue of this step.
    pub fn of(step: &Bound) -> Result<Self> {
        let fused = step.problem.op().map(Op::fused).unwrap_or_default();
        let bias = has_bias(step, fused).then(|| constant(&step.packed, 1)).transpose()?;
        Ok(FloatFinish { bias, fused })
    }
}

fn has_bias(step: &Bound, fused: Fused) -> bool {
    fused.extra_inputs(step.problem.inputs.len()).0
}

impl Finish<F32> for FloatFinish {
    fn start(&self, _: usize) -> [f32; NR] {
        [0.0; NR]
    }

    #[inline(always)]
    unsafe fn store(&self, io: &Io, image: usize, at: usize, c: usize, n: usize, acc: &[f32; NR]) {
        let (lo, hi) = self.fused.activation.bounds();
        let mut t = *acc;
        if let Some(b) = &self.bias {
            t[..n].iter_mut().zip(&b[c..c + n]).for_each(|(t, b)| *t += b);
        }
        if self.fused.residual {
            let r = &io.input::<f32>(1, image)[at..at + n];
            t[..n].iter_mut().zip(r).for_each(|(t, r)| *t += r);
        }
        // SAFETY: the caller's promise.
        let y = unsafe { io.output::<f32>(0, image, at..at + n) };
        // comparisons, not min and max: NaN must pass on to whoever looks for it
        for (y, &t) in y.iter_mut().zip(&t) {
            let t = if t < lo { lo } else { t };
            *y = if t > hi { hi } else { t };
        }
    }
}

/// 8-bit: [`Epilogue`], where the accumulator starts so that zero points cancel.
pub struct IntFinish {
    epilogue: Epilogue,
    /// `-zero_point * sum(w)`, and `-128 * sum(w)` more for s8 inputs, per channel.
    start: Vec<i32>,
    residual: Option<DType>,
}

impl IntFinish {
    /// The epilogue of this step. `sums` holds each channel's sum of weights; `offset` is what rows have been
    /// shifted by (128 for s8 stored as u8).
    pub fn of(step: &Bound, sums: &[i32], offset: i32) -> Result<Self> {
        let Numerics::Multiply { zero_point, epilogue } = &step.numerics else {
            return Err(Diagnostic::new(machine::INTERNAL, format!("{} has no scales", step.problem)));
        };
        let fused = step.problem.op().map(Op::fused).unwrap_or_default();
        let start = sums.iter().map(|s| -(zero_point + offset) * s);
        let residual = fused.residual.then(|| step.problem.inputs[step.problem.inputs.len() - 1].dtype);
        Ok(IntFinish { epilogue: epilogue.clone(), start: start.collect(), residual })
    }

    /// The input's zero point, which fills the padding.
    pub fn zero_point(step: &Bound) -> i32 {
        match &step.numerics {
            Numerics::Multiply { zero_point, .. } => *zero_point,
            _ => 0,
        }
    }
}

impl Finish<Int8> for IntFinish {
    fn start(&self, c: usize) -> [i32; NR] {
        std::array::from_fn(|i| self.start.get(c + i).copied().unwrap_or(0))
    }

    #[inline(always)]
    unsafe fn store(&self, io: &Io, image: usize, at: usize, c: usize, n: usize, acc: &[i32; NR]) {
        let mut r = [0i32; NR];
        match self.residual {
            Some(DType::U8) => widen(&mut r, &io.input::<u8>(1, image)[at..at + n]),
            Some(_) => widen(&mut r, &io.input::<i8>(1, image)[at..at + n]),
            None => {}
        }
        let e = &self.epilogue;
        // SAFETY: the caller's promise, here and below.
        match e.out {
            None => {
                let y = unsafe { io.output::<f32>(0, image, at..at + n) };
                for (i, y) in y.iter_mut().enumerate() {
                    *y = e.real(acc[i], c + i, r[i]);
                }
            }
            Some(q) => {
                let y = unsafe { io.output::<u8>(0, image, at..at + n) };
                let (m, b) = (&e.m[c..c + n], &e.b[c..c + n]);
                for (i, y) in y.iter_mut().enumerate() {
                    let mut t = (acc[i] as f32).mul_add(m[i], b[i]);
                    if let Some((scale, zp)) = e.residual {
                        t = ((r[i] - zp) as f32).mul_add(scale, t);
                    }
                    *y = q.saturate(t.max(e.lo).min(e.hi)) as u8; // an s8 keeps its bits
                }
            }
        }
    }
}

fn widen<T: Copy + Into<i32>>(to: &mut [i32; NR], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(t, &f)| *t = f.into());
}
