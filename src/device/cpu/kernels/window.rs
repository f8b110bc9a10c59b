//! How a convolution walks over a channels-last image: lines of output pixels, taps, and the copy with padding that
//! tasks read where the image itself will not do.

use super::epilogue::IntFinish;
use crate::base::DType;
use crate::device::{Bound, Problem};
use crate::ir::Op;
use crate::ir::ops::Geometry;
use std::ops::Range;

/// A convolution, or a product with a matrix, as lines of output pixels.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The window. A product, or a pointwise convolution of neighbouring pixels, has a line for each row.
    pub g: Geometry,
    /// Channels of an input pixel.
    pub inputs: usize,
    /// Channels of an output pixel.
    pub outputs: usize,
    /// Groups of channels.
    pub groups: usize,
}

/// What stands in the padding, and how bytes are changed on the way to a kernel.
pub struct Fill {
    /// One number of the image's type, as stored.
    pub number: Vec<u8>,
    /// Flipped in every byte: 0x80 where s8 is read as u8.
    pub flip: u8,
}

impl Fill {
    /// That of a step in 8 bits: its zero point. s8 is read as u8 with the sign bit flipped, x + 128.
    pub fn of(step: &Bound) -> Fill {
        let flip = if step.problem.inputs[0].dtype == DType::I8 { 0x80 } else { 0 };
        Fill { number: vec![IntFinish::zero_point(step) as u8], flip }
    }
}

impl Walk {
    /// The walk of a `Conv` or `Linear`.
    pub fn of(p: &Problem) -> Walk {
        let (x, w) = (&p.inputs[0].shape, &p.inputs[1].shape);
        match p.op() {
            Some(Op::Conv(c)) => {
                let Ok(g) = c.geometry(x, w) else { unreachable!("a problem's shapes were inferred") };
                let g = if g.pointwise() { Walk::lines_of(g.output[0] * g.output[1]) } else { g };
                Walk { g, inputs: x[1], outputs: w[0], groups: c.groups }
            }
            _ => {
                let k = w[1];
                Walk { g: Walk::lines_of(x.numel() / k.max(1)), inputs: k, outputs: w[0], groups: 1 }
            }
        }
    }

    /// So many rows in neighbouring places: a line for each.
    pub fn lines_of(n: usize) -> Geometry {
        Geometry {
            input: [n, 1],
            output: [n, 1],
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            begin: [0, 0],
            end: [0, 0],
        }
    }

    /// Input channels of a group.
    pub fn depth(&self) -> usize {
        self.inputs / self.groups
    }

    /// Output channels of a group.
    pub fn maps(&self) -> usize {
        self.outputs / self.groups
    }

    /// Columns of input that a line of output reads, padding included.
    pub fn columns(&self) -> usize {
        let g = &self.g;
        (g.output[1].max(1) - 1) * g.strides[1] + (g.kernel[1] - 1) * g.dilations[1] + 1
    }

    /// Lines of input that so many lines of output read, padding included.
    pub fn lines(&self, outputs: usize) -> usize {
        let g = &self.g;
        (outputs.max(1) - 1) * g.strides[0] + (g.kernel[0] - 1) * g.dilations[0] + 1
    }

    /// Is there padding that a window reaches?
    pub fn is_padded(&self) -> bool {
        let g = &self.g;
        g.begin != [0, 0] || self.columns() > g.input[1] || self.lines(g.output[0]) > g.input[0]
    }

    /// Copies what the output lines `lines` read to `to`, [`Walk::columns`] pixels a line.
    #[inline(always)]
    pub fn copy(&self, x: &[u8], lines: Range<usize>, fill: &Fill, to: &mut [u8]) {
        let (g, flip, fill) = (&self.g, fill.flip, &fill.number[..]);
        let pixel = self.inputs * fill.len();
        let (width, row) = (g.input[1] * pixel, self.columns() * pixel);
        if g.begin == [0, 0] && row == width && g.strides[0] == 1 {
            // neighbouring lines, without padding between them
            let from = &x[lines.start * row..][..self.lines(lines.len()) * row];
            return flipped(from, flip, &mut to[..from.len()]);
        }
        let left = (g.begin[1] * pixel).min(row);
        let middle = (row - left).min(width);
        for (i, to) in to.chunks_exact_mut(row.max(1)).take(self.lines(lines.len())).enumerate() {
            let line = (lines.start * g.strides[0] + i).checked_sub(g.begin[0]).filter(|&l| l < g.input[0]);
            let Some(line) = line else {
                pad(to, fill, flip);
                continue;
            };
            pad(&mut to[..left], fill, flip);
            flipped(&x[line * width..][..middle], flip, &mut to[left..left + middle]);
            pad(&mut to[left + middle..], fill, flip);
        }
    }
}

/// Bytes that are copied at once where windows are.
pub const CHUNK: usize = 32;

impl Walk {
    /// Bytes that [`Walk::copy_windows`] needs for the input lines of so many neighbouring output pixels.
    pub fn copied(&self, pixels: usize) -> usize {
        let g = &self.g;
        // they begin and end anywhere in a line
        let lines = ((pixels + g.output[1]).saturating_sub(2) / g.output[1].max(1) + 1).min(g.output[0]);
        self.lines(lines) * self.columns() * self.inputs + CHUNK
    }

    /// Copies the windows of the output pixels `pixels`, bytes, to `to`, one every `pitch` bytes: the lines of a window
    /// one after the other, then anything. `lines` is room for [`Walk::copied`]; `to` has a [`CHUNK`] to spare.
    #[inline(always)]
    pub fn copy_windows(
        &self,
        x: &[u8],
        pixels: Range<usize>,
        fill: &Fill,
        lines: &mut [u8],
        pitch: usize,
        to: &mut [u8],
    ) {
        let (g, width) = (&self.g, self.g.output[1]);
        let rows = pixels.start / width..pixels.end.div_ceil(width);
        self.copy(x, rows.clone(), fill, lines);
        let (line, piece) = (self.columns() * self.inputs, g.kernel[1] * self.inputs);
        let whole = piece.next_multiple_of(CHUNK); // what is too much is overwritten by the next piece
        let mut at = 0;
        for row in rows.clone() {
            let columns = pixels.start.saturating_sub(row * width)..(pixels.end - row * width).min(width);
            for column in columns {
                let from = (row - rows.start) * g.strides[0] * line + column * g.strides[1] * self.inputs;
                for i in 0..g.kernel[0] {
                    let from = &lines[from + i * g.dilations[0] * line..][..whole];
                    let to = &mut to[at + i * piece..][..whole];
                    for (to, from) in to.chunks_exact_mut(CHUNK).zip(from.chunks_exact(CHUNK)) {
                        to.copy_from_slice(from);
                    }
                }
                at += pitch;
            }
        }
    }
}

/// A copy, every byte flipped.
#[inline(always)]
fn flipped(from: &[u8], flip: u8, to: &mut [u8]) {
    match flip {
        0 => to.copy_from_slice(from),
        _ => to.iter_mut().zip(from).for_each(|(to, &from)| *to = from ^ flip),
    }
}

/// `fill` (one number) over and over, flipped.
#[inline(always)]
fn pad(to: &mut [u8], fill: &[u8], flip: u8) {
    match fill {
        // one byte over and over: integers, and the zero of floats
        &[first, ref rest @ ..] if rest.iter().all(|&b| b == first) => to.fill(first ^ flip),
        fill => to.chunks_exact_mut(fill.len()).for_each(|to| to.copy_from_slice(fill)),
    }
}
