//! Convolutions and products as implicit matrix products for every architecture: 8 bits, f16 and TF32 by tensor
//! cores (`mma.sync`), f32 one product after the other.

use super::multiply::{self, Sizes, pitch, residual};
use super::{Args, Family, Launch, Places, Spec, missing};
use crate::base::{DType, Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::driver::Shape;
use crate::device::{Numerics, Operand};

/// The family.
pub struct Igemm;

/// Bytes of k in a stage, as in the kernel.
const STEP: usize = 64;
/// Threads of a block, as in the kernel.
const THREADS: u32 = 256;

/// Pixels and channels of a tile, and stages.
#[derive(Clone, Copy)]
struct Tile {
    pixels: usize,
    outputs: usize,
    stages: usize,
}

/// The tiles, each with its variant's name.
const TILES: [(&str, Tile); 4] = [
    ("128x128", Tile { pixels: 128, outputs: 128, stages: 4 }),
    ("128x64", Tile { pixels: 128, outputs: 64, stages: 4 }),
    ("64x64", Tile { pixels: 64, outputs: 64, stages: 4 }),
    ("64x64-deep", Tile { pixels: 64, outputs: 64, stages: 8 }),
];

impl Tile {
    fn of(spec: &Spec) -> Tile {
        TILES.iter().find(|(name, _)| *name == spec.variant).map_or(TILES[2].1, |(_, tile)| *tile)
    }

    /// Bytes of shared memory: the stages, or what passes through it at the end.
    fn shared(self, spec: &Spec) -> usize {
        let row = |o: &Operand| self.outputs * o.dtype.size() + 16;
        let p = spec.problem;
        let end = self.pixels * (row(&p.outputs[0]) + residual(p).map_or(0, row));
        let stages = self.stages * (self.pixels + self.outputs) * STEP;
        if staged(spec) { stages.max(end) } else { stages }
    }
}

/// Bytes of k: taps by stored channels.
fn taps_bytes(spec: &Spec, s: &Sizes) -> usize {
    let p = spec.problem;
    let row = pitch(&p.inputs[0], s.channels) * p.inputs[0].dtype.size();
    (s.window.kernel[0] * s.window.kernel[1] * row).next_multiple_of(STEP)
}

/// Bytes that are copied at once along k.
fn copied(spec: &Spec, s: &Sizes) -> usize {
    let o = &spec.problem.inputs[0];
    let row = pitch(o, s.channels) * o.dtype.size();
    [16, 8, 4].into_iter().find(|n| row.is_multiple_of(*n)).unwrap_or(4)
}

/// Are rows of output and residual made of whole chunks of 16 bytes?
fn staged(spec: &Spec) -> bool {
    let p = spec.problem;
    let Some(s) = Sizes::of(p) else { return false };
    let whole = |o: &Operand| {
        (pitch(o, s.outputs) * o.dtype.size()).is_multiple_of(16)
            && (s.outputs * o.dtype.size()).is_multiple_of(16)
    };
    whole(&p.outputs[0]) && residual(p).is_none_or(whole)
}

/// Are f32 multiplied as TF32? Turing's tensor cores do not.
fn is_tf32(spec: &Spec) -> bool {
    spec.numerics == &Numerics::Tf32 && spec.gpu.arch.major >= 8
}

fn sizes(spec: &Spec) -> Result<Sizes> {
    Sizes::of(spec.problem).ok_or_else(|| missing(spec.problem))
}

impl Family for Igemm {
    fn name(&self) -> &'static str {
        "igemm"
    }

    fn doc(&self) -> &'static str {
        "convolutions and products with constant weights, f32, f16 and 8-bit (tensor cores), as implicit matrix products"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let Some(s) = Sizes::of(spec.problem) else { return vec![] };
        let x = &spec.problem.inputs[0];
        let row = pitch(x, s.channels) * x.dtype.size();
        if s.groups != 1 || !row.is_multiple_of(4) {
            return vec![];
        }
        let fits = |(name, tile): &(&str, Tile)| {
            let spec = Spec { variant: name, ..*spec };
            tile.shared(&spec) <= spec.gpu.shared && (tile.outputs <= 64 || s.outputs > 64)
        };
        TILES.iter().filter(|t| fits(t)).map(|(name, _)| name.to_string()).collect()
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let (text, tile) = (multiply::text(spec)?, Tile::of(spec));
        let x = &spec.problem.inputs[0];
        let s = sizes(spec)?;
        let zero_point = multiply::zero_point(spec) as u8;
        let text = text
            .define("TILE_M", tile.pixels)
            .define("TILE_N", tile.outputs)
            .define("STAGES", tile.stages)
            .define("TAPS_BYTES", taps_bytes(spec, &s))
            .define("COPY", copied(spec, &s))
            .define("PAD_WORD", format!("0x{:08x}u", u32::from_ne_bytes([zero_point; 4])))
            .define("X_NAME", if x.dtype == DType::I8 { "\"s8\"" } else { "\"u8\"" })
            .define("HALVES", u8::from(x.dtype == DType::F16))
            .define("TF32", u8::from(is_tf32(spec)))
            .define(if x.dtype == DType::F32 && !is_tf32(spec) { "FFMA" } else { "MMA" }, 1);
        let text = if staged(spec) { text.define("STAGED", 1) } else { text };
        let text = text.raw(include_str!("../kernels/finish.cuh"));
        Ok(text.raw(include_str!("../kernels/igemm.cu")).source())
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let [m, b] = multiply::scales(spec, tensors);
        let s = sizes(spec)?;
        let rows = s.outputs.next_multiple_of(128); // whole tiles of any variant
        let (taps, pitch) =
            (s.window.kernel[0] * s.window.kernel[1], pitch(&spec.problem.inputs[0], s.channels));
        let w = multiply::padded(&tensors[0], taps, [s.channels, pitch], [rows, taps_bytes(spec, &s)]);
        let offsets = match spec.problem.is_int8() {
            true => multiply::offsets(multiply::zero_point(spec), &tensors[0]),
            false => vec![0], // not read
        };
        Ok(vec![w, m, b, bytemuck::cast_slice(&offsets).to_vec()])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let tile = Tile::of(spec);
        let s = sizes(spec)?;
        let tiles =
            (s.pixels() * at.images as usize).div_ceil(tile.pixels) * s.outputs.div_ceil(tile.outputs);
        let shape = Shape {
            grid: [tiles as u32, 1, 1],
            block: THREADS,
            shared: tile.shared(spec) as u32,
            cluster: 1,
            chained: true,
        };
        let args = Args::default().operands(at).constants(at).with(at.images);
        Ok(vec![Launch { kernel: "igemm", shape, args }])
    }
}
