//! Two operators in one step: a convolution with the maximum behind it, a depthwise convolution with the products of its
//! channels, the mean of an image with the products of its channels. The tensor between them is in 8 bits.

use super::convolutions::{self, Spec, UNIT};
use super::{Case, Rng, products, windows};
use crate::base::DType;
use crate::device::{Numerics, Problem};
use crate::ir::ops::{Pads, Pool, PoolFn, Window};

pub fn cases(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for x in [DType::U8, DType::I8] {
        for stem in stems() {
            for pad in [0, 1] {
                let between = alone(rng, &stem, x);
                let window = Window { pads: Pads::Explicit([pad; 4]), ..Window::new([3, 3], [2, 2]) };
                let pool = Pool { f: PoolFn::Max, window: Some(window) };
                let out = &between.problem.outputs[0];
                let size = [out.shape[2], out.shape[3]];
                cases.extend(
                    windows::case(rng, pool, stem.maps, size, out.dtype).and_then(|p| join(&between, &p)),
                );
            }
        }
        for (deep, maps) in deep() {
            let between = alone(rng, &deep, x);
            let out = &between.problem.outputs[0];
            let point = Spec { channels: deep.maps, size: [out.shape[2], out.shape[3]], maps, ..UNIT };
            cases.extend(join(&between, &eight_bits(rng, &point, out.dtype)));
        }
        for (channels, size, maps) in heads() {
            let mean = Pool { f: PoolFn::Average { include_pad: false }, window: None };
            let mean = in_eight_bits(|| windows::case(rng, mean.clone(), channels, size, x));
            let between = mean.problem.outputs[0].dtype;
            // through a view, and as an image of one pixel
            cases.extend(products::linear(rng, &[1], channels, maps, between).and_then(|p| join(&mean, &p)));
            let point = Spec { channels, maps, ..UNIT };
            cases.extend(convolutions::case(rng, &point, between).and_then(|p| join(&mean, &p)));
        }
    }
    cases
}

/// Convolutions that a pooling follows: those of few channels above all.
fn stems() -> Vec<Spec> {
    let camera = |channels, size, k: usize, maps| Spec {
        kernel: [k, k],
        strides: [2, 2],
        pads: [k / 2; 4],
        ..Spec { channels, size, maps, ..UNIT }
    };
    vec![
        camera(3, [56, 56], 7, 64),
        camera(3, [64, 50], 7, 64),
        camera(3, [29, 31], 7, 64),
        camera(4, [40, 24], 7, 64),
        camera(3, [33, 20], 3, 32),
        camera(3, [45, 66], 3, 48),
        camera(3, [17, 23], 5, 24),
        Spec { strides: [1, 1], ..camera(16, [15, 14], 3, 40) },
    ]
}

/// Depthwise convolutions, and how many channels follow.
fn deep() -> Vec<(Spec, usize)> {
    let deep = |channels, size, k: usize, stride| Spec {
        kernel: [k, k],
        pads: [k / 2; 4],
        strides: [stride; 2],
        groups: channels,
        ..Spec { channels, size, maps: channels, ..UNIT }
    };
    vec![
        (deep(32, [14, 15], 3, 1), 16),
        (deep(32, [30, 29], 3, 1), 32),
        (deep(64, [21, 28], 3, 2), 48),
        (deep(96, [15, 14], 3, 2), 24),
        (deep(144, [9, 9], 5, 1), 40),
        (deep(31, [7, 6], 3, 1), 33),
        (deep(240, [7, 7], 5, 2), 112),
        (Spec { pads: [0, 0, 1, 1], ..deep(48, [14, 14], 3, 2) }, 70),
        (deep(1, [5, 5], 3, 1), 1),
        (deep(48, [48, 60], 3, 1), 24),
        (deep(70, [45, 31], 5, 2), 36),
        (deep(40, [1, 60], 3, 1), 72),
        (deep(20, [50, 1], 3, 1), 8),
    ]
}

/// Channels and sizes of images of which the mean is taken, and how many numbers are made of it.
fn heads() -> Vec<(usize, [usize; 2], usize)> {
    vec![
        (2048, [7, 7], 10),
        (1280, [7, 7], 70),
        (512, [4, 5], 300),
        (960, [7, 7], 33),
        (64, [9, 8], 8),
        (16, [1, 1], 3),
        (24, [30, 29], 5),
        (40, [14, 14], 130),
        (72, [2, 3], 1),
        (3, [6, 6], 4),
    ]
}

/// A case of a convolution that writes 8 bits, without a residual and most often without a function. Where it pads, kernels
/// may want a zero point of 0.
fn alone(rng: &mut Rng, spec: &Spec, x: DType) -> Case {
    let zero = rng.below(2) == 0;
    loop {
        let mut case = eight_bits(rng, spec, x);
        let fused = case.problem.op().map(|op| op.fused()).unwrap_or_default();
        if let (true, Numerics::Multiply { zero_point, .. }) = (zero, &mut case.numerics) {
            *zero_point = 0;
        }
        if !fused.residual && (fused.function.is_none() || rng.below(4) == 0) {
            return case;
        }
    }
}

/// A case of a convolution that writes 8 bits.
fn eight_bits(rng: &mut Rng, spec: &Spec, x: DType) -> Case {
    in_eight_bits(|| convolutions::case(rng, spec, x))
}

/// The first of these that writes 8 bits.
fn in_eight_bits(mut draw: impl FnMut() -> Option<Case>) -> Case {
    loop {
        if let Some(case) = draw().filter(|c| c.problem.outputs[0].dtype.is_int8()) {
            return case;
        }
    }
}

/// Both as one. The second's scales are its own: any numbers will do.
fn join(first: &Case, second: &Case) -> Option<Case> {
    let numerics = Numerics::Pair(Box::new((first.numerics.clone(), second.numerics.clone())));
    Some(Case {
        problem: Problem::pair(&first.problem, &second.problem)?,
        numerics,
        constants: [&first.constants[..], &second.constants].concat(),
        inputs: [&first.inputs[..], &second.inputs[1..]].concat(),
    })
}
