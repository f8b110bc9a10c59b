//! How lines of output pixels are cut into tiles: runs of pixels a constant stride apart.

use super::ROWS;
use crate::device::cpu::kernels::window::Walk;

/// The pixels of one tile.
pub struct Run {
    /// Where the first is read, in bytes from the band's first line; before it where a last band in place has less than
    /// a tile.
    pub from: isize,
    /// Rows that are stored: first row, how many, and the first's output pixel in the band.
    pub parts: Vec<(usize, usize, usize)>,
}

/// How lines are cut into tiles.
pub struct Shape {
    /// Rows of a tile.
    pub rows: usize,
    /// Do runs go on over the ends of lines?
    over_ends: bool,
}

impl Shape {
    /// The cut with the least work, for bands of so many lines.
    pub fn best(walk: &Walk, lines: usize, in_place: bool) -> Shape {
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
    pub fn runs(&self, walk: &Walk, lines: usize, line: usize, in_place: bool) -> Vec<Run> {
        let (width, pixel) = (walk.g.output[1], walk.inputs);
        if !self.over_ends {
            let cut = |l: usize| {
                (0..width).step_by(self.rows).map(move |first| {
                    // the last run begins early enough to be whole; what it shares with another is stored by that one
                    let begin = first.min(width - self.rows);
                    let from = l * walk.g.strides[0] * line + begin * walk.g.strides[1] * pixel;
                    let shared = first - begin;
                    let parts = vec![(shared, self.rows - shared, l * width + first)];
                    Run { from: from as isize, parts }
                })
            };
            return (0..lines).flat_map(cut).collect();
        }
        let steps = line / pixel;
        let all = (lines - 1) * steps + width;
        let cut = |first: usize| {
            // in place nothing follows the last pixel that may be read: the last run begins early enough to be whole
            let early = if in_place { (first + self.rows).saturating_sub(all) } else { 0 };
            let (begin, end) = (first as isize - early as isize, (first + self.rows).min(all));
            let part = |l: usize| {
                let (from, to) = ((l * steps).max(first), end.min(l * steps + width));
                (from < to)
                    .then(|| ((from as isize - begin) as usize, to - from, l * width + from - l * steps))
            };
            Run { from: begin * pixel as isize, parts: (0..lines).filter_map(part).collect() }
        };
        (0..all).step_by(self.rows).map(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ops::Geometry;

    /// Every pixel is stored once, by a row that reads it, and no run reads beyond a copy's slack.
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
                        assert!(!std::mem::replace(&mut stored[pixel + i], true), "stored twice");
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

    /// In place too, every pixel is stored once: a residual may lie where it is stored.
    #[test]
    fn runs_in_place_store_every_pixel_once() {
        for band in [1, 7, 13, 18, 21, 40] {
            let walk = Walk { g: Walk::lines_of(49), inputs: 64, outputs: 64, groups: 1 };
            let shape = Shape::best(&walk, band, true);
            for lines in 1..=band {
                let runs = shape.runs(&walk, lines, 64, true);
                let parts = runs.iter().flat_map(|r| &r.parts);
                let mut stored: Vec<usize> = parts.flat_map(|&(_, count, at)| at..at + count).collect();
                stored.sort_unstable();
                assert_eq!(stored, (0..lines).collect::<Vec<_>>(), "{lines} of {band} lines");
            }
        }
    }
}
