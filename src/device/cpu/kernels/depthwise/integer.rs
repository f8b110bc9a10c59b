//! 8 bits: four neighbouring pixels are interleaved so that each channel's four numbers lie in one lane, and one
//! instruction multiplies them by a kernel line of up to four taps. With stride 1 the same four pixels serve two
//! neighbouring outputs, the second with its taps moved on by one.

use crate::base::Result;
use crate::device::Bound;
use crate::device::cpu::kernels::epilogue::{Finish, IntFinish, Target};
use crate::device::cpu::kernels::window::{Fill, Walk};
use crate::device::cpu::simd::{Simd, quad_byte, quads};
use crate::device::cpu::{Block, Constant, Io, Kernel, constant};
use std::marker::PhantomData;
use std::ops::Range;

/// Bytes of padded lines that a task reads.
const BAND_BYTES: usize = 128 << 10;
/// Neighbouring outputs whose sums are stored at once.
const MOST: usize = 8;

/// What [`MOST`] neighbouring outputs read, over one block of four registers of channels.
struct Windows<'a> {
    walk: &'a Walk,
    /// Where the first output's window starts, with its first channel.
    x: *const u8,
    /// Bytes of a line.
    line: usize,
    weights: &'a [i8],
    /// The block's first channel.
    c: usize,
    /// What the sums begin with.
    start: *const u8,
}

/// Bytes after the last line that may be read: whole registers of whole groups of pixels.
fn slack<S: Simd>(w: &Walk, pixel: usize) -> usize {
    let g = &w.g;
    (MOST * g.strides[1] + (g.kernel[1] + 4) * g.dilations[1]) * pixel + 4 * S::BYTES
}

/// Outputs that the same four pixels serve.
fn sharing(w: &Walk) -> usize {
    if w.g.strides[1] == 1 && w.g.dilations[1] == 1 { 2 } else { 1 }
}

/// Groups of four taps of a kernel line, for all outputs that share them.
fn quads_each(w: &Walk) -> usize {
    (w.g.kernel[1] + sharing(w) - 1).div_ceil(4)
}

/// Weights `[block][kh][quad][output][4][lanes][4]`: for each output, taps where it has them and zeros elsewhere.
pub fn interleaved(w: &[i8], walk: &Walk, lanes: usize) -> Vec<u8> {
    let ([kh, kw], outputs, quads) = (walk.g.kernel, sharing(walk), quads_each(walk));
    let block = 4 * lanes;
    let mut out = Vec::new();
    for first in (0..walk.outputs).step_by(block) {
        for (i, quad, output) in (0..kh)
            .flat_map(|i| (0..quads).map(move |q| (i, q)))
            .flat_map(|(i, q)| (0..outputs).map(move |o| (i, q, o)))
        {
            for (register, lane) in (0..4).flat_map(|r| (0..lanes).map(move |l| (r, l))) {
                let c = first + quad_byte(register, lane);
                out.extend((0..4).map(|t| match (4 * quad + t).checked_sub(output) {
                    Some(j) if j < kw && c < walk.outputs => w[(c * kh + i) * kw + j] as u8,
                    _ => 0,
                }));
            }
        }
    }
    out
}

/// The sums of each output.
///
/// # Safety
/// As for [`Simd`], inside of [`Simd::within`]; [`slack`] bytes after the last line may be read.
#[inline(always)]
unsafe fn sums<S: Simd>(windows: &Windows, acc: &mut [[S::I; 4]; MOST]) {
    // SAFETY: the caller's promise.
    unsafe {
        match sharing(windows.walk) {
            2 => quadwise::<S, 2>(windows, acc),
            _ => quadwise::<S, 1>(windows, acc),
        }
    }
}

/// [`sums`], where `N` outputs share four pixels.
///
/// # Safety
/// As for [`sums`].
#[inline(always)]
unsafe fn quadwise<S: Simd, const N: usize>(windows: &Windows, acc: &mut [[S::I; 4]; MOST]) {
    let &Windows { walk: w, x, line, weights, c, start } = windows;
    let (g, quads_each) = (&w.g, quads_each(w));
    let (stride, column) = (g.strides[1] * w.inputs, g.dilations[1] * w.inputs);
    let len = g.kernel[0] * quads_each * N * 4 * S::BYTES;
    let weights = weights[c / (4 * S::LANES) * len..][..len].as_ptr().cast::<u8>();
    // SAFETY: the caller's promise; weights were counted.
    unsafe {
        let mut first = [S::splat(0); 4];
        for (v, first) in first.iter_mut().enumerate() {
            *first = S::load(start.add(v * S::BYTES));
        }
        for (pair, acc) in acc.chunks_exact_mut(N).enumerate() {
            let (x, mut from) = (x.add(pair * N * stride), weights);
            let mut sums = [[S::splat(0); 4]; N];
            for i in 0..g.kernel[0] {
                let mut x = x.add(i * g.dilations[0] * line);
                for _ in 0..quads_each {
                    let (a, b) = (S::load(x), S::load(x.add(column)));
                    let (c, d) = (S::load(x.add(2 * column)), S::load(x.add(3 * column)));
                    let q = quads::<S>(a, b, c, d);
                    for sums in &mut sums {
                        for r in 0..4 {
                            sums[r] = S::dot4(sums[r], q[r], S::load(from.add(r * S::BYTES)));
                        }
                        from = from.add(4 * S::BYTES);
                    }
                    x = x.add(4 * column);
                }
            }
            for (acc, sums) in acc.iter_mut().zip(sums) {
                let sums = S::unquads(sums);
                for v in 0..4 {
                    acc[v] = S::add(sums[v], first[v]);
                }
            }
        }
    }
}

