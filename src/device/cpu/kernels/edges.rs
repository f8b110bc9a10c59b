//! f32 convolutions with padding as an implicit GEMM that reads the image where it lies: at its edges, windows leave
//! out the taps that are in the padding. Nothing is copied, and no zeros are multiplied.
//!
//! A tile has outputs whose windows have the same taps in the image: neighbours in a line where windows are whole, and
//! outputs one below the other in the columns at the edges.

use super::bands::{Bands, in_order};
use super::epilogue::{Finish, FloatFinish, Target};
use super::igemm::{Sums, product};
use super::tile::{F32, GROUP, MR, NR, Product, Reach};
use super::window::Walk;
use crate::device::cpu::simd::Simd;
use crate::device::cpu::{Block, Constant, Io, Kernel};
use std::marker::PhantomData;
use std::ops::Range;

/// Fewer whole windows in a line than this make tiles too small.
const LEAST: usize = 4;

/// Is this a convolution that is computed here? A line of its kernel has to lie in one piece, in the image and in the
/// panels.
pub fn fits(w: &Walk) -> bool {
    w.is_padded() && w.groups == 1 && w.g.dilations[1] == 1 && w.g.whole(1).len() >= LEAST
}

/// Outputs of a tile.
struct Outputs {
    /// Line and column of the first.
    first: [usize; 2],
    /// How many.
    count: usize,
    /// Are they one below the other?
    down: bool,
    /// Lines and columns of the kernel that are in the image.
    taps: [Range<usize>; 2],
}

impl Outputs {
    /// Tiles of at most `most` rows that cover some output lines.
    fn of(w: &Walk, lines: Range<usize>, most: usize) -> Vec<Outputs> {
        let (g, whole) = (&w.g, w.g.whole(1));
        let mut tiles = Vec::new();
        for line in lines.clone() {
            let taps = [g.taps(0, line), 0..g.kernel[1]];
            for part in parts(whole.clone(), most) {
                let (first, count) = ([line, part.start], part.len());
                tiles.push(Outputs { first, count, down: false, taps: taps.clone() });
            }
        }
        for column in (0..whole.start).chain(whole.end..g.output[1]) {
            let lines: Vec<usize> = lines.clone().collect();
            for alike in lines.chunk_by(|&a, &b| g.taps(0, a) == g.taps(0, b)) {
                let taps = [g.taps(0, alike[0]), g.taps(1, column)];
                for part in parts(alike[0]..alike[0] + alike.len(), most) {
                    let (first, count) = ([part.start, column], part.len());
                    tiles.push(Outputs { first, count, down: true, taps: taps.clone() });
                }
            }
        }
        tiles
    }
}

/// A range in as few parts of at most `most` as there can be, about equal.
fn parts(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let n = range.len().div_ceil(most);
    let at = move |i: usize| range.start + i * range.len() / n;
    (0..n).map(move |i| at(i)..at(i + 1))
}

/// The kernel.
pub struct Edged<S> {
    bands: Bands,
    panels: Constant<f32>,
    finish: FloatFinish,
    /// The tiles of each band.
    tiles: Vec<Vec<Outputs>>,
    /// Byte offsets of kernel lines.
    taps: Vec<usize>,
    /// Byte offsets of a tile's rows, side by side and one below the other.
    rows: [[usize; MR]; 2],
    /// Numbers between output pixels.
    pitch: usize,
    simd: PhantomData<S>,
}

impl<S: Simd> Edged<S> {
    /// A kernel with the panels of `igemm`.
    pub fn new(walk: Walk, pitch: usize, panels: Constant<f32>, finish: FloatFinish) -> Self {
        let bands = Bands::without_padding(walk, GROUP, panels.len() * GROUP);
        let g = &bands.walk.g;
        let steps = [g.strides[1] * bands.pixel, g.strides[0] * bands.line];
        let lines = (0..g.output[0]).step_by(bands.band);
        let lines = lines.map(|first| first..(first + bands.band).min(g.output[0]));
        Edged {
            tiles: lines.map(|lines| Outputs::of(&bands.walk, lines, F32::rows::<S>())).collect(),
            taps: bands.taps(),
            rows: steps.map(|step| std::array::from_fn(|r| r * step)),
            simd: PhantomData,
            pitch,
            bands,
            panels,
            finish,
        }
    }

    /// A tile by a panel.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; no other task has these outputs and this panel.
    #[inline(always)]
    unsafe fn tile(&self, to: Target, x: &[u8], panel: usize, tile: &Outputs, sums: &mut Sums<S>) {
        let walk = &self.bands.walk;
        let (g, rows) = (&walk.g, &self.rows[usize::from(tile.down)][..tile.count]);
        let [lines, columns] = &tile.taps;
        let lines = if columns.is_empty() { 0..0 } else { lines.clone() };
        // the first tap in the image; there is none where windows lie in the padding altogether
        let source = |axis: usize| g.source(axis, tile.first[axis], tile.taps[axis].start).unwrap_or(0);
        let x = &x[source(0) * self.bands.line + source(1) * self.bands.pixel..];
        if let (Some(tap), Some(row)) = (lines.len().checked_sub(1), rows.last()) {
            assert!(self.taps[tap] + row + columns.len() * self.bands.pixel <= x.len());
        }
        // a pixel's weights in a panel, in bytes
        let weights = walk.inputs * NR * GROUP;
        let [kh, kw] = g.kernel;
        let panel_len = kh * kw * walk.inputs * NR;
        let first = (lines.start * kw + columns.start) * weights;
        let (_, map) = self.bands.channels(panel);
        let pixel = tile.first[0] * g.output[1] + tile.first[1];
        let block =
            Block { at: pixel * to.pitch + map, channel: panel * NR, channels: NR.min(walk.outputs - map) };
        let pitch = if tile.down { g.output[1] * to.pitch } else { to.pitch };
        let panel = bytemuck::cast_slice(&self.panels[panel * panel_len..][..panel_len]);
        // SAFETY: the caller's promise; the last number that is read was looked for above.
        unsafe {
            let reach = Reach {
                base: x.as_ptr(),
                taps: &self.taps[..lines.len()],
                groups: columns.len() * walk.inputs,
                panel: panel[first.min(panel.len())..].as_ptr(),
                skip: (kw - columns.len()) * weights,
                start: self.finish.start(block.channel),
            };
            product(&self.finish, Target { pitch, ..to }, reach, rows, block, sums);
        }
    }
}

impl<S: Simd> Kernel for Edged<S> {
    fn tasks(&self) -> usize {
        self.bands.tasks()
    }

    fn is_heavy(&self) -> bool {
        self.bands.heavy
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let (lines, panels) = self.bands.task(task);
        let (walk, x) = (&self.bands.walk, io.input::<u8>(0, image));
        let bytes = panels.len() * walk.g.kernel[0] * walk.g.kernel[1] * walk.inputs * NR * GROUP;
        let to = Target { io, image, pitch: self.pitch };
        let tiles = &self.tiles[lines.start / self.bands.band];
        // SAFETY: `load` chose `S` for a CPU that has it; tasks differ in lines or panels.
        unsafe {
            S::within(
                #[inline(always)]
                || {
                    let mut sums = Sums::<S>::new();
                    for (panel, tile) in in_order(panels.clone(), tiles.iter(), bytes) {
                        self.tile(to, x, panel, tile, &mut sums);
                    }
                },
            );
        }
    }
}
