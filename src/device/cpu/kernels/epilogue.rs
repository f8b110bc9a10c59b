//! What happens to accumulators: bias, residual, function, activation, and storing as f32, u8 or s8. Shared by every
//! kernel that accumulates. Where there is a function, the epilogue is a function of its own, called for each block:
//! it is long, and kernels without one keep theirs short.

use super::functions;
use super::tile::{self, F32, Int8, MR, NR, Product, Reach};
use crate::base::codes::machine;
use crate::base::quant::{Epilogue, QuantParams};
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::simd::{MOST_LANES, Simd, fetch, fetch_to_write, four, pair};
use crate::device::cpu::{Block, Constant, Io, constant};
use crate::device::numerics::Output;
use crate::device::{Bound, Numerics};
use crate::ir::Op;
use crate::ir::ops::{Fused, UnaryFn};

/// Rows after which a block's successor is expected: those of two tiles of AMX, the largest there are.
const AHEAD: usize = 32;

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

    /// The sums of [`tile`](tile::tile), stored. They may lie in `acc` on the way.
    ///
    /// # Safety
    /// As for [`tile::rows`] and [`Finish::finish`].
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize>(
        &self,
        to: Target,
        x: Reach,
        rows: &[usize],
        block: Block,
        acc: &mut [[S::I; V]; MR],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            tile::tile::<S, P, V>(x, rows, acc);
            self.store::<S, V>(to, block, &acc[..rows.len()]);
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
        // SAFETY: the caller's promise.
        unsafe {
            let place = self.place::<S>(to, block, rows.len());
            for (r, row) in rows.iter().enumerate() {
                place.store(r, *row, function);
            }
        }
    }

    /// From registers: the sums of few taps cost no more than a way through memory.
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize>(
        &self,
        to: Target,
        x: Reach,
        rows: &[usize],
        block: Block,
        acc: &mut [[S::I; V]; MR],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.fused.function.is_some() {
                tile::tile::<S, F32, V>(x, rows, acc);
                return self.store::<S, V>(to, block, &acc[..rows.len()]);
            }
            let place = self.place::<S>(to, block, rows.len());
            tile::rows::<S, F32, V>(
                x,
                rows,
                #[inline(always)]
                |r, sums| place.store(r, sums, None),
            );
        }
    }
}

impl FloatFinish {
    /// Where so many rows go.
    ///
    /// # Safety
    /// As for [`Finish::store`].
    #[inline(always)]
    unsafe fn place<S: Simd>(&self, to: Target, block: Block, rows: usize) -> FloatPlace<S> {
        let (lo, hi) = self.fused.activation.bounds();
        let bias = &self.bias[block.channel..][..block.channels.next_multiple_of(S::LANES)];
        // SAFETY: the caller's promise.
        let (lo, hi) = unsafe { (S::splat_f(lo), S::splat_f(hi)) };
        let residual = self.fused.residual.then(|| to.io.rows::<f32>(1, to.image, to.pitch, block, rows));
        let y = to.io.rows_mut::<f32>(0, to.image, to.pitch, block, rows);
        FloatPlace { bias: bias.as_ptr(), lo, hi, residual, y, pitch: to.pitch, channels: block.channels }
    }
}

/// Where rows of f32 go, and what is done to them on the way.
struct FloatPlace<S: Simd> {
    bias: *const f32,
    lo: S::F,
    hi: S::F,
    residual: Option<*const f32>,
    y: *mut f32,
    pitch: usize,
    channels: usize,
}

