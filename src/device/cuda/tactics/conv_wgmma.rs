//! Convolutions and products on Hopper, 8-bit numbers or halves: persistent blocks, pixels by the copy engine, products by wgmma. See
//! `kernels/conv_wgmma.cu` for how, and for the meaning of what a variant says.

use super::hopper::{self, First, Form, Job, Order, Set, Window};
use super::patches::Patches;
use super::{Args, Family, Launch, Places, Spec};
use crate::base::{Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::driver::Shape;
use crate::device::cuda::maps::{Bytes, TensorMap};
use bytemuck::{Pod, Zeroable};
use variant::{READS, Read, SPLITS, Split, Variant, candidates, row};

mod variant;

/// The family.
pub struct ConvWgmma;

/// Most bytes of weights that are kept in shared memory: more would leave too little for pixels on their way.
const MOST_RESIDENT: usize = 112 << 10;
/// Stages beyond which nothing is gained.
const MOST_STAGES: usize = 8;
/// Rows of a box that the copy engine moves.
const MOST_ROWS: usize = 256;
/// Threads of a block: two warpgroups that multiply, one whose warps load and store.
const THREADS: u32 = 384;

/// A variant for a job: what follows from both.
struct Kernel<'a> {
    job: Job<'a>,
    v: Variant,
    /// Pixels of an instruction.
    wgmma: usize,
    /// Tiles along the channels.
    tiles_c: usize,
    /// Steps along k of a tile.
    steps: usize,
    /// Blocks of weights that stay in shared memory.
    resident: usize,
    stages: usize,
}

impl<'a> Kernel<'a> {
    /// The kernel, if it can be.
    fn of(job: Job<'a>, v: Variant) -> Option<Self> {
        let [tile_c, tile_p] = v.tile;
        let groups = |split| if v.split == split { 2 } else { 1 };
        let (group_c, group_p) = (tile_c / groups(Split::Channels), tile_p / groups(Split::Pixels));
        let (blocks, window) = (job.blocks(v.block), &job.sizes.window);
        let tiles_c = job.sizes.outputs.div_ceil(tile_c);
        // steps along k of a tile, blocks of weights of each
        let (steps, taps) = match v.read {
            Read::Halo => (blocks, job.taps()),
            Read::Patches => (1, Patches::of(&job)?.under[0]),
            _ => (blocks * job.taps(), 1),
        };
        let wide = if v.read == Read::Patches { window.output[1] } else { group_p };
        let mut kernel = Kernel {
            wgmma: wide.next_multiple_of(16),
            tiles_c,
            steps,
            resident: if v.resident { tiles_c * steps * taps } else { 0 },
            stages: MOST_STAGES,
            job,
            v,
        };
        while kernel.stages > 1 && kernel.shared() > kernel.job.shared {
            kernel.stages -= 1;
        }
        // accumulators take half of a thread's registers at most
        let accumulators = if v.read == Read::Patches { kernel.rows() } else { group_c / 64 };
        let registers = accumulators * kernel.wgmma / 2;
        // patches: weights have no other way, and three warps fill stages in turns
        let patched = v.read != Read::Patches || v.resident && kernel.stages > 3;
        let fits = patched
            && group_c.is_multiple_of(64)
            && registers <= 128
            && kernel.wgmma <= 256
            && kernel.stages >= 2
            && kernel.resident * tile_c * v.block <= MOST_RESIDENT;
        (fits && kernel.is_read() && kernel.is_written()).then_some(kernel)
    }

