//! Depthwise convolution: one input channel for each output channel, so that channels lie side by side in memory and
//! in registers.

use super::direct::{Accumulate, Dims, Stored, load};
use super::product::{NR, Product};
use crate::base::{Result, Tensor};
use crate::device::cpu::{Family, Isa, Kernel};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;

/// The family.
pub struct Depthwise;

impl Family for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn doc(&self) -> &'static str {
        "Conv with as many groups as channels, f32 and 8-bit: channels side by side"
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let fits = match p.op() {
            Some(Op::Conv(c)) => {
                let w = &p.inputs[1];
                w.constant && w.shape[1] == 1 && w.shape[0] == c.groups && p.is_stored(Layout::ChannelsLast)
            }
            _ => false,
        };
        if fits { vec![isa.min(Isa::Avx512Vnni).name()] } else { vec![] }
    }

    /// Weights as `[taps][channels]`.
    fn pack(&self, p: &Problem, _: &str, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let w = &p.inputs[1].shape;
        let (channels, taps, size) = (w[0], w[2] * w[3], tensors[0].dtype().size());
        let from = tensors[0].bytes().chunks_exact(size);
        let mut to = vec![0; tensors[0].bytes().len()];
        for (i, number) in from.enumerate() {
            let at = (i % taps * channels + i / taps) * size;
            to[at..at + size].copy_from_slice(number);
        }
        let rest = tensors[1..].iter().map(|t| t.bytes().to_vec());
        Ok(std::iter::once(to).chain(rest).collect())
    }

    fn load(&self, step: &Bound, isa: Isa) -> Result<Box<dyn Kernel>> {
        load::<SideBySide>(step, isa)
    }
}

/// All channels of a block at once; weights `[taps][channels]`.
struct SideBySide;

impl Accumulate for SideBySide {
    fn sum(w: &[i8], m: usize, d: &Dims) -> i32 {
        w[m..].iter().step_by(d.outputs).map(|&w| i32::from(w)).sum()
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
        let zeros = [fill; NR];
        let sums = &mut acc[..n];
        for i in 0..kh {
            let h = d.g.source(0, at[0], i);
            for j in 0..kw {
                let pixel = h.zip(d.g.source(1, at[1], j));
                let x = pixel.map_or(&zeros[..n], |(h, w)| &x[(h * d.g.input[1] + w) * d.inputs + c..][..n]);
                let w = &w[(i * kw + j) * d.outputs + c..][..n];
                for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
                    *sum = x.add(w, *sum);
                }
            }
        }
    }
}
