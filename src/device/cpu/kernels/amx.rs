//! Convolutions and products of 8-bit integers by AMX tiles: two tiles of up to 16 pixels by two of 16 channels.
//!
//! A tile reads pixels a constant stride apart. It is a run of neighbouring pixels of an output line; where lines are
//! short and a copy with padding is read, a run goes on over the ends of lines, and what it computes of the padding is
//! dropped. Steps along K are 64 bytes of one tap. Weights are the panels of the other instruction sets, with whole
//! steps; s8 is multiplied as it is.
//!
//! Intel, "Intel 64 and IA-32 Architectures Optimization Reference Manual", chapter on AMX.

mod runs;
mod tiles;

use super::bands::{AtOnce, Bands, Taps, in_order};
use super::epilogue::{Finish, IntFinish, Target};
use super::igemm::{AMX_STEP as STEP, IM2COL, Products, Products8};
use super::peak::{REPEATS, fastest};
use super::tile::{GROUP, NR};
use super::window::{Fill, Walk};
use crate::base::{DType, Result};
use crate::device::Bound;
use crate::device::cpu::simd::{Avx512, Simd};
use crate::device::cpu::{Block, Constant, Io, Kernel, constant};
use runs::{Run, Shape};
use std::arch::x86_64::__m512i;
use std::ops::Range;
use tiles::{Job, Tiles};

/// Rows of a tile, at most.
const ROWS: usize = 16;
/// Bytes of the weights of a step: two tiles.
const STEP_WEIGHTS: usize = STEP / GROUP * NR * GROUP;
/// Vectors of the sums of a row over a panel.
const V: usize = 2;

/// Neighbouring panels, one or two, by one or two runs.
#[derive(Clone)]
struct Cell<'a> {
    panels: Range<usize>,
    runs: &'a [Run],
    /// Are these the first runs that the panels meet?
    first: bool,
}

/// The sums of a cell: of two runs, each row's over all panels.
type Sums = [__m512i; 2 * ROWS * 2 * V];

/// The kernel of a step.
pub struct AmxGemm {
    bands: Bands,
    panels: Constant<i8>,
    finish: IntFinish,
    signed: bool,
    /// Byte offsets of the steps along K.
    steps: Vec<usize>,
    /// Bytes between the pixels of a run.
    stride: usize,
    /// Numbers between output pixels.
    pitch: usize,
    /// Rows of all tiles.
    rows: usize,
    /// Tiles of bands of so many lines: of a whole band, and of the last.
    runs: [(usize, Vec<Run>); 2],
    /// Do accumulators start at 0?
    from_zero: bool,
}

impl AmxGemm {
    /// The kernel of this step, packed with steps of [`STEP`] bytes.
    pub fn load(step: &Bound) -> Result<Box<dyn Kernel>> {
        let (walk, weights) = (Walk::of(&step.problem), constant::<i8>(&step.packed, 0)?.len());
        let fill = Fill { flip: 0, ..Fill::of(step) };
        let bands = match step.tactic.variant == IM2COL {
            true => Bands::of_windows(walk, STEP, fill, ROWS * STEP, weights),
            false => {
                let slack = ROWS * walk.g.strides[1] * walk.inputs + STEP;
                Bands::new(walk, 1, STEP, fill, slack, weights)
            }
        };
        Ok(Box::new(AmxGemm::of(step, bands)?))
    }

    /// Panels in pairs, as long as two are of one group: whole lines of the cache are then written at once.
    #[inline(always)]
    fn pairs(&self, panels: Range<usize>) -> impl Iterator<Item = Range<usize>> + Clone {
        let each = Bands::panels_each(&self.bands.walk);
        let pair = move |first: usize| first..(first + 2).min((first / each + 1) * each).min(panels.end);
        let pairs = std::iter::successors(Some(pair(panels.start)), move |last| Some(pair(last.end)));
        pairs.take_while(|pair| !pair.is_empty())
    }

    /// [`Products::multiply`].
    ///
    /// # Safety
    /// The same, inside of [`Avx512::within`].
    #[inline(always)]
    unsafe fn cells(&self, to: Target, lines: Range<usize>, panels: Range<usize>, base: *const u8) {
        let runs = &self.runs[usize::from(lines.len() != self.runs[0].0)].1;
        let bytes = panels.len() * self.panel_len();
        // SAFETY: the caller's promise.
        unsafe {
            // the sums of a cell are stored while the tiles of the next are on their way
            let mut sums: [Sums; 2] = [[Avx512::splat(0); _]; 2];
            let tiles = Tiles::new(self.rows);
            let (mut before, mut last): (Option<Cell>, _) = (None, 0);
            let cells = in_order(self.pairs(panels), runs.chunks(2).enumerate(), bytes);
            for (i, (panels, (tile, runs))) in cells.enumerate() {
                let cell = Cell { panels, runs, first: tile == 0 };
                self.sum(&tiles, base, &cell, &mut sums[i % 2]);
                if let Some(before) = before.replace(cell) {
                    self.store(to, lines.start, &before, &sums[(i + 1) % 2]);
                }
                last = i;
            }
            if let Some(before) = before {
                self.store(to, lines.start, &before, &sums[last % 2]);
            }
        }
    }

    /// Bytes of a panel.
    fn panel_len(&self) -> usize {
        self.steps.len() * STEP_WEIGHTS
    }