    /// Can pixels be read in this way?
    fn is_read(&self) -> bool {
        let (job, w) = (&self.job, &self.job.sizes.window);
        match self.v.read {
            Read::Patches => {
                let rows = self.rows().max(1);
                let boxed = self.v.contiguous || self.v.tile[1] <= MOST_ROWS;
                Patches::of(job).is_some()
                    && w.output[1] <= MOST_ROWS
                    && boxed
                    && rows * w.output[1] == self.v.tile[1]
                    && w.output[0].is_multiple_of(rows)
            }
            _ if !job.is_loaded() => false,
            Read::Flat => job.is_flat(),
            Read::Im2col => !job.is_flat(),
            Read::Halo => {
                let same = [w.kernel, w.strides, w.begin, w.end, w.dilations]
                    == [[3; 2], [1; 2], [1; 2], [1; 2], [1; 2]];
                let row = w.input[1] + 2;
                same && row <= MOST_ROWS && self.v.tile[1].is_multiple_of(row)
            }
            // the next pixel is multiplied by 0, which only an integer bears
            Read::Raw16 => !job.is_half() && job.is_flat() && job.x.bytes() == 16 && self.v.block == 32,
        }
    }

    /// Can outputs be written in this way?
    fn is_written(&self) -> bool {
        let (job, v) = (&self.job, &self.v);
        if job.is_direct() {
            return job.residual.is_none() && v.read != Read::Halo && !v.contiguous;
        }
        let outputs = job.sizes.outputs;
        let writable = |f: &Form| f.is_writable(outputs);
        // 16 channels are written at once
        let whole = |f: &Form| f.pitch == outputs.next_multiple_of(hopper::GRAIN);
        let all = |of: &dyn Fn(&Form) -> bool| of(&job.y) && job.residual.as_ref().is_none_or(of);
        all(&writable) && (!v.contiguous || self.tiles_c == 1 && all(&whole))
    }

    /// Rows of output of a tile of whole rows, else 0.
    fn rows(&self) -> usize {
        let w = &self.job.sizes.window;
        match self.v.read {
            Read::Halo => self.v.tile[1] / (w.input[1] + 2),
            Read::Patches => self.v.tile[1] / w.output[1],
            _ => 0,
        }
    }

    /// Bytes of a stage.
    fn stage(&self) -> usize {
        let ([tile_c, tile_p], block) = (self.v.tile, self.v.block);
        let w = &self.job.sizes.window;
        let group_p = if self.v.split == Split::Pixels { tile_p / 2 } else { tile_p };
        // whole rows, and what their last taps read beyond
        let beyond = |excess: usize| (excess + 2).next_multiple_of(16);
        let pixels = match self.v.read {
            Read::Halo => (self.rows() + 2) * (w.input[1] + 2) + beyond(self.wgmma - group_p),
            Read::Patches => {
                self.patches().map_or(0, |p| p.rows(self.rows())) * (w.output[1] + block / 16 - 1)
                    + beyond(self.wgmma - w.output[1] + 8)
            }
            _ => tile_p,
        };
        let pixel = if matches!(self.v.read, Read::Raw16 | Read::Patches) { 16 } else { block };
        let taps = if self.v.read == Read::Halo { 9 } else { 1 };
        let weights = if self.v.resident { 0 } else { tile_c * block * taps };
        (weights + pixels * pixel).next_multiple_of(1024)
    }

    /// Bytes of shared memory, as `Memory` of the kernel lays it out.
    fn shared(&self) -> usize {
        let [tile_c, tile_p] = self.v.tile;
        let row = if self.v.contiguous { self.job.y.bytes() } else { tile_c * self.job.element() };
        let spare = if self.v.read == Read::Patches { 8 } else { 0 };
        let buffer = if self.job.is_direct() { 0 } else { ((tile_p + spare) * row).next_multiple_of(1024) };
        let beyond = if self.v.read == Read::Raw16 { 1024 } else { 0 };
        let barriers = 16 * (self.stages + self.v.buffers) + 24;
        1024 + self.stages * self.stage()
            + beyond
            + self.resident * tile_c * self.v.block
            + self.v.buffers * buffer
            + barriers
    }

