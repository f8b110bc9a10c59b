//! Pixels of a picture to what a model reads: a table for each channel, in shared memory.

use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing};
use crate::base::{Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::Text;
use crate::device::{Numerics, PixelTables, Problem, Work};

/// The family.
pub struct Pixels;

/// The variant with a copy of the tables for each lane of a warp.
const BANKS: &str = "banks";
/// Most channels that a picture has.
const MOST: usize = 4;
/// Blocks that a multiprocessor runs at a time: a table is loaded once for all that its block takes.
const BLOCKS: usize = 8;

impl Family for Pixels {
    fn name(&self) -> &'static str {
        "pixels"
    }

    fn doc(&self) -> &'static str {
        "pixels of a picture to what a model reads, by a table for each channel"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let fits = |t: &PixelTables| (1..=MOST).contains(&t.from.len()) && countable(spec.problem);
        match tables(spec).filter(|t| fits(t)) {
            Some(_) if spec.problem.outputs[0].dtype.is_int8() => vec![BANKS.into(), "tables".into()],
            Some(_) => vec!["tables".into()],
            None => vec![],
        }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let t = tables(spec).ok_or_else(|| missing(p))?;
        let from = t.from.iter().enumerate().skip(1).map(|(c, from)| format!("(c) == {c} ? {from} : "));
        let from = format!("({}{})", from.collect::<String>(), t.from[0]);
        let ([x_pixel, x_channel], [y_pixel, y_channel]) = grids(p, t);
        let mut text = Text::default().parameters(p).define("FROM(c)", from).defines(&[
            ("PIXELS", pixels(p, t)),
            ("CHANNELS", t.from.len()),
            ("X_PIXEL", x_pixel),
            ("X_CHANNEL", x_channel),
            ("Y_PIXEL", y_pixel),
            ("Y_CHANNEL", y_channel),
        ]);
        if spec.variant == BANKS {
            text = text.define("BANKS", 1);
        }
        if in_fours(p, t) {
            text = text.define("FOURS", 1);
            if p.outputs[0].dtype.is_int8() && [y_pixel, y_channel] == [4, 1] {
                text = text.define("ROOM", 1);
            }
        }
        Ok(text.raw(include_str!("../kernels/pixels.cu")).source())
    }

    fn pack(&self, spec: &Spec, _: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let t = tables(spec).ok_or_else(|| missing(spec.problem))?;
        Ok(vec![t.tables.concat()])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let t = tables(spec).ok_or_else(|| missing(spec.problem))?;
        let args = Args::default().operands(at).constants(at);
        let (kernel, count) = match in_fours(spec.problem, t) && at.aligned(16) {
            true => ("fours", pixels(spec.problem, t) / 4),
            false => ("pixels", pixels(spec.problem, t)),
        };
        let room = (BLOCKS * spec.gpu.multiprocessors).div_ceil(at.images as usize);
        let threads = count.min(room * BLOCK as usize);
        Ok(vec![Launch::images(kernel, threads, BLOCK, at, args)])
    }
}

fn tables<'a>(spec: &Spec<'a>) -> Option<&'a PixelTables> {
    match (&spec.problem.work, spec.numerics) {
        (Work::Pixels, Numerics::Pixels(t)) => Some(t).filter(|t| t.fits(spec.problem)),
        _ => None,
    }
}

fn pixels(p: &Problem, t: &PixelTables) -> usize {
    p.inputs[0].shape.numel() / t.from.len().max(1)
}

/// Of the picture and of the output: how far apart neighbouring pixels and channels are.
fn grids(p: &Problem, t: &PixelTables) -> ([usize; 2], [usize; 2]) {
    let last = if t.axis == 3 { 2 } else { 3 };
    let (x, y) = (p.inputs[0].strides(), p.outputs[0].strides());
    ([x[last], x[t.axis]], [y[last], y[t.axis]])
}

/// Does a thread take four pixels of three channels at a time?
fn in_fours(p: &Problem, t: &PixelTables) -> bool {
    t.from.len() == 3 && grids(p, t).0 == [3, 1] && pixels(p, t).is_multiple_of(4)
}
