//! What happens to accumulators: bias, residual, function, activation, and storing as f32, u8 or s8. Shared by every
//! kernel that accumulates. Where there is a function, the epilogue is a function of its own, called for each block:
//! it is long, and kernels without one keep theirs short.

mod integer;

pub use integer::IntFinish;

use super::functions;
use super::tile::{self, F32, MR, NR, Product, Reach};
use crate::base::Result;
use crate::device::Bound;
use crate::device::cpu::simd::{MOST_LANES, Simd};
use crate::device::cpu::{Block, Constant, Io, constant};
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