    /// The numbers that the kernel's text is written over.
    fn defines(&self) -> [(&'static str, usize); 14] {
        let (v, w) = (&self.v, &self.job.sizes.window);
        let width = match v.read {
            Read::Halo => w.input[1],
            Read::Patches => w.output[1],
            _ => 0,
        };
        [
            ("TILE_C", v.tile[0]),
            ("TILE_P", v.tile[1]),
            ("BLOCK_K", v.block),
            ("STAGES", self.stages),
            ("BUFFERS", v.buffers),
            ("WGMMA_N", self.wgmma),
            ("RESIDENT", self.resident),
            ("CONTIGUOUS", v.contiguous.into()),
            ("PITCH", if v.contiguous { self.job.y.bytes() } else { 0 }),
            ("ROWS", self.rows()),
            ("WIDTH", width),
            ("TAP_ROWS", self.patches().map_or(0, |p| p.under[0])),
            ("THREADS", THREADS as usize),
            ("IN_CHANNELS", self.job.sizes.channels),
        ]
    }

    /// Bytes of weights from one tap to the next: of patches, from one row of them.
    fn tap_pitch(&self) -> usize {
        if self.v.read == Read::Patches { self.v.block } else { self.job.tap() }
    }

    /// The patches that are read, if any are.
    fn patches(&self) -> Option<Patches> {
        Patches::of(&self.job).filter(|_| self.v.read == Read::Patches)
    }

    /// Bytes of weights of an output channel.
    fn row(&self) -> usize {
        self.patches().map_or(self.job.taps() * self.job.tap(), |p| p.row())
    }

    /// The weights in the order of wgmma.
    fn weights(&self, w: &Tensor) -> Vec<u8> {
        let order = if self.job.is_half() { Order::Straight } else { Order::Pairs };
        match self.patches() {
            Some(p) => p.weights(&self.job, w, order),
            None => self.job.weights(w, order),
        }
    }

    /// The map of the input of so many images.
    fn x_map(&self, set: &Set) -> Result<TensorMap> {
        let (job, v) = (&self.job, &self.v);
        match v.read {
            Read::Halo => {
                let input = job.sizes.window.input;
                let (sizes, strides) = hopper::planes(input, job.depth(), job.x.bytes(), set.images);
                Bytes { address: set.x, sizes: &sizes, strides: &strides, swizzle: v.block }.boxes(&[
                    v.block,
                    input[1] + 2,
                    self.rows() + 2,
                    1,
                ])
            }
            Read::Raw16 | Read::Patches => Ok(TensorMap::zeroed()), // read as they lie
            _ => job.pixels_map(set.x, set.images, v.tile[1], v.block),
        }
    }

    /// The map of an output or residual of so many images.
    fn y_map(&self, address: u64, form: Form, images: usize) -> Result<TensorMap> {
        let (job, v) = (&self.job, &self.v);
        if v.contiguous || job.is_direct() {
            return Ok(TensorMap::zeroed()); // moved as it lies
        }
        let element = job.element();
        let span = if (v.tile[0] * element).is_multiple_of(128) { 128 } else { 64 };
        let channels = (job.sizes.outputs * element).next_multiple_of(hopper::GRAIN);
        let output = job.sizes.window.output;
        if v.read == Read::Halo {
            let (sizes, strides) = hopper::planes(output, channels, form.bytes(), images);
            return Bytes { address, sizes: &sizes, strides: &strides, swizzle: span }.boxes(&[
                span,
                output[1] + 2,
                self.rows(),
                1,
            ]);
        }
        let sizes = [channels, output[0] * output[1] * images];
        Bytes { address, sizes: &sizes, strides: &[form.bytes()], swizzle: span }
            .boxes(&[span, v.tile[1].min(MOST_ROWS)])
    }

    /// The launch for a set of images.
    fn launch(&self, set: &Set, constants: &[u64]) -> Result<Launch> {
        let (job, v) = (&self.job, &self.v);
        let pixels = job.sizes.pixels() * set.images;
        let (rows, window) = (self.rows(), &job.sizes.window);
        let tiles_h = if rows > 0 { window.output[0].div_ceil(rows) } else { 0 };
        let tiles_p = if rows > 0 { tiles_h * set.images } else { pixels.div_ceil(v.tile[1]) };
        let problem = Problem {
            x: set.x,
            residual: set.residual,
            y: set.y,
            window: job.window(self.tap_pitch()),
            tiles_p: tiles_p as i32,
            tiles_c: self.tiles_c as i32,
            tiles_h: tiles_h as i32,
            blocks_k: self.steps as i32,
            blocks_c: job.blocks(v.block) as i32,
            pixels: pixels as i32,
            channels: job.sizes.outputs as i32,
            pitch: job.y.pitch as i32,
            input: window.input.map(|n| n as i32),
            padding: (job.zero_point as u32 & 0xff) * 0x0101_0101,
            unused: 0,
        };
        let residual = match job.residual {
            Some(form) => self.y_map(set.residual, form, set.images)?,
            None => TensorMap::zeroed(),
        };
        let args = Args::default()
            .with(job.matrix_map(constants[0], self.row(), v.tile[0], v.block)?)
            .with(self.x_map(set)?)
            .with(self.y_map(set.y, job.y, set.images)?)
            .with(residual)
            .with(job.channels_at(constants[1]))
            .with(job.numbers())
            .with(problem);
        let blocks = (tiles_p * self.tiles_c).clamp(1, job.multiprocessors) as u32;
        let shared = self.shared() as u32;
        let shape = Shape { grid: [blocks, 1, 1], block: THREADS, shared, cluster: 1, chained: true };
        Ok(Launch { kernel: "conv_wgmma", shape, args })
    }
}

/// `Problem` of the kernel.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Problem {
    x: u64,
    residual: u64,
    y: u64,
    window: Window,
    tiles_p: i32,
    tiles_c: i32,
    tiles_h: i32,
    blocks_k: i32,
    blocks_c: i32,
    pixels: i32,
    channels: i32,
    pitch: i32,
    input: [i32; 2],
    padding: u32,
    unused: u32,
}

