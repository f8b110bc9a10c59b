//! Depthwise convolutions in 8 bits on Hopper, 3x3 and 5x5: tiles by the copy engine, products by dp4a. See
//! `kernels/depthwise_tma.cu` for how, and for the meaning of what a variant says.

use super::hopper::{self, GRAIN, Job};
use super::{Args, Family, Launch, Places, Spec};
use crate::base::{Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::driver::Shape;
use crate::device::cuda::maps::Bytes;
use bytemuck::{Pod, Zeroable};
use std::fmt;
use std::str::FromStr;

/// The family.
pub struct DepthwiseTma;

/// Variants to try: the best by an estimate.
const TRIED: usize = 10;
/// Columns of a box beyond those that are needed, at most: they keep threads off each other's banks.
const SPARE_COLUMNS: usize = 4;
/// Registers of a multiprocessor's quarter.
const REGISTERS: usize = 16384;

/// `64x28-2x7-i1-box31-b2-m2`: blocks of 64 channels by 28 columns, two groups of seven rows of one image, boxes of 31 columns,
/// two buffers, two blocks a multiprocessor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Variant {
    channels: usize,
    width: usize,
    groups: usize,
    rows: usize,
    images: usize,
    box_width: usize,
    buffers: usize,
    blocks: usize,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Variant { channels, width, groups, rows, images, box_width, buffers, blocks } = self;
        write!(f, "{channels}x{width}-{groups}x{rows}-i{images}-box{box_width}-b{buffers}-m{blocks}")
    }
}

impl FromStr for Variant {
    type Err = ();
    fn from_str(s: &str) -> std::result::Result<Self, ()> {
        let numbers = s.split(|c: char| !c.is_ascii_digit()).filter(|s| !s.is_empty());
        let numbers: Vec<usize> =
            numbers.map(|n| n.parse().map_err(|_| ())).collect::<std::result::Result<_, _>>()?;
        let [channels, width, groups, rows, images, box_width, buffers, blocks] = numbers[..] else {
            return Err(());
        };
        Ok(Variant { channels, width, groups, rows, images, box_width, buffers, blocks })
    }
}

/// The job of a depthwise convolution.
struct Depthwise<'a> {
    job: Job<'a>,
    kernel: usize,
    stride: usize,
    /// Channels, up to whole grains.
    channels: usize,
}

impl<'a> Depthwise<'a> {
    fn of(spec: &Spec<'a>) -> Option<Self> {
        let job = Job::of(spec).filter(|job| !job.is_half())?;
        let (s, w) = (&job.sizes, &job.sizes.window);
        let [kernel, stride] = [w.kernel[0], w.strides[0]];
        let square = w.kernel == [kernel; 2] && w.strides == [stride; 2] && w.dilations == [1, 1];
        let known = matches!(kernel, 3 | 5) && matches!(stride, 1 | 2);
        let alone = s.groups > 1 && s.channels == 1 && s.outputs == s.groups;
        let stored = !job.is_direct() && job.residual.is_none() && job.y.pitch.is_multiple_of(4);
        let fits = job.is_loaded() && square && known && alone && stored && s.groups.is_multiple_of(4);
        let channels = s.groups.next_multiple_of(GRAIN);
        fits.then_some(Depthwise { kernel, stride, channels, job })
    }

    /// Columns of the output that a thread has.
    fn columns(&self) -> usize {
        if self.stride == 1 { 4 } else { 2 }
    }

    /// Registers of a thread, as measured.
    fn registers(&self) -> usize {
        match (self.kernel, self.stride) {
            (3, 1) => 90,
            (3, _) => 64,
            (_, 1) => 160,
            _ => 112,
        }
    }

    /// Columns or rows of the input under so many of the output.
    fn reach(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + self.kernel
    }

    /// Threads that have something to do.
    fn active(&self, v: &Variant) -> usize {
        v.channels / 4 * v.groups * v.images * v.width.div_ceil(self.columns())
    }

    /// Rows of a box.
    fn box_height(&self, v: &Variant) -> usize {
        self.reach(v.groups * v.rows)
    }

    /// Bytes of a buffer.
    fn buffer(&self, v: &Variant) -> usize {
        (v.images * self.box_height(v) * v.box_width * v.channels).next_multiple_of(128)
    }

    /// Bytes of shared memory: the last thread of a row reads past its end.
    fn shared(&self, v: &Variant) -> usize {
        v.buffers * (self.buffer(v) + 8) + 8 * v.channels
    }

