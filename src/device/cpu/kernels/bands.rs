//! How a convolution or product is cut into tasks: bands of output lines by spans of panels, and what a band reads.

use super::tile::{MR, NR};
use super::window::{CHUNK, Fill, Walk};
use crate::ir::ops::Geometry;
use std::ops::Range;

/// Numbers of input that a task reads: they stay in the L2 cache beside a panel.
const BAND: usize = 64 << 10;
/// Output pixels of a task, at most.
const BAND_PIXELS: usize = 512;
/// Tasks of an image, at least, where there is so much work in it.
const TASKS: usize = 8;
/// Bytes of a cache line, where copies begin.
const LINE: usize = 64;
/// Bytes of pixels that stay in the nearest cache until they are multiplied.
const NEAREST_BYTES: usize = 16 << 10;
/// Bytes of panels that stay in the L2 cache beside what else is there.
const NEAR_BYTES: usize = 256 << 10;

/// The taps of a window: pieces of an input line that are multiplied one after the other.
pub struct Taps {
    /// Kernel lines, and pieces of a line: one, unless gaps or other groups' channels lie between its columns.
    shape: [usize; 2],
    /// Channels times columns of a piece.
    pub len: usize,
}

impl Taps {
    /// The taps of a walk.
    pub fn of(w: &Walk) -> Taps {
        let [kh, kw] = w.g.kernel;
        match Taps::has_whole_lines(w) {
            true => Taps { shape: [kh, 1], len: kw * w.inputs },
            false => Taps { shape: [kh, kw], len: w.depth() },
        }
    }

    /// Is a line of a window one piece of an input line?
    pub fn has_whole_lines(w: &Walk) -> bool {
        w.groups == 1 && w.g.dilations[1] == 1
    }

    /// The one tap of a copied window ([`Bands::of_windows`]).
    pub fn of_window(w: &Walk) -> Taps {
        Taps { shape: [1, 1], len: w.g.kernel[0] * w.g.kernel[1] * w.inputs }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.shape[0] * self.shape[1]
    }
}

/// What a kernel reads at once.
#[derive(Clone, Copy)]
pub struct AtOnce {
    /// Bytes of a pixel.
    pub step: usize,
    /// Pixels, where the last ones that are wanted may be followed by others.
    pub pixels: usize,
    /// Panels.
    pub panels: usize,
}

/// The cut of one step.
pub struct Bands {
    /// What is walked over.
    pub walk: Walk,
    /// Bytes of an input pixel.
    pub pixel: usize,
    /// Bytes of an input line, as kernels read it.
    pub line: usize,
    /// Is the image read where it lies? Only if nothing has to be padded, flipped or rounded up.
    pub in_place: bool,
    /// Output lines of a task.
    pub band: usize,
    /// Panels of a task.
    span: usize,
    /// Are there more bytes of weights than of an image?
    pub heavy: bool,
    fill: Fill,
    /// The walk whose windows are copied, where they are.
    windows: Option<Walk>,
    /// Bytes after a band's copy that kernels read, whatever they hold.
    slack: usize,
}

impl Bands {
    /// Cuts a walk over numbers of `size` bytes. Kernels read taps in whole steps of `step` numbers, and up to `slack`
    /// bytes after the last; all panels together have `weights` bytes.
    pub fn new(walk: Walk, size: usize, step: usize, fill: Fill, slack: usize, weights: usize) -> Bands {
        let in_place = !walk.is_padded() && fill.flip == 0 && Taps::of(&walk).len.is_multiple_of(step);
        let pixel = walk.inputs * size;
        let line = pixel * if in_place { walk.g.input[1] } else { walk.columns() };
        let (band, span) = split(&walk, line, BAND * size, weights);
        let heavy = is_heavy(&walk, line, weights);
        Bands { walk, pixel, line, in_place, band, span, heavy, fill, slack, windows: None }
    }

    /// Cuts a walk over bytes whose windows are copied side by side, each rounded up to whole steps: output pixels are
    /// lines of one pixel then. [`Taps::has_whole_lines`] must hold.
    #[cfg_attr(not(feature = "simd"), allow(dead_code))] // AMX alone wants it
    pub fn of_windows(walk: Walk, step: usize, fill: Fill, slack: usize, weights: usize) -> Bands {
        let line = Taps::of_window(&walk).len.next_multiple_of(step);
        let g = Walk::lines_of(walk.g.output[0] * walk.g.output[1]);
        let pixels = Walk { g, inputs: line, outputs: walk.outputs, groups: 1 };
        let (band, span) = split(&pixels, line, BAND, weights);
        let slack = slack.max(CHUNK);
        let heavy = is_heavy(&pixels, line, weights);
        Bands {
            walk: pixels,
            pixel: line,
            line,
            in_place: false,
            band,
            span,
            heavy,
            fill,
            windows: Some(walk),
            slack,
        }
    }