impl Family for ConvWgmma {
    fn name(&self) -> &'static str {
        "conv-wgmma"
    }

    fn doc(&self) -> &'static str {
        "Conv without groups and Linear, 8-bit and f16, Hopper: implicit product of matrices by wgmma"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let Some(job) = Job::of(spec).filter(|job| job.sizes.groups == 1) else { return vec![] };
        let fits = |v: &Variant| Kernel::of(job.clone(), *v).is_some();
        candidates(&job).iter().filter(|v| fits(v)).map(Variant::to_string).collect()
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let kernel = kernel(spec)?;
        let v = &kernel.v;
        let text = (kernel.job.text(spec)?.defines(&kernel.defines()))
            .define("SPLIT", row(&SPLITS, v.split).1)
            .define("READ", row(&READS, v.read).1)
            .raw(&hopper::wgmma(kernel.wgmma, kernel.job.x.dtype, First::Weights))
            .raw(include_str!("../kernels/patches.cuh"));
        Ok(text.raw(include_str!("../kernels/conv_wgmma.cu")).source())
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let kernel = kernel(spec)?;
        Ok(vec![kernel.weights(&tensors[0]), kernel.job.channels(spec, tensors)])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let kernel = kernel(spec)?;
        kernel.job.sets(at)?.iter().map(|set| kernel.launch(set, &at.constants)).collect()
    }
}

fn kernel<'a>(spec: &Spec<'a>) -> Result<Kernel<'a>> {
    let job = Job::of(spec).ok_or_else(|| hopper::refused("its sizes or types"))?;
    let v = spec.variant.parse().map_err(|()| hopper::refused("a variant of another version"))?;
    Kernel::of(job, v).ok_or_else(|| hopper::refused("this variant's tile does not fit"))
}
