//! Convolutions and products with constant matrices as an implicit GEMM: patches are gathered a block of rows at a
//! time, weights are packed in panels at build time, and the epilogue is applied to each tile while it is in cache.

use super::epilogue::{Finish, FloatFinish, IntFinish};
use super::patches;
use super::product::{F32, Int8, MR, NR, Product, Tile};
use crate::base::{DType, Result, Tensor};
use crate::device::cpu::{Constant, Family, Io, Isa, Kernel, constant};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use crate::ir::ops::Geometry;
use std::ops::Range;

/// Bytes of patches that a task gathers at once: they stay in the L2 cache beside a panel.
const BLOCK_BYTES: usize = 96 << 10;
/// Channels a task computes at least, where an image has too few rows to keep every thread busy.
const CHANNELS_PER_TASK: usize = 4 * NR;

/// The family.
pub struct Igemm;

impl Family for Igemm {
    fn name(&self) -> &'static str {
        "igemm"
    }

    fn doc(&self) -> &'static str {
        "Conv (one group) and Linear, f32 and 8-bit: gathered patches by packed weights"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let fits = match p.op() {
            Some(Op::Conv(c)) => c.groups == 1 && p.inputs[1].constant && p.is_stored(Layout::ChannelsLast),
            Some(Op::Linear(_)) => p.inputs[1].constant && p.is_stored(Layout::Plain),
            _ => false,
        };
        if fits && (p.is_int8() || p.inputs[0].dtype == DType::F32) {
            vec![isa.min(Isa::Avx512Vnni).name()]
        } else {
            vec![]
        }
    }

    fn pack(&self, p: &Problem, _: &str, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let shape = Shape::of(p);
        let mut packed = match p.is_int8() {
            true => {
                let w = tensors[0].as_slice::<i8>().unwrap_or_default();
                let sums: Vec<i32> =
                    w.chunks_exact(shape.k).map(|r| r.iter().map(|&w| i32::from(w)).sum()).collect();
                vec![bytes(&panels::<Int8>(w, &shape)), bytes(&sums)]
            }
            false => vec![bytes(&panels::<F32>(tensors[0].as_slice::<f32>().unwrap_or_default(), &shape))],
        };
        if !p.is_int8() {
            packed.extend(tensors[1..].iter().map(|t| t.bytes().to_vec()));
        }
        Ok(packed)
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let shape = Shape::of(p);
        Ok(match p.inputs[0].dtype {
            DType::F32 => {
                let finish = FloatFinish::of(step)?;
                Box::new(Implicit::<F32, _>::new(shape, constant(&step.packed, 0)?, isa, finish, 0.0, 0))
            }
            dtype => {
                // s8 is read as u8 with the sign bit flipped: x + 128
                let flip = if dtype == DType::I8 { 0x80 } else { 0 };
                let sums = constant::<i32>(&step.packed, 1)?;
                let finish = IntFinish::of(step, &sums, i32::from(flip))?;
                let fill = IntFinish::zero_point(step) as u8;
                Box::new(Implicit::<Int8, _>::new(shape, constant(&step.packed, 0)?, isa, finish, fill, flip))
            }
        })
    }
}

/// The product's dimensions.
struct Shape {
    /// Rows of an image: output pixels, or rows of a matrix.
    rows: usize,
    /// Length of a row.
    k: usize,
    /// Output channels.
    n: usize,
    /// Input channels of a pixel.
    channels: usize,
    /// How patches are gathered; `None` where rows lie in memory as they are.
    window: Option<Geometry>,
    /// Kernel positions.
    taps: usize,
}

impl Shape {
    fn of(p: &Problem) -> Shape {
        let (x, w) = (&p.inputs[0].shape, &p.inputs[1].shape);
        match p.op() {
            Some(Op::Conv(c)) => {
                let Ok(g) = c.geometry(x, w) else { unreachable!("a problem's shapes were inferred") };
                let (rows, taps) = (g.output[0] * g.output[1], w[2] * w[3]);
                let window = (!g.pointwise()).then_some(g);
                Shape { rows, k: w[1] * taps, n: w[0], channels: w[1], window, taps }
            }
            _ => Shape {
                rows: x.numel() / w[1].max(1),
                k: w[1],
                n: w[0],
                channels: w[1],
                window: None,
                taps: 1,
            },
        }
    }
}

/// Weights `[n][channels][taps]` as panels `[n / NR][k / group][NR][group]` with k in the order of the patches.
fn panels<P: Product>(w: &[P::Weight], s: &Shape) -> Vec<P::Weight> {
    let groups = s.k.div_ceil(P::GROUP);
    let mut out = vec![bytemuck::Zeroable::zeroed(); s.n.div_ceil(NR) * groups * NR * P::GROUP];
    for n in 0..s.n {
        for k in 0..s.k {
            let (tap, c) = (k / s.channels, k % s.channels);
            let at = ((n / NR * groups + k / P::GROUP) * NR + n % NR) * P::GROUP + k % P::GROUP;
            out[at] = w[n * s.k + c * s.taps + tap];
        }
    }
    out
}

fn bytes<T: bytemuck::Pod>(v: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(v).to_vec()
}