    /// The tiles of a cell.
    ///
    /// # Safety
    /// As for [`AmxGemm::cells`].
    #[inline(always)]
    unsafe fn sum(&self, tiles: &Tiles, base: *const u8, cell: &Cell, sums: &mut Sums) {
        let (group, _) = self.bands.channels(cell.panels.start);
        let (a, b) = (&cell.runs[0], cell.runs.last().unwrap_or(&cell.runs[0]));
        // SAFETY: the caller's promise: runs stay in the band's input; a cell has room for the sums of its panels.
        unsafe {
            let base = base.add(group * self.bands.walk.depth());
            let x = [base.offset(a.from), base.offset(b.from)];
            for (i, panel) in cell.panels.clone().enumerate() {
                let job = Job {
                    x,
                    stride: self.stride,
                    steps: &self.steps,
                    weights: &self.panels[panel * self.panel_len()..][..self.panel_len()],
                    start: (!self.from_zero).then(|| self.finish.start(panel * NR)),
                    to: sums.as_mut_ptr().add(i * V).cast(),
                    pitch: cell.panels.len() * V * size_of::<__m512i>(),
                    ahead: cell.panels.len() * self.panel_len(),
                };
                match (self.signed, cell.first) {
                    (false, false) => tiles.u8(job),
                    (false, true) => tiles.u8_ahead(job),
                    (true, false) => tiles.s8(job),
                    (true, true) => tiles.s8_ahead(job),
                }
            }
        }
    }

    /// The epilogue of a cell of the band that begins with line `first`.
    ///
    /// # Safety
    /// As for [`AmxGemm::cells`].
    #[inline(always)]
    unsafe fn store(&self, to: Target, first: usize, cell: &Cell, sums: &Sums) {
        let walk = &self.bands.walk;
        let (group, map) = self.bands.channels(cell.panels.start);
        let channels = (cell.panels.len() * NR).min(walk.maps() - map);
        let vectors = cell.panels.len() * V;
        for (run, sums) in cell.runs.iter().zip(sums.chunks(ROWS * vectors)) {
            for &(row, count, pixel) in &run.parts {
                let pixel = first * walk.g.output[1] + pixel;
                let at = pixel * to.pitch + group * walk.maps() + map;
                let block = Block { at, channel: cell.panels.start * NR, channels };
                let sums = &sums[row * vectors..][..count * vectors];
                // SAFETY: the caller's promise.
                unsafe {
                    match cell.panels.len() {
                        1 => self.finish.store::<Avx512, V>(to, block, sums.as_chunks().0),
                        _ => self.finish.store::<Avx512, { 2 * V }>(to, block, sums.as_chunks().0),
                    }
                }
            }
        }
    }
}

impl Products for AmxGemm {
    type S = Avx512;

    fn bands(&self) -> &Bands {
        &self.bands
    }

    unsafe fn multiply(
        &self,
        io: &Io,
        image: usize,
        lines: Range<usize>,
        panels: Range<usize>,
        base: *const u8,
    ) {
        let to = Target { io, image, pitch: self.pitch };
        // SAFETY: the caller's promise; runs stay within what the lines read (in place) or the copy and what follows it.
        unsafe {
            Avx512::within(
                #[inline(always)]
                || self.cells(to, lines.clone(), panels.clone(), base),
            );
        }
    }
}

impl Products8 for AmxGemm {
    const AT_ONCE: AtOnce = AtOnce { step: STEP, pixels: ROWS, panels: 2 };

    fn of(step: &Bound, bands: Bands) -> Result<Self> {
        let walk = &bands.walk;
        let finish = IntFinish::of(step, walk.groups, &constant::<i32>(&step.packed, 1)?, 0)?;
        let last = (walk.g.output[0] - 1) % bands.band + 1;
        let shape = Shape::best(walk, bands.band, bands.in_place);
        let runs = |lines| (lines, shape.runs(walk, lines, bands.line, bands.in_place));
        let len = Taps::of(walk).len;
        let steps = |tap: usize| (0..len).step_by(STEP).map(move |k| tap + k);
        Ok(AmxGemm {
            signed: step.problem.inputs[0].dtype == DType::I8,
            from_zero: IntFinish::zero_point(step) == 0,
            steps: bands.taps().into_iter().flat_map(steps).collect(),
            rows: shape.rows,
            runs: [bands.band, last].map(runs),
            pitch: step.problem.outputs[0].pitch.unwrap_or(bands.walk.outputs),
            stride: walk.g.strides[1] * walk.inputs,
            panels: constant(&step.packed, 0)?,
            finish,
            bands,
        })
    }
}

/// Operations a second of one thread: two by two tiles from the nearest cache.
pub fn peak() -> f64 {
    // as many steps as weights fit: what begins and ends a product is no part of the peak. Pixels are the same in each
    const STEPS: usize = 16;
    let steps = [0; STEPS];
    let pixels = vec![1u8; 2 * ROWS * STEP];
    let weights = vec![1i8; STEPS * STEP_WEIGHTS];
    let x = [pixels.as_ptr(), pixels[ROWS * STEP..].as_ptr()];
    fastest(2 * 2 * ROWS * NR * STEPS * STEP, || {
        // SAFETY: the caller asks where there is AMX; every row and step lies in the vectors above.
        unsafe {
            Avx512::within(
                #[inline(always)]
                || {
                    let mut sums: Sums = [Avx512::splat(0); _];
                    let tiles = Tiles::new(ROWS);
                    for _ in 0..REPEATS {
                        tiles.u8(Job {
                            x,
                            stride: STEP,
                            steps: &steps,
                            weights: std::hint::black_box(&weights),
                            start: None,
                            to: sums.as_mut_ptr().cast(),
                            pitch: V * size_of::<__m512i>(),
                            ahead: 0,
                        });
                    }
                    std::hint::black_box(&sums);
                },
            );
        }
    })
}
