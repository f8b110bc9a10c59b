//! Depthwise convolution: one input channel for each output channel, so that channels lie side by side in memory and
//! in registers.
//!
//! Integers: four neighbouring pixels are interleaved so that each channel's four numbers lie in one lane, and one
//! instruction multiplies them by a kernel line of up to four taps. With stride 1 the same four pixels serve two
//! neighbouring outputs, the second with its taps moved on by one.

use super::epilogue::{Finish, FloatFinish, IntFinish, Target};
use super::tile::{F32, Int8, Product};
use super::window::{Fill, Walk};
use crate::base::{DType, Result, Tensor};
#[cfg(target_arch = "x86_64")]
use crate::device::cpu::simd::{Avx2, Avx512, Vnni256};
use crate::device::cpu::simd::{MOST_LANES, Scalar, Simd, quad_byte, quads};
use crate::device::cpu::{Block, Constant, Family, Io, Isa, Kernel, constant};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use std::marker::PhantomData;

/// Bytes of padded lines that a task reads.
const BAND_BYTES: usize = 128 << 10;
/// Channels that constants are padded to: a block of the widest registers.
const BLOCK: usize = 4 * MOST_LANES;

/// AVX-512 VNNI with eight lanes: half as many channels a block.
const HALF: &str = "avx512-vnni-256";

/// The vectors of a variant.
macro_rules! with_variant {
    ($variant:expr, $S:ident => $body:expr) => {
        match &$variant[..] {
            #[cfg(target_arch = "x86_64")]
            "avx512-vnni" => {
                type $S = Avx512;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            HALF => {
                type $S = Vnni256;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            "avx2" => {
                type $S = Avx2;
                $body
            }
            _ => {
                type $S = Scalar;
                $body
            }
        }
    };
}
/// The family.
pub struct Depthwise;

impl Family for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn doc(&self) -> &'static str {
        "Conv with as many groups as channels, f32 and 8-bit: channels side by side"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let fits = match p.op() {
            Some(Op::Conv(c)) => {
                let w = &p.inputs[1];
                w.constant && w.shape[1] == 1 && w.shape[0] == c.groups && p.is_stored(Layout::ChannelsLast)
            }
            _ => false,
        };
        match (fits, isa) {
            (false, _) => vec![],
            (_, Isa::Avx512Vnni | Isa::Amx) => vec![HALF, Isa::Avx512Vnni.name()],
            _ => vec![isa.name()],
        }
    }

    fn writes_rows_apart(&self, p: &Problem) -> bool {
        p.op().is_some_and(|op| !op.fused().residual) // residuals are read at the places that are written
    }

    fn pack(&self, p: &Problem, variant: &str, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let walk = Walk::of(p);
        if let Some(w) = tensors[0].as_slice::<i8>() {
            let taps = walk.g.kernel[0] * walk.g.kernel[1];
            let sums: Vec<i32> = w.chunks(taps).map(|w| w.iter().map(|&w| i32::from(w)).sum()).collect();
            let lanes = with_variant!(variant, S => S::LANES);
            return Ok(vec![interleaved(w, &walk, lanes), bytemuck::cast_slice(&sums).to_vec()]);
        }
        let w = tensors[0].as_slice::<f32>().unwrap_or_default();
        let rest = tensors[1..].iter().map(|t| t.bytes().to_vec());
        Ok(std::iter::once(side_by_side(w, &walk)).chain(rest).collect())
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let walk = Walk::of(p);
        let pitch = p.outputs[0].pitch.unwrap_or(walk.outputs);
        match p.inputs[0].dtype {
            DType::F32 => {
                let finish = FloatFinish::of(step, 1, walk.outputs)?;
                let (w, fill) = (constant(&step.packed, 0)?, Fill { number: vec![0; 4], flip: 0 });
                Ok(with_variant!(&step.tactic.variant, S => {
                    Box::new(SideBySide::<S, F32, _>::new(walk, pitch, w, finish, fill))
                }))
            }
            dtype => {
                let flip = if dtype == DType::I8 { 0x80 } else { 0 };
                let finish = IntFinish::of(step, 1, &constant::<i32>(&step.packed, 1)?, i32::from(flip))?;
                let fill = Fill { number: vec![IntFinish::zero_point(step) as u8], flip };
                let w = constant(&step.packed, 0)?;
                Ok(with_variant!(&step.tactic.variant, S => {
                    Box::new(SideBySide::<S, Int8, _>::new(walk, pitch, w, finish, fill))
                }))
            }
        }
    }
}

