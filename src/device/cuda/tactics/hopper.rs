//! What the families for Hopper share: which problems the copy engine can feed, their epilogue and its constants, weights in
//! the order of wgmma, and images as one matrix of pixels. To the copy engine everything is bytes, one a number or two.

use super::{Place, Places, Spec, multiply};
use crate::base::codes::machine;
use crate::base::quant::{Epilogue, limits};
use crate::base::{DType, Diagnostic, Result, Tensor};
use crate::device::cuda::maps::{Bytes, Gather, TensorMap};
use crate::device::cuda::text::{Text, ctype};
use crate::device::{Numerics, Operand};
use crate::ir::ops::Fused;
use bytemuck::{Pod, Zeroable};
use std::borrow::Cow;
use std::fmt::Write;

/// Pixels and tiles begin at multiples of so many bytes for the copy engine.
pub const GRAIN: usize = 16;
/// Constants of channels are padded to whole tiles of any size.
const CHANNELS: usize = 256;

/// A tensor of pixels.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Its type.
    pub dtype: DType,
    /// Elements from one pixel to the next.
    pub pitch: usize,
}

impl Form {
    fn of(o: &Operand, channels: usize) -> Form {
        Form { dtype: o.dtype, pitch: multiply::pitch(o, channels) }
    }

    /// s8?
    pub fn is_signed(&self) -> bool {
        self.dtype == DType::I8
    }

    /// Bytes from one pixel to the next.
    pub fn bytes(&self) -> usize {
        self.pitch * self.dtype.size()
    }

    /// Can the copy engine read it?
    pub fn is_readable(&self) -> bool {
        self.bytes().is_multiple_of(GRAIN)
    }

    /// Can the copy engine write `channels` of each pixel? It writes whole grains: the rest of the last one must be the
    /// tensor's own room.
    pub fn is_writable(&self, channels: usize) -> bool {
        let written = channels * self.dtype.size();
        self.is_readable()
            && (written.is_multiple_of(GRAIN) || self.bytes() == written.next_multiple_of(GRAIN))
    }
}

/// A convolution or product of 8-bit numbers or of halves that can be computed with Hopper's instructions.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// Its sizes; a product of rows is a convolution over pixels in a column.
    pub sizes: multiply::Sizes,
    /// The input.
    pub x: Form,
    /// The residual.
    pub residual: Option<Form>,
    /// The output.
    pub y: Form,
    /// Of the input.
    pub zero_point: i32,
    /// Is there a zero point where something is padded? What the copy engine pads with is 0.
    pub padded_with_zero_point: bool,
    /// The scales; for halves there are none, and no multipliers and addends either, as these are constants of the problem.
    pub epilogue: Cow<'a, Epilogue>,
    /// Multiprocessors of the GPU.
    pub multiprocessors: usize,
    /// Bytes of shared memory that a block may have.
    pub shared: usize,
}

impl<'a> Job<'a> {
    /// The job of this spec, if it is one: pixels of 8-bit numbers or halves and a window within the limits of the copy
    /// engine, on Hopper.
    pub fn of(spec: &Spec<'a>) -> Option<Job<'a>> {
        let p = spec.problem;
        let sizes = multiply::Sizes::of(p)?;
        let (zero_point, epilogue) = match spec.numerics {
            Numerics::Multiply { zero_point, epilogue } => (*zero_point, Cow::Borrowed(epilogue)),
            _ => (0, Cow::Owned(unscaled(multiply::fused(p)))),
        };
        let w = &sizes.window;
        let padded = w.begin != [0, 0] || w.end != [0, 0];
        let job = Job {
            sizes,
            x: Form::of(&p.inputs[0], sizes.channels * sizes.groups),
            residual: multiply::residual(p).map(|r| Form::of(r, sizes.outputs)),
            y: Form::of(&p.outputs[0], sizes.outputs),
            zero_point,
            padded_with_zero_point: padded && zero_point != 0,
            epilogue,
            multiprocessors: spec.gpu.multiprocessors,
            shared: spec.gpu.shared,
        };
        let known =
            multiply::fused(p).function.is_none_or(|f| Text::default().formula("function", &f).is_some());
        // limits of the instructions that gather pixels under a tap
        let near = (0..2).all(|i| {
            w.begin[i] < 128
                && w.end[i] < 128
                && (w.kernel[i] - 1) * w.dilations[i] < 128
                && w.strides[i] <= 8
        });
        let residual = job.residual.is_none_or(|r| r.dtype.size() == job.element());
        let fits = spec.gpu.arch.major == 9 && job.element() <= 2 && sizes.pixels() > 0 && residual;
        (fits && known && near).then_some(job)
    }

    /// The same without what it borrows.
    pub fn owned(self) -> Job<'static> {
        Job { epilogue: Cow::Owned(self.epilogue.into_owned()), ..self }
    }