struct Implicit<P: Product, F> {
    shape: Shape,
    panels: Constant<P::Weight>,
    tile: Tile<P>,
    isa: Isa,
    finish: F,
    /// What padding holds, as stored.
    fill: P::In,
    /// Flipped in every gathered byte.
    flip: u8,
    /// Rows of a task, a multiple of [`MR`].
    block: usize,
    /// Channels of a task, a multiple of [`NR`].
    span: usize,
    /// Numbers from one gathered row to the next.
    stride: usize,
}

impl<P: Product, F: Finish<P>> Implicit<P, F> {
    fn new(shape: Shape, panels: Constant<P::Weight>, isa: Isa, finish: F, fill: P::In, flip: u8) -> Self {
        let stride = shape.k.next_multiple_of(P::GROUP);
        let fits = BLOCK_BYTES / (stride * size_of::<P::In>()).max(1);
        let block = (fits / MR * MR).clamp(MR, 32 * MR);
        let span = if shape.rows <= block { CHANNELS_PER_TASK } else { shape.n.next_multiple_of(NR).max(NR) };
        Implicit { shape, panels, tile: P::tile(isa), isa, finish, fill, flip, block, span, stride }
    }

    fn row_blocks(&self) -> usize {
        self.shape.rows.div_ceil(self.block)
    }

    /// Are rows read where they lie? Only if nothing has to be gathered, padded or flipped.
    fn in_place(&self) -> bool {
        self.shape.window.is_none() && self.flip == 0 && self.stride == self.shape.k
    }

    /// Gathers rows `rows` of an image into `to`.
    fn gather(&self, x: &[P::In], rows: Range<usize>, to: &mut [P::In]) {
        let s = &self.shape;
        match &s.window {
            Some(g) => patches::gather(x, s.channels, g, rows, self.fill, self.stride, to),
            None => {
                for (r, to) in rows.zip(to.chunks_mut(self.stride)) {
                    to[..s.k].copy_from_slice(&x[r * s.k..(r + 1) * s.k]);
                }
            }
        }
        if self.flip != 0 {
            bytemuck::cast_slice_mut::<_, u8>(to).iter_mut().for_each(|b| *b ^= self.flip);
        }
    }

    #[inline(always)]
    fn multiply(&self, io: &Io, image: usize, rows: Range<usize>, channels: Range<usize>, a: &[P::In]) {
        let groups = self.stride / P::GROUP;
        let panel_len = groups * NR * P::GROUP;
        let mut acc = [[P::Acc::default(); NR]; MR];
        for c in channels.clone().step_by(NR) {
            let panel = &self.panels[c / NR * panel_len..][..panel_len];
            let (start, n) = (self.finish.start(c), NR.min(channels.end - c));
            for first in rows.clone().step_by(MR) {
                let count = MR.min(rows.end - first);
                (self.tile)(
                    count,
                    &a[(first - rows.start) * self.stride..],
                    self.stride,
                    groups,
                    panel,
                    &start,
                    &mut acc,
                );
                for (r, acc) in acc.iter().enumerate().take(count) {
                    // SAFETY: tasks differ in their rows or in their channels.
                    unsafe { self.finish.store(io, image, (first + r) * self.shape.n + c, c, n, acc) };
                }
            }
        }
    }
}

impl<P: Product, F: Finish<P>> Kernel for Implicit<P, F> {
    fn tasks(&self) -> usize {
        self.row_blocks() * self.shape.n.div_ceil(self.span)
    }

    fn scratch(&self) -> usize {
        if self.in_place() { 0 } else { self.block * self.stride * size_of::<P::In>() }
    }

    fn run(&self, io: &Io, image: usize, task: usize, scratch: &mut [u8]) {
        let (block, span) = (task % self.row_blocks(), task / self.row_blocks());
        let rows = block * self.block..((block + 1) * self.block).min(self.shape.rows);
        let channels = span * self.span..((span + 1) * self.span).min(self.shape.n);
        let x = io.input::<P::In>(0, image);
        if self.in_place() {
            let a = &x[rows.start * self.stride..];
            return with_isa(
                self.isa,
                #[inline(always)]
                || self.multiply(io, image, rows.clone(), channels.clone(), a),
            );
        }
        let to: &mut [P::In] =
            bytemuck::cast_slice_mut(&mut scratch[..rows.len() * self.stride * size_of::<P::In>()]);
        self.gather(x, rows.clone(), to);
        with_isa(
            self.isa,
            #[inline(always)]
            || self.multiply(io, image, rows.clone(), channels.clone(), to),
        );
    }
}

/// Compiles `f` for an instruction set, so that its plain loops (epilogues) are vectorized with it. `f` must be
/// `#[inline(always)]`: a closure that stays a function of its own is compiled for the plain instruction set.
#[inline(always)]
pub fn with_isa(isa: Isa, f: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        unsafe fn avx512(f: impl FnOnce()) {
            f();
        }
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2(f: impl FnOnce()) {
            f();
        }
        // SAFETY: `Cpu::new` made sure that the CPU has the instruction set.
        return unsafe {
            match isa {
                Isa::Avx512Vnni | Isa::Amx => avx512(f),
                Isa::Avx2 => avx2(f),
                Isa::Scalar => f(),
            }
        };
    }
    #[allow(unreachable_code)]
    {
        let _ = isa;
        f();
    }
}
