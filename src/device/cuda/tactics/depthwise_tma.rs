//! Depthwise convolutions in 8 bits and in halves on Hopper, 3x3 and 5x5: tiles by the copy engine, products by dp4a or one by
//! one. See `kernels/depthwise_tma.cu` for how, and for the meaning of what a variant says.

use super::depthwise::{Depthwise, Variant};
use super::hopper::{self, GRAIN};
use super::{Args, Family, Launch, Places, Spec};
use crate::base::{Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::driver::Shape;
use bytemuck::{Pod, Zeroable};

/// The family.
pub struct DepthwiseTma;

/// Variants to try: the best by an estimate.
const TRIED: usize = 10;
/// Registers of a multiprocessor's quarter.
const REGISTERS: usize = 16384;

/// Which variants are tried.
impl Depthwise<'_> {
    /// The variant with the box and the blocks a multiprocessor that suit it, and an estimate of how bad it is; none if it
    /// does not fit.
    fn suited(&self, v: Variant) -> Option<(f64, Variant)> {
        let least = self.reach(v.width);
        let threads = self.active(&v).next_multiple_of(32);
        let fits = (64..=512).contains(&threads) && self.box_height(&v) <= 256 && least + 8 <= 256;
        if !fits || (v.groups - 1) * v.rows >= self.job.sizes.window.output[0] {
            return None;
        }
        let (cost, v) = self.boxed(v)?;
        let warps = threads / 32;
        let room = |blocks: &usize| {
            let registers = (blocks * warps).div_ceil(4) <= REGISTERS / (self.registers() * 32);
            registers && blocks * (self.shared(&v) + 1024) <= self.job.shared + 1024
        };
        let blocks = (1..=8).rev().find(room).filter(|blocks| blocks * warps >= 8)?;
        // bytes that are read twice, idle threads, bytes on their way, warps to hide latency with
        let halo = (self.box_height(&v) * least) as f64
            / (v.groups * v.rows * v.width * self.stride * self.stride) as f64;
        let sectors = if v.channels < 64 { 0.2 } else { 0.0 };
        let idle = threads as f64 / self.active(&v) as f64;
        let ahead = (blocks * v.buffers * self.buffer(&v)).min(120_000) as f64 / 120_000.0;
        let single = if v.buffers == 1 { 0.3 } else { 0.0 };
        let estimate = 0.35 * cost + 2.0 * halo + sectors + idle - ahead + single
            - 0.04 * (blocks * warps).min(20) as f64;
        Some((estimate, Variant { blocks, ..v }))
    }

    /// Everything that fits, the best estimates first. The fewest rows serve single images, where blocks are few.
    fn candidates(&self) -> Vec<Variant> {
        let [height, width] = self.job.sizes.window.output;
        // whole sectors of channels, or all there are
        let channels = (GRAIN..=256)
            .step_by(GRAIN)
            .filter(|c| self.channels.is_multiple_of(*c) && (c.is_multiple_of(32) || *c == self.channels));
        let mut widths = vec![width.min(28), width.min(56), width.min(14)];
        widths.sort_unstable();
        widths.dedup();
        let mut all = Vec::new();
        for channels in channels {
            for &width in &widths {
                for rows in [7, 4, 2, 1].into_iter().filter(|r| *r <= height) {
                    for (groups, images, buffers) in shares(rows, height) {
                        let v = Variant {
                            channels,
                            width,
                            groups,
                            rows,
                            images,
                            box_width: 0,
                            buffers,
                            blocks: 0,
                        };
                        all.extend(self.suited(v));
                    }
                }
            }
        }
        // half of the places for the tallest strips, which read least twice; half for many small tiles
        let mut chosen = Vec::new();
        for tall in [true, false] {
            let mut some: Vec<_> = all.iter().filter(|(_, v)| (v.rows >= 4) == tall).collect();
            some.sort_by(|a, b| a.0.total_cmp(&b.0));
            chosen.extend(some.iter().take(TRIED / 2 + if tall { 2 } else { 0 }).map(|(_, v)| *v));
        }
        chosen
    }
}

