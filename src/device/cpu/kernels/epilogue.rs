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
use bytemuck::Pod;

/// The epilogue of a product: where an accumulator starts, and how a row of them is stored.
pub trait Finish<P: Product>: Send + Sync {
    /// What the accumulators of the channels from `c`, a multiple of [`NR`], start with.
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
            add(&mut t, &b[c..c + n]);
        }
        if self.fused.residual {
            add(&mut t, &io.input::<f32>(1, image)[at..at + n]);
        }
        for t in &mut t {
            // comparisons, not min and max: NaN must pass on to whoever looks for it
            let above = if *t < lo { lo } else { *t };
            *t = if above > hi { hi } else { above };
        }
        // SAFETY: the caller's promise.
        unsafe { put(io, image, at, n, &t) };
    }
}

/// Adds the numbers of `by`, at most [`NR`]; a whole block as one, which is compiled to a few instructions.
#[inline(always)]
fn add(t: &mut [f32; NR], by: &[f32]) {
    match <&[f32; NR]>::try_from(by) {
        Ok(by) => t.iter_mut().zip(by).for_each(|(t, b)| *t += b),
        Err(_) => t.iter_mut().zip(by).for_each(|(t, b)| *t += b),
    }
}

/// Writes the first `n` numbers at element `at` of the output.
///
/// # Safety
/// No other task writes these elements.
#[inline(always)]
unsafe fn put<T: Pod>(io: &Io, image: usize, at: usize, n: usize, t: &[T; NR]) {
    // SAFETY: the caller's promise.
    let y = unsafe { io.output::<T>(0, image, at..at + n) };
    match <&mut [T; NR]>::try_from(&mut *y) {
        Ok(y) => *y = *t,
        Err(_) => y.copy_from_slice(&t[..n]),
    }
}

/// 8-bit: [`Epilogue`], where the accumulator starts so that zero points cancel.
pub struct IntFinish {
    epilogue: Epilogue,
    /// `-zero_point * sum(w)`, and `-128 * sum(w)` more for s8 inputs, per channel.
    start: Vec<[i32; NR]>,
    residual: Option<DType>,
}

/// Numbers by blocks of [`NR`], zeros after the last.
fn blocks<T: Copy + Default>(v: &[T]) -> Vec<[T; NR]> {
    v.chunks(NR).map(|c| std::array::from_fn(|i| c.get(i).copied().unwrap_or_default())).collect()
}

impl IntFinish {
    /// The epilogue of this step. `sums` holds each channel's sum of weights; `offset` is what rows have been
    /// shifted by (128 for s8 stored as u8).
    pub fn of(step: &Bound, sums: &[i32], offset: i32) -> Result<Self> {
        let Numerics::Multiply { zero_point, epilogue } = &step.numerics else {
            return Err(Diagnostic::new(machine::INTERNAL, format!("{} has no scales", step.problem)));
        };
        let fused = step.problem.op().map(Op::fused).unwrap_or_default();
        let start: Vec<i32> = sums.iter().map(|s| -(zero_point + offset) * s).collect();
        let residual = fused.residual.then(|| step.problem.inputs[step.problem.inputs.len() - 1].dtype);
        Ok(IntFinish { start: blocks(&start), epilogue: epilogue.clone(), residual })
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
    #[inline(always)]
    fn start(&self, c: usize) -> [i32; NR] {
        self.start[c / NR]
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
        // loops of `n`, a number that the compiler does not know: it makes vectors of them, where it would unroll
        // those of a constant number into single steps
        let mut t = [0f32; NR];
        let (m, b) = (&e.m[c..c + n], &e.b[c..c + n]);
        for (((t, &a), &m), &b) in t.iter_mut().zip(acc).zip(m).zip(b) {
            *t = (a as f32).mul_add(m, b);
        }
        if let Some((scale, zp)) = e.residual {
            for (t, &r) in t[..n].iter_mut().zip(&r) {
                *t = ((r - zp) as f32).mul_add(scale, *t);
            }
        }
        let clamp = |t: f32| t.max(e.lo).min(e.hi);
        // SAFETY: the caller's promise.
        unsafe {
            match e.out {
                None => {
                    let y = io.output::<f32>(0, image, at..at + n);
                    y.iter_mut().zip(&t).for_each(|(y, &t)| *y = clamp(t));
                }
                Some(q) => {
                    let y = io.output::<u8>(0, image, at..at + n);
                    y.iter_mut().zip(&t).for_each(|(y, &t)| *y = q.saturate(clamp(t)) as u8); // s8 keeps its bits
                }
            }
        }
    }
}

#[inline(always)]
fn widen<T: Copy + Into<i32>>(to: &mut [i32; NR], from: &[T]) {
    match <&[T; NR]>::try_from(from) {
        Ok(from) => *to = from.map(Into::into),
        Err(_) => to.iter_mut().zip(from).for_each(|(t, &f)| *t = f.into()),
    }
}
