//! What happens to accumulators: bias, residual, function, activation, and storing as f32, u8 or s8. Shared by every
//! kernel that accumulates. Where there is a function, the epilogue is a function of its own, called for each block:
//! it is long, and kernels without one keep theirs short.

use super::functions;
use super::tile::{F32, Int8, NR, Product};
use crate::base::codes::machine;
use crate::base::quant::Epilogue;
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::simd::{MOST_LANES, Simd};
use crate::device::cpu::{Block, Constant, Io, constant};
use crate::device::numerics::Output;
use crate::device::{Bound, Numerics};
use crate::ir::Op;
use crate::ir::ops::{Fused, UnaryFn};

/// Where accumulators of one image go.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The step's operands.
    pub io: &'a Io<'a>,
    /// The image.
    pub image: usize,
    /// Numbers from one row to the next.
    pub pitch: usize,
}

/// The epilogue of a product: where an accumulator starts, and how it is stored.
pub trait Finish<P: Product>: Send + Sync {
    /// What the accumulators of the channels from `c` start with, 4 bytes each.
    fn start(&self, c: usize) -> *const u8;
    /// The function that is applied to the sums, if there is one.
    fn function(&self) -> Option<UnaryFn>;
    /// Stores rows of accumulators, with this function.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; no other task writes these elements.
    unsafe fn finish<S: Simd, const V: usize>(
        &self,
        to: Target,
        block: Block,
        rows: &[[S::I; V]],
        function: Option<UnaryFn>,
    );

    /// Stores rows of accumulators.
    ///
    /// # Safety
    /// As for [`Finish::finish`].
    #[inline(always)]
    unsafe fn store<S: Simd, const V: usize>(&self, to: Target, block: Block, rows: &[[S::I; V]]) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.function() {
                None => self.finish::<S, V>(to, block, rows, None),
                Some(f) => self.finish_by::<S, V>(to, block, rows, f),
            }
        }
    }

    /// Stores rows of accumulators with a function, in code of its own.
    ///
    /// # Safety
    /// As for [`Finish::finish`].
    #[inline(never)]
    unsafe fn finish_by<S: Simd, const V: usize>(
        &self,
        to: Target,
        block: Block,
        rows: &[[S::I; V]],
        f: UnaryFn,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            S::within(
                #[inline(always)]
                || self.finish::<S, V>(to, block, rows, Some(f)),
            );
        }
    }
}

/// Channels in the order of the panels: each group's are padded to a multiple of [`NR`].
fn padded<T: Copy + Default>(v: &[T], groups: usize) -> Vec<T> {
    let maps = (v.len() / groups.max(1)).max(1);
    let mut out = Vec::with_capacity(groups * maps.next_multiple_of(NR));
    for group in v.chunks(maps) {
        out.extend_from_slice(group);
        out.resize(out.len().next_multiple_of(NR), T::default());
    }
    out.resize(out.len().next_multiple_of(4 * MOST_LANES), T::default()); // blocks of depthwise kernels
    out
}

/// f32: `activation(function(acc + bias + residual))`, where the accumulator starts at 0.
pub struct FloatFinish {
    bias: Vec<f32>,
    zeros: Vec<f32>,
    fused: Fused,
}

impl FloatFinish {
    /// The epilogue of this step, of `groups` groups of channels, `channels` in all.
    pub fn of(step: &Bound, groups: usize, channels: usize) -> Result<Self> {
        let fused = step.problem.op().map(Op::fused).unwrap_or_default();
        let (has_bias, _) = fused.extra_inputs(step.problem.inputs.len());
        let bias: Option<Constant<f32>> = has_bias.then(|| constant(&step.packed, 1)).transpose()?;
        let zeros = padded(&vec![0.0; channels], groups);
        let bias = bias.map_or_else(|| zeros.clone(), |b| padded(&b, groups));
        Ok(FloatFinish { bias, zeros, fused })
    }
}

