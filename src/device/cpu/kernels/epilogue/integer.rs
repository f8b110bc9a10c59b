//! 8 bits: real numbers of sums, and bytes of those.

use super::{Finish, Target, padded};
use crate::base::codes::machine;
use crate::base::quant::{Epilogue, QuantParams};
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::Block;
use crate::device::cpu::kernels::functions;
use crate::device::cpu::kernels::tile::Int8;
use crate::device::cpu::simd::{Simd, fetch, fetch_to_write, four, pair};
use crate::device::numerics::Output;
use crate::device::{Bound, Numerics};
use crate::ir::Op;
use crate::ir::ops::UnaryFn;

/// Rows after which a block's successor is expected: those of two tiles of AMX, the largest there are.
const AHEAD: usize = 32;

/// 8-bit: [`Epilogue`], where the accumulator starts so that zero points cancel.
pub struct IntFinish {
    epilogue: Epilogue,
    /// `-zero_point * sum(w)`, and `-128 * sum(w)` more for s8 inputs, per channel.
    start: Vec<i32>,
    residual: Option<DType>,
    function: Option<UnaryFn>,
    /// The least and the greatest byte that are stored, with [`flip`].
    bounds: [i32; 2],
    /// Is every number before rounding within the integers, so that bounds may be applied to bytes?
    within: bool,
    /// Do bytes need no more than to be packed: no zero point, no bounds but those of u8, no zero point of the residual?
    plain: bool,
}

/// What is added to a number of this type so that its byte is one of u8: on their way, s8 have the sign bit flipped.
fn flip(q: QuantParams) -> i32 {
    if q.dtype == DType::I8 { 0x80 } else { 0 }
}

/// The bytes that an epilogue's bounds become, with [`flip`].
fn bytes(e: &Epilogue) -> [i32; 2] {
    let Some(q) = e.out else { return [0, 255] };
    let (lo, hi) = q.limits();
    [e.lo, e.hi].map(|bound| {
        let byte = (bound.round_ties_even() as i32).saturating_add(q.zero_point);
        byte.clamp(lo, hi) + flip(q)
    })
}

