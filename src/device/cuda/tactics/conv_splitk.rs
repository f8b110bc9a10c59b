//! Convolutions and products of few pixels on Hopper, 8-bit numbers or halves: the sum over k is shared by the blocks of a cluster. See
//! `kernels/conv_splitk.cu`.

use super::hopper::{self, First, Job, Order, Set, Window};
use super::{Args, Family, Launch, Places, Spec};
use crate::base::{Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::driver::Shape;
use bytemuck::{Pod, Zeroable};

/// The family.
pub struct ConvSplitK;

/// Channels and pixels of a tile.
const TILE: usize = 64;
/// Stages of input.
const STAGES: usize = 6;
/// Tiles of one image from which on it is no question that there is enough to do without sharing sums.
const MANY: usize = 4096;

/// `Problem` of the kernel.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Problem {
    window: Window,
    blocks_k: i32,
    blocks_c: i32,
    tiles_c: i32,
    pixels: i32,
    channels: i32,
    pitch: i32,
    residual_pitch: i32,
}

/// Bytes of a step along k.
fn block(job: &Job) -> usize {
    if job.depth().is_multiple_of(128) { 128 } else { 64 }
}

/// Blocks of a cluster, for a job that this family computes. Outputs and residuals are moved two numbers at a time.
fn splits(job: &Job) -> Vec<usize> {
    let even = |pitch: usize| pitch.is_multiple_of(2);
    let outputs = job.is_direct() || even(job.y.pitch);
    let residual = job.residual.is_none_or(|r| even(r.pitch));
    let tiles = job.sizes.pixels().div_ceil(TILE) * job.sizes.outputs.div_ceil(TILE);
    if job.sizes.groups != 1 || !job.is_loaded() || !outputs || !residual || tiles > MANY {
        return vec![];
    }
    let steps = job.blocks(block(job)) * job.taps();
    [1, 2, 4, 8].into_iter().filter(|&n| n == 1 || n <= steps && tiles * n <= MANY / 4).collect()
}

/// Bytes of shared memory.
fn shared(block: usize, split: usize) -> usize {
    let sums = if split > 1 { TILE * TILE * 4 } else { 0 };
    1024 + STAGES * 2 * TILE * block + sums + 16 * STAGES
}

/// The launch for a set of images.
fn launch(job: &Job, split: usize, set: &Set, constants: &[u64]) -> Result<Launch> {
    let block = block(job);
    let pixels = job.sizes.pixels() * set.images;
    let tiles_c = job.sizes.outputs.div_ceil(TILE);
    let problem = Problem {
        window: job.window(job.tap()),
        blocks_k: (job.blocks(block) * job.taps()) as i32,
        blocks_c: job.blocks(block) as i32,
        tiles_c: tiles_c as i32,
        pixels: pixels as i32,
        channels: job.sizes.outputs as i32,
        pitch: job.y.pitch as i32,
        residual_pitch: job.residual.map_or(0, |r| r.pitch as i32),
    };
    let args = Args::default()
        .with(job.weights_map(constants[0], TILE, block)?)
        .with(job.pixels_map(set.x, set.images, TILE, block)?)
        .with(set.residual)
        .with(set.y)
        .with(job.channels_at(constants[1]))
        .with(job.numbers())
        .with(problem);
    let blocks = (pixels.div_ceil(TILE) * tiles_c * split) as u32;
    let shape = Shape {
        grid: [blocks, 1, 1],
        block: 160,
        shared: shared(block, split) as u32,
        cluster: split as u32,
        chained: true,
    };
    Ok(Launch { kernel: "conv_splitk", shape, args })
}

impl Family for ConvSplitK {
    fn name(&self) -> &'static str {
        "conv-splitk"
    }

    fn doc(&self) -> &'static str {
        "Conv without groups and Linear of few pixels, 8-bit and f16, Hopper: the sum shared by a cluster"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        Job::of(spec).map_or(vec![], |job| splits(&job)).iter().map(usize::to_string).collect()
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let (job, split) = chosen(spec)?;
        let text = job
            .text(spec)?
            .defines(&[("SPLIT_K", split), ("BLOCK_K", block(&job)), ("STAGES", STAGES), ("WGMMA_N", TILE)])
            .define("READ", if job.is_flat() { "FLAT" } else { "IM2COL" })
            .raw(&hopper::wgmma(TILE, job.x.dtype, First::Weights));
        Ok(text.raw(include_str!("../kernels/conv_splitk.cu")).source())
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let (job, _) = chosen(spec)?;
        Ok(vec![job.weights(&tensors[0], Order::Pairs), job.channels(spec, tensors)])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let (job, split) = chosen(spec)?;
        job.sets(at)?.iter().map(|set| launch(&job, split, set, &at.constants)).collect()
    }
}

/// The job of a spec, and how many blocks share its sum.
fn chosen<'a>(spec: &Spec<'a>) -> Result<(Job<'a>, usize)> {
    let job = Job::of(spec).ok_or_else(|| hopper::refused("its sizes or types"))?;
    let split = spec.variant.parse().map_err(|_| hopper::refused("a variant of another version"))?;
    Ok((job, split))
}