    /// The same for kernels that read the image where it lies although it has to be padded, and leave the padding out.
    pub fn without_padding(walk: Walk, size: usize, weights: usize) -> Bands {
        let pixel = walk.inputs * size;
        let line = pixel * walk.g.input[1];
        let (band, span) = split(&walk, line, BAND * size, weights);
        let fill = Fill { number: vec![0; size], flip: 0 };
        let heavy = is_heavy(&walk, line, weights);
        Bands { walk, pixel, line, in_place: true, band, span, heavy, fill, slack: 0, windows: None }
    }

    /// Cuts products of pixels that a task computes itself right before it multiplies them, `most` lines at once where whole
    /// tiles need no more. Every pixel is rounded up to whole steps, as what lies behind its channels meets weights of zero.
    /// All panels together have `weights` bytes; where these are more than the pixels, each panel is read once for a band.
    pub fn of_computed(
        walk: &Walk,
        output: [usize; 2],
        most: usize,
        weights: usize,
        at_once: AtOnce,
    ) -> Bands {
        let ([height, width], pixel) = (output, walk.inputs.next_multiple_of(at_once.step));
        let line = width * pixel;
        let lines = (NEAREST_BYTES / line.max(1)).min(most).max(least_lines(width)).min(height).max(1);
        let band = height.div_ceil(height.div_ceil(lines).max(1)).max(1);
        let g = Geometry { input: output, output, ..Walk::lines_of(1) };
        let walk = Walk { g, inputs: pixel, ..walk.clone() };
        let all = Bands::panels_each(&walk);
        let span = if weights > band * line { at_once.panels.min(all) } else { all };
        let (fill, slack) = (Fill { number: vec![0], flip: 0 }, at_once.pixels * pixel);
        let heavy = is_heavy(&walk, line, weights);
        Bands { walk, pixel, line, in_place: false, band, span, heavy, fill, slack, windows: None }
    }

    /// Where each tap starts, in bytes from its window.
    pub fn taps(&self) -> Vec<usize> {
        let (taps, dilations) = (Taps::of(&self.walk), self.walk.g.dilations);
        let [_, pieces] = taps.shape;
        let at = |t| t / pieces * dilations[0] * self.line + t % pieces * dilations[1] * self.pixel;
        (0..taps.count()).map(at).collect()
    }

    /// Panels of one group of channels.
    pub fn panels_each(walk: &Walk) -> usize {
        walk.maps().div_ceil(NR)
    }

    /// The group of a panel, and its first channel within the group.
    pub fn channels(&self, panel: usize) -> (usize, usize) {
        let each = Bands::panels_each(&self.walk);
        (panel / each, panel % each * NR)
    }

    fn panels(&self) -> usize {
        self.walk.groups * Bands::panels_each(&self.walk)
    }

    /// Bands of an image.
    pub fn count(&self) -> usize {
        self.walk.g.output[0].div_ceil(self.band)
    }

    /// Spans of panels.
    pub fn spans(&self) -> usize {
        self.panels().div_ceil(self.span)
    }

    /// Tasks of an image: its bands by the first span, by the second, ...
    pub fn tasks(&self) -> usize {
        self.count() * self.spans()
    }

    /// Output lines and panels of a task.
    pub fn task(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let (band, span) = (task % self.count(), task / self.count());
        (
            band * self.band..((band + 1) * self.band).min(self.walk.g.output[0]),
            span * self.span..((span + 1) * self.span).min(self.panels()),
        )
    }

    fn bytes(&self, lines: usize) -> usize {
        (self.walk.lines(lines) * self.line + self.slack).next_multiple_of(LINE)
    }

    /// Bytes of the copy of a band.
    pub fn scratch(&self) -> usize {
        let lines = self.windows.as_ref().map_or(0, |w| w.copied(self.band));
        if self.in_place { 0 } else { self.bytes(self.band) + lines }
    }