/// The kernel.
pub struct Interleaved<S> {
    walk: Walk,
    weights: Constant<i8>,
    finish: IntFinish,
    fill: Fill,
    /// Bytes of a padded input line.
    line: usize,
    /// Output lines of a task.
    pub band: usize,
    /// Numbers between output pixels.
    pitch: usize,
    simd: PhantomData<S>,
}

impl<S: Simd> Interleaved<S> {
    /// The kernel of this step, with weights as [`interleaved`] leaves them.
    pub fn of(step: &Bound) -> Result<Self> {
        let (walk, fill) = (Walk::of(&step.problem), Fill::of(step));
        let finish = IntFinish::of(step, 1, &constant::<i32>(&step.packed, 1)?, fill.flip.into())?;
        let line = walk.columns() * walk.inputs;
        let band = (BAND_BYTES / (line * walk.g.strides[0]).max(1)).clamp(1, walk.g.output[0].max(1));
        let pitch = step.problem.outputs[0].pitch.unwrap_or(walk.outputs);
        let weights = constant(&step.packed, 0)?;
        Ok(Interleaved { walk, weights, finish, fill, line, band, pitch, simd: PhantomData })
    }

    /// Output lines and columns.
    pub fn output(&self) -> [usize; 2] {
        self.walk.g.output
    }

    /// Bytes of the copy of what so many lines read.
    pub fn copied(&self, lines: usize) -> usize {
        self.walk.lines(lines) * self.line + slack::<S>(&self.walk, self.walk.inputs)
    }

    /// Copies what these output lines of an image read.
    pub fn copy(&self, x: &[u8], lines: Range<usize>, copy: &mut [u8]) {
        let copy = &mut copy[..self.copied(lines.len())];
        // SAFETY: `variants` offers `S` where the CPU has it.
        unsafe {
            S::within(
                #[inline(always)]
                || self.walk.copy(x, lines.clone(), &self.fill, copy),
            );
        }
    }

    /// So many output lines, from a copy of what they and perhaps others read: the first is line `line` of those of the copy,
    /// and goes to line `to_line` of where it is stored.
    ///
    /// # Safety
    /// No other task writes these lines there.
    pub unsafe fn lines(
        &self,
        io: &Io,
        image: usize,
        [line, to_line]: [usize; 2],
        count: usize,
        copy: &[u8],
    ) {
        let to = Target { io, image, pitch: self.pitch };
        let copy = &copy[line * self.walk.g.strides[0] * self.line..];
        assert!(self.copied(count) <= copy.len());
        // SAFETY: `variants` offers `S` where the CPU has it; the copy holds what the lines read; the caller's promise.
        unsafe {
            S::within(
                #[inline(always)]
                || {
                    for i in 0..count {
                        let x = copy[i * self.walk.g.strides[0] * self.line..].as_ptr();
                        self.line(to, to_line + i, x);
                    }
                },
            );
        }
    }

    /// One output line, whose input starts at `x`.
    ///
    /// # Safety
    /// As for [`sums`]; no other task has this line.
    #[inline(always)]
    unsafe fn line(&self, to: Target, oh: usize, x: *const u8) {
        let w = &self.walk;
        let (width, stride) = (w.g.output[1], w.g.strides[1] * w.inputs);
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = [[S::splat(0); 4]; MOST];
            for c in (0..w.outputs).step_by(4 * S::LANES) {
                let channels = (w.outputs - c).min(4 * S::LANES);
                let start = self.finish.start(c);
                for ow in (0..width).step_by(MOST) {
                    let x = x.add(ow * stride + c);
                    let windows = Windows { walk: w, x, line: self.line, weights: &self.weights, c, start };
                    sums::<S>(&windows, &mut acc);
                    let block = Block { at: (oh * width + ow) * to.pitch + c, channel: c, channels };
                    self.finish.store::<S, 4>(to, block, &acc[..MOST.min(width - ow)]);
                }
            }
        }
    }
}

impl<S: Simd> Kernel for Interleaved<S> {
    fn tasks(&self) -> usize {
        self.walk.g.output[0].div_ceil(self.band)
    }

    fn scratch(&self) -> usize {
        self.copied(self.band)
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let lines = task * self.band..((task + 1) * self.band).min(self.walk.g.output[0]);
        self.copy(io.input(0, image), lines.clone(), scratch);
        // SAFETY: tasks differ in lines.
        unsafe { self.lines(io, image, [0, lines.start], lines.len(), scratch) }
    }
}