    /// How many threads of a warp meet in one bank, at worst, when they read their first word.
    fn conflict(&self, v: &Variant) -> usize {
        let (quads, strips) = (v.channels / 4, v.groups * v.images);
        let word = |thread: usize| {
            let (quad, strip, column) = (thread % quads, thread / quads % strips, thread / (quads * strips));
            let row = strip / v.groups * self.box_height(v) + strip % v.groups * v.rows * self.stride;
            (row * v.box_width + column * self.columns() * self.stride) * quads + quad
        };
        let worst = |warp: usize| {
            let mut words: Vec<usize> = (warp..self.active(v).min(warp + 32)).map(word).collect();
            words.sort_unstable();
            words.dedup();
            let mut banks = [0; 32];
            words.iter().for_each(|w| banks[w % 32] += 1);
            banks.into_iter().max().unwrap_or(0)
        };
        (0..self.active(v)).step_by(32).map(worst).max().unwrap_or(0)
    }

    /// The variant with the box and the blocks a multiprocessor that suit it, and an estimate of how bad it is; none if it
    /// does not fit.
    fn suited(&self, v: Variant) -> Option<(f64, Variant)> {
        let least = self.reach(v.width);
        let threads = self.active(&v).next_multiple_of(32);
        let fits = (64..=512).contains(&threads) && self.box_height(&v) <= 256 && least + 8 <= 256;
        if !fits || (v.groups - 1) * v.rows >= self.job.sizes.window.output[0] {
            return None;
        }
        let cost =
            |w: usize| self.conflict(&Variant { box_width: w, ..v }) as f64 + 0.15 * (w - least) as f64;
        let widths = least..=least + SPARE_COLUMNS;
        let box_width = widths.min_by(|a, b| cost(*a).total_cmp(&cost(*b)))?;
        let v = Variant { box_width, ..v };
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
        let estimate = 0.35 * cost(box_width) + 2.0 * halo + sectors + idle - ahead + single
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

    /// The weights, an int4 for each 4 channels, row and word: up to 4 columns of one channel in each of its ints.
    fn weights(&self, w: &Tensor) -> Vec<u8> {
        let (k, words) = (self.kernel, self.kernel.div_ceil(4));
        let mut out = vec![0; self.channels * k * words * 4];
        for (i, &v) in w.bytes().iter().enumerate() {
            let (c, row, column) = (i / (k * k), i / k % k, i % k);
            out[(((c / 4 * k + row) * words + column / 4) * 4 + c % 4) * 4 + column % 4] = v;
        }
        out
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
    channels: i32,
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
        "Conv with one channel a group in 8 bits, 3x3 and 5x5, Hopper: tiles by the copy engine"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let all = Depthwise::of(spec).map_or(vec![], |d| d.candidates());
        all.iter().map(Variant::to_string).collect()
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let (d, v) = chosen(spec)?;
        let [height, width] = d.job.sizes.window.output;
        let cut_rows = !height.is_multiple_of(v.groups * v.rows);
        let cut_columns = !width.is_multiple_of(v.width) || !v.width.is_multiple_of(d.columns());
        let text = d.job.text(spec)?.defines(&[
            ("KERNEL", d.kernel),
            ("STRIDE", d.stride),
            ("COLUMNS", d.columns()),
            ("BLOCK_C", v.channels),
            ("TILE_W", v.width),
            ("GROUPS_H", v.groups),
            ("ROWS", v.rows),
            ("IMAGES", v.images),
            ("BOX_W", v.box_width),
            ("BUFFERS", v.buffers),
            ("BLOCKS_PER_SM", v.blocks),
            ("CUT_ROWS", cut_rows.into()),
            ("CUT_COLUMNS", cut_columns.into()),
        ]);
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
        let (sizes, [pitch, row, _]) = hopper::planes(w.input, job.sizes.groups, job.x.pitch, images);
        let map = Bytes {
            address: x.address,
            sizes: &sizes,
            strides: &[pitch, row, x.stride as usize],
            swizzle: 0,
        }
        .boxes(&[v.channels, v.box_width, d.box_height(&v), v.images])?;
        let [tiles_h, tiles_w] = [w.output[0].div_ceil(v.groups * v.rows), w.output[1].div_ceil(v.width)];
        let tiles = tiles_h * tiles_w * images.div_ceil(v.images);
        let blocks_c = d.channels / v.channels;
        let problem = Problem {
            y: y.address,
            image_pitch: y.stride,
            pitch: job.y.pitch as i32,
            row_pitch: (job.y.pitch * w.output[1]) as i32,
            images: images as i32,
            out_h: w.output[0] as i32,
            out_w: w.output[1] as i32,
            channels: job.sizes.groups as i32,
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
