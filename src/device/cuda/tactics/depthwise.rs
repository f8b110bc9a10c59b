//! What the families of depthwise convolutions on Hopper share: tiles, and the box of the copy engine under one. See
//! `kernels/depthwise.cuh` for how a tile is computed.

use super::hopper::{self, GRAIN, Job};
use super::{Place, Spec};
use crate::base::{Result, Tensor};
use crate::device::cuda::maps::{Bytes, TensorMap};
use std::fmt;
use std::str::FromStr;

/// Bytes of the channels that a thread has.
const WORD: usize = 4;
/// Columns of a box beyond those that are needed, at most: they keep threads off each other's banks.
const SPARE_COLUMNS: usize = 4;

/// `64x28-2x7-i1-box31-b2-m2`: blocks of 64 bytes of channels by 28 columns, two groups of seven rows of one image, boxes of 31 columns,
/// two buffers, two blocks a multiprocessor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant {
    pub channels: usize,
    pub width: usize,
    pub groups: usize,
    pub rows: usize,
    pub images: usize,
    pub box_width: usize,
    pub buffers: usize,
    pub blocks: usize,
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
pub struct Depthwise<'a> {
    pub job: Job<'a>,
    pub kernel: usize,
    pub stride: usize,
    /// Bytes of the channels of a pixel, up to whole grains.
    pub channels: usize,
}

impl<'a> Depthwise<'a> {
    /// The job, if it is one.
    pub fn of(spec: &Spec<'a>) -> Option<Self> {
        let job = Job::of(spec)?;
        let (s, w) = (&job.sizes, &job.sizes.window);
        let [kernel, stride] = [w.kernel[0], w.strides[0]];
        let square = w.kernel == [kernel; 2] && w.strides == [stride; 2] && w.dilations == [1, 1];
        let known = matches!(kernel, 3 | 5) && matches!(stride, 1 | 2);
        let alone = s.groups > 1 && s.channels == 1 && s.outputs == s.groups;
        let bytes = s.groups * job.element();
        let stored = !job.is_direct() && job.residual.is_none() && job.y.bytes().is_multiple_of(WORD);
        let fits = job.is_loaded() && square && known && alone && stored && bytes.is_multiple_of(WORD);
        let channels = bytes.next_multiple_of(GRAIN);
        fits.then_some(Depthwise { kernel, stride, channels, job })
    }

    /// Columns of the output that a thread has.
    pub fn columns(&self) -> usize {
        if self.stride == 1 { 4 } else { 2 }
    }

    /// Registers of a thread, as measured.
    pub fn registers(&self) -> usize {
        match (self.kernel, self.stride, self.job.is_half()) {
            (3, 1, false) => 90,
            (3, 1, true) => 80,
            (3, _, false) => 64,
            (3, _, true) => 72,
            (_, 1, false) => 160,
            (_, 1, true) => 128,
            (_, _, false) => 112,
            (_, _, true) => 80,
        }
    }

    /// Columns or rows of the input under so many of the output.
    pub fn reach(&self, outputs: usize) -> usize {
        (outputs - 1) * self.stride + self.kernel
    }

    /// Threads that have something to do.
    pub fn active(&self, v: &Variant) -> usize {
        v.channels / WORD * v.groups * v.images * v.width.div_ceil(self.columns())
    }

    /// Rows of a box.
    pub fn box_height(&self, v: &Variant) -> usize {
        self.reach(v.groups * v.rows)
    }

    /// Bytes of a buffer.
    pub fn buffer(&self, v: &Variant) -> usize {
        (v.images * self.box_height(v) * v.box_width * v.channels).next_multiple_of(128)
    }

    /// Bytes of shared memory: the last thread of a row reads past its end.
    pub fn shared(&self, v: &Variant) -> usize {
        v.buffers * (self.buffer(v) + 8) + 8 * v.channels
    }

    /// How many threads of a warp meet in one bank, at worst, when they read their first word.
    pub fn conflict(&self, v: &Variant) -> usize {
        let (quads, strips) = (v.channels / WORD, v.groups * v.images);
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

    /// The numbers that `kernels/depthwise.cuh` is written over.
    pub fn defines(&self, v: &Variant) -> [(&'static str, usize); 12] {
        let [height, width] = self.job.sizes.window.output;
        let cut_rows = !height.is_multiple_of(v.groups * v.rows);
        let cut_columns = !width.is_multiple_of(v.width) || !v.width.is_multiple_of(self.columns());
        [
            ("KERNEL", self.kernel),
            ("STRIDE", self.stride),
            ("COLUMNS", self.columns()),
            ("BLOCK_C", v.channels),
            ("TILE_W", v.width),
            ("GROUPS_H", v.groups),
            ("ROWS", v.rows),
            ("IMAGES", v.images),
            ("BOX_W", v.box_width),
            ("BLOCKS_PER_SM", v.blocks),
            ("CUT_ROWS", cut_rows.into()),
            ("CUT_COLUMNS", cut_columns.into()),
        ]
    }

    /// The box that keeps threads off each other's banks, and how bad it is.
    pub fn boxed(&self, v: Variant) -> Option<(f64, Variant)> {
        let least = self.reach(v.width);
        let of = |box_width: usize| {
            let v = Variant { box_width, ..v };
            (self.conflict(&v) as f64 + 0.15 * (box_width - least) as f64, v)
        };
        (least..=least + SPARE_COLUMNS).map(of).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// The map by which boxes of so many images are copied.
    pub fn map(&self, v: &Variant, x: Place, images: usize) -> Result<TensorMap> {
        let job = &self.job;
        let (sizes, [pitch, row, _]) =
            hopper::planes(job.sizes.window.input, job.sizes.groups * job.element(), job.x.bytes(), images);
        let strides = [pitch, row, x.stride as usize];
        Bytes { address: x.address, sizes: &sizes, strides: &strides, swizzle: 0 }.boxes(&[
            v.channels,
            v.box_width,
            self.box_height(v),
            v.images,
        ])
    }

    /// The weights, an int4 for each 4 channels, row and word: up to 4 columns of one channel in each of its ints. Of halves
    /// a word for each 2 channels, row and column.
    pub fn weights(&self, w: &Tensor) -> Vec<u8> {
        let (k, words) = (self.kernel, self.kernel.div_ceil(4));
        if self.job.is_half() {
            let mut out = vec![0; self.channels * k * k];
            for (i, v) in w.bytes().chunks_exact(2).enumerate() {
                let (c, tap) = (i / (k * k), i % (k * k));
                out[((c / 2 * k * k + tap) * 2 + c % 2) * 2..][..2].copy_from_slice(v);
            }
            return out;
        }
        let mut out = vec![0; self.channels * k * words * 4];
        for (i, &v) in w.bytes().iter().enumerate() {
            let (c, row, column) = (i / (k * k), i / k % k, i % k);
            out[(((c / 4 * k + row) * words + column / 4) * 4 + c % 4) * 4 + column % 4] = v;
        }
        out
    }
}
