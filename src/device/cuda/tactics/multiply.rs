//! What the families of convolutions and products share: sizes of a problem as one kind of convolution, its constants, and
//! the text of its epilogue.

use super::{Spec, bytes_of, missing};
use crate::base::codes::machine;
use crate::base::{DType, Diagnostic, Result, Tensor};
use crate::device::cuda::text::Text;
use crate::device::numerics::Output;
use crate::device::{Layout, Numerics, Operand, Problem};
use crate::ir::Op;
use crate::ir::ops::{Fused, Geometry};

/// A convolution over channels-last images. A product of rows with a matrix is one over pixels in a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Input, output, kernel, strides, dilations, padding.
    pub window: Geometry,
    /// Channels of the input that an output channel sees.
    pub channels: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Groups.
    pub groups: usize,
}

impl Sizes {
    /// The sizes of a Conv or Linear with constant weights, stored as kernels want it.
    pub fn of(p: &Problem) -> Option<Sizes> {
        let stored = |o: &&Operand| o.dtype.is_int8() || matches!(o.dtype, DType::F32 | DType::F16);
        let (bias, _) = fused(p).extra_inputs(p.inputs.len());
        let constant = p.inputs.get(1)?.constant && (!bias || p.inputs[2].constant);
        let alike = p.is_int8() || p.inputs[1].dtype == p.inputs[0].dtype;
        if !constant || !alike || !p.activations().chain(&p.outputs).all(|o| stored(&o)) {
            return None;
        }
        let (x, w) = (&p.inputs[0].shape, &p.inputs[1].shape);
        match p.op()? {
            Op::Conv(c) if p.is_stored(Layout::ChannelsLast) => Some(Sizes {
                window: c.geometry(x, w).ok()?,
                channels: w[1],
                outputs: w[0],
                groups: c.groups,
            }),
            Op::Linear(_) => {
                let rows = x.numel() / w[1];
                let window = Geometry {
                    input: [rows, 1],
                    output: [rows, 1],
                    kernel: [1, 1],
                    strides: [1, 1],
                    dilations: [1, 1],
                    begin: [0, 0],
                    end: [0, 0],
                };
                Some(Sizes { window, channels: w[1], outputs: w[0], groups: 1 })
            }
            _ => None,
        }
    }

    /// Pixels of the output.
    pub fn pixels(&self) -> usize {
        self.window.output[0] * self.window.output[1]
    }
}

/// Elements from one pixel to the next.
pub fn pitch(o: &Operand, channels: usize) -> usize {
    o.pitch.unwrap_or(channels)
}

/// What is fused into the problem.
pub fn fused(p: &Problem) -> Fused {
    p.op().map(|op| op.fused()).unwrap_or_default()
}

/// The residual, where there is one.
pub fn residual(p: &Problem) -> Option<&Operand> {
    fused(p).residual.then(|| p.inputs.last()).flatten()
}

/// Sizes, types, scales and `store` of a problem.
pub fn text(spec: &Spec) -> Result<Text> {
    let p = spec.problem;
    let s = Sizes::of(p).ok_or_else(|| missing(p))?;
    let w = &s.window;
    let mut text =
        Text::default().typed("X_T", p.inputs[0].dtype).typed("W_T", p.inputs[1].dtype).geometry(w).defines(
            &[
                ("CHANNELS", s.channels),
                ("OUTPUTS", s.outputs),
                ("GROUPS", s.groups),
                ("PIXELS", s.pixels()),
                ("X_PITCH", pitch(&p.inputs[0], s.channels * s.groups)),
                ("Y_PITCH", pitch(&p.outputs[0], s.outputs)),
            ],
        );
    if p.is_int8() {
        text = text.define("INT8", 1);
    }
    text = text.define("SUM_T", if p.is_int8() { "int" } else { "float" });
    if let Some(r) = residual(p) {
        text = text.define("RESIDUAL", 1).typed("R_T", r.dtype);
        text = text.define("R_PITCH", pitch(r, s.outputs));
    }
    epilogue(text, spec)
}

