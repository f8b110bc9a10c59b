//! `Linear` (one row and many, around the tile) and `MatMul` of two activations.

use super::{Case, F32, Rng, convolutions};
use crate::base::quant::Activation;
use crate::base::{DType, Shape};
use crate::device::{Layout, Numerics, Operand};
use crate::ir::ops::{Fused, Linear, MatMul};

pub fn cases(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    let rows: [&[usize]; 8] = [&[1], &[7], &[8], &[1, 9], &[2, 5], &[33], &[1, 300], &[]];
    for rows in rows {
        for (k, n) in [(1, 1), (4, 31), (5, 32), (64, 33), (131, 10), (513, 70)] {
            for x in [DType::F32, DType::U8, DType::I8] {
                cases.extend(linear(rng, rows, k, n, x));
            }
        }
    }
    // rows of whole 16 bytes
    for (rows, k, n) in [(&[1][..], 512, 1000), (&[1, 197], 192, 77), (&[70], 128, 256), (&[1, 9], 48, 48)] {
        for x in [DType::U8, DType::I8, DType::U8] {
            cases.extend(linear(rng, rows, k, n, x));
        }
    }
    let pairs: [(&[usize], &[usize]); 12] = [
        (&[1, 1], &[1, 1]),
        (&[7, 5], &[5, 31]),
        (&[8, 64], &[64, 32]),
        (&[9, 3], &[3, 33]),
        (&[2, 3, 9, 4], &[2, 3, 4, 5]),
        (&[3, 9, 4], &[4, 5]),
        (&[4, 5], &[2, 5, 6]),
        (&[2, 1, 4, 5], &[3, 5, 6]),
        (&[5], &[5, 6]),
        (&[6, 5], &[5]),
        (&[5], &[5]),
        (&[1, 3, 197, 16], &[1, 3, 16, 197]),
    ];
    for (a, b) in pairs {
        let inputs = [a, b].map(|s| Operand::new(DType::F32, Shape::new(s), Layout::Plain));
        cases.extend(Case::new(rng, MatMul, inputs.to_vec(), F32, Numerics::Float));
    }
    cases
}

pub(super) fn linear(rng: &mut Rng, rows: &[usize], k: usize, n: usize, x: DType) -> Option<Case> {
    let shape = |last: usize| Shape::from([rows, &[last]].concat());
    let activation = rng.pick(&[Activation::None, Activation::Relu, Activation::Clip { lo: -0.5, hi: 2.0 }]);
    let function = convolutions::function(rng);
    let fused = Fused { residual: rng.below(2) == 1, function, activation };
    let int = x.is_int8();
    let mut inputs = vec![
        Operand::new(x, shape(k), Layout::Plain),
        Operand::constant(if int { DType::I8 } else { DType::F32 }, [n, k].into()),
    ];
    let bias = rng.below(3) > 0;
    if bias {
        inputs.push(Operand::constant(DType::F32, [n].into()));
    }
    let residual = if int { rng.pick(&[DType::U8, DType::I8]) } else { DType::F32 };
    if fused.residual {
        inputs.push(Operand::new(residual, shape(n), Layout::Plain));
    }
    if !int {
        return Case::new(rng, Linear { fused }, inputs, F32, Numerics::Float);
    }
    let out = rng.pick(&[DType::U8, DType::I8, DType::F32]);
    let mut case = Case::new(rng, Linear { fused }, inputs, (out, Layout::Plain), Numerics::Integers)?;
    let bias = if bias { case.constants[1].to_f32().into_owned() } else { vec![0.0; n] };
    case.numerics = convolutions::multiply(rng, [x, out], k, &bias, fused, residual);
    Some(case)
}
