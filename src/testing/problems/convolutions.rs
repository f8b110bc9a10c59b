//! Convolutions: sizes around the tile (8 rows, 32 channels), kernels, strides, dilations, pads, groups; f32, u8 with
//! zero points, s8; bias, residual and activation.

use super::{Case, NHWC_F32, Rng};
use crate::base::DType;
use crate::base::quant::{Activation, Epilogue, QuantParams, Scale};
use crate::device::{Layout, Numerics, Operand};
use crate::ir::ops::{Conv, Fused, Pads, UnaryFn, Window};

/// The shape of a convolution.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub channels: usize,
    pub size: [usize; 2],
    pub maps: usize,
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    pub pads: [usize; 4],
    pub groups: usize,
}

pub(super) const UNIT: Spec = Spec {
    channels: 1,
    size: [1, 1],
    maps: 1,
    kernel: [1, 1],
    strides: [1, 1],
    dilations: [1, 1],
    pads: [0; 4],
    groups: 1,
};

pub fn cases(rng: &mut Rng) -> Vec<Case> {
    let mut specs = edges();
    specs.extend((0..60).map(|_| random(rng)));
    specs.extend(whole());
    let mut cases = Vec::new();
    for s in &specs {
        for x in [DType::F32, DType::U8, DType::I8] {
            cases.extend(case(rng, s, x));
        }
    }
    cases
}

fn edges() -> Vec<Spec> {
    let mut v = vec![UNIT];
    for rows in [7, 8, 9] {
        for maps in [31, 32, 33] {
            v.push(Spec { channels: 4, size: [1, rows], maps, ..UNIT });
            v.push(Spec { channels: 3, size: [rows, 1], maps, ..UNIT });
        }
    }
    for k in [1, 3, 5, 7] {
        let pads = [k / 2; 4];
        for strides in [[1, 1], [2, 2], [1, 3]] {
            v.push(Spec { channels: 3, size: [9, 11], maps: 5, kernel: [k, k], strides, pads, ..UNIT });
        }
        // depthwise below, at and above the block of channels; then several maps a group
        for c in [1, 31, 32, 33] {
            v.push(Spec { channels: c, size: [6, 7], maps: c, kernel: [k, k], pads, groups: c, ..UNIT });
        }
        v.push(Spec { channels: 6, size: [7, 6], maps: 9, kernel: [k, k], pads, groups: 3, ..UNIT });
        v.push(Spec { channels: 5, size: [7, 6], maps: 10, kernel: [k, k], pads, groups: 5, ..UNIT });
    }
    let base = Spec { channels: 5, size: [8, 9], maps: 6, kernel: [3, 2], ..UNIT };
    v.push(Spec { pads: [0, 1, 2, 1], ..base.clone() });
    v.push(Spec { pads: [2, 0, 0, 1], dilations: [2, 3], ..base.clone() });
    v.push(Spec { dilations: [3, 1], strides: [2, 1], ..base });
    // more rows and longer reductions than a block of patches holds
    v.push(Spec { channels: 64, size: [20, 20], maps: 40, kernel: [3, 3], pads: [1; 4], ..UNIT });
    v.push(Spec { channels: 130, size: [3, 3], maps: 200, kernel: [3, 3], pads: [1; 4], ..UNIT });
    v
}

/// Pixels of whole 16 bytes, or with little missing: what matrix instructions and copy engines take. Around their tiles
/// (64, 128 and 256 channels or pixels, steps of 32, 64 and 128 along the channels) and beyond them.
fn whole() -> Vec<Spec> {
    let one = |channels, size, maps| Spec { channels, size, maps, ..UNIT };
    let three = |channels, size, maps| Spec { kernel: [3, 3], pads: [1; 4], ..one(channels, size, maps) };
    let deep = |channels, size, k: usize, stride| Spec {
        kernel: [k, k],
        pads: [k / 2; 4],
        strides: [stride; 2],
        groups: channels,
        ..one(channels, size, channels)
    };
    let camera = |size, k: usize, pad, maps| Spec {
        kernel: [k, k],
        strides: [2, 2],
        pads: [pad; 4],
        ..one(3, size, maps)
    };
    vec![
        camera([28, 30], 7, 3, 64),
        camera([28, 28], 3, 1, 32),
        camera([16, 36], 6, 2, 48),
        camera([17, 20], 3, 0, 24),
        Spec { pads: [0, 0, 1, 1], ..camera([24, 24], 3, 0, 16) },
        one(16, [1, 33], 96),
        one(16, [5, 33], 32),
        one(8, [3, 7], 16),
        one(24, [9, 9], 144),
        one(40, [7, 7], 24),
        one(96, [13, 13], 24),
        one(128, [20, 20], 80),
        one(144, [14, 14], 32),
        one(192, [7, 9], 320),
        one(256, [6, 50], 256),
        one(320, [9, 9], 130),
        Spec { strides: [2, 2], ..one(64, [11, 9], 128) },
        three(64, [9, 17], 64),
        three(16, [13, 14], 48),
        three(32, [10, 30], 64),
        three(128, [7, 7], 160),
        Spec { strides: [2, 2], ..three(64, [15, 11], 96) },
        Spec { strides: [2, 1], kernel: [3, 2], pads: [0, 1, 2, 1], ..one(48, [15, 11], 80) },
        Spec { dilations: [2, 3], kernel: [3, 2], pads: [2, 0, 0, 1], ..one(48, [15, 11], 80) },
        deep(32, [15, 15], 3, 1),
        deep(96, [9, 30], 3, 2),
        deep(24, [16, 9], 5, 1),
        deep(64, [7, 17], 5, 2),
        Spec { pads: [0, 0, 1, 1], ..deep(48, [14, 14], 3, 2) },
        Spec { pads: [0; 4], ..deep(64, [9, 9], 3, 1) },
    ]
}

