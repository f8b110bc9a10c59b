//! A depthwise convolution in 8 bits and the 1x1 convolution of its channels on Hopper, as one step. See
//! `kernels/depthwise_conv.cu` for how.

use super::depthwise::{Depthwise, Variant};
use super::hopper::{self, Channels, First, GRAIN, Job, Numbers};
use super::{Args, Family, Launch, Place, Places, Spec};
use crate::base::{Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::driver::Shape;
use bytemuck::{Pod, Zeroable};

/// The family.
pub struct DepthwiseConv;

/// Channels between the two at most: a block has all of them.
const MOST_CHANNELS: usize = 256;
/// Output channels at most: all of them are the columns of one instruction.
const MOST_OUTPUTS: usize = 64;
/// Pixels of an instruction.
const ROWS: usize = 64;
/// Variants to try: the best by an estimate.
const TRIED: usize = 12;
/// Registers of a multiprocessor.
const REGISTERS: usize = 65536;
/// How many fewer registers a thread gets along with than alone.
const SPARED: usize = 8;

/// A pair as this family computes it.
struct Kernel {
    deep: Depthwise<'static>,
    point: Job<'static>,
}

impl Kernel {
    /// The kernel of a pair's halves, if it can be.
    fn of(first: &Spec, second: &Spec) -> Option<Self> {
        let deep = Depthwise::of(first).filter(|d| !d.job.is_half())?;
        let point = Job::of(second)?.owned();
        let deep = Depthwise {
            job: deep.job.owned(),
            kernel: deep.kernel,
            stride: deep.stride,
            channels: deep.channels,
        };
        let outputs = point.sizes.outputs;
        let residual = point.residual.is_none_or(|r| r.pitch.is_multiple_of(4));
        let fits = point.is_flat()
            && point.sizes.groups == 1
            && !point.is_direct()
            && residual
            && point.y.is_writable(outputs)
            && deep.channels <= MOST_CHANNELS
            && outputs <= MOST_OUTPUTS;
        fits.then_some(Kernel { deep, point })
    }

    /// Output channels, up to whole columns of an instruction.
    fn columns(&self) -> usize {
        self.point.sizes.outputs.next_multiple_of(16)
    }

    /// Planes of 16 channels, two for each step of an instruction.
    fn chunks(&self) -> usize {
        self.deep.channels.next_multiple_of(32) / GRAIN
    }

    /// Threads of a block: whole warpgroups.
    fn threads(&self, v: &Variant) -> usize {
        self.deep.active(v).next_multiple_of(128)
    }

    /// Has a thread registers for the constants of its output channels too?
    fn keeps(&self, v: &Variant) -> bool {
        REGISTERS / (self.threads(v) * v.blocks) >= self.deep.registers() + self.columns() / 2
    }

    /// Bytes of shared memory, as the kernel lays it out.
    fn shared(&self, v: &Variant) -> usize {
        let pixels = v.images * v.groups * v.rows * v.width;
        let plane = pixels.div_ceil(ROWS) * ROWS * GRAIN + GRAIN;
        let middle = (self.chunks() * plane).next_multiple_of(128);
        self.deep.buffer(v) + middle + self.chunks() * self.columns() * GRAIN + 16
    }

    /// The variant with its box and blocks a multiprocessor, so many fewer than there is room for, and an estimate of how bad
    /// it is; none if it does not fit.
    fn suited(&self, v: Variant, fewer: usize) -> Option<(f64, Variant)> {
        let d = &self.deep;
        let [height, width] = d.job.sizes.window.output;
        let threads = self.threads(&v);
        let fits = threads <= 512 && d.box_height(&v) <= 256 && d.reach(v.width) + 8 <= 256;
        if !fits || (v.groups - 1) * v.rows >= height {
            return None;
        }
        let (conflicts, v) = d.boxed(v)?;
        let room = |blocks: &usize| blocks * (self.shared(&v) + 1024) <= d.job.shared + 1024;
        let most = REGISTERS / (threads * (d.registers() - SPARED));
        let blocks = (1..=most).rev().find(room)?.checked_sub(fewer).filter(|blocks| *blocks > 0)?;
        let v = Variant { blocks, ..v };
        // idle threads, rows and columns beyond the output, bytes that are read twice, warps to hide latency with
        let rows = v.groups * v.rows;
        let tiled = height.next_multiple_of(rows) * width.next_multiple_of(v.width);
        let idle = threads as f64 / d.active(&v) as f64 * tiled as f64 / (height * width) as f64;
        let halo =
            (d.box_height(&v) * d.reach(v.width)) as f64 / (rows * v.width * d.stride * d.stride) as f64;
        let pixels = rows * v.width;
        let unused = pixels.next_multiple_of(ROWS) as f64 / pixels as f64;
        // a block alone waits for itself
        let single = if blocks == 1 { 0.5 } else { 0.0 };
        let kept = if self.keeps(&v) { 0.1 } else { 0.0 };
        let warps = (blocks * threads / 32) as f64;
        Some((idle + halo + 0.5 * unused + 0.1 * conflicts + single - kept - 0.02 * warps, v))
    }

    /// Everything that fits, the best estimates first; a few of small tiles for single images.
    fn candidates(&self) -> Vec<Variant> {
        let [height, width] = self.deep.job.sizes.window.output;
        let mut widths = vec![width.min(14), width.min(28), width.min(56), width.min(112)];
        widths.dedup();
        let mut all = Vec::new();
        for width in widths {
            for rows in [14, 7, 4, 2].into_iter().filter(|r| *r <= height) {
                for groups in [1, 2, 4] {
                    let channels = self.deep.channels;
                    let v = Variant {
                        channels,
                        width,
                        groups,
                        rows,
                        images: 1,
                        box_width: 0,
                        buffers: 1,
                        blocks: 0,
                    };
                    all.extend([0, 1].iter().filter_map(|fewer| self.suited(v, *fewer)));
                }
            }
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let small = |v: &Variant| v.groups * v.rows * v.width <= ROWS;
        let best = |wanted: bool, n| all.iter().map(|(_, v)| *v).filter(move |v| small(v) == wanted).take(n);
        best(false, TRIED).chain(best(true, 2)).collect()
    }

    /// Weights `[M, C, 1, 1]` in planes of 16 channels; inside every 16 rows those of a thread's 4 channels stand apart.
    fn weights(&self, w: &Tensor) -> Vec<u8> {
        let (columns, channels) = (self.columns(), self.point.sizes.channels);
        let mut out = vec![0; self.chunks() * columns * GRAIN];
        for (i, &v) in w.bytes().iter().enumerate() {
            let (m, c) = (i / channels, i % channels);
            let row = m / 16 * 16 + m % 4 / 2 * 8 + m % 16 / 4 * 2 + m % 2;
            out[(c / GRAIN * columns + row) * GRAIN + c % GRAIN] = v;
        }
        out
    }

    fn launch(&self, v: &Variant, at: &Places) -> Result<Launch> {
        let (d, images) = (&self.deep, at.images as usize);
        let (x, y) = (at.inputs[0], at.outputs[0]);
        let residual = match self.point.residual {
            Some(_) => at.inputs[1],
            None => Place { address: 0, stride: 0 },
        };
        let aligned = |p: Place, to: u64| p.address.is_multiple_of(to) && p.stride.is_multiple_of(to);
        if !aligned(x, 16) || !aligned(y, 4) || !aligned(residual, 4) {
            return Err(hopper::refused("an image does not begin at a multiple of 16 bytes"));
        }
        let w = &d.job.sizes.window;
        let tiles = [w.output[0].div_ceil(v.groups * v.rows), w.output[1].div_ceil(v.width)];
        let count = tiles[0] * tiles[1] * images.div_ceil(v.images);
        let problem = Problem {
            y: y.address,
            residual: residual.address,
            y_image: y.stride,
            residual_image: residual.stride,
            y_pitch: self.point.y.pitch as i32,
            residual_pitch: self.point.residual.map_or(0, |r| r.pitch) as i32,
            images: images as i32,
            output: w.output.map(|n| n as i32),
            outputs: self.point.sizes.outputs as i32,
            tiles: tiles.map(|n| n as i32),
            count: count as i32,
            before: w.begin.map(|n| n as i32),
            unused: 0,
        };
        let epilogue =
            |job: &Job, address| -> (Channels, Numbers) { (job.channels_at(address), job.numbers()) };
        let (deep, point) = (epilogue(&d.job, at.constants[1]), epilogue(&self.point, at.constants[3]));
        let args = (Args::default().with(d.map(v, x, images)?))
            .with(at.constants[0])
            .with(deep.0)
            .with(deep.1)
            .with(at.constants[2])
            .with(point.0)
            .with(point.1)
            .with(problem);
        let shape = Shape {
            grid: [count.clamp(1, d.job.multiprocessors * v.blocks) as u32, 1, 1],
            block: self.threads(v) as u32,
            shared: self.shared(v) as u32,
            cluster: 1,
            chained: true,
        };
        Ok(Launch { kernel: "depthwise_conv", shape, args })
    }
}

/// `Problem` of the kernel.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Problem {
    y: u64,
    residual: u64,
    y_image: u64,
    residual_image: u64,
    y_pitch: i32,
    residual_pitch: i32,
    images: i32,
    output: [i32; 2],
    outputs: i32,
    tiles: [i32; 2],
    count: i32,
    before: [i32; 2],
    unused: i32,
}

impl Family for DepthwiseConv {
    fn name(&self) -> &'static str {
        "depthwise-conv"
    }

    fn doc(&self) -> &'static str {
        "Conv with one channel a group and the 1x1 Conv behind it, 8-bit, Hopper: dp4a, then wgmma from shared memory"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let all = with(spec, |kernel, _, _| Ok(kernel.candidates())).unwrap_or_default();
        all.iter().map(Variant::to_string).collect()
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let v = variant(spec)?;
        with(spec, |kernel, first, second| {
            let (deep, point) = (&kernel.deep, &kernel.point);
            let begin = hopper::begin().raw(include_str!("../kernels/dp4a.cuh"));
            let text = deep.job.epilogue(first, begin.raw("namespace deep {"))?;
            let text = text.defines(&deep.defines(&v)).raw(include_str!("../kernels/depthwise.cuh"));
            let text = point.epilogue(second, text.raw("}\nnamespace point {"))?.raw("}");
            let text = text.define("POINT_N", kernel.columns()).define("KEPT", u8::from(kernel.keeps(&v)));
            let text = text.raw(&hopper::wgmma(kernel.columns(), point.x.dtype, First::Pixels));
            Ok(text.raw(include_str!("../kernels/depthwise_conv.cu")).source())
        })
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        with(spec, |kernel, first, second| {
            let (own, others) = tensors.split_at(first.problem.inputs.iter().filter(|o| o.constant).count());
            Ok(vec![
                kernel.deep.weights(&own[0]),
                kernel.deep.job.channels(first, own),
                kernel.weights(&others[0]),
                kernel.point.channels(second, others),
            ])
        })
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let v = variant(spec)?;
        with(spec, |kernel, _, _| Ok(vec![kernel.launch(&v, at)?]))
    }
}

fn variant(spec: &Spec) -> Result<Variant> {
    spec.variant.parse().map_err(|()| hopper::refused("a variant of another version"))
}

/// What is made of the pair's kernel and the specs of its halves.
fn with<T>(spec: &Spec, make: impl Fn(&Kernel, &Spec, &Spec) -> Result<T>) -> Result<T> {
    let refused = || hopper::refused("it is no depthwise convolution with a 1x1 convolution behind it");
    spec.halves(|first, second| {
        let kernel = Kernel::of(first, second).ok_or_else(refused)?;
        make(&kernel, first, second)
    })
    .unwrap_or_else(|| Err(refused()))
}
