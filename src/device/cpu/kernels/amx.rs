//! Convolutions and products of 8-bit integers by AMX tiles: two tiles of up to 16 pixels by two of 16 channels.
//!
//! A tile reads pixels a constant stride apart. It is a run of neighbouring pixels of an output line; where lines are
//! short and a copy with padding is read, a run goes on over the ends of lines, and what it computes of the padding is
//! dropped. Steps along K are 64 bytes of one tap. Weights are the panels of the other instruction sets, with whole
//! steps; s8 is multiplied as it is.
//!
//! Intel, "Intel 64 and IA-32 Architectures Optimization Reference Manual", chapter on AMX.

use super::bands::{Bands, Taps, in_order};
use super::epilogue::{Finish, IntFinish, Target};
use super::igemm::{AMX_STEP as STEP, IM2COL};
use super::peak::{REPEATS, fastest};
use super::tile::{GROUP, NR};
use super::window::{Fill, Walk};
use crate::base::{DType, Result};
use crate::device::Bound;
use crate::device::cpu::simd::{Avx512, Simd};
use crate::device::cpu::{Block, Constant, Io, Kernel, constant};
use std::arch::asm;
use std::arch::x86_64::__m512i;
use std::ops::Range;

/// Rows of a tile, at most.
const ROWS: usize = 16;
/// Bytes of the weights of a step: two tiles.
const STEP_WEIGHTS: usize = STEP / GROUP * NR * GROUP;
/// Vectors of the sums of a row over a panel.
const V: usize = 2;

