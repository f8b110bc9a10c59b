//! Convolution by plain loops over channels-last images, any number of groups: the tactic that always works.

use super::epilogue::{Finish, FloatFinish, IntFinish, Target};
use super::tile::{F32, Int8, NR, Product};
use super::window::Walk;
use crate::base::{DType, Result};
use crate::device::cpu::simd::{Simd, with_simd};
use crate::device::cpu::{Block, Constant, Family, Io, Isa, Kernel, bound, constant};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use bytemuck::Pod;
use std::marker::PhantomData;

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

    fn writes_rows_apart(&self, p: &Problem) -> bool {
        p.op().is_some_and(|op| !op.fused().residual) // residuals are read at the places that are written
    }

    /// Its loops are plain: sums of f32 are made one after the other, integers are multiplied as 16 bits at best.
    fn products_per_cycle(&self, p: &Problem, isa: Isa) -> f64 {
        bound::products(isa, p.is_int8()) / if p.is_int8() { 2.0 } else { 4.0 }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let walk = Walk::of(p);
        let pitch = p.outputs[0].pitch.unwrap_or(walk.outputs);
        let dtype = p.inputs[0].dtype;
        if dtype == DType::F32 {
            let finish = FloatFinish::of(step, 1, walk.outputs)?;
            let w = constant(&step.packed, 0)?;
            return Ok(
                with_simd!(isa, S => Box::new(Loops::<S, F32, f32, _>::new(walk, pitch, w, finish, 0.0))),
            );
        }
        let w = constant::<i8>(&step.packed, 0)?;
        let sums: Vec<i32> = w
            .chunks((w.len() / walk.outputs).max(1))
            .map(|w| w.iter().map(|&w| i32::from(w)).sum())
            .collect();
        let (finish, zp) = (IntFinish::of(step, 1, &sums, 0)?, IntFinish::zero_point(step));
        Ok(with_simd!(isa, S => match dtype {
            DType::U8 => Box::new(Loops::<S, Int8, u8, _>::new(walk, pitch, w, finish, zp as u8)),
            _ => Box::new(Loops::<S, Int8, i8, _>::new(walk, pitch, w, finish, zp as i8)),
        }))
    }
}

/// A stored activation that can be multiplied by a weight.
trait Stored<P: Product>: Pod + Send + Sync {
    /// What products are added up in.
    type Sum: Pod + Default;
    /// `acc + x * w`.
    fn add(self, w: P::Weight, acc: Self::Sum) -> Self::Sum;
}

impl Stored<F32> for f32 {
    type Sum = f32;
    #[inline(always)]
    fn add(self, w: f32, acc: f32) -> f32 {
        acc + self * w
    }
}

impl Stored<Int8> for u8 {
    type Sum = i32;
    #[inline(always)]
    fn add(self, w: i8, acc: i32) -> i32 {
        acc + i32::from(self) * i32::from(w)
    }
}

impl Stored<Int8> for i8 {
    type Sum = i32;
    #[inline(always)]
    fn add(self, w: i8, acc: i32) -> i32 {
        acc + i32::from(self) * i32::from(w)
    }
}

struct Loops<S, P: Product, T, F> {
    walk: Walk,
    /// As the model has them: `[outputs][depth][kh][kw]`.
    weights: Constant<P::Weight>,
    finish: F,
    fill: T,
    /// Numbers between output pixels.
    pitch: usize,
    simd: PhantomData<S>,
}

impl<S: Simd, P: Product, T: Stored<P>, F: Finish<P>> Loops<S, P, T, F> {
    fn new(walk: Walk, pitch: usize, weights: Constant<P::Weight>, finish: F, fill: T) -> Self {
        Loops { walk, weights, finish, fill, pitch, simd: PhantomData }
    }

    /// Adds the window of the output pixel `at` to `acc`, which holds the channels from `c`.
    #[inline(always)]
    fn window(&self, x: &[T], at: [usize; 2], c: usize, acc: &mut [T::Sum]) {
        let (w, g) = (&self.walk, &self.walk.g);
        let ([kh, kw], depth) = (g.kernel, w.depth());
        for i in 0..kh {
            let h = g.source(0, at[0], i);
            for j in 0..kw {
                let pixel =
                    h.zip(g.source(1, at[1], j)).map(|(h, w)| (h * g.input[1] + w) * self.walk.inputs);
                for (m, acc) in (c..).zip(acc.iter_mut()) {
                    let first = m / w.maps() * depth;
                    for k in 0..depth {
                        let v = pixel.map_or(self.fill, |p| x[p + first + k]);
                        *acc = v.add(self.weights[((m * depth + k) * kh + i) * kw + j], *acc);
                    }
                }
            }
        }
    }

    /// # Safety
    /// As for [`Finish::store`].
    #[inline(always)]
    unsafe fn pixel(&self, to: Target, x: &[T], at: [usize; 2]) {
        let w = &self.walk;
        for c in (0..w.outputs).step_by(S::LANES) {
            let channels = S::LANES.min(w.outputs - c);
            let mut acc = [T::Sum::default(); NR];
            // SAFETY: the constants are padded to whole blocks; sums are 4 bytes each.
            unsafe {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut acc);
                bytes[..S::BYTES].copy_from_slice(std::slice::from_raw_parts(self.finish.start(c), S::BYTES));
            }
            self.window(x, at, c, &mut acc[..channels]);
            let block = Block { at: (at[0] * w.g.output[1] + at[1]) * to.pitch + c, channel: c, channels };
            // SAFETY: the caller's promise.
            unsafe { self.finish.store::<S, 1>(to, block, &[[S::load(acc.as_ptr().cast())]]) };
        }
    }
}

impl<S: Simd, P: Product, T: Stored<P>, F: Finish<P>> Kernel for Loops<S, P, T, F> {
    fn tasks(&self) -> usize {
        self.walk.g.output[0]
    }

    fn run(&self, io: &Io, image: usize, oh: usize, _: &mut [u8]) {
        let (x, to) = (io.input::<T>(0, image), Target { io, image, pitch: self.pitch });
        // SAFETY: `load` chose `S` for a CPU that has it; tasks differ in lines.
        unsafe {
            S::within(
                #[inline(always)]
                || (0..self.walk.g.output[1]).for_each(|ow| self.pixel(to, x, [oh, ow])),
            );
        }
    }
}
