//! Poolings: maximum and mean, over windows and whole images, with padding, dilation and `ceil_mode`. Images of
//! another size, interpolated.

use super::{Case, Rng};
use crate::base::{DType, Shape};
use crate::device::{Layout, Numerics, Operand};
use crate::ir::ops::resize::{Coordinates, Extent, Resize};
use crate::ir::ops::{Pads, Pool, PoolFn, Window};

pub fn cases(rng: &mut Rng) -> Vec<Case> {
    let windows = |rng: &mut Rng| -> Vec<Option<Window>> {
        let plain = |k: usize, s: usize| Window::new([k, k], [s, s]);
        let padded = Window { pads: Pads::Explicit([1; 4]), ..plain(3, 2) };
        let uneven = Window { pads: Pads::Explicit([0, 1, 2, 1]), ..Window::new([3, 2], [1, 2]) };
        let mut v = vec![None, Some(plain(1, 1)), Some(plain(2, 2)), Some(plain(3, 1))];
        v.extend([padded.clone(), Window { ceil: true, ..padded }, uneven].map(Some));
        v.push(Some(Window { ceil: true, ..plain(2, 2) }));
        // taps further apart than the image is wide: windows may lie in the padding alone
        v.push(Some(Window { dilations: [3, 3], pads: Pads::Explicit([1; 4]), ..plain(2, 1) }));
        v.push(Some(Window { pads: Pads::SameUpper, ..plain(1 + rng.below(3), 1 + rng.below(3)) }));
        v
    };
    let mut cases = Vec::new();
    for f in [PoolFn::Max, PoolFn::Average { include_pad: false }, PoolFn::Average { include_pad: true }] {
        for size in [[1, 1], [2, 2], [5, 6], [9, 8]] {
            for channels in [1, 3, 64, 65] {
                for window in windows(rng) {
                    for x in [DType::F32, DType::U8, DType::I8] {
                        cases.extend(case(rng, Pool { f, window: window.clone() }, channels, size, x));
                    }
                }
            }
        }
    }
    [cases, interpolations(rng)].concat()
}

fn interpolations(rng: &mut Rng) -> Vec<Case> {
    use Coordinates::*;
    let mut cases = Vec::new();
    let sizes: [(&[usize], &[usize]); 9] = [
        (&[1, 3, 4, 5], &[1, 3, 8, 10]),
        (&[1, 65, 7, 3], &[1, 65, 9, 3]),
        (&[1, 3, 9, 8], &[1, 3, 4, 1]),
        (&[1, 1, 5, 5], &[1, 1, 11, 3]),
        (&[1, 2, 150, 10], &[1, 2, 300, 30]),
        (&[1, 3, 4, 5], &[1, 6, 4, 10]),
        (&[1, 6, 7], &[1, 6, 20]),
        (&[1, 2, 3, 4, 5], &[1, 2, 5, 4, 7]),
        (&[1, 4, 1, 1], &[1, 4, 6, 5]),
    ];
    for (from, to) in sizes {
        for coordinates in [HalfPixel, PytorchHalfPixel, AlignCorners, Asymmetric] {
            for layout in [Layout::Plain, Layout::ChannelsLast] {
                let op =
                    Resize { nearest: None, coordinates, extent: Extent::Sizes(to.to_vec()), axes: vec![] };
                let x = vec![Operand::new(DType::F32, Shape::new(from), layout)];
                cases.extend(Case::new(rng, op, x, (DType::F32, layout), Numerics::Float));
            }
        }
    }
    cases
}

pub(super) fn case(rng: &mut Rng, pool: Pool, channels: usize, size: [usize; 2], x: DType) -> Option<Case> {
    let nhwc = Layout::ChannelsLast;
    let inputs = vec![Operand::new(x, [1, channels, size[0], size[1]].into(), nhwc)];
    let (out, numerics) = match (x, pool.f) {
        (DType::F32, _) => (x, Numerics::Float),
        (_, PoolFn::Max) => (x, Numerics::Integers),
        _ => {
            let out = rng.pick(&[x, x, DType::U8, DType::F32]);
            (out, Numerics::average(rng.quant(x), rng.output(out)))
        }
    };
    // a mean of padding alone is 0 / 0
    let g = pool.geometry(&inputs[0].shape).ok()?;
    let empty = |oh, ow| pool.divisor(&g, oh, ow) == 0;
    let average = matches!(pool.f, PoolFn::Average { .. });
    if average && (0..g.output[0]).any(|oh| (0..g.output[1]).any(|ow| empty(oh, ow))) {
        return None;
    }
    Case::new(rng, pool, inputs, (out, nhwc), numerics)
}
