//! Maximum over windows, of f32 and of 8-bit integers (which need no scales: the largest integer is the largest
//! number).

use crate::base::{DType, Result};
use crate::device::cpu::simd::with_isa;
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use crate::ir::ops::{Geometry, PoolFn};
use bytemuck::Pod;

/// The family.
pub struct MaxPool;

impl Family for MaxPool {
    fn name(&self) -> &'static str {
        "maxpool"
    }

    fn doc(&self) -> &'static str {
        "maximum over windows, f32 and 8-bit"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        match p.op() {
            Some(Op::Pool(pool)) if pool.f == PoolFn::Max && p.is_stored(Layout::ChannelsLast) => {
                vec![isa.min(Isa::Avx512Vnni).name()]
            }
            _ => vec![],
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let (channels, g) = dims(&step.problem);
        Ok(match step.problem.inputs[0].dtype {
            DType::F32 => Box::new(Max { channels, g, isa, lowest: f32::NEG_INFINITY }),
            DType::U8 => Box::new(Max { channels, g, isa, lowest: u8::MIN }),
            _ => Box::new(Max { channels, g, isa, lowest: i8::MIN }),
        })
    }
}

/// Channels and window of a pooling problem.
pub fn dims(p: &Problem) -> (usize, Geometry) {
    let Some(Op::Pool(pool)) = p.op() else { unreachable!("`variants` asked for a Pool") };
    let x = &p.inputs[0].shape;
    let Ok(g) = pool.geometry(x) else { unreachable!("a problem's shapes were inferred") };
    (x[1], g)
}

/// The lines (or columns) of the input that a window covers: from, before, step.
#[derive(Clone, Copy)]
struct Covered(usize, usize, usize);

impl Covered {
    #[inline(always)]
    fn of(g: &Geometry, axis: usize, o: usize) -> Covered {
        let (step, before) = (g.dilations[axis], g.begin[axis]);
        let first = o * g.strides[axis];
        let end = (first + (g.kernel[axis] - 1) * step + 1).saturating_sub(before).min(g.input[axis]);
        // the first tap that is not in the padding
        let first = first + before.saturating_sub(first).next_multiple_of(step);
        Covered(first - before, end, step)
    }

    #[inline(always)]
    fn iter(self) -> impl Iterator<Item = usize> {
        let Covered(from, before, step) = self;
        (0..before.saturating_sub(from).div_ceil(step)).map(move |i| from + i * step)
    }
}

struct Max<T> {
    channels: usize,
    g: Geometry,
    isa: Isa,
    lowest: T,
}

impl<T: Pod + PartialOrd + Send + Sync> Max<T> {
    /// The channels from `c` of the output pixel whose window covers these input lines and columns, as many as `y` has
    /// room for.
    #[inline(always)]
    fn window(&self, x: &[T], [lines, columns]: [Covered; 2], c: usize, y: &mut [T]) {
        y.fill(self.lowest);
        for h in lines.iter() {
            for w in columns.iter() {
                let x = &x[(h * self.g.input[1] + w) * self.channels + c..][..y.len()];
                // NaN wins and stays: whoever looks for it must find it
                #[allow(clippy::eq_op)]
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x > *y || x != x { x } else { *y });
            }
        }
    }

    /// The same for `N` channels, a number that the compiler knows: they stay in registers.
    #[inline(always)]
    fn block<const N: usize>(&self, x: &[T], at: [Covered; 2], c: usize, y: &mut [T]) -> usize {
        let mut c = c;
        while c + N <= self.channels {
            let mut best = [self.lowest; N];
            self.window(x, at, c, &mut best);
            y[c..c + N].copy_from_slice(&best);
            c += N;
        }
        c
    }
}

impl<T: Pod + PartialOrd + Send + Sync> Kernel for Max<T> {
    fn tasks(&self) -> usize {
        self.g.output[0]
    }

    fn run(&self, io: &Io, image: usize, oh: usize, _: &mut [u8]) {
        let (channels, x) = (self.channels, io.input::<T>(0, image));
        let row = self.g.output[1] * channels;
        // SAFETY: tasks differ in their output row.
        let y = unsafe { io.output::<T>(0, image, oh * row..(oh + 1) * row) };
        with_isa(
            self.isa,
            #[inline(always)]
            || {
                let lines = Covered::of(&self.g, 0, oh);
                for (ow, y) in y.chunks_exact_mut(channels).enumerate() {
                    let at = [lines, Covered::of(&self.g, 1, ow)];
                    let c = self.block::<64>(x, at, 0, y);
                    let c = self.block::<16>(x, at, c, y);
                    self.window(x, at, c, &mut y[c..]);
                }
            },
        );
    }
}