/// Groups of rows, images and buffers of a tile: several images only where one is whole.
fn shares(rows: usize, height: usize) -> Vec<(usize, usize, usize)> {
    let mut all = Vec::new();
    for groups in [1, 2, 4] {
        for images in [1, 2, 4, 8] {
            if images == 1 || groups * rows >= height {
                all.extend([(groups, images, 2), (groups, images, 1)]);
            }
        }
    }
    all
}

/// `Problem` of the kernel.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Problem {
    y: u64,
    image_pitch: u64,
    pitch: i32,
    row_pitch: i32,
    images: i32,
    out_h: i32,
    out_w: i32,
    bytes: i32,
    blocks_c: i32,
    tiles_h: i32,
    tiles_w: i32,
    tiles: i32,
    pad_h: i32,
    pad_w: i32,
}

impl Family for DepthwiseTma {
    fn name(&self) -> &'static str {
        "depthwise-tma"
    }

    fn doc(&self) -> &'static str {
        "Conv with one channel a group, 8-bit and f16, 3x3 and 5x5, Hopper: tiles by the copy engine"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let all = Depthwise::of(spec).map_or(vec![], |d| d.candidates());
        all.iter().map(Variant::to_string).collect()
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let (d, v) = chosen(spec)?;
        let text = d.job.text(spec)?.defines(&d.defines(&v)).define("BUFFERS", v.buffers);
        let text =
            text.raw(include_str!("../kernels/dp4a.cuh")).raw(include_str!("../kernels/depthwise.cuh"));
        Ok(text.raw(include_str!("../kernels/depthwise_tma.cu")).source())
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let (d, _) = chosen(spec)?;
        Ok(vec![d.weights(&tensors[0]), d.job.channels(spec, tensors)])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let (d, v) = chosen(spec)?;
        let (w, job) = (&d.job.sizes.window, &d.job);
        let ([x, y], images) = ([at.inputs[0], at.outputs[0]], at.images as usize);
        let aligned =
            x.address.is_multiple_of(16) && x.stride.is_multiple_of(16) && y.address.is_multiple_of(4);
        if !aligned || !y.stride.is_multiple_of(4) {
            return Err(hopper::refused("an image does not begin at a multiple of 16 bytes"));
        }
        let map = d.map(&v, x, images)?;
        let [tiles_h, tiles_w] = [w.output[0].div_ceil(v.groups * v.rows), w.output[1].div_ceil(v.width)];
        let tiles = tiles_h * tiles_w * images.div_ceil(v.images);
        let blocks_c = d.channels / v.channels;
        let problem = Problem {
            y: y.address,
            image_pitch: y.stride,
            pitch: job.y.bytes() as i32,
            row_pitch: (job.y.bytes() * w.output[1]) as i32,
            images: images as i32,
            out_h: w.output[0] as i32,
            out_w: w.output[1] as i32,
            bytes: (job.sizes.groups * job.element()) as i32,
            blocks_c: blocks_c as i32,
            tiles_h: tiles_h as i32,
            tiles_w: tiles_w as i32,
            tiles: tiles as i32,
            pad_h: w.begin[0] as i32,
            pad_w: w.begin[1] as i32,
        };
        let args = Args::default()
            .with(map)
            .with(at.constants[0])
            .with(job.channels_at(at.constants[1]))
            .with(job.numbers())
            .with(problem);
        // a block keeps its channels, so that each has as many blocks as the others
        let walkers = (job.multiprocessors * v.blocks / blocks_c).clamp(1, tiles);
        let shape = Shape {
            grid: [(walkers * blocks_c) as u32, 1, 1],
            block: d.active(&v).next_multiple_of(32) as u32,
            shared: d.shared(&v) as u32,
            cluster: 1,
            chained: true,
        };
        Ok(vec![Launch { kernel: "depthwise_tma", shape, args }])
    }
}

fn chosen<'a>(spec: &Spec<'a>) -> Result<(Depthwise<'a>, Variant)> {
    let d = Depthwise::of(spec).ok_or_else(|| hopper::refused("its sizes or types"))?;
    let v = spec.variant.parse().map_err(|()| hopper::refused("a variant of another version"))?;
    Ok((d, v))
}