    /// Can the copy engine read its input, and pad it?
    pub fn is_loaded(&self) -> bool {
        self.x.is_readable() && !self.padded_with_zero_point
    }

    /// A matrix product with the pixels as they lie: no window?
    pub fn is_flat(&self) -> bool {
        let w = &self.sizes.window;
        w.kernel == [1, 1] && w.strides == [1, 1] && w.begin == [0, 0] && w.end == [0, 0]
    }

    /// Bytes of a number of the input.
    pub fn element(&self) -> usize {
        self.x.dtype.size()
    }

    /// Are halves multiplied?
    pub fn is_half(&self) -> bool {
        self.x.dtype == DType::F16
    }

    /// Are outputs wider than inputs or narrower, so that they do not pass through buffers of the same form?
    pub fn is_direct(&self) -> bool {
        self.y.dtype.size() != self.element()
    }

    /// Bytes of the channels of a pixel of the input.
    pub fn depth(&self) -> usize {
        self.sizes.channels * self.element()
    }

    /// Bytes of weights of a tap: channels up to whole grains.
    pub fn tap(&self) -> usize {
        self.depth().next_multiple_of(GRAIN)
    }

    /// Steps of `block` bytes along the channels of a tap.
    pub fn blocks(&self, block: usize) -> usize {
        self.depth().div_ceil(block)
    }

    /// Taps of the window.
    pub fn taps(&self) -> usize {
        self.sizes.window.kernel[0] * self.sizes.window.kernel[1]
    }

    /// What the kernels begin with: `hopper.cuh`, `epilogue.cuh` and `window.cuh`, and what they ask the host for.
    pub fn text(&self, spec: &Spec) -> Result<Text> {
        Ok(self.epilogue(spec, begin())?.raw(include_str!("../kernels/window.cuh")))
    }

