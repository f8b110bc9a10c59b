//! Convolutions and products with constant weights without tensor cores, floats and 8 bits: depthwise ones, several
//! channels of several pixels a thread, and those whose channels come in fours.

use super::{Args, BLOCK, BY_DP4A, Family, Launch, ONE_BY_ONE, Places, Spec, countable, missing, multiply};
use crate::base::{DType, Result, Tensor};
use crate::device::Problem;
use crate::device::cuda::compiler::Source;
use multiply::Sizes;

/// The family.
pub struct Grouped;

/// Neighbouring pixels that a thread takes, at most.
const PIXELS: usize = 4;
/// Columns of a line that a thread of a depthwise convolution holds, at most.
const SPAN: usize = 13;
/// Neighbouring channels that a thread takes.
const LANES: usize = 4;

impl Family for Grouped {
    fn name(&self) -> &'static str {
        "grouped"
    }

    fn doc(&self) -> &'static str {
        "depthwise convolutions, and others whose channels come in fours, f32, f16 and 8-bit, without tensor cores"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        let Some(s) = Sizes::of(p).filter(|_| countable(p)) else { return vec![] };
        let fours = s.channels.is_multiple_of(4) && pitches(p, &s)[0].is_multiple_of(4);
        match (Depthwise::of(p, &s), fours) {
            (Some(_), _) => vec!["depthwise".into()],
            (None, true) => vec!["fours".into()],
            _ => vec![],
        }
    }

    fn products_per_cycle(&self, p: &Problem) -> Option<f64> {
        Some(if p.is_int8() { BY_DP4A } else { ONE_BY_ONE })
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let s = Sizes::of(p).ok_or_else(|| missing(p))?;
        let text = multiply::text(spec)?;
        let text = match Depthwise::of(p, &s) {
            Some(d) => (text.define("DEPTHWISE", 1)).defines(&[
                ("PIXELS_EACH", d.pixels),
                ("LANES", d.lanes),
                ("SPAN", d.span),
            ]),
            None => {
                let signed = u8::from(p.inputs[0].dtype == DType::I8);
                text.define("PIXELS_EACH", PIXELS).define("X_SIGNED", signed)
            }
        };
        let text = text.raw(include_str!("../kernels/finish.cuh")).raw(include_str!("../kernels/lanes.cuh"));
        let text = text.raw(include_str!("../kernels/dp4a.cuh"));
        Ok(text.raw(include_str!("../kernels/grouped.cu")).source())
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let s = Sizes::of(spec.problem).ok_or_else(|| missing(spec.problem))?;
        let [m, b] = multiply::scales(spec, tensors);
        let group = if Depthwise::of(spec.problem, &s).is_some() { 1 } else { 4 };
        Ok(vec![
            by_outputs(&multiply::channels_last(&tensors[0]), &s, group, tensors[0].dtype().size()),
            m,
            b,
        ])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let p = spec.problem;
        let s = Sizes::of(p).ok_or_else(|| missing(p))?;
        let args = Args::default().operands(at).constants(at);
        let [rows, columns] = s.window.output;
        let threads = match Depthwise::of(p, &s) {
            Some(d) => rows * columns.div_ceil(d.pixels) * (s.outputs / d.lanes),
            None => s.pixels().div_ceil(PIXELS) * s.outputs,
        };
        let kernel = if at.aligned(16) { "grouped" } else { "grouped_anywhere" };
        Ok(vec![Launch::images(kernel, threads, BLOCK, at, args)])
    }
}

/// Elements from pixel to pixel of the input and the output.
fn pitches(p: &Problem, s: &Sizes) -> [usize; 2] {
    [multiply::pitch(&p.inputs[0], s.channels * s.groups), multiply::pitch(&p.outputs[0], s.outputs)]
}

/// What a thread of a depthwise convolution takes: neighbouring pixels, channels, and the columns of a line that the
/// pixels see.
struct Depthwise {
    pixels: usize,
    lanes: usize,
    span: usize,
}

impl Depthwise {
    /// If every channel sees itself alone, through a window that is not too wide to be held.
    fn of(p: &Problem, s: &Sizes) -> Option<Depthwise> {
        let w = &s.window;
        let span = |pixels: usize| (pixels - 1) * w.strides[1] + (w.kernel[1] - 1) * w.dilations[1] + 1;
        let pixels = (1..=PIXELS).rev().find(|&n| span(n) <= SPAN)?;
        let [x, y] = pitches(p, s);
        let whole = [s.outputs, x, y].iter().all(|n| n.is_multiple_of(LANES));
        let lanes = if whole { LANES } else { 1 };
        let alone = s.channels == 1 && s.groups == s.outputs && s.groups > 1;
        alone.then_some(Depthwise { pixels, lanes, span: span(pixels) })
    }
}

/// Weights `[M, kh, kw, C]` as `[kh, kw, C / group, M, group]`: what neighbouring threads read lies side by side.
fn by_outputs(w: &[u8], s: &Sizes, group: usize, size: usize) -> Vec<u8> {
    let blocks = w.len() / (s.outputs * group * size).max(1);
    let mut out = Vec::with_capacity(w.len());
    for block in 0..blocks {
        for m in 0..s.outputs {
            let at = (m * blocks + block) * group * size;
            out.extend(&w[at..at + group * size]);
        }
    }
    out
}