/// `ZERO_POINT`, the residual's scale and zero point, `FUNCTION`, `UNIT` and `store`.
fn epilogue(text: Text, spec: &Spec) -> Result<Text> {
    let fused = fused(spec.problem);
    let (zero_point, residual, unit, output) = match spec.numerics {
        Numerics::Multiply { zero_point, epilogue: e } => {
            let output = Output { lo: e.lo, hi: e.hi, quant: e.out };
            (*zero_point, e.residual.unwrap_or((1.0, 0)), e.unit.unwrap_or(1.0), output)
        }
        _ => (0, (1.0, 0), 1.0, Output::new(None, fused.activation)),
    };
    let text = text
        .define("ZERO_POINT", zero_point)
        .number("RESIDUAL_SCALE", residual.0)
        .define("RESIDUAL_ZERO_POINT", residual.1)
        .number("UNIT", unit)
        .store("store", &output, spec.problem.outputs[0].dtype);
    match fused.function {
        None => Ok(text),
        Some(f) => {
            let none = || Diagnostic::new(machine::INTERNAL, format!("{f:?} has no formula"));
            Ok(text.formula("function", &f).ok_or_else(none)?.define("FUNCTION", "function"))
        }
    }
}

/// Multipliers and addends of each output channel, as bytes of f32. For floats: ones, and the bias.
pub fn scales(spec: &Spec, tensors: &[Tensor]) -> [Vec<u8>; 2] {
    match spec.numerics {
        Numerics::Multiply { epilogue: e, .. } => [bytes_of(&e.m), bytes_of(&e.b)],
        _ => {
            let outputs = tensors[0].shape()[0];
            let bias = tensors.get(1).map(|b| b.to_f32().into_owned()).unwrap_or_else(|| vec![0.0; outputs]);
            [bytes_of(&vec![1.0; outputs]), bytes_of(&bias)]
        }
    }
}

/// Weights `[M, C, kh, kw]` as `[M, kh, kw, C]`.
pub fn channels_last(w: &Tensor) -> Vec<u8> {
    let size = w.dtype().size();
    let [m, c, area] = match w.shape()[..] {
        [m, c, kh, kw] => [m, c, kh * kw],
        [m, c] => [m, c, 1],
        _ => [w.shape().numel(), 1, 1],
    };
    let mut out = Vec::with_capacity(w.bytes().len());
    for m in 0..m {
        for a in 0..area {
            for c0 in 0..c {
                let at = ((m * c + c0) * area + a) * size;
                out.extend(&w.bytes()[at..at + size]);
            }
        }
    }
    out
}

/// Weights as rows `[M, taps, pitch]` of elements, with zeros where a pitch is wider than the channels, after the last tap
/// and after the last row: `rows` of `row_bytes` in all.
pub fn padded(
    w: &Tensor,
    taps: usize,
    [channels, pitch]: [usize; 2],
    [rows, row_bytes]: [usize; 2],
) -> Vec<u8> {
    let size = w.dtype().size();
    let dense = channels_last(w);
    let mut out = vec![0; rows * row_bytes];
    for (i, run) in dense.chunks_exact((channels * size).max(1)).enumerate() {
        let (m, tap) = (i / taps, i % taps);
        out[m * row_bytes + tap * pitch * size..][..run.len()].copy_from_slice(run);
    }
    out
}

/// What is added to the exact sum of stored inputs by weights of each channel: `-zero_point * sum(w)`.
pub fn offsets(zero_point: i32, w: &Tensor) -> Vec<i32> {
    let each = (w.bytes().len() / w.shape()[0].max(1)).max(1);
    let sum = |w: &[u8]| w.iter().map(|&w| i32::from(w as i8)).sum::<i32>();
    w.bytes().chunks(each).map(|w| -zero_point * sum(w)).collect()
}

/// The zero point of the input; 0 for floats.
pub fn zero_point(spec: &Spec) -> i32 {
    match spec.numerics {
        Numerics::Multiply { zero_point, .. } => *zero_point,
        _ => 0,
    }
}