    /// Adds `epilogue.cuh` and what it asks the host for. Where there are two, each has a namespace.
    pub fn epilogue(&self, spec: &Spec, text: Text) -> Result<Text> {
        let e = &self.epilogue;
        let (least, most) = match e.out {
            Some(q) => {
                let (least, most) = limits(q.dtype);
                ((least - q.zero_point) as f32, (most - q.zero_point) as f32)
            }
            None => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let function = multiply::fused(spec.problem).function;
        let numbers = [
            ("HALVES", self.is_half()),
            ("INPUT_SIGNED", self.x.is_signed()),
            ("INPUT_ZERO", self.zero_point != 0),
            ("RESIDUAL", self.residual.is_some()),
            ("RESIDUAL_SIGNED", self.residual.is_some_and(|r| r.is_signed())),
            ("FUNCTION", function.is_some()),
            ("CLAMP_LO", e.lo > least),
            ("CLAMP_HI", e.hi < most),
            ("OUTPUT_SIGNED", self.y.is_signed()),
            ("OUTPUT_ZERO", e.out.is_some_and(|q| q.zero_point != 0)),
            ("OUTPUT_DIRECT", self.is_direct()),
        ];
        let text = numbers.iter().fold(text, |t, (name, on)| t.redefine(name, u8::from(*on)));
        let text = text.redefine("Y_T", ctype(self.y.dtype));
        let text = match function {
            None => text,
            Some(f) => text.formula("function", &f).ok_or_else(|| refused("the function has no formula"))?,
        };
        Ok(text.raw(include_str!("../kernels/epilogue.cuh")))
    }

    /// The scales that a kernel takes by value.
    pub fn numbers(&self) -> Numbers {
        let (residual_scale, zero_point) = self.epilogue.residual.unwrap_or((0.0, 0));
        let signed = self.residual.is_some_and(|r| r.is_signed());
        let bias = if signed { 128 } else { 0 };
        Numbers {
            residual_scale,
            residual_offset: ((1 << 23) + bias + zero_point) as f32, // an integer below 2^24
            unit: self.epilogue.unit.unwrap_or(1.0),
            lo: self.epilogue.lo,
            hi: self.epilogue.hi,
            zero_point: self.epilogue.out.map_or(0.0, |q| q.zero_point as f32),
        }
    }

    /// Multipliers, addends and zero terms of all channels, as [`Channels`] finds them, from the problem's constants.
    pub fn channels(&self, spec: &Spec, tensors: &[Tensor]) -> Vec<u8> {
        let zeros = match self.zero_point {
            0 => vec![],
            z => multiply::offsets(z, &tensors[0]),
        };
        let [m, b] = multiply::scales(spec, tensors);
        let padded = |mut v: Vec<u8>| {
            v.resize(self.padded_outputs() * 4, 0);
            v
        };
        [m, b, bytemuck::cast_slice(&zeros).to_vec()].map(padded).concat()
    }

    /// Where a kernel finds what [`Job::channels`] packed.
    pub fn channels_at(&self, address: u64) -> Channels {
        let bytes = (self.padded_outputs() * 4) as u64;
        Channels { m: address, b: address + bytes, zero: address + 2 * bytes }
    }

    fn padded_outputs(&self) -> usize {
        self.sizes.outputs.next_multiple_of(CHANNELS)
    }

    /// Weights `[M, C, kh, kw]` as wgmma reads them, `[M][kh][kw][C]`: channels up to whole grains.
    pub fn weights(&self, w: &Tensor, order: Order) -> Vec<u8> {
        let (c, taps, tap, size) = (self.sizes.channels, self.taps(), self.tap(), self.element());
        self.rows(w, taps * tap, order, |i| i % taps * tap + i / taps % c * size)
    }

    /// Rows of `row` bytes for wgmma, with number `i` of an output channel's weights at byte `place(i)`.
    pub fn rows(&self, w: &Tensor, row: usize, order: Order, place: impl Fn(usize) -> usize) -> Vec<u8> {
        let mut out = vec![0; self.sizes.outputs.next_multiple_of(16) * row];
        let each = (w.bytes().len() / self.sizes.outputs).max(1);
        let size = self.element();
        for (m, weights) in w.bytes().chunks(each).enumerate() {
            let start = row
                * match order {
                    Order::Pairs => m / 16 * 16 + m % 2 * 8 + m % 16 / 2,
                    Order::Straight => m,
                };
            for (i, v) in weights.chunks(size).enumerate() {
                out[start + place(i)..][..size].copy_from_slice(v);
            }
        }
        out
    }

    /// The map of these weights, for tiles of `rows` output channels and `block` bytes.
    pub fn weights_map(&self, address: u64, rows: usize, block: usize) -> Result<TensorMap> {
        self.matrix_map(address, self.taps() * self.tap(), rows, block)
    }

    /// The map of rows of `row` bytes, one for each output channel.
    pub fn matrix_map(&self, address: u64, row: usize, rows: usize, block: usize) -> Result<TensorMap> {
        let sizes = [row, self.sizes.outputs.next_multiple_of(16)];
        Bytes { address, sizes: &sizes, strides: &[row], swizzle: block }.boxes(&[block, rows])
    }

    /// The map of the input of so many images, for `pixels` pixels and `block` bytes of each: as they lie, or as the
    /// window visits them.
    pub fn pixels_map(&self, address: u64, images: usize, pixels: usize, block: usize) -> Result<TensorMap> {
        let pitch = self.x.bytes();
        if self.is_flat() {
            let sizes = [self.depth(), self.sizes.pixels() * images];
            return Bytes { address, sizes: &sizes, strides: &[pitch], swizzle: block }
                .boxes(&[block, pixels.min(256)]);
        }
        let w = &self.sizes.window;
        let end = |i: usize| w.end[i] as i64 - ((w.kernel[i] - 1) * w.dilations[i]) as i64;
        let gather =
            Gather { channels: block, pixels, begin: w.begin, end: [end(0), end(1)], strides: w.strides };
        let (sizes, strides) = planes(w.input, self.depth(), pitch, images);
        Bytes { address, sizes: &sizes, strides: &strides, swizzle: block }.gathered(&gather)
    }

    /// Sets of images that follow one another, so that their pixels are one matrix: all of them, or each alone.
    pub fn sets(&self, at: &Places) -> Result<Vec<Set>> {
        let area = |size: [usize; 2]| (size[0] * size[1]) as u64;
        let (x, y) = (area(self.sizes.window.input), area(self.sizes.window.output));
        let mut together = vec![(at.inputs[0], x * self.x.bytes() as u64)];
        together.push((at.outputs[0], y * self.y.bytes() as u64));
        together.extend(self.residual.map(|r| (at.inputs[1], y * r.bytes() as u64)));
        let together = at.images == 1 || together.iter().all(|(place, bytes)| place.stride == *bytes);
        let (sets, images) = if together { (1, at.images) } else { (at.images, 1) };
        let set = |i: u32| {
            let of = |p: &Place| p.address + u64::from(i) * p.stride;
            let residual = self.residual.map_or(0, |_| of(&at.inputs[1]));
            Set { images: images as usize, x: of(&at.inputs[0]), residual, y: of(&at.outputs[0]) }
        };
        let sets: Vec<Set> = (0..sets).map(set).collect();
        let aligned = |s: &Set| [s.x, s.residual, s.y].iter().all(|a| a.is_multiple_of(GRAIN as u64));
        match sets.iter().all(aligned) {
            true => Ok(sets),
            false => Err(refused("a tensor does not begin at a multiple of 16 bytes")),
        }
    }

    /// Strides, padding and dilation, as kernels take them, with so many bytes of weights from one tap to the next.
    pub fn window(&self, tap_pitch: usize) -> Window {
        let w = &self.sizes.window;
        let pair = |v: [usize; 2]| v.map(|n| n as i32);
        Window {
            tap_pitch: tap_pitch as i32,
            kernel_w: w.kernel[1] as i32,
            output: pair(w.output),
            strides: pair(w.strides),
            begin: pair(w.begin),
            dilations: pair(w.dilations),
        }
    }
}

/// The order of the rows of weights inside every 16: how a thread's two channels stand to one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Those of even channels before those of odd ones: a thread has two neighbours.
    Pairs,
    /// As they come: a thread has channels eight apart.
    Straight,
}