    /// Where the input of these output lines starts: in the image `x`, or in its copy in `scratch`.
    #[inline(always)]
    pub fn input(&self, x: &[u8], lines: Range<usize>, scratch: &mut [u8]) -> *const u8 {
        if self.in_place {
            let first = lines.start * self.walk.g.strides[0] * self.line;
            assert!(first + self.walk.lines(lines.len()) * self.line <= x.len());
            return x[first..].as_ptr();
        }
        let (copy, rest) = scratch.split_at_mut(self.bytes(lines.len()));
        match &self.windows {
            Some(walk) => walk.copy_windows(x, lines, &self.fill, rest, self.line, copy),
            None => self.walk.copy(x, lines, &self.fill, copy),
        }
        copy.as_ptr()
    }
}

/// Lines of so many pixels that make whole tiles.
fn least_lines(width: usize) -> usize {
    (4 * MR).div_ceil(width.max(1))
}

/// Are there more bytes of weights than of an image?
fn is_heavy(w: &Walk, line: usize, weights: usize) -> bool {
    weights > line * w.lines(w.g.output[0].max(1))
}

/// Output lines and panels of a task: bands whose input stays in the cache; where an image has too few of them,
/// fewer panels each, as long as reading the input more than once costs less than reading the weights more than once.
fn split(w: &Walk, line: usize, near: usize, weights: usize) -> (usize, usize) {
    let g = &w.g;
    let (width, lines) = (g.output[1].max(1), g.output[0].max(1));
    let panels = (w.groups * Bands::panels_each(w)).max(1);
    let fits = (near / (line * g.strides[0]).max(1)).min(BAND_PIXELS / width).clamp(1, lines);
    let band = match is_heavy(w, line, weights) {
        true => fits,
        false => fits.min(lines.div_ceil(TASKS).max(least_lines(width))).min(lines),
    };
    let bands = lines.div_ceil(band);
    (lines.div_ceil(bands), panels.div_ceil(TASKS.div_ceil(bands)).max(1))
}

/// Every panel (or group of panels) with every tile; the panels have so many bytes in all. Tiles are outside where all
/// panels stay in the cache: the pixels of a tile then stay in a nearer one, and whole output pixels are written one
/// after the other. Else each panel is read once.
#[inline(always)]
pub fn in_order<P: Clone, T: Clone>(
    panels: impl Iterator<Item = P> + Clone,
    tiles: impl Iterator<Item = T> + Clone,
    bytes: usize,
) -> impl Iterator<Item = (P, T)> {
    let near = bytes <= NEAR_BYTES;
    let inside = panels.clone();
    let by_tile = tiles.clone().take(if near { usize::MAX } else { 0 });
    let by_tile = by_tile.flat_map(move |t| inside.clone().map(move |p| (p, t.clone())));
    let by_panel = panels.take(if near { 0 } else { usize::MAX });
    by_tile.chain(by_panel.flat_map(move |p| tiles.clone().map(move |t| (p.clone(), t))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks are all lines by all panels, each once, whatever the sizes.
    #[test]
    fn tasks_are_a_partition() {
        for (inputs, outputs, groups, size, kernel) in [
            (3, 32, 1, 112, 3),
            (512, 512, 1, 7, 3),
            (64, 256, 1, 56, 1),
            (6, 66, 2, 5, 3),
            (24, 10, 1, 1, 1),
        ] {
            let mut g = Walk::lines_of(1);
            (g.input, g.output, g.kernel) = ([size; 2], [size; 2], [kernel; 2]);
            (g.begin, g.end) = ([kernel / 2; 2], [kernel / 2; 2]);
            let walk = Walk { g, inputs, outputs, groups };
            let fill = Fill { number: vec![0], flip: 0 };
            let bands = Bands::new(walk, 1, 4, fill, 4, inputs * outputs * kernel * kernel);
            let mut done = vec![0; size * bands.panels()];
            for task in 0..bands.tasks() {
                let (lines, panels) = bands.task(task);
                assert!(lines.len() <= bands.band);
                for l in lines {
                    panels.clone().for_each(|p| done[l * bands.panels() + p] += 1);
                }
            }
            assert!(done.iter().all(|&n| n == 1), "{inputs} -> {outputs}, {size}");
        }
    }

    #[test]
    fn both_orders_are_complete() {
        for bytes in [1, NEAR_BYTES] {
            let mut all: Vec<_> = in_order(2..5, 0..4, 3 * bytes).collect();
            assert_eq!(all[1], if bytes == 1 { (3, 0) } else { (2, 1) });
            all.sort_unstable();
            assert_eq!(all, (2..5).flat_map(|p| (0..4).map(move |t| (p, t))).collect::<Vec<_>>());
        }
    }
}
