//! Maximum over windows, of f32 and of 8-bit integers (which need no scales: the largest integer is the largest
//! number).

use crate::base::{DType, Result};
use crate::device::cpu::simd::{Simd, with_isa, with_simd};
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use crate::ir::ops::{Geometry, PoolFn};
use bytemuck::Pod;
use std::marker::PhantomData;

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

    fn writes_rows_apart(&self, _: &Problem) -> bool {
        true
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let (channels, g) = dims(&step.problem);
        let pitch = step.problem.outputs[0].pitch.unwrap_or(channels);
        let dtype = step.problem.inputs[0].dtype;
        if let Some(taps) = (dtype.size() == 1 && channels.is_multiple_of(4)).then(|| Taps::of(&g)).flatten()
        {
            let flip = if dtype == DType::I8 { i32::from_ne_bytes([0x80; 4]) } else { 0 };
            return Ok(
                with_simd!(isa, S => Box::new(Bytes::<S> { channels, pitch, g, taps, flip, simd: PhantomData })),
            );
        }
        Ok(match dtype {
            DType::F32 => Box::new(Max { channels, pitch, g, isa, lowest: f32::NEG_INFINITY }),
            DType::U8 => Box::new(Max { channels, pitch, g, isa, lowest: u8::MIN }),
            _ => Box::new(Max { channels, pitch, g, isa, lowest: i8::MIN }),
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

/// The input lines and columns of every window, with some of them twice where others are in the padding: the maximum
/// does not mind.
struct Taps {
    /// `[output line][kernel line]`
    lines: Vec<usize>,
    /// `[output column][kernel column]`
    columns: Vec<usize>,
}

impl Taps {
    /// None if a window lies in the padding with all of its taps.
    fn of(g: &Geometry) -> Option<Taps> {
        let axis = |axis: usize| -> Option<Vec<usize>> {
            let mut all = Vec::with_capacity(g.output[axis] * g.kernel[axis]);
            for o in 0..g.output[axis] {
                let taps = Covered::of(g, axis, o);
                let last = taps.iter().last()?;
                all.extend(taps.iter().chain(std::iter::repeat(last)).take(g.kernel[axis]));
            }
            Some(all)
        };
        Some(Taps { lines: axis(0)?, columns: axis(1)? })
    }
}

/// The maximum of bytes, whose channels are whole lanes.
struct Bytes<S> {
    channels: usize,
    /// Numbers between output pixels.
    pitch: usize,
    g: Geometry,
    taps: Taps,
    /// What makes u8 of s8 in the same order, in every lane.
    flip: i32,
    simd: PhantomData<S>,
}

impl<S: Simd> Bytes<S> {
    /// The window of these input lines and columns, over `n` lanes of channels from `c` on.
    ///
    /// # Safety
    /// As for [`Simd`], inside of [`Simd::within`]; `x` is the image, which has the lines, columns and channels.
    #[inline(always)]
    unsafe fn window(&self, x: *const u8, lines: &[usize], columns: &[usize], c: usize, n: usize) -> S::I {
        // SAFETY: the caller's promise.
        unsafe {
            let (flip, mut best) = (S::splat(self.flip), S::splat(0));
            for line in lines {
                for column in columns {
                    let at = (line * self.g.input[1] + column) * self.channels + c;
                    best = S::max_u8(best, S::xor(S::load_n(x.add(at), n), flip));
                }
            }
            S::xor(best, flip)
        }
    }
}

impl<S: Simd> Kernel for Bytes<S> {
    fn tasks(&self) -> usize {
        self.g.output[0]
    }

    fn run(&self, io: &Io, image: usize, oh: usize, _: &mut [u8]) {
        let (channels, [kh, kw]) = (self.channels, self.g.kernel);
        let (x, pitch) = (io.input::<u8>(0, image), self.pitch);
        let (first, row) = (oh * self.g.output[1] * pitch, (self.g.output[1] - 1) * pitch + channels);
        assert!(x.len() >= self.g.input[0] * self.g.input[1] * channels);
        let lines = &self.taps.lines[oh * kh..][..kh];
        // SAFETY: tasks differ in their output row; `load` chose `S` for a CPU that has it; taps lie in the image.
        unsafe {
            let y = io.output::<u8>(0, image, first..first + row);
            S::within(
                #[inline(always)]
                || {
                    for (columns, y) in self.taps.columns.chunks_exact(kw).zip(y.chunks_mut(pitch)) {
                        let whole = channels - channels % S::BYTES;
                        for c in (0..whole).step_by(S::BYTES) {
                            let best = self.window(x.as_ptr(), lines, columns, c, S::LANES);
                            S::store(y[c..c + S::BYTES].as_mut_ptr(), best);
                        }
                        if whole < channels {
                            let n = (channels - whole) / 4;
                            let best = self.window(x.as_ptr(), lines, columns, whole, n);
                            S::store_n(y[whole..channels].as_mut_ptr(), best, n);
                        }
                    }
                },
            );
        }
    }
}

struct Max<T> {
    channels: usize,
    /// Numbers between output pixels.
    pitch: usize,
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
        let (width, pitch) = (self.g.output[1], self.pitch);
        let first = oh * width * pitch;
        // SAFETY: tasks differ in their output row.
        let y = unsafe { io.output::<T>(0, image, first..first + (width - 1) * pitch + channels) };
        with_isa(
            self.isa,
            #[inline(always)]
            || {
                let lines = Covered::of(&self.g, 0, oh);
                for (ow, y) in y.chunks_mut(pitch).map(|y| &mut y[..channels]).enumerate() {
                    let at = [lines, Covered::of(&self.g, 1, ow)];
                    let c = self.block::<64>(x, at, 0, y);
                    let c = self.block::<16>(x, at, c, y);
                    self.window(x, at, c, &mut y[c..]);
                }
            },
        );
    }
}