fn random(rng: &mut Rng) -> Spec {
    let groups = rng.pick(&[1, 1, 1, 2, 3, 8]);
    let depth = 1 + rng.below(9);
    let maps = groups * (1 + rng.below(12));
    let kernel = [1 + rng.below(5), 1 + rng.below(5)];
    Spec {
        channels: groups * depth,
        size: [1 + rng.below(14), 1 + rng.below(14)],
        maps,
        kernel,
        strides: [1 + rng.below(3), 1 + rng.below(3)],
        dilations: [1 + rng.below(2), 1 + rng.below(2)],
        pads: std::array::from_fn(|i| rng.below(kernel[i % 2])),
        groups,
    }
}

pub(super) fn case(rng: &mut Rng, s: &Spec, x: DType) -> Option<Case> {
    let nhwc = Layout::ChannelsLast;
    let window =
        Window { dilations: s.dilations, pads: Pads::Explicit(s.pads), ..Window::new([0, 0], s.strides) };
    let clip = Activation::Clip { lo: -1.0, hi: 1.5 };
    let activation = rng.pick(&[Activation::None, Activation::Relu, clip]);
    let fused = Fused { residual: rng.below(2) == 1, function: function(rng), activation };
    let g = window.on(s.size, s.kernel).ok()?;
    let int = x.is_int8();
    let w_type = if int { DType::I8 } else { DType::F32 };
    let mut inputs = vec![
        Operand::new(x, [1, s.channels, s.size[0], s.size[1]].into(), nhwc),
        Operand::constant(w_type, [s.maps, s.channels / s.groups, s.kernel[0], s.kernel[1]].into()),
    ];
    let bias = rng.below(3) > 0;
    if bias {
        inputs.push(Operand::constant(DType::F32, [s.maps].into()));
    }
    let residual = if int { rng.pick(&[DType::U8, DType::I8]) } else { DType::F32 };
    if fused.residual {
        inputs.push(Operand::new(residual, [1, s.maps, g.output[0], g.output[1]].into(), nhwc));
    }
    let op = Conv { window, groups: s.groups, fused };
    if !int {
        return Case::new(rng, op, inputs, NHWC_F32, Numerics::Float);
    }
    let out = rng.pick(&[DType::U8, DType::I8, DType::F32]);
    let length = s.channels / s.groups * s.kernel[0] * s.kernel[1];
    let mut case = Case::new(rng, op, inputs, (out, nhwc), Numerics::Integers)?;
    let bias = if bias { case.constants[1].to_f32().into_owned() } else { vec![0.0; s.maps] };
    case.numerics = multiply(rng, [x, out], length, &bias, fused, residual);
    Some(case)
}

/// A function that an epilogue applies, for one node in three.
pub fn function(rng: &mut Rng) -> Option<UnaryFn> {
    use UnaryFn::*;
    let known = [Gelu, HardSwish, LeakyRelu { alpha: 0.1 }, Sigmoid, Silu, Tanh, Elu { alpha: 1.0 }];
    (rng.below(3) == 0).then(|| rng.pick(&known))
}

/// Scales of a multiplying node, such that its outputs cover their range and leave it now and then.
pub fn multiply(
    rng: &mut Rng,
    [x, out]: [DType; 2],
    length: usize,
    bias: &[f32],
    fused: Fused,
    residual: DType,
) -> Numerics {
    let x = rng.quant(x);
    let weights: Vec<Scale> = bias.iter().map(|_| rng.scale()).collect();
    let out = rng.output(out).map(|q| {
        let spread = 74.0 * 100.0 * (length as f32).sqrt() * x.scale.get() * 0.05;
        QuantParams { scale: Scale::symmetric(127.0 * spread / 60.0), ..q }
    });
    let residual = fused.residual.then(|| {
        let q = rng.quant(residual);
        out.map_or(q, |o| QuantParams { scale: Scale::symmetric(o.scale.get() * 60.0), ..q })
    });
    let epilogue = Epilogue::new(x.scale, &weights, bias, residual, fused.after(), out);
    Numerics::Multiply { zero_point: x.zero_point, epilogue }
}
