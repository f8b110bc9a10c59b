//! Reductions over axes that lie together in memory: mean and sum of f32, extremes of f32 and 8-bit integers.

use super::rows::sum;
use crate::base::{DType, Result};
use crate::device::cpu::simd::with_isa;
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use crate::ir::ops::ReduceFn;
use bytemuck::Pod;

/// The family.
pub struct Reduction;

/// Neighbours reduced at once.
const LANES: usize = 64;

impl Family for Reduction {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn doc(&self) -> &'static str {
        "mean and sum (f32), maximum and minimum (f32, 8-bit) over neighbouring axes"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let Some(Op::Reduce(r)) = p.op() else { return vec![] };
        let (x, y) = (&p.inputs[0], &p.outputs[0]);
        let knows = match r.f {
            ReduceFn::Mean | ReduceFn::Sum => x.dtype == DType::F32,
            ReduceFn::Max | ReduceFn::Min => x.dtype == DType::F32 || x.dtype.is_int8(),
            _ => false,
        };
        let fits = knows && !x.constant && x.dtype == y.dtype && extent(p).is_some();
        if fits { vec![isa.min(Isa::Avx512Vnni).name()] } else { vec![] }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let (Some(Op::Reduce(r)), Some(extent)) = (p.op(), extent(p)) else {
            unreachable!("`variants` asked for it")
        };
        Ok(Box::new(Fold { f: r.f, extent, dtype: p.inputs[0].dtype, isa }))
    }
}

/// Numbers of elements before, along and after the axes reduced over, in memory. `None` where others lie between
/// them, or the output lies in another order.
fn extent(p: &Problem) -> Option<[usize; 3]> {
    let Some(Op::Reduce(r)) = p.op() else { return None };
    let (x, y) = (&p.inputs[0], &p.outputs[0]);
    let reduced = r.reduced(&x.shape).ok()?;
    let mut axes: Vec<(usize, bool)> = x.shape.iter().copied().zip(reduced).collect();
    if x.layout == Layout::ChannelsLast {
        axes[1..].rotate_left(1);
    }
    let kept =
        |v: &[(usize, bool)]| v.iter().filter(|a| !a.1).map(|a| a.0).filter(|&n| n > 1).collect::<Vec<_>>();
    let mut stored = y.shape.to_vec();
    if y.layout == Layout::ChannelsLast {
        stored[1..].rotate_left(1);
    }
    stored.retain(|&n| n > 1);
    // sizes in memory order tell the order, unless channels and pixels could be mistaken for each other
    let one_order = x.layout == Layout::Plain
        || y.layout == Layout::ChannelsLast
        || kept(&axes).len() < 2
        || { axes.last().is_some_and(|a| a.1) };
    if kept(&axes) != stored || !one_order || (x.layout == Layout::Plain && y.layout != Layout::Plain) {
        return None;
    }
    axes.retain(|a| a.0 > 1);
    let first = axes.iter().position(|a| a.1).unwrap_or(axes.len());
    let end = axes.iter().rposition(|a| a.1).map_or(first, |i| i + 1);
    let product = |v: &[(usize, bool)]| v.iter().map(|a| a.0).product();
    axes[first..end]
        .iter()
        .all(|a| a.1)
        .then(|| [&axes[..first], &axes[first..end], &axes[end..]].map(product))
}

struct Fold {
    f: ReduceFn,
    extent: [usize; 3],
    dtype: DType,
    isa: Isa,
}

impl Fold {
    /// One block of neighbours: `f` of the accumulator and each number, in order.
    #[inline(always)]
    fn fold<T: Pod>(&self, io: &Io, image: usize, outer: usize, start: T, f: impl Fn(T, T) -> T) {
        let [_, n, inner] = self.extent;
        let x = &io.input::<T>(0, image)[outer * n * inner..][..n * inner];
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<T>(0, image, outer * inner..(outer + 1) * inner) };
        for (b, y) in y.chunks_mut(LANES).enumerate() {
            y.fill(start);
            for k in 0..n {
                let x = &x[k * inner + b * LANES..][..y.len()];
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(*y, x));
            }
        }
    }

    /// Sums times a factor; a row of numbers that lie together in lanes.
    #[inline(always)]
    fn sums(&self, io: &Io, image: usize, outer: usize, count: f32) {
        let [_, n, inner] = self.extent;
        if inner > 1 {
            self.fold(io, image, outer, 0f32, |a, b| a + b);
        }
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<f32>(0, image, outer * inner..(outer + 1) * inner) };
        if inner == 1 {
            y[0] = sum(&io.input::<f32>(0, image)[outer * n..][..n], |x| x);
        }
        y.iter_mut().for_each(|y| *y /= count);
    }

    #[inline(always)]
    #[allow(clippy::eq_op)] // NaN wins and stays: whoever looks for it must find it
    fn extremes<T: Pod + PartialOrd>(&self, io: &Io, image: usize, outer: usize, lowest: T, highest: T) {
        match self.f {
            ReduceFn::Max => {
                self.fold(io, image, outer, lowest, |a, b| if b > a || b != b { b } else { a });
            }
            _ => self.fold(io, image, outer, highest, |a, b| if b < a || b != b { b } else { a }),
        }
    }
}

impl Kernel for Fold {
    fn tasks(&self) -> usize {
        self.extent[0]
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        with_isa(
            self.isa,
            #[inline(always)]
            || match (self.f, self.dtype) {
                (ReduceFn::Mean, _) => self.sums(io, image, task, self.extent[1] as f32),
                (ReduceFn::Sum, _) => self.sums(io, image, task, 1.0),
                (_, DType::U8) => self.extremes(io, image, task, u8::MIN, u8::MAX),
                (_, DType::I8) => self.extremes(io, image, task, i8::MIN, i8::MAX),
                _ => self.extremes(io, image, task, f32::NEG_INFINITY, f32::INFINITY),
            },
        );
    }
}