/// The pixels of one tile.
struct Run {
    /// Where the first is read, in bytes from the band's first line; before it where a last band in place has less than
    /// a tile.
    from: isize,
    /// Rows that are stored: first row, how many, and the first's output pixel in the band.
    parts: Vec<(usize, usize, usize)>,
}

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
        let walk = Walk::of(&step.problem);
        let finish = IntFinish::of(step, walk.groups, &constant::<i32>(&step.packed, 1)?, 0)?;
        let panels: Constant<i8> = constant(&step.packed, 0)?;
        let zero_point = IntFinish::zero_point(step);
        let fill = Fill { number: vec![zero_point as u8], flip: 0 };
        let bands = match step.tactic.variant == IM2COL {
            true => Bands::of_windows(walk, STEP, fill, ROWS * STEP, panels.len()),
            false => {
                let slack = ROWS * walk.g.strides[1] * walk.inputs + STEP;
                Bands::new(walk, 1, STEP, fill, slack, panels.len())
            }
        };
        let walk = &bands.walk;
        let last = (walk.g.output[0] - 1) % bands.band + 1;
        let shape = Shape::best(walk, bands.band, bands.in_place);
        let runs = |lines| (lines, shape.runs(walk, lines, bands.line, bands.in_place));
        let len = Taps::of(walk).len;
        let steps = |tap: usize| (0..len).step_by(STEP).map(move |k| tap + k);
        Ok(Box::new(AmxGemm {
            signed: step.problem.inputs[0].dtype == DType::I8,
            from_zero: zero_point == 0,
            steps: bands.taps().into_iter().flat_map(steps).collect(),
            rows: shape.rows,
            runs: [bands.band, last].map(runs),
            pitch: step.problem.outputs[0].pitch.unwrap_or(bands.walk.outputs),
            stride: walk.g.strides[1] * walk.inputs,
            panels,
            finish,
            bands,
        }))
    }

    /// Panels in pairs, as long as two are of one group: whole lines of the cache are then written at once.
    #[inline(always)]
    fn pairs(&self, panels: Range<usize>) -> impl Iterator<Item = Range<usize>> + Clone {
        let each = Bands::panels_each(&self.bands.walk);
        let pair = move |first: usize| first..(first + 2).min((first / each + 1) * each).min(panels.end);
        let pairs = std::iter::successors(Some(pair(panels.start)), move |last| Some(pair(last.end)));
        pairs.take_while(|pair| !pair.is_empty())
    }

    /// # Safety
    /// As for [`Simd`], inside of [`Avx512::within`], on a CPU with AMX; the input of the band's lines is at `base`; no
    /// other task has these lines and panels.
    #[inline(always)]
    unsafe fn multiply(&self, to: Target, lines: Range<usize>, panels: Range<usize>, base: *const u8) {
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
    /// As for [`AmxGemm::multiply`].
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
    /// As for [`AmxGemm::multiply`].
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

/// How lines are cut into tiles.
struct Shape {
    rows: usize,
    /// Do runs go on over the ends of lines?
    over_ends: bool,
}

impl Shape {
    /// The cut with the least work, for bands of so many lines.
    fn best(walk: &Walk, lines: usize, in_place: bool) -> Shape {
        let width = walk.g.output[1].max(1);
        // fewer than eight rows cost as much as eight
        let cost = |rows: usize, tiles: usize| rows.max(8) * tiles;
        let pieces = width.div_ceil(ROWS);
        let by_lines = Shape { rows: width.div_ceil(pieces), over_ends: false };
        // a product is one column of lines: neighbours all the same
        let steps = match in_place {
            true => width,
            false => walk.columns(),
        };
        let neighbours = walk.g.strides == [1, 1] && walk.g.output[0] > 1;
        let all = (lines - 1) * steps + width;
        let over = Shape { rows: all.div_ceil(all.div_ceil(ROWS)), over_ends: true };
        let better = cost(over.rows, all.div_ceil(ROWS)) < cost(by_lines.rows, pieces * lines);
        if neighbours && better { over } else { by_lines }
    }

    /// The runs of a band of so many lines, whose input lines have `line` bytes. A band that is cut over the ends of lines
    /// in place, and has less than a tile, must have other bands before it.
    fn runs(&self, walk: &Walk, lines: usize, line: usize, in_place: bool) -> Vec<Run> {
        let (width, pixel) = (walk.g.output[1], walk.inputs);
        if !self.over_ends {
            let cut = |l: usize| {
                (0..width).step_by(self.rows).map(move |c| {
                    let c = c.min(width - self.rows); // the last run begins early enough to be whole
                    let from = l * walk.g.strides[0] * line + c * walk.g.strides[1] * pixel;
                    Run { from: from as isize, parts: vec![(0, self.rows, l * width + c)] }
                })
            };
            return (0..lines).flat_map(cut).collect();
        }
        let steps = line / pixel;
        let all = (lines - 1) * steps + width;
        let cut = |first: usize| {
            // in place nothing follows the last pixel that may be read: the last run begins early enough to be whole
            let first = match in_place {
                true => first.min(all) as isize - (first + self.rows).saturating_sub(all) as isize,
                false => first as isize,
            };
            let end = (first + self.rows as isize).min(all as isize) as usize;
            let part = |l: usize| {
                let (from, to) = ((l * steps).max(first.max(0) as usize), end.min(l * steps + width));
                (from < to)
                    .then(|| ((from as isize - first) as usize, to - from, l * width + from - l * steps))
            };
            Run { from: first * pixel as isize, parts: (0..lines).filter_map(part).collect() }
        };
        (0..all).step_by(self.rows).map(cut).collect()
    }
}

/// Configured tile registers; released when dropped.
struct Tiles;

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Config([u8; 64]);

impl Tiles {
    /// Tiles 0 to 3 (sums) and 4 and 5 (pixels) of `rows` rows, 6 and 7 (weights) of 16; 64 bytes a row.
    ///
    /// # Safety
    /// The CPU has AMX, and the operating system permits it.
    unsafe fn new(rows: usize) -> Tiles {
        let mut config = Config([0; 64]);
        config.0[0] = 1; // the only palette
        for tile in 0..8 {
            config.0[16 + 2 * tile] = 64;
            config.0[48 + tile] = if tile < 6 { rows as u8 } else { ROWS as u8 };
        }
        // SAFETY: the caller's promise; the configuration is valid for palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) config.0.as_ptr(), options(nostack, readonly)) };
        Tiles
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there is AMX where `new` has been.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Two runs by one panel.
struct Job<'a> {
    /// Where the runs are read.
    x: [*const u8; 2],
    /// Bytes from a pixel of a run to the next.
    stride: usize,
    steps: &'a [usize],
    weights: &'a [i8],
    /// What sums start with, if not 0.
    start: Option<*const u8>,
    /// Where the sums of the first run go; those of the second are [`ROWS`] rows below.
    to: *mut u8,
    /// Bytes between the rows of sums.
    pitch: usize,
    /// Bytes from a step's weights to what is fetched meanwhile.
    ahead: usize,
}

/// A method that computes two by two tiles with one kind of product: everything in one block of assembly, as nothing
/// promises that tiles survive between two. It fetches the given lines of the cache of what is needed next.
macro_rules! tiles {
    ($name:ident, $product:literal $(, $line:literal)*) => {
        /// The sums of two runs, each of 16 rows, by two tiles of channels.
        ///
        /// # Safety
        /// Inside of [`Avx512::within`]; every step of every row of both runs may be read; `weights` has all steps; `to`
        /// has 32 rows of 128 bytes.
        #[inline(always)]
        unsafe fn $name(&self, job: Job) {
            assert!(job.weights.len() >= job.steps.len() * STEP_WEIGHTS && !job.steps.is_empty());
            // SAFETY: the caller's promise; fetching ahead is harmless wherever it is.
            unsafe {
                asm!(
                    "test {start}, {start}",
                    "jz 3f",
                    // rows 0 bytes apart: the same numbers in each
                    "xor {at:e}, {at:e}",
                    "tileloadd tmm0, [{start} + {at}*1]",
                    "tileloadd tmm1, [{start} + {at}*1 + 64]",
                    "tileloadd tmm2, [{start} + {at}*1]",
                    "tileloadd tmm3, [{start} + {at}*1 + 64]",
                    "jmp 2f",
                    "3:",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    "mov {start}, [{steps}]",
                    "lea {at}, [{x0} + {start}]",
                    "tileloadd tmm4, [{at} + {stride}*1]",
                    "tileloadd tmm6, [{w} + {wide}*1]",
                    concat!($product, " tmm0, tmm4, tmm6"),
                    "tileloadd tmm7, [{w} + {wide}*1 + 64]",
                    "lea {at}, [{x1} + {start}]",
                    concat!($product, " tmm1, tmm4, tmm7"),
                    "tileloadd tmm5, [{at} + {stride}*1]",
                    "/* {ahead} */",
                    $(concat!("prefetcht1 [{w} + {ahead}*1 + 64*", $line, "]"),)*
                    "add {steps}, 8",
                    "add {w}, 2048",
                    concat!($product, " tmm2, tmm5, tmm6"),
                    concat!($product, " tmm3, tmm5, tmm7"),
                    "dec {n}",
                    "jnz 2b",
                    "tilestored [{to} + {pitch}*1], tmm0",
                    "tilestored [{to} + {pitch}*1 + 64], tmm1",
                    "mov {at}, {pitch}",
                    "shl {at}, 4",
                    "add {to}, {at}",
                    "tilestored [{to} + {pitch}*1], tmm2",
                    "tilestored [{to} + {pitch}*1 + 64], tmm3",
                    start = inout(reg) job.start.unwrap_or(std::ptr::null()) => _,
                    at = out(reg) _,
                    x0 = in(reg) job.x[0],
                    x1 = in(reg) job.x[1],
                    stride = in(reg) job.stride,
                    steps = inout(reg) job.steps.as_ptr() => _,
                    w = inout(reg) job.weights.as_ptr() => _,
                    wide = in(reg) 128usize,
                    n = inout(reg) job.steps.len() => _,
                    to = inout(reg) job.to => _,
                    pitch = in(reg) job.pitch,
                    ahead = in(reg) job.ahead,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// [`tiles!`] with all lines of a step's weights fetched ahead.
macro_rules! tiles_ahead {
    ($name:ident, $product:literal) => {
        tiles!(
            $name, $product, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14",
            "15", "16", "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30",
            "31"
        );
    };
}

impl Tiles {
    tiles!(u8, "tdpbusd");
    tiles!(s8, "tdpbssd");
    tiles_ahead!(u8_ahead, "tdpbusd");
    tiles_ahead!(s8_ahead, "tdpbssd");
}

impl Kernel for AmxGemm {
    fn tasks(&self) -> usize {
        self.bands.tasks()
    }

    fn scratch(&self) -> usize {
        self.bands.scratch()
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let (lines, panels) = self.bands.task(task);
        let x = io.input::<u8>(0, image);
        let to = Target { io, image, pitch: self.pitch };
        // SAFETY: `variants` offers AMX where the CPU has it; runs stay within what the lines read (in place) or the
        // copy and what follows it; tasks differ in lines or panels.
        unsafe {
            Avx512::within(
                #[inline(always)]
                || {
                    let base = self.bands.input(x, lines.clone(), scratch);
                    self.multiply(to, lines.clone(), panels.clone(), base);
                },
            );
        }
    }
}

/// Operations a second of one thread: two by two tiles from the nearest cache.
pub fn peak() -> f64 {
    const STEPS: usize = 8;
    let steps: [usize; STEPS] = std::array::from_fn(|s| s * STEP);
    let pixels = vec![1u8; 2 * ROWS * STEPS * STEP];
    let weights = vec![1i8; STEPS * STEP_WEIGHTS];
    let x = [pixels.as_ptr(), pixels[ROWS * STEPS * STEP..].as_ptr()];
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
                            stride: STEPS * STEP,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ops::Geometry;

    /// Every pixel is stored, by a row that reads it, and no run reads beyond a copy's slack.
    #[test]
    fn runs_cover_every_pixel() {
        for (width, lines, kernel, stride) in [
            (7, 7, 3, 1),
            (14, 14, 3, 1),
            (56, 5, 3, 1),
            (7, 3, 3, 2),
            (1, 49, 1, 1),
            (1, 3, 1, 1),
            (17, 1, 5, 1),
        ] {
            let pad = kernel / 2;
            let g = Geometry {
                input: [lines * stride, width * stride],
                output: [lines, width],
                kernel: [kernel; 2],
                strides: [stride; 2],
                dilations: [1, 1],
                begin: [pad, pad],
                end: [pad, pad],
            };
            let walk = Walk { g, inputs: 64, outputs: 64, groups: 1 };
            let line = walk.columns() * walk.inputs;
            let shape = Shape::best(&walk, lines, false);
            let mut stored = vec![false; width * lines];
            for run in shape.runs(&walk, lines, line, false) {
                for (row, count, pixel) in run.parts {
                    for i in 0..count {
                        let (l, c) = ((pixel + i) / width, (pixel + i) % width);
                        let read = run.from as usize + (row + i) * stride * walk.inputs;
                        assert_eq!(read, l * stride * line + c * stride * walk.inputs);
                        assert!(row + i < shape.rows);
                        stored[pixel + i] = true;
                    }
                }
                assert!(
                    run.from as usize + shape.rows * stride * 64
                        <= walk.lines(lines) * line + ROWS * stride * 64
                );
            }
            assert!(stored.iter().all(|&s| s), "{width} x {lines}");
        }
    }

    /// In place, runs stay within the image: those of a small last band begin in the band before.
    #[test]
    fn runs_in_place_end_with_the_last_pixel() {
        let g = Walk::lines_of(21);
        let walk = Walk { g, inputs: 64, outputs: 64, groups: 1 };
        let shape = Shape::best(&walk, 18, true);
        assert_eq!((shape.rows, shape.over_ends), (9, true));
        for (lines, want) in [(18, vec![(0, 0), (9 * 64, 9)]), (3, vec![(-6 * 64, 0)])] {
            let runs = shape.runs(&walk, lines, 64, true);
            let got: Vec<(isize, usize)> =
                runs.iter().map(|r| (r.from, r.parts.first().map_or(0, |p| p.2))).collect();
            assert_eq!(got, want, "{lines} lines");
            for run in runs {
                for (row, count, pixel) in run.parts {
                    assert_eq!(run.from + row as isize * 64, pixel as isize * 64);
                    assert!(row + count <= 9 && pixel + count <= lines);
                }
            }
        }
    }
}
