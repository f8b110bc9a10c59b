//! A network's first convolution and the maximum behind it on Hopper, 8 bits, as one step: products by wgmma, maxima in
//! registers. See `kernels/conv_pool.cu` for how.

use super::hopper::{self, First, GRAIN, Job, Order};
use super::patches::Patches;
use super::{Args, Family, Launch, Places, Spec};
use crate::base::{Result, Tensor};
use crate::device::Numerics;
use crate::device::cuda::compiler::Source;
use crate::device::cuda::driver::Shape;
use crate::ir::Op;
use crate::ir::ops::{Geometry, PoolFn};
use bytemuck::{Pod, Zeroable};

/// The family.
pub struct ConvPool;

/// The variants: images are cut into bands of rows, as many as warpgroups have use for, or stay whole.
const BANDS: &str = "bands";
const WHOLE: &str = "whole";
/// Threads of a block: two warpgroups that multiply, one whose warps cut patches.
const THREADS: usize = 384;
/// Warpgroups that multiply.
const GROUPS: usize = 2;
/// Steps of a warpgroup's ring of patches.
const STEPS: usize = 8;
/// Columns of the convolution: accumulators of two rows take half of a thread's registers at most.
const MOST_COLUMNS: usize = 128;
/// Instructions along k of a row at most: their weights stay in registers.
const MOST_PARTS: usize = 8;
/// Buffers of a row of the output.
const BUFFERS: usize = 3;
/// What beginning a band costs, in tiles: the one above it, and the patches that come first.
const BEGINNING: usize = 2;

/// A pair as this family computes it.
struct Kernel {
    job: Job<'static>,
    patches: Patches,
    /// The window of the maximum.
    pool: Geometry,
    /// Bytes of a pixel of the output.
    pitch: usize,
}

impl Kernel {
    /// The kernel of a pair's halves, if it can be.
    fn of(first: &Spec, second: &Spec) -> Option<Self> {
        let job = Job::of(first)?.owned();
        let Some(Op::Pool(pool)) = second.problem.op() else { return None };
        let (x, y) = (&second.problem.inputs[0], &second.problem.outputs[0]);
        let kernel = Kernel {
            patches: Patches::of(&job)?,
            pool: pool.geometry(&x.shape).ok()?,
            pitch: y.pitch.unwrap_or(job.sizes.outputs),
            job,
        };
        let (job, g) = (&kernel.job, &kernel.pool);
        let same = [g.kernel, g.strides, g.dilations] == [[3; 2], [2; 2], [1; 2]];
        let largest = pool.f == PoolFn::Max && same && g.begin.iter().all(|n| *n <= 1);
        // what comes after the sum must keep the order of numbers
        let ordered = job.epilogue.m.iter().all(|m| *m >= 0.0)
            && super::multiply::fused(first.problem).function.is_none();
        let stored = *second.numerics == Numerics::Integers
            && x.dtype.is_int8()
            && y.dtype == x.dtype
            && kernel.pitch == job.sizes.outputs.next_multiple_of(GRAIN);
        let fits = kernel.columns() <= MOST_COLUMNS
            && 2 * g.output[1] <= kernel.columns()
            && kernel.patches.row() / 32 <= MOST_PARTS
            && kernel.shared() <= job.shared;
        let whole = !job.is_half() && job.sizes.groups == 1;
        (whole && largest && ordered && stored && fits).then_some(kernel)
    }

    /// Columns of an instruction.
    fn columns(&self) -> usize {
        self.job.sizes.window.output[1].next_multiple_of(16)
    }

    /// Bytes of shared memory, as `Memory` of the kernel lays it out.
    fn shared(&self) -> usize {
        let width = self.job.sizes.window.output[1];
        let row = (width + self.patches.block() / GRAIN - 1) * GRAIN;
        let ring = STEPS * 2 * row + (self.columns() - width + 8) * GRAIN;
        let buffer = (self.columns() / 2 * self.pitch).next_multiple_of(128);
        128 + GROUPS * (ring.next_multiple_of(128) + BUFFERS * buffer + 2 * STEPS * 8)
    }