/// The epilogue of floats, which has no scales.
fn unscaled(fused: Fused) -> Epilogue {
    let (lo, hi) = fused.activation.bounds();
    Epilogue {
        m: vec![],
        b: vec![],
        residual: fused.residual.then_some((1.0, 0)),
        unit: fused.function.map(|_| 1.0),
        lo,
        hi,
        out: None,
    }
}

/// Sizes and strides of images for the copy engine, in bytes of channels, columns, rows, images.
pub fn planes(size: [usize; 2], channels: usize, pitch: usize, images: usize) -> ([usize; 4], [usize; 3]) {
    let [h, w] = size;
    ([channels, w, h, images], [pitch, pitch * w, pitch * w * h])
}

/// Images whose pixels are one matrix, and where they begin.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// How many.
    pub images: usize,
    /// The input.
    pub x: u64,
    /// The residual; 0 without one.
    pub residual: u64,
    /// The output.
    pub y: u64,
}

/// `Epilogue` of epilogue.cuh.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Numbers {
    residual_scale: f32,
    residual_offset: f32,
    unit: f32,
    lo: f32,
    hi: f32,
    zero_point: f32,
}

/// `Channels` of epilogue.cuh.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Channels {
    m: u64,
    b: u64,
    zero: u64,
}

/// `Window` of window.cuh.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Window {
    tap_pitch: i32,
    kernel_w: i32,
    output: [i32; 2],
    strides: [i32; 2],
    begin: [i32; 2],
    dilations: [i32; 2],
}

/// What the first operand of wgmma is; the second is the other, in shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// Weights in shared memory.
    Weights,
    /// Weights in the registers of the threads, `const u32 (&first)[4]`.
    Kept,
    /// Pixels in shared memory.
    Pixels,
}

/// The wrapper of one instruction, `wgmma(sums (&d)[N / 2], first, u64 second, int accumulate)`, on pixels of this type: 64 rows of
/// the first operand, `columns` of the second, 32 bytes of each. Operands in shared memory are descriptors.
pub fn wgmma(columns: usize, x: DType, first: First) -> String {
    let registers = columns / 2;
    let pixels = if x == DType::I8 { "s8" } else { "u8" };
    let (types, more, register, sum) = match (x, first) {
        // signs, and which operands in shared memory are transposed
        (DType::F16, _) => ("k16.f32.f16.f16".into(), ", 1, 1, 0, 0", "f", "float"),
        (_, First::Pixels) => (format!("k32.s32.{pixels}.s8"), "", "r", "int"),
        _ => (format!("k32.s32.s8.{pixels}"), "", "r", "int"),
    };
    let list = |of: &dyn Fn(usize) -> String, n: usize| (0..n).map(of).collect::<Vec<_>>().join(", ");
    let place = |i: usize| format!("%{}", registers + i);
    let (parameter, operand, given, next) = match first {
        First::Kept => {
            let given = list(&|i| format!("\"r\"(first[{i}])"), 4);
            ("const u32 (&first)[4]", format!("{{{}}}", list(&place, 4)), given, 4)
        }
        _ => ("u64 first", place(0), "\"l\"(first)".into(), 1),
    };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "__device__ __forceinline__ void wgmma({sum} (&d)[{registers}], {parameter}, u64 second, int accumulate) {{
  asm volatile(\"{{ .reg .pred p; setp.ne.b32 p, {}, 0;\\n\"
    \"wgmma.mma_async.sync.aligned.m64n{columns}{types} {{{}}}, {operand}, {}, p{more}; }}\"
    : {}
    : {given}, \"l\"(second), \"r\"(accumulate));
}}",
        place(next + 1),
        list(&|i| format!("%{i}"), registers),
        place(next),
        list(&|i| format!("\"+{register}\"(d[{i}])"), registers),
    );
    text
}

/// What texts begin with.
pub fn begin() -> Text {
    Text::default().raw(include_str!("../kernels/cluster.cuh")).raw(include_str!("../kernels/hopper.cuh"))
}

/// That a family was asked for what it does not compute.
pub fn refused(why: &str) -> Box<Diagnostic> {
    Diagnostic::new(machine::INTERNAL, format!("a kernel for Hopper does not compute this: {why}"))
}
