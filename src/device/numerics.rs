//! The scales of a step, made once on the host, in f64 and rounded once. Every device computes with these numbers
//! and in the order stated here, so that 8-bit results are equal to the last bit everywhere.

use super::Problem;
use crate::base::DType;
use crate::base::quant::{Activation, Epilogue, QuantParams};
use crate::ir::ops::UnaryFn;
use serde::{Deserialize, Serialize};

/// How what is F32 in a graph is stored between nodes, and multiplied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Floats {
    /// As it is.
    #[default]
    F32,
    /// As it is; products with constant weights are of TF32 (11 bits), their sums F32.
    Tf32,
    /// As F16; sums are F32.
    F16,
}

impl Floats {
    /// The type that is stored.
    pub fn stored(self) -> DType {
        match self {
            Floats::F32 | Floats::Tf32 => DType::F32,
            Floats::F16 => DType::F16,
        }
    }
}

/// How a step computes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Numerics {
    /// Floats by the operator's meaning; or any type, moved.
    Float,
    /// F32, where what is multiplied may be rounded to TF32 first.
    Tf32,
    /// 8-bit integers moved or compared as they are.
    Integers,
    /// `acc = sum (x - zero_point) w` exactly in i32, then the epilogue.
    Multiply {
        /// Zero point of the input.
        zero_point: i32,
        /// Scales, bias, residual, activation, output.
        epilogue: Epilogue,
    },
    /// `t = f32(sum (x - zero_point)) * factor(count)`, then [`Output::store`].
    Average {
        /// Zero point of the input.
        zero_point: i32,
        /// `s_x / s_y`; the factor is this over the count, in f64 and rounded once.
        ratio: f64,
        /// What is written.
        output: Output,
    },
    /// `t = f32(a - z0) * m0`, `t = fma(f32(b - z1), m1, t)`, then [`Output::store`].
    Add {
        /// `s_a / s_y`, `s_b / s_y`.
        m: [f32; 2],
        /// Zero points.
        zero_points: [i32; 2],
        /// What is written.
        output: Output,
    },
    /// `t = f32((a - z0) * (b - z1)) * m`, then [`Output::store`].
    Mul {
        /// `s_a s_b / s_y`.
        m: f32,
        /// Zero points.
        zero_points: [i32; 2],
        /// What is written.
        output: Output,
    },
    /// `y = table[x as u8]`.
    Table(Vec<u8>),
    /// Each input has its own scale: `t = f32(x - z_i) * m_i`, then [`Output::store`]. Concat and conversions.
    Rescale {
        /// Multiplier and zero point of each input.
        inputs: Vec<(f32, i32)>,
        /// What is written.
        output: Output,
    },
    /// F32 to 8 bits: `sat(rint(x / scale) + zero_point)`.
    Quantize(QuantParams),
    /// Pixels to what a model reads, by tables.
    Pixels(PixelTables),
    /// Those of the first operator of a pair, and of the second.
    Pair(Box<(Numerics, Numerics)>),
}

/// What pixels become: in channel `c` of the output stands `tables[c][x]`, where `x` is channel `from[c]` of the picture.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PixelTables {
    /// The axis of the channels, of pictures and output alike.
    pub axis: usize,
    /// For each channel of the output, the picture's.
    pub from: Vec<usize>,
    /// For each channel of the output, what is stored of the 256 values of a pixel, as bytes.
    pub tables: Vec<Vec<u8>>,
}

impl PixelTables {
    /// Are these tables for this problem? A file may say anything.
    pub fn fits(&self, p: &Problem) -> bool {
        let ([x], [y]) = (&p.inputs[..], &p.outputs[..]) else { return false };
        let channels = x.shape.get(self.axis).copied().unwrap_or(0);
        x.dtype == DType::U8
            && x.shape == y.shape
            && x.shape.rank() == 4
            && (self.from.len(), self.tables.len()) == (channels, channels)
            && self.from.iter().all(|&c| c < channels)
            && self.tables.iter().all(|t| t.len() == 256 * y.dtype.size())
    }

    /// Bytes of the number that is stored for a pixel's value in channel `c` of the output.
    pub fn entry(&self, c: usize, value: u8) -> &[u8] {
        let size = self.tables[c].len() / 256;
        &self.tables[c][usize::from(value) * size..][..size]
    }
}

/// How a number in units of the output becomes what is stored.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Output {
    /// Lower bound of the activation, in units of the output.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
    /// The output's quantization; `None` writes F32.
    pub quant: Option<QuantParams>,
}

impl Output {
    /// 8 bits without an activation.
    pub fn unbounded(q: QuantParams) -> Self {
        Output { lo: f32::NEG_INFINITY, hi: f32::INFINITY, quant: Some(q) }
    }

    /// The output of a node with this activation.
    pub fn new(quant: Option<QuantParams>, activation: Activation) -> Self {
        let s = unit(quant);
        let (lo, hi) = activation.bounds();
        Output { lo: (f64::from(lo) / s) as f32, hi: (f64::from(hi) / s) as f32, quant }
    }

    /// The value before rounding.
    #[inline(always)]
    pub fn clamp(&self, t: f32) -> f32 {
        t.max(self.lo).min(self.hi)
    }

