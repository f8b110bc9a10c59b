//! f32: the image is read where it lies. A window at its edge leaves out the taps that are in the padding, so nothing
//! is copied and no zeros are multiplied; each channel's sum runs over the other taps in order.

use crate::device::cpu::kernels::epilogue::{Finish, FloatFinish, Target};
use crate::device::cpu::kernels::tile::{F32, Product};
use crate::device::cpu::kernels::window::Walk;
use crate::device::cpu::simd::{MOST_LANES, Simd};
use crate::device::cpu::{Block, Constant, Io, Kernel};
use std::marker::PhantomData;
use std::ops::Range;

/// Neighbouring outputs whose sums are in registers at once.
const MOST: usize = 8;
/// Tasks of an image, at most: enough to share, each of several lines, which neighbouring windows read together.
const TASKS: usize = 16;

/// Weights as `[taps][channels]`, the channels padded to whole registers.
pub fn side_by_side(w: &[f32], walk: &Walk) -> Vec<u8> {
    let (taps, channels) = (walk.g.kernel[0] * walk.g.kernel[1], padded(walk));
    let mut out = vec![0f32; taps * channels];
    w.iter().enumerate().for_each(|(i, &w)| out[i % taps * channels + i / taps] = w);
    bytemuck::cast_slice(&out).to_vec()
}

fn padded(walk: &Walk) -> usize {
    walk.outputs.next_multiple_of(MOST_LANES)
}

/// Neighbouring outputs of a line, whose windows have the same taps in the image.
#[derive(Clone)]
struct Run {
    /// The output line.
    line: usize,
    /// The first output.
    first: usize,
    /// Lines and columns of the kernel that are in the image.
    taps: [Range<usize>; 2],
}

/// The kernel.
pub struct InPlace<S> {
    walk: Walk,
    weights: Constant<f32>,
    finish: FloatFinish,
    /// Output lines of a task.
    band: usize,
    /// Numbers between output pixels.
    pitch: usize,
    simd: PhantomData<S>,
}

impl<S: Simd> InPlace<S> {
    /// A kernel with weights as [`side_by_side`] leaves them.
    pub fn new(walk: Walk, pitch: usize, weights: Constant<f32>, finish: FloatFinish) -> Self {
        let band = walk.g.output[0].div_ceil(TASKS).max(1);
        InPlace { walk, weights, finish, band, pitch, simd: PhantomData }
    }

    /// One output line.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; no other task has this line.
    #[inline(always)]
    unsafe fn line(&self, to: Target, line: usize, x: &[f32]) {
        let g = &self.walk.g;
        let (lines, whole) = (g.taps(0, line), g.whole(1));
        let edges = (0..whole.start).chain(whole.end..g.output[1]);
        // SAFETY: the caller's promise.
        unsafe {
            for first in edges {
                let run = Run { line, first, taps: [lines.clone(), g.taps(1, first)] };
                self.outputs::<1>(to, x, &run);
            }
            let groups = whole.len().div_ceil(MOST);
            for i in 0..groups {
                let [first, end] = [i, i + 1].map(|i| whole.start + i * whole.len() / groups);
                let run = Run { line, first, taps: [lines.clone(), 0..g.kernel[1]] };
                self.several(to, x, &run, end - first);
            }
        }
    }

    /// [`InPlace::outputs`] of so many.
    ///
    /// # Safety
    /// As for [`InPlace::line`].
    #[inline(always)]
    unsafe fn several(&self, to: Target, x: &[f32], run: &Run, count: usize) {
        macro_rules! by_count {
            ($($n:literal)*) => {
                match count {
                    // SAFETY: the caller's promise.
                    $($n => unsafe { self.outputs::<$n>(to, x, run) },)*
                    n => unreachable!("a run of {n} outputs"),
                }
            };
        }
        by_count!(1 2 3 4 5 6 7 8);
    }

    /// All channels of `N` neighbouring outputs.
    ///
    /// # Safety
    /// As for [`InPlace::line`].
    #[inline(always)]
    unsafe fn outputs<const N: usize>(&self, to: Target, x: &[f32], run: &Run) {
        let (g, channels) = (&self.walk.g, self.walk.outputs);
        let first = [run.line, run.first];
        // the first tap in the image; there is none where a window lies in the padding altogether
        let source = |axis: usize| g.source(axis, first[axis], run.taps[axis].start).unwrap_or(0);
        let x = &x[(source(0) * g.input[1] + source(1)) * channels..];
        let at = (run.line * g.output[1] + run.first) * to.pitch;
        for c in (0..channels).step_by(S::LANES) {
            // the last register overlaps the one before it, where there is one
            let c = c.min(channels.saturating_sub(S::LANES));
            let block = Block { at: at + c, channel: c, channels: S::LANES.min(channels) };
            // SAFETY: the caller's promise.
            unsafe {
                let sums = match channels < S::LANES {
                    true => self.sums::<N, true>(x, c, &run.taps),
                    false => self.sums::<N, false>(x, c, &run.taps),
                };
                self.finish.store::<S, 1>(to, block, &sums);
            }
        }
    }

    /// The sums of one register of channels from `c` on, `FEW` if the image has not so many; `x` starts with the first
    /// tap of the first output.
    ///
    /// # Safety
    /// As for [`InPlace::line`].
    #[inline(always)]
    unsafe fn sums<const N: usize, const FEW: bool>(
        &self,
        x: &[f32],
        c: usize,
        [lines, columns]: &[Range<usize>; 2],
    ) -> [[S::I; 1]; N] {
        let (g, channels) = (&self.walk.g, self.walk.outputs);
        let (line, column) = (g.dilations[0] * g.input[1] * channels, g.dilations[1] * channels);
        let stride = g.strides[1] * channels;
        if !lines.is_empty() && !columns.is_empty() {
            let last = (lines.len() - 1) * line + (columns.len() - 1) * column + (N - 1) * stride;
            assert!(last + channels <= x.len());
        }
        let weights = &self.weights[..g.kernel[0] * g.kernel[1] * padded(&self.walk)];
        // SAFETY: the caller's promise; the last number that is read was looked for above.
        unsafe {
            let mut sums = [[S::splat(0)]; N];
            for i in lines.clone() {
                let mut x = x.as_ptr().add((i - lines.start) * line + c);
                let mut w = weights.as_ptr().add((i * g.kernel[1] + columns.start) * padded(&self.walk) + c);
                for _ in columns.clone() {
                    let weights = S::load(w.cast());
                    for (o, sum) in sums.iter_mut().enumerate() {
                        let x = x.add(o * stride).cast();
                        let x = if FEW { S::load_n(x, channels) } else { S::load(x) };
                        sum[0] = F32::multiply::<S>(sum[0], x, weights);
                    }
                    (x, w) = (x.wrapping_add(column), w.wrapping_add(padded(&self.walk)));
                }
            }
            sums
        }
    }
}

impl<S: Simd> Kernel for InPlace<S> {
    fn tasks(&self) -> usize {
        self.walk.g.output[0].div_ceil(self.band)
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let lines = task * self.band..((task + 1) * self.band).min(self.walk.g.output[0]);
        let x = io.input::<f32>(0, image);
        let to = Target { io, image, pitch: self.pitch };
        // SAFETY: `variants` offers `S` where the CPU has it; tasks differ in lines.
        unsafe {
            S::within(
                #[inline(always)]
                || {
                    for line in lines.clone() {
                        self.line(to, line, x);
                    }
                },
            );
        }
    }
}
