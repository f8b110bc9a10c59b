//! Convolution by plain loops over channels-last images, any number of groups: the tactic that always works, and the
//! one that wins where channels are few.

use super::epilogue::{Finish, FloatFinish, IntFinish};
use super::igemm::with_isa;
use super::product::{F32, Int8, NR, Product};
use crate::base::{DType, Result};
use crate::device::cpu::{Constant, Family, Io, Isa, Kernel, constant};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use crate::ir::ops::Geometry;
use bytemuck::Pod;

/// The family.
pub struct Direct;

impl Family for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn doc(&self) -> &'static str {
        "Conv with any number of groups, f32 and 8-bit: plain loops"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        match p.op() {
            Some(Op::Conv(_)) if p.inputs[1].constant && p.is_stored(Layout::ChannelsLast) => {
                vec![isa.min(Isa::Avx512Vnni).name()]
            }
            _ => vec![],
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        load::<Loops>(step, isa)
    }
}

/// A stored activation that can be multiplied by a weight.
pub trait Stored<P: Product>: Pod + Send + Sync {
    /// `acc + x * w`.
    fn add(self, w: P::Weight, acc: P::Acc) -> P::Acc;
}

impl Stored<F32> for f32 {
    #[inline(always)]
    fn add(self, w: f32, acc: f32) -> f32 {
        acc + self * w
    }
}

impl Stored<Int8> for u8 {
    #[inline(always)]
    fn add(self, w: i8, acc: i32) -> i32 {
        acc + i32::from(self) * i32::from(w)
    }
}

impl Stored<Int8> for i8 {
    #[inline(always)]
    fn add(self, w: i8, acc: i32) -> i32 {
        acc + i32::from(self) * i32::from(w)
    }
}

/// How one block of channels of one pixel is accumulated.
pub trait Accumulate: Send + Sync + 'static {
    /// The sum of the weights of output channel `m`, as packed.
    fn sum(w: &[i8], m: usize, dims: &Dims) -> i32;
    /// Adds the window at (`oh`, `ow`) to `acc`, the channels from `c`, `n` of them. Padding holds `fill`.
    #[allow(clippy::too_many_arguments)] // the innermost loop of two kernels; a struct would be built per call
    fn window<P: Product, T: Stored<P>>(
        dims: &Dims,
        x: &[T],
        w: &[P::Weight],
        fill: T,
        at: [usize; 2],
        c: usize,
        n: usize,
        acc: &mut [P::Acc; NR],
    );
}

/// The sizes of a convolution.
pub struct Dims {
    /// The window.
    pub g: Geometry,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Input channels of a group.
    pub depth: usize,
    /// Output channels of a group.
    pub maps: usize,
}

/// The kernel of a convolution step, accumulated by `A`. Packed: weights, and for f32 the bias.
pub fn load<A: Accumulate>(step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
    let p = &step.problem;
    let (x, w) = (&p.inputs[0].shape, &p.inputs[1].shape);
    let Some(Op::Conv(conv)) = p.op() else { unreachable!("`variants` asked for a Conv") };
    let Ok(g) = conv.geometry(x, w) else { unreachable!("a problem's shapes were inferred") };
    let dims = Dims { g, inputs: x[1], outputs: w[0], depth: w[1], maps: w[0] / conv.groups };
    Ok(match p.inputs[0].dtype {
        DType::F32 => {
            let finish = FloatFinish::of(step)?;
            Box::new(ConvLoops::<F32, f32, A, _>::new(dims, constant(&step.packed, 0)?, isa, finish, 0.0))
        }
        dtype => {
            let weights = constant::<i8>(&step.packed, 0)?;
            let sum = |m: usize| A::sum(&weights, m, &dims);
            let sums: Vec<i32> = (0..dims.outputs).map(sum).collect();
            let finish = IntFinish::of(step, &sums, 0)?;
            let zp = IntFinish::zero_point(step);
            match dtype {
                DType::U8 => Box::new(ConvLoops::<Int8, u8, A, _>::new(dims, weights, isa, finish, zp as u8)),
                _ => Box::new(ConvLoops::<Int8, i8, A, _>::new(dims, weights, isa, finish, zp as i8)),
            }
        }
    })
}

struct ConvLoops<P: Product, T, A, F> {
    dims: Dims,
    weights: Constant<P::Weight>,
    isa: Isa,
    finish: F,
    fill: T,
    how: std::marker::PhantomData<A>,
}

impl<P: Product, T: Stored<P>, A: Accumulate, F: Finish<P>> ConvLoops<P, T, A, F> {
    fn new(dims: Dims, weights: Constant<P::Weight>, isa: Isa, finish: F, fill: T) -> Self {
        ConvLoops { dims, weights, isa, finish, fill, how: std::marker::PhantomData }
    }

    #[inline(always)]
    fn row(&self, io: &Io, image: usize, oh: usize) {
        let (d, x) = (&self.dims, io.input::<T>(0, image));
        let width = d.g.output[1];
        for ow in 0..width {
            for c in (0..d.outputs).step_by(NR) {
                let n = NR.min(d.outputs - c);
                let mut acc = self.finish.start(c);
                A::window::<P, T>(d, x, &self.weights, self.fill, [oh, ow], c, n, &mut acc);
                // SAFETY: tasks differ in their output row.
                unsafe { self.finish.store(io, image, (oh * width + ow) * d.outputs + c, c, n, &acc) };
            }
        }
    }
}

impl<P: Product, T: Stored<P>, A: Accumulate, F: Finish<P>> Kernel for ConvLoops<P, T, A, F> {
    fn tasks(&self) -> usize {
        self.dims.g.output[0]
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        with_isa(
            self.isa,
            #[inline(always)]
            || self.row(io, image, task),
        );
    }
}

/// One channel after the other; weights `[outputs][depth][kh][kw]` as the model has them.
struct Loops;

impl Accumulate for Loops {
    fn sum(w: &[i8], m: usize, d: &Dims) -> i32 {
        let len = d.depth * d.g.kernel[0] * d.g.kernel[1];
        w[m * len..(m + 1) * len].iter().map(|&w| i32::from(w)).sum()
    }

    #[inline(always)]
    fn window<P: Product, T: Stored<P>>(
        d: &Dims,
        x: &[T],
        w: &[P::Weight],
        fill: T,
        at: [usize; 2],
        c: usize,
        n: usize,
        acc: &mut [P::Acc; NR],
    ) {
        let [kh, kw] = d.g.kernel;
        for i in 0..kh {
            let h = d.g.source(0, at[0], i);
            for j in 0..kw {
                let pixel = h.zip(d.g.source(1, at[1], j)).map(|(h, w)| (h * d.g.input[1] + w) * d.inputs);
                for (m, acc) in (c..c + n).zip(acc.iter_mut()) {
                    let first = m / d.maps * d.depth;
                    for k in 0..d.depth {
                        let v = pixel.map_or(fill, |p| x[p + first + k]);
                        *acc = v.add(w[((m * d.depth + k) * kh + i) * kw + j], *acc);
                    }
                }
            }
        }
    }
}