/// Neighbouring outputs whose sums are stored at once.
const MOST: usize = 8;

/// What [`MOST`] neighbouring outputs read, over one block of channels.
struct Windows<'a, P: Product> {
    walk: &'a Walk,
    /// Where the first output's window starts, with its first channel.
    x: *const u8,
    /// Bytes of a line.
    line: usize,
    weights: &'a [P::Weight],
    /// The block's first channel.
    c: usize,
    /// What the sums of integers begin with.
    start: *const u8,
}

/// A product of pixels by weights, channel by channel, in blocks of four registers of channels.
trait Channelwise: Product {
    /// The sums of each output.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; [`slack`] bytes after the last line may be read.
    unsafe fn sums<S: Simd>(windows: &Windows<Self>, acc: &mut [[S::I; 4]; MOST])
    where
        Self: Sized;
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
fn interleaved(w: &[i8], walk: &Walk, lanes: usize) -> Vec<u8> {
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

impl Channelwise for Int8 {
    #[inline(always)]
    unsafe fn sums<S: Simd>(windows: &Windows<Int8>, acc: &mut [[S::I; 4]; MOST]) {
        // SAFETY: the caller's promise.
        unsafe {
            match sharing(windows.walk) {
                2 => quadwise::<S, 2>(windows, acc),
                _ => quadwise::<S, 1>(windows, acc),
            }
        }
    }
}

/// [`Channelwise::sums`] of integers, where `N` outputs share four pixels.
///
/// # Safety
/// As for [`Channelwise::sums`].
#[inline(always)]
unsafe fn quadwise<S: Simd, const N: usize>(windows: &Windows<Int8>, acc: &mut [[S::I; 4]; MOST]) {
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

/// Weights as `[taps][channels]`, the channels padded to whole blocks.
fn side_by_side(w: &[f32], walk: &Walk) -> Vec<u8> {
    let taps = walk.g.kernel[0] * walk.g.kernel[1];
    let channels = walk.outputs.next_multiple_of(BLOCK);
    let mut out = vec![0f32; taps * channels];
    w.iter().enumerate().for_each(|(i, &w)| out[i % taps * channels + i / taps] = w);
    bytemuck::cast_slice(&out).to_vec()
}

impl Channelwise for F32 {
    #[inline(always)]
    unsafe fn sums<S: Simd>(windows: &Windows<F32>, acc: &mut [[S::I; 4]; MOST]) {
        let registers = (windows.walk.outputs - windows.c).div_ceil(S::LANES).min(4);
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..registers {
                for (acc, sum) in acc.iter_mut().zip(register::<S>(windows, v)) {
                    acc[v] = S::bits(sum);
                }
            }
        }
    }
}

/// The sums of [`MOST`] outputs over register `v` of the block of channels.
///
/// # Safety
/// As for [`Channelwise::sums`].
#[inline(always)]
unsafe fn register<S: Simd>(windows: &Windows<F32>, v: usize) -> [S::F; MOST] {
    let &Windows { walk: w, x, line, weights, c, .. } = windows;
    let (g, pixel, first) = (&w.g, w.inputs * 4, v * S::LANES);
    let channels = w.outputs.next_multiple_of(BLOCK);
    // SAFETY: the caller's promise; a row of weights has whole blocks.
    unsafe {
        let mut sums = [S::splat_f(0.0); MOST];
        for i in 0..g.kernel[0] {
            for j in 0..g.kernel[1] {
                let w = &weights[(i * g.kernel[1] + j) * channels + c + first..][..S::LANES];
                let w = S::float(S::load(w.as_ptr().cast()));
                let x = x.add(i * g.dilations[0] * line + j * g.dilations[1] * pixel + 4 * first);
                for (o, sum) in sums.iter_mut().enumerate() {
                    let x = S::float(S::load(x.add(o * g.strides[1] * pixel)));
                    *sum = S::mul_add(x, w, *sum);
                }
            }
        }
        sums
    }
}

struct SideBySide<S, P: Product, F> {
    walk: Walk,
    weights: Constant<P::Weight>,
    finish: F,
    fill: Fill,
    /// Bytes of a padded input line.
    line: usize,
    /// Output lines of a task.
    band: usize,
    /// Numbers between output pixels.
    pitch: usize,
    simd: PhantomData<S>,
}

impl<S: Simd, P: Channelwise, F: Finish<P>> SideBySide<S, P, F> {
    fn new(walk: Walk, pitch: usize, weights: Constant<P::Weight>, finish: F, fill: Fill) -> Self {
        let line = walk.columns() * walk.inputs * size_of::<P::In>();
        let band = (BAND_BYTES / (line * walk.g.strides[0]).max(1)).clamp(1, walk.g.output[0].max(1));
        SideBySide { walk, weights, finish, fill, line, band, pitch, simd: PhantomData }
    }

    fn bytes(&self, lines: usize) -> usize {
        self.walk.lines(lines) * self.line + slack::<S>(&self.walk, self.walk.inputs * size_of::<P::In>())
    }

    /// One output line, whose input starts at `x`.
    ///
    /// # Safety
    /// As for [`Channelwise::sums`]; no other task has this line.
    #[inline(always)]
    unsafe fn line(&self, to: Target, oh: usize, x: *const u8) {
        let w = &self.walk;
        let (width, stride) = (w.g.output[1], w.g.strides[1] * w.inputs * size_of::<P::In>());
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = [[S::splat(0); 4]; MOST];
            for c in (0..w.outputs).step_by(4 * S::LANES) {
                let channels = (w.outputs - c).min(4 * S::LANES);
                let start = self.finish.start(c);
                for ow in (0..width).step_by(MOST) {
                    let x = x.add(ow * stride + c * size_of::<P::In>());
                    let windows = Windows { walk: w, x, line: self.line, weights: &self.weights, c, start };
                    P::sums::<S>(&windows, &mut acc);
                    let block = Block { at: (oh * width + ow) * to.pitch + c, channel: c, channels };
                    self.finish.store::<S, 4>(to, block, &acc[..MOST.min(width - ow)]);
                }
            }
        }
    }
}

impl<S: Simd, P: Channelwise, F: Finish<P>> Kernel for SideBySide<S, P, F> {
    fn tasks(&self) -> usize {
        self.walk.g.output[0].div_ceil(self.band)
    }

    fn scratch(&self) -> usize {
        self.bytes(self.band)
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let lines = task * self.band..((task + 1) * self.band).min(self.walk.g.output[0]);
        let x = io.input::<u8>(0, image);
        let to = Target { io, image, pitch: self.pitch };
        // SAFETY: `variants` offers `S` where the CPU has it; the copy holds what the lines read; tasks differ in
        // lines.
        unsafe {
            S::within(
                #[inline(always)]
                || {
                    let copy = &mut scratch[..self.bytes(lines.len())];
                    self.walk.copy(x, lines.clone(), &self.fill, copy);
                    for oh in lines.clone() {
                        let first = (oh - lines.start) * self.walk.g.strides[0] * self.line;
                        self.line(to, oh, copy[first..].as_ptr());
                    }
                },
            );
        }
    }
}