    /// The bounds of the activation and, for 8 bits, of the type without its zero point: what a number may be clamped
    /// to before it is rounded (the type's bounds are integers, so that rounding first makes no difference).
    pub fn bounds(&self) -> (f32, f32) {
        match self.quant {
            None => (self.lo, self.hi),
            Some(q) => {
                let (lo, hi) = q.limits();
                let (lo, hi) = ((lo - q.zero_point) as f32, (hi - q.zero_point) as f32);
                (self.lo.max(lo).min(hi), self.hi.min(hi).max(lo))
            }
        }
    }

    /// The stored integer: `sat(rint(clamp(t)) + zero_point)`.
    #[inline(always)]
    pub fn store(&self, t: f32) -> i32 {
        self.quant.map_or(0, |q| q.saturate(self.clamp(t)))
    }
}

/// The scale that numbers are divided by before they are stored; 1 for F32.
fn unit(q: Option<QuantParams>) -> f64 {
    q.map_or(1.0, |q| f64::from(q.scale.get()))
}

fn ratio(from: QuantParams, to: Option<QuantParams>) -> f64 {
    f64::from(from.scale.get()) / unit(to)
}

impl Numerics {
    /// What a kernel's time may depend on, in words: which arithmetic, and whether there are zero points, a residual,
    /// an output in 8 bits. Scales are no part of it.
    pub fn form(&self) -> String {
        let (name, parts): (_, &[(&str, bool)]) = match self {
            Numerics::Float => ("float", &[]),
            Numerics::Tf32 => ("tf32", &[]),
            Numerics::Integers => ("integers", &[]),
            Numerics::Multiply { zero_point, epilogue } => {
                let residual = epilogue.residual.is_some();
                ("multiply", &[("zero point", *zero_point != 0), ("residual", residual)])
            }
            Numerics::Average { zero_point, .. } => ("average", &[("zero point", *zero_point != 0)]),
            Numerics::Add { zero_points, .. } => ("add", &[("zero points", *zero_points != [0, 0])]),
            Numerics::Mul { zero_points, .. } => ("mul", &[("zero points", *zero_points != [0, 0])]),
            Numerics::Table(_) => ("table", &[]),
            Numerics::Rescale { .. } => ("rescale", &[]),
            Numerics::Quantize(_) => ("quantize", &[]),
            Numerics::Pixels(_) => ("pixels", &[]),
            Numerics::Pair(both) => return format!("{}, then {}", both.0.form(), both.1.form()),
        };
        let parts = parts.iter().filter(|(_, there)| *there).map(|(part, _)| format!(" + {part}"));
        std::iter::once(name.to_string()).chain(parts).collect()
    }

    /// An average of 8-bit numbers.
    pub fn average(x: QuantParams, y: Option<QuantParams>) -> Self {
        Numerics::Average {
            zero_point: x.zero_point,
            ratio: ratio(x, y),
            output: Output::new(y, Activation::None),
        }
    }

    /// The factor of an average over `count` elements.
    pub fn factor(ratio: f64, count: usize) -> f32 {
        (ratio / count as f64) as f32
    }

    /// A sum of two 8-bit tensors.
    pub fn add(a: QuantParams, b: QuantParams, y: Option<QuantParams>, activation: Activation) -> Self {
        Numerics::Add {
            m: [ratio(a, y) as f32, ratio(b, y) as f32],
            zero_points: [a.zero_point, b.zero_point],
            output: Output::new(y, activation),
        }
    }

    /// A product of two 8-bit tensors.
    pub fn mul(a: QuantParams, b: QuantParams, y: Option<QuantParams>, activation: Activation) -> Self {
        Numerics::Mul {
            m: (ratio(a, y) * f64::from(b.scale.get())) as f32,
            zero_points: [a.zero_point, b.zero_point],
            output: Output::new(y, activation),
        }
    }

    /// Several 8-bit tensors, or one, in another scale (or F32).
    pub fn rescale(inputs: &[QuantParams], y: Option<QuantParams>) -> Self {
        Numerics::Rescale {
            inputs: inputs.iter().map(|&x| (ratio(x, y) as f32, x.zero_point)).collect(),
            output: Output::new(y, Activation::None),
        }
    }

    /// A function of an 8-bit tensor: evaluated in f64 for each of the 256 numbers, rounded to f32, quantized.
    pub fn table(f: &UnaryFn, x: QuantParams, y: QuantParams) -> Self {
        let entry = |byte: u8| {
            let q = if x.dtype == DType::I8 { i32::from(byte as i8) } else { i32::from(byte) };
            let real = f.apply(f64::from(x.scale.get()) * f64::from(q - x.zero_point));
            y.quantize(real as f32) as u8
        };
        Numerics::Table((0..=255).map(entry).collect())
    }

    /// `t` of [`Numerics::Add`].
    #[inline(always)]
    pub fn add_one(m: [f32; 2], zero_points: [i32; 2], a: i32, b: i32) -> f32 {
        ((b - zero_points[1]) as f32).mul_add(m[1], (a - zero_points[0]) as f32 * m[0])
    }
}
