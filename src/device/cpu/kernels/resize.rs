//! Resizing by linear interpolation, f32: which elements each result lies between, and their weights, are found once.
//! (Resizing to the nearest element only moves.)

use super::elementwise::BLOCK;
use crate::base::codes::machine;
use crate::base::{DType, Diagnostic, Result};
use crate::device::cpu::simd::with_isa;
use crate::device::cpu::{Family, Io, Isa, Kernel};
use crate::device::{Bound, Layout, Operand, Problem};
use crate::ir::Op;
use crate::ir::ops::resize::{Resize, Taps};

/// The family.
pub struct Interpolation;

impl Family for Interpolation {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn doc(&self) -> &'static str {
        "Resize by linear interpolation, f32: indices and weights for each pixel"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let x = &p.inputs[0];
        let stored = p.is_stored(Layout::ChannelsLast) || p.is_stored(Layout::Plain);
        match p.op() {
            Some(Op::Resize(r)) if r.nearest.is_none() && stored => {
                let fits = x.dtype == DType::F32 && !x.constant && x.shape.numel() <= u32::MAX as usize;
                if fits { vec![isa.min(Isa::Avx512Vnni).name()] } else { vec![] }
            }
            _ => vec![],
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        let Some(Op::Resize(r)) = p.op() else { unreachable!("`variants` asked for a Resize") };
        let weighted = Weighted::of(r, &p.inputs[0], p.is_stored(Layout::ChannelsLast), isa);
        let kernel = weighted
            .ok_or_else(|| Diagnostic::new(machine::INTERNAL, format!("{p}: its shapes do not fit")))?;
        Ok(Box::new(kernel))
    }
}

/// The axes from the first to the last that are interpolated are one list of places; what lies before and after them
/// in memory is read alike.
struct Weighted {
    /// Elements before, and after, the interpolated axes.
    outer: usize,
    inner: usize,
    /// Places of the input, and of the output.
    from: usize,
    to: usize,
    /// For each place of the output, `each` places of the input with their weights.
    taps: Vec<(u32, f32)>,
    each: usize,
    isa: Isa,
}

impl Weighted {
    fn of(r: &Resize, x: &Operand, channels_last: bool, isa: Isa) -> Option<Self> {
        let mut axes: Vec<(usize, Taps)> = x.shape.iter().copied().zip(r.taps(&x.shape).ok()?).collect();
        if channels_last && axes.len() == 4 {
            axes[1..].rotate_left(1);
        }
        let moved = |(_, taps): &(usize, Taps)| matches!(taps, Taps::Between(_));
        let first = axes.iter().position(moved).unwrap_or(0);
        let end = axes.iter().rposition(moved).map_or(first, |i| i + 1);
        let size = |axes: &[(usize, Taps)]| axes.iter().map(|a| a.0).product();
        let (mut taps, mut each) = (vec![(0u32, 1f64)], 1);
        for (n, axis) in &axes[first..end] {
            taps = product(&taps, each, *n, axis);
            each *= if let Taps::Between(_) = axis { 2 } else { 1 };
        }
        Some(Weighted {
            outer: size(&axes[..first]),
            inner: size(&axes[end..]),
            from: size(&axes[first..end]),
            to: taps.len() / each,
            taps: taps.into_iter().map(|(i, w)| (i, w as f32)).collect(),
            each,
            isa,
        })
    }

    /// Places of the output that a task computes.
    fn places(&self) -> usize {
        (BLOCK / (self.inner * self.each).max(1)).max(1)
    }

    fn tasks_each(&self) -> usize {
        self.to.div_ceil(self.places())
    }
}

/// The taps of so many axes and of one more, of `n` elements, that follows them in memory.
fn product(taps: &[(u32, f64)], each: usize, n: usize, axis: &Taps) -> Vec<(u32, f64)> {
    let mut all = Vec::new();
    for place in taps.chunks_exact(each) {
        let along = |i: u32, k: usize| i * n as u32 + k as u32;
        match axis {
            Taps::Same => (0..n).for_each(|k| all.extend(place.iter().map(|&(i, w)| (along(i, k), w)))),
            Taps::Between(pairs) => pairs.iter().for_each(|&(a, b, second)| {
                let two =
                    |&(i, w): &(u32, f64)| [(along(i, a), w * (1.0 - second)), (along(i, b), w * second)];
                all.extend(place.iter().flat_map(two));
            }),
        }
    }
    all
}

impl Kernel for Weighted {
    fn tasks(&self) -> usize {
        self.outer * self.tasks_each()
    }

    fn run(&self, io: &Io, image: usize, task: usize, _: &mut [u8]) {
        let (outer, first) = (task / self.tasks_each(), task % self.tasks_each() * self.places());
        let end = (first + self.places()).min(self.to);
        let inner = self.inner;
        let x = &io.input::<f32>(0, image)[outer * self.from * inner..][..self.from * inner];
        let range = (outer * self.to + first) * inner..(outer * self.to + end) * inner;
        // SAFETY: tasks differ in their range.
        let y = unsafe { io.output::<f32>(0, image, range) };
        let taps = self.taps[first * self.each..end * self.each].chunks_exact(self.each);
        with_isa(
            self.isa,
            #[inline(always)]
            || {
                if inner == 1 {
                    let sum = |taps: &[(u32, f32)]| taps.iter().map(|&(i, w)| x[i as usize] * w).sum();
                    return y.iter_mut().zip(taps).for_each(|(y, taps)| *y = sum(taps));
                }
                for (y, taps) in y.chunks_exact_mut(inner.max(1)).zip(taps) {
                    y.fill(0.0);
                    for &(i, w) in taps {
                        let x = &x[i as usize * inner..][..inner];
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y += x * w);
                    }
                }
            },
        );
    }
}