    /// The numbers that the kernel's text is written over.
    fn defines(&self) -> [(&'static str, usize); 13] {
        let [height, width] = self.job.sizes.window.output;
        [
            ("HEIGHT", height),
            ("WIDTH", width),
            ("WGMMA_N", self.columns()),
            ("TAP_ROWS", self.patches.under[0]),
            ("BLOCK_K", self.patches.block()),
            ("POOL_H", self.pool.begin[0]),
            ("POOL_W", self.pool.begin[1]),
            ("OUTPUT_H", self.pool.output[0]),
            ("OUTPUT_W", self.pool.output[1]),
            ("PITCH", self.pitch),
            ("STEPS", STEPS),
            ("THREADS", THREADS),
            ("IN_CHANNELS", self.job.sizes.channels),
        ]
    }

    fn launch(&self, at: &Places, cut: bool) -> Result<Launch> {
        let ([x, y], images) = ([at.inputs[0], at.outputs[0]], at.images as usize);
        let aligned = |p: super::Place, to| p.address.is_multiple_of(to) && p.stride.is_multiple_of(to);
        if !aligned(x, 8) || !aligned(y, GRAIN as u64) {
            return Err(hopper::refused("an image does not begin at a multiple of 16 bytes"));
        }
        let rows = self.pool.output[0];
        let band = if cut { band(rows, images, GROUPS * self.job.multiprocessors) } else { rows };
        let bands = rows.div_ceil(band);
        let [above, left] = self.patches.before(&self.job);
        let count = bands * images;
        let problem = Problem {
            x: x.address,
            y: y.address,
            x_pitch: x.stride,
            y_pitch: y.stride,
            input: self.job.sizes.window.input.map(|n| n as i32),
            before: [above as i32, left as i32],
            rows: rows as i32,
            bands: bands as i32,
            band: band as i32,
            count: count as i32,
            padding: (self.job.zero_point as u32 & 0xff) * 0x0101_0101,
            unused: 0,
        };
        let args = (Args::default().with(at.constants[0]))
            .with(self.job.channels_at(at.constants[1]))
            .with(self.job.numbers())
            .with(problem);
        let shape = Shape {
            grid: [count.clamp(1, self.job.multiprocessors) as u32, 1, 1],
            block: THREADS as u32,
            shared: self.shared() as u32,
            cluster: 1,
            chained: true,
        };
        Ok(Launch { kernel: "conv_pool", shape, args })
    }
}

/// Rows of a band of images of so many, so that the busiest of these warpgroups has least to do.
fn band(rows: usize, images: usize, groups: usize) -> usize {
    let cost = |band: &usize| (images * rows.div_ceil(*band)).div_ceil(groups) * (band + BEGINNING);
    (1..=rows).rev().min_by_key(cost).unwrap_or(rows)
}

/// `Problem` of the kernel.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Problem {
    x: u64,
    y: u64,
    x_pitch: u64,
    y_pitch: u64,
    input: [i32; 2],
    before: [i32; 2],
    rows: i32,
    bands: i32,
    band: i32,
    count: i32,
    padding: u32,
    unused: u32,
}

impl Family for ConvPool {
    fn name(&self) -> &'static str {
        "conv-pool"
    }

    fn doc(&self) -> &'static str {
        "Conv of a picture and the maximum behind it, 8-bit, Hopper: products by wgmma, maxima in registers"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        with(spec, |_, _| Ok([BANDS, WHOLE].map(String::from).to_vec())).unwrap_or_default()
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        with(spec, |kernel, first| {
            let text = (kernel.job.text(first)?.defines(&kernel.defines()))
                .raw(include_str!("../kernels/patches.cuh"))
                .raw(&hopper::wgmma(kernel.columns(), kernel.job.x.dtype, First::Kept));
            Ok(text.raw(include_str!("../kernels/conv_pool.cu")).source())
        })
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        with(spec, |kernel, first| {
            let weights = kernel.patches.weights(&kernel.job, &tensors[0], Order::Pairs);
            Ok(vec![weights, kernel.job.channels(first, tensors)])
        })
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        with(spec, |kernel, _| Ok(vec![kernel.launch(at, spec.variant == BANDS)?]))
    }
}

/// What is made of the pair's kernel and the spec of its convolution.
fn with<T>(spec: &Spec, make: impl Fn(&Kernel, &Spec) -> Result<T>) -> Result<T> {
    let refused = || hopper::refused("it is no convolution of a picture with a maximum behind it");
    spec.halves(|first, second| make(&Kernel::of(first, second).ok_or_else(refused)?, first))
        .unwrap_or_else(|| Err(refused()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One image is cut into all its rows; of many, each warpgroup has whole ones.
    #[test]
    fn bands_are_as_long_as_images_are_many() {
        assert_eq!([1, 8, 32, 256].map(|images| band(56, images, 264)), [1, 2, 7, 56]);
    }
}