/// The largest magnitude that a number may have before rounding, where sums have at most `sums`.
fn reach(e: &Epilogue, sums: f64) -> f64 {
    let most = |v: &[f32]| v.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max);
    let residual = e.residual.map_or(0.0, |(scale, _)| 256.0 * f64::from(scale.abs()));
    // each of the operations rounds
    (most(&e.m) * sums + most(&e.b) + residual) * (1.0 + 1e-6)
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
        // so much may a sum be off zero: what is multiplied, and where it starts
        let depth: usize = step.problem.inputs[1].shape[1..].iter().product();
        let most = (depth as f64 * 128.0 * (255.0 + 384.0)).min(f64::from(i32::MIN).abs());
        let (bounds, shift) = (bytes(&epilogue), epilogue.residual.map_or(0, |(_, zp)| zp));
        let zero = epilogue.out.map_or(0, |q| q.zero_point + flip(q));
        Ok(IntFinish {
            start: padded(&start, groups),
            residual,
            function: fused.function,
            bounds,
            within: reach(&epilogue, most) < f64::from(i32::MAX),
            plain: bounds == [0, 255] && shift == 0 && zero == 0,
            epilogue,
        })
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
                    if block.channels == V * S::LANES && function.is_none() && self.within {
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

    /// A register before bounds and rounding. `shifted` says whether the residual has a zero point.
    ///
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    unsafe fn number<S: Simd>(
        &self,
        k: &Scales<S>,
        acc: S::I,
        residual: Option<S::I>,
        shifted: bool,
        function: Option<UnaryFn>,
    ) -> S::F {
        // SAFETY: the caller's promise.
        unsafe {
            let mut t = S::fma(S::to_float(acc), k.m, k.b);
            if let Some(r) = residual {
                let r = if shifted { S::add(r, k.shift) } else { r };
                t = S::fma(S::to_float(r), k.scale, t);
            }
            if let Some(f) = &function {
                t = S::mul_f(functions::apply::<S>(f, t), S::splat_f(self.epilogue.unit.unwrap_or(1.0)));
            }
            t
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
            match self.plain {
                true => self.packed_as::<S, V, true>(to, rows, residual),
                false => self.packed_as::<S, V, false>(to, rows, residual),
            }
        }
    }

    /// A loop for each kind of residual: a question inside would cost as much as the numbers.
    ///
    /// # Safety
    /// As for [`IntFinish::packed`].
    #[inline(always)]
    unsafe fn packed_as<S: Simd, const V: usize, const PLAIN: bool>(
        &self,
        to: Packed,
        rows: &[[S::I; V]],
        residual: Option<*const u8>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match residual {
                None => self.packed_by::<S, V, PLAIN>(
                    to,
                    rows,
                    None,
                    #[inline(always)]
                    |x| S::widen_u8(x, S::LANES),
                ),
                Some(x) if self.residual == Some(DType::I8) => self.packed_by::<S, V, PLAIN>(
                    to,
                    rows,
                    Some(x),
                    #[inline(always)]
                    |x| S::widen_i8(x, S::LANES),
                ),
                Some(x) => self.packed_by::<S, V, PLAIN>(
                    to,
                    rows,
                    Some(x),
                    #[inline(always)]
                    |x| S::widen_u8(x, S::LANES),
                ),
            }
        }
    }

    /// [`IntFinish::packed`], four registers at a time, with a residual that `widen` reads. Bounds are applied to bytes,
    /// where they take one instruction for all four: rounding keeps the order of numbers, and packing saturates.
    ///
    /// # Safety
    /// As for [`IntFinish::packed`].
    #[inline(always)]
    unsafe fn packed_by<S: Simd, const V: usize, const PLAIN: bool>(
        &self,
        to: Packed,
        rows: &[[S::I; V]],
        residual: Option<*const u8>,
        widen: impl Fn(*const u8) -> S::I,
    ) {
        let Packed { q, pitch, channel, y } = to;
        // known when this is compiled where bytes are plain: what they do to numbers then takes no instruction
        let (zero, flip, [least, most]) = match PLAIN {
            true => (0, 0, [0, 255]),
            false => (q.zero_point + flip(q), flip(q), self.bounds),
        };
        // SAFETY: the caller's promise.
        unsafe {
            let (zero, flip) = (S::splat(pair(zero)), S::splat(four(flip)));
            let (least, most) = (S::splat(four(least)), S::splat(four(most)));
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
                    *t = S::round(self.number::<S>(&k[v], rows[r][v], residual, !PLAIN, None));
                }
                let bytes = S::xor(S::min_u8(S::max_u8(S::pack(t, zero), least), most), flip);
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
                    let t = self.number::<S>(&k, row[v], residual.map(widen), true, function);
                    store(at, S::max_f(k.lo, S::min_f(k.hi, t)), n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::quant::Scale;

    #[test]
    fn bounds_become_bytes_and_reach_is_that_of_the_largest_sum() {
        let of = |dtype, zero_point, lo, hi| {
            let scale = Scale::new(0.5).unwrap();
            let out = Some(QuantParams { dtype, scale, zero_point });
            let (m, b) = (vec![0.5, -2.0], vec![3.0, -7.0]);
            Epilogue { m, b, residual: Some((0.25, 3)), unit: None, lo, hi, out }
        };
        assert_eq!(bytes(&of(DType::U8, 0, f32::NEG_INFINITY, f32::INFINITY)), [0, 255]);
        assert_eq!(bytes(&of(DType::U8, 10, 0.0, 12.5)), [10, 22]); // half to even
        assert_eq!(bytes(&of(DType::I8, 0, 0.0, f32::INFINITY)), [128, 255]);
        assert_eq!(bytes(&of(DType::I8, 0, f32::NEG_INFINITY, 1.0)), [0, 129]);
        let reached = reach(&of(DType::U8, 0, 0.0, 1.0), 1000.0);
        assert!((2071.0..2071.1).contains(&reached), "{reached}"); // 2 * 1000 + 7 + 256 * 0.25
    }
}