impl Finish<F32> for FloatFinish {
    fn start(&self, c: usize) -> *const u8 {
        self.zeros[c..].as_ptr().cast()
    }

    fn function(&self) -> Option<UnaryFn> {
        self.fused.function
    }

    #[inline(always)]
    unsafe fn finish<S: Simd, const V: usize>(
        &self,
        to: Target,
        block: Block,
        rows: &[[S::I; V]],
        function: Option<UnaryFn>,
    ) {
        let (lo, hi) = self.fused.activation.bounds();
        let residual =
            self.fused.residual.then(|| to.io.rows::<f32>(1, to.image, to.pitch, block, rows.len()));
        let y = to.io.rows_mut::<f32>(0, to.image, to.pitch, block, rows.len());
        // SAFETY: the caller's promise; `rows` and `rows_mut` checked the bounds.
        unsafe {
            let (lo, hi) = (S::splat_f(lo), S::splat_f(hi));
            for v in 0..V.min(block.channels.div_ceil(S::LANES)) {
                let first = v * S::LANES;
                let n = S::LANES.min(block.channels - first);
                let bias = &self.bias[block.channel + first..][..S::LANES];
                let bias = S::float(S::load(bias.as_ptr().cast()));
                for (r, row) in rows.iter().enumerate() {
                    let at = r * to.pitch + first;
                    let mut t = S::add_f(S::float(row[v]), bias);
                    if let Some(residual) = residual {
                        t = S::add_f(t, S::float(S::load_n(residual.add(at).cast(), n)));
                    }
                    if let Some(f) = &function {
                        t = functions::apply::<S>(f, t);
                    }
                    t = S::min_f(hi, S::max_f(lo, t)); // NaN passes on to whoever looks for it
                    S::store_n(y.add(at).cast(), S::bits(t), n);
                }
            }
        }
    }
}

/// 8-bit: [`Epilogue`], where the accumulator starts so that zero points cancel.
pub struct IntFinish {
    epilogue: Epilogue,
    /// `-zero_point * sum(w)`, and `-128 * sum(w)` more for s8 inputs, per channel.
    start: Vec<i32>,
    residual: Option<DType>,
    function: Option<UnaryFn>,
}