impl<S: Simd> FloatPlace<S> {
    /// Stores a row.
    ///
    /// # Safety
    /// As for [`Finish::store`]; [`FloatFinish::place`] was told of so many rows.
    #[inline(always)]
    unsafe fn store<const V: usize>(&self, r: usize, sums: [S::I; V], function: Option<UnaryFn>) {
        for (v, sum) in sums.iter().enumerate() {
            let first = v * S::LANES;
            if first >= self.channels {
                return;
            }
            let (at, n) = (r * self.pitch + first, S::LANES.min(self.channels - first));
            // SAFETY: the caller's promise; bias, residual and output have the block's channels.
            unsafe {
                let mut t = S::add_f(S::float(*sum), S::float(S::load(self.bias.add(first).cast())));
                if let Some(residual) = self.residual {
                    t = S::add_f(t, S::float(S::load_n(residual.add(at).cast(), n)));
                }
                if let Some(f) = &function {
                    t = functions::apply::<S>(f, t);
                }
                t = S::min_f(self.hi, S::max_f(self.lo, t)); // NaN passes on to whoever looks for it
                S::store_n(self.y.add(at).cast(), S::bits(t), n);
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
    /// The least byte that is stored, with [`flip`].
    least: i32,
}

/// What is added to a number of this type so that its byte is one of u8: on their way, s8 have the sign bit flipped.
fn flip(q: QuantParams) -> i32 {
    if q.dtype == DType::I8 { 0x80 } else { 0 }
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
        let least = epilogue.out.map_or(0, |q| {
            let (lo, hi) = q.limits();
            let least = (epilogue.lo.round_ties_even() as i32).saturating_add(q.zero_point);
            least.clamp(lo, hi) + flip(q)
        });
        Ok(IntFinish { start: padded(&start, groups), epilogue, residual, function: fused.function, least })
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
                    let y = to.io.rows_mut::<u8>(0, to.image, to.pitch, block, n);
                    if block.channels == V * S::LANES && function.is_none() {
                        let place = Packed { q, pitch: to.pitch, channel: block.channel, y };
                        return self.packed::<S, V>(place, rows, residual);
                    }
                    let zp = S::splat(q.zero_point);
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

/// Where bytes go: whole registers of channels, from `channel` on, of rows `pitch` apart.
struct Packed {
    q: QuantParams,
    pitch: usize,
    channel: usize,
    y: *mut u8,
}

/// The constants of a register of channels.
#[derive(Clone, Copy)]
struct Scales<S: Simd> {
    m: S::F,
    b: S::F,
    lo: S::F,
    hi: S::F,
    /// Of the residual: scale, and what takes its zero point away.
    scale: S::F,
    shift: S::I,
}

impl IntFinish {
    /// # Safety
    /// As for [`Simd`]; there are constants for a register of channels from `channel` on.
    #[inline(always)]
    unsafe fn scales<S: Simd>(&self, channel: usize) -> Scales<S> {
        let e = &self.epilogue;
        let (scale, shift) = e.residual.map_or((0.0, 0), |(scale, zp)| (scale, -zp));
        // SAFETY: the caller's promise.
        unsafe {
            Scales {
                m: S::float(S::load(e.m.as_ptr().add(channel).cast())),
                b: S::float(S::load(e.b.as_ptr().add(channel).cast())),
                lo: S::splat_f(e.lo),
                hi: S::splat_f(e.hi),
                scale: S::splat_f(scale),
                shift: S::splat(shift),
            }
        }
    }

    /// A register before rounding. The upper bound is applied, the lower one is the caller's.
    ///
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    unsafe fn number<S: Simd>(
        &self,
        k: &Scales<S>,
        acc: S::I,
        residual: Option<S::I>,
        function: Option<UnaryFn>,
    ) -> S::F {
        // SAFETY: the caller's promise.
        unsafe {
            let mut t = S::fma(S::to_float(acc), k.m, k.b);
            if let Some(r) = residual {
                t = S::fma(S::to_float(S::add(r, k.shift)), k.scale, t);
            }
            if let Some(f) = &function {
                t = S::mul_f(functions::apply::<S>(f, t), S::splat_f(self.epilogue.unit.unwrap_or(1.0)));
            }
            S::min_f(k.hi, t)
        }
    }

    /// Stores whole registers as bytes.
    ///
    /// # Safety
    /// As for [`Finish::store`]; the pointers and the constants have all rows and channels.
    #[inline(always)]
    unsafe fn packed<S: Simd, const V: usize>(
        &self,
        to: Packed,
        rows: &[[S::I; V]],
        residual: Option<*const u8>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            // a loop for each kind: a question inside would cost as much as the numbers
            match residual {
                None => self.packed_by::<S, V>(
                    to,
                    rows,
                    None,
                    #[inline(always)]
                    |x| S::widen_u8(x, S::LANES),
                ),
                Some(x) if self.residual == Some(DType::I8) => self.packed_by::<S, V>(
                    to,
                    rows,
                    Some(x),
                    #[inline(always)]
                    |x| S::widen_i8(x, S::LANES),
                ),
                Some(x) => self.packed_by::<S, V>(
                    to,
                    rows,
                    Some(x),
                    #[inline(always)]
                    |x| S::widen_u8(x, S::LANES),
                ),
            }
        }
    }

    /// [`IntFinish::packed`], four registers at a time, with a residual that `widen` reads. Lower bounds are applied to
    /// bytes, where they take one instruction for all four: rounding keeps the order of numbers.
    ///
    /// # Safety
    /// As for [`IntFinish::packed`].
    #[inline(always)]
    unsafe fn packed_by<S: Simd, const V: usize>(
        &self,
        to: Packed,
        rows: &[[S::I; V]],
        residual: Option<*const u8>,
        widen: impl Fn(*const u8) -> S::I,
    ) {
        let Packed { q, pitch, channel, y } = to;
        let (flip, least) = (flip(q), self.least);
        // SAFETY: the caller's promise.
        unsafe {
            let (zero, flip) = (S::splat(pair(q.zero_point + flip)), S::splat(four(flip)));
            let least = S::splat(four(least));
            let mut k = [self.scales::<S>(channel); V];
            for (v, k) in k.iter_mut().enumerate().skip(1) {
                *k = self.scales::<S>(channel + v * S::LANES);
            }
            for first in (0..rows.len()).step_by(4 / V) {
                // too few rows for four registers: the last one once more
                let row = |i: usize| (first + i).min(rows.len() - 1);
                // rows lie far apart: no hardware guesses where the next ones are
                for r in 0..4 / V {
                    let next = (first + r + AHEAD) * pitch;
                    fetch_to_write(y.wrapping_add(next));
                    if let Some(x) = residual {
                        fetch(x.wrapping_add(next));
                    }
                }
                let mut t = [S::splat(0); 4];
                for (i, t) in t.iter_mut().enumerate() {
                    let (r, v) = (row(i / V), i % V);
                    let residual = residual.map(|x| widen(x.add(r * pitch + v * S::LANES)));
                    *t = S::round(self.number::<S>(&k[v], rows[r][v], residual, None));
                }
                let bytes = S::xor(S::max_u8(S::pack(t, zero), least), flip);
                let place = |r: usize| y.add(row(r) * pitch);
                match V {
                    1 => S::store_parts([place(0), place(1), place(2), place(3)], bytes),
                    2 => S::store_parts([place(0), place(1)], bytes),
                    _ => S::store_parts([place(0)], bytes),
                }
            }
        }
    }

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
        let signed = self.residual == Some(DType::I8);
        for v in 0..V.min(block.channels.div_ceil(S::LANES)) {
            let first = v * S::LANES;
            let n = S::LANES.min(block.channels - first);
            // SAFETY: the caller's promise.
            unsafe {
                let k = self.scales::<S>(block.channel + first);
                for (r, row) in rows.iter().enumerate() {
                    let at = r * pitch + first;
                    let widen = |x: *const u8| {
                        if signed { S::widen_i8(x.add(at), n) } else { S::widen_u8(x.add(at), n) }
                    };
                    let t = self.number::<S>(&k, row[v], residual.map(widen), function);
                    store(at, S::max_f(k.lo, t), n);
                }
            }
        }
    }
}
