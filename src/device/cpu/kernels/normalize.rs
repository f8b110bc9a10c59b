//! Normalization over channels, f32: GroupNormalization and InstanceNormalization by a group's own mean and variance,
//! LRN by the squares of the neighbouring channels.

use super::rows::sum;
use crate::base::{DType, Result};
use crate::device::cpu::simd::with_isa;
use crate::device::cpu::{Constant, Family, Io, Isa, Kernel, constant};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;
use crate::ir::ops::Lrn;
use std::ops::Range;

/// The family.
pub struct Normalization;

/// Pixels whose squares are added up at once.
const LANES: usize = 64;

impl Family for Normalization {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn doc(&self) -> &'static str {
        "GroupNormalization, InstanceNormalization and LRN, f32"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let known = match p.op() {
            Some(Op::GroupNorm(_)) => p.inputs[1..].iter().all(|i| i.constant),
            Some(Op::Lrn(_)) => true,
            _ => false,
        };
        let float = p.inputs.iter().all(|i| i.dtype == DType::F32) && !p.inputs[0].constant;
        if known && float && p.is_stored(Layout::Plain) {
            vec![isa.min(Isa::Avx512Vnni).name()]
        } else {
            vec![]
        }
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        let x = &step.problem.inputs[0].shape;
        let (channels, area) = (x[1], x[2..].iter().product());
        Ok(match step.problem.op() {
            Some(Op::GroupNorm(g)) => Box::new(Groups {
                channels,
                area,
                groups: g.groups.unwrap_or(channels).max(1),
                epsilon: g.epsilon,
                scale: constant(&step.packed, 0)?,
                bias: constant(&step.packed, 1)?,
                isa,
            }),
            Some(Op::Lrn(op)) => Box::new(Neighbours { channels, area, op: op.clone(), isa }),
            _ => unreachable!("`variants` knows two operators"),
        })
    }
}

struct Groups {
    channels: usize,
    area: usize,
    groups: usize,
    epsilon: f32,
    /// Of each channel, or of each group.
    scale: Constant<f32>,
    bias: Constant<f32>,
    isa: Isa,
}

impl Kernel for Groups {
    fn tasks(&self) -> usize {
        self.groups
    }

    fn run(&self, io: &Io, image: usize, group: usize, _: &mut [u8]) {
        let each = self.channels / self.groups;
        let n = each * self.area;
        let range = group * n..(group + 1) * n;
        let x = &io.input::<f32>(0, image)[range.clone()];
        // SAFETY: tasks differ in their group.
        let y = unsafe { io.output::<f32>(0, image, range) };
        let of = |p: &[f32], channel: usize| p[channel * p.len() / self.channels];
        with_isa(
            self.isa,
            #[inline(always)]
            || {
                let mean = sum(x, |x| x) / n as f32;
                let variance = sum(x, |x| (x - mean) * (x - mean)) / n as f32;
                let factor = 1.0 / (variance + self.epsilon).sqrt();
                let area = self.area.max(1);
                for (c, (y, x)) in y.chunks_exact_mut(area).zip(x.chunks_exact(area)).enumerate() {
                    let channel = group * each + c;
                    let (scale, bias) = (of(&self.scale, channel), of(&self.bias, channel));
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * factor * scale + bias);
                }
            },
        );
    }
}

struct Neighbours {
    channels: usize,
    area: usize,
    op: Lrn,
    isa: Isa,
}

impl Neighbours {
    /// `base ^ -beta`; the usual exponent of 3/4 without the general power.
    #[inline(always)]
    fn divide(&self, x: f32, base: f32) -> f32 {
        if self.op.beta == 0.75 {
            let root = base.sqrt();
            return x / (root * root.sqrt());
        }
        x / base.powf(self.op.beta)
    }

    /// The pixels `pixels` of channel `c`.
    #[inline(always)]
    fn block(&self, x: &[f32], c: usize, pixels: Range<usize>, y: &mut [f32]) {
        let mut squares = [0f32; LANES];
        for k in self.op.neighbours(c, self.channels) {
            let x = &x[k * self.area..][pixels.clone()];
            squares.iter_mut().zip(x).for_each(|(s, &x)| *s += x * x);
        }
        let alpha = self.op.alpha / self.op.size as f32;
        let x = &x[c * self.area..][pixels];
        for ((y, &x), &s) in y.iter_mut().zip(x).zip(&squares) {
            *y = self.divide(x, self.op.bias + alpha * s);
        }
    }
}

impl Kernel for Neighbours {
    fn tasks(&self) -> usize {
        self.channels
    }

    fn run(&self, io: &Io, image: usize, c: usize, _: &mut [u8]) {
        let x = io.input::<f32>(0, image);
        // SAFETY: tasks differ in their channel.
        let y = unsafe { io.output::<f32>(0, image, c * self.area..(c + 1) * self.area) };
        with_isa(
            self.isa,
            #[inline(always)]
            || {
                for (b, y) in y.chunks_mut(LANES).enumerate() {
                    self.block(x, c, b * LANES..b * LANES + y.len(), y);
                }
            },
        );
    }
}