impl IntFinish {
    /// The epilogue of this step, of `groups` groups of channels. `sums` holds each channel's sum of weights;
    /// `offset` is what rows have been shifted by (128 for s8 stored as u8).
    pub fn of(step: &Bound, groups: usize, sums: &[i32], offset: i32) -> Result<Self> {
        let Numerics::Multiply { zero_point, epilogue } = &step.numerics else {
            return Err(Diagnostic::new(machine::INTERNAL, format!("{} has no scales", step.problem)));
        };
        let fused = step.problem.op().map(Op::fused).unwrap_or_default();
        let start: Vec<i32> = sums.iter().map(|s| -(zero_point + offset) * s).collect();
        let residual = fused.residual.then(|| step.problem.inputs[step.problem.inputs.len() - 1].dtype);
        let mut epilogue = epilogue.clone();
        (epilogue.m, epilogue.b) = (padded(&epilogue.m, groups), padded(&epilogue.b, groups));
        // the bounds of the type and those of the activation in one
        (epilogue.lo, epilogue.hi) =
            Output { lo: epilogue.lo, hi: epilogue.hi, quant: epilogue.out }.bounds();
        Ok(IntFinish { start: padded(&start, groups), epilogue, residual, function: fused.function })
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
    fn start(&self, c: usize) -> *const u8 {
        self.start[c..].as_ptr().cast()
    }

    fn function(&self) -> Option<UnaryFn> {
        self.function
    }

    #[inline(always)]
    unsafe fn finish<S: Simd, const V: usize>(
        &self,
        to: Target,
        block: Block,
        rows: &[[S::I; V]],
        function: Option<UnaryFn>,
    ) {
        let (e, n) = (&self.epilogue, rows.len());
        assert!(block.channel + block.channels.next_multiple_of(S::LANES) <= e.m.len());
        let residual = self.residual.map(|_| to.io.rows::<u8>(1, to.image, to.pitch, block, n));
        // SAFETY: the caller's promise; `rows` and `rows_mut` checked the bounds.
        unsafe {
            match e.out {
                Some(q) => {
                    let (y, zp) =
                        (to.io.rows_mut::<u8>(0, to.image, to.pitch, block, n), S::splat(q.zero_point));
                    self.each::<S, V>(
                        to.pitch,
                        block,
                        rows,
                        residual,
                        function,
                        #[inline(always)]
                        |at, t, n| {
                            S::narrow(y.add(at), S::add(S::round(t), zp), n);
                        },
                    );
                }
                None => {
                    let y = to.io.rows_mut::<f32>(0, to.image, to.pitch, block, n);
                    self.each::<S, V>(
                        to.pitch,
                        block,
                        rows,
                        residual,
                        function,
                        #[inline(always)]
                        |at, t, n| {
                            S::store_n(y.add(at).cast(), S::bits(t), n);
                        },
                    );
                }
            }
        }
    }
}

impl IntFinish {
    /// Calls `store` with the numbers before rounding: where (elements from the block's first), what, how many.
    ///
    /// # Safety
    /// As for [`Finish::store`]; the constants have the block's channels.
    #[inline(always)]
    unsafe fn each<S: Simd, const V: usize>(
        &self,
        pitch: usize,
        block: Block,
        rows: &[[S::I; V]],
        residual: Option<*const u8>,
        function: Option<UnaryFn>,
        store: impl Fn(usize, S::F, usize),
    ) {
        for v in 0..V.min(block.channels.div_ceil(S::LANES)) {
            // whole registers apart from others: how many lanes they have is known to the compiler
            // SAFETY: the caller's promise.
            unsafe {
                match block.channels - v * S::LANES {
                    n if n < S::LANES => {
                        self.register::<S, V>(v, n, pitch, block, rows, residual, function, &store)
                    }
                    _ => self.register::<S, V>(v, S::LANES, pitch, block, rows, residual, function, &store),
                }
            }
        }
    }

    /// [`IntFinish::each`] for register `v` of each row, `n` lanes of it.
    ///
    /// # Safety
    /// As for [`IntFinish::each`].
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the caller's own, and a register
    unsafe fn register<S: Simd, const V: usize>(
        &self,
        v: usize,
        n: usize,
        pitch: usize,
        block: Block,
        rows: &[[S::I; V]],
        residual: Option<*const u8>,
        function: Option<UnaryFn>,
        store: &impl Fn(usize, S::F, usize),
    ) {
        let (e, first) = (&self.epilogue, v * S::LANES);
        let (scale, shift) = e.residual.map_or((0.0, 0), |(scale, zp)| (scale, -zp));
        let signed = self.residual == Some(DType::I8);
        // SAFETY: the caller's promise.
        unsafe {
            let (lo, hi) = (S::splat_f(e.lo), S::splat_f(e.hi));
            let (scale, shift) = (S::splat_f(scale), S::splat(shift));
            let unit = S::splat_f(e.unit.unwrap_or(1.0));
            let m = S::float(S::load(e.m.as_ptr().add(block.channel + first).cast()));
            let b = S::float(S::load(e.b.as_ptr().add(block.channel + first).cast()));
            for (r, row) in rows.iter().enumerate() {
                let at = r * pitch + first;
                let mut t = S::fma(S::to_float(row[v]), m, b);
                if let Some(residual) = residual {
                    let r = residual.add(at);
                    let r = if signed { S::widen_i8(r, n) } else { S::widen_u8(r, n) };
                    t = S::fma(S::to_float(S::add(r, shift)), scale, t);
                }
                if let Some(f) = &function {
                    t = S::mul_f(functions::apply::<S>(f, t), unit);
                }
                store(at, S::min_f(hi, S::max_f(lo, t)), n);
            }
        }
    }
}
