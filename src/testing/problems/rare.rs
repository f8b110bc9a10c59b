//! What models rarely have: products and convolutions of computed matrices, chosen entries, normalization by known
//! statistics, quantization that nothing absorbed, floats other than f32.

use super::{Case, F32, NHWC_F32, Rng};
use crate::base::{DType, Shape, Tensor};
use crate::device::{Layout, Numerics, Operand};
use crate::ir::Op;
use crate::ir::ops::{
    BatchNorm, Conv, Fused, Gather, Gemm, LayerNorm, Lrn, Pads, Quantize, Reduce, ReduceFn, Softmax, UnaryFn,
    Window,
};

pub fn cases(rng: &mut Rng) -> Vec<Case> {
    [gemms(rng), convolutions(rng), chosen(rng), statistics(rng), quantizations(rng), other_types(rng)]
        .concat()
}

fn plain(dtype: DType, shape: &[usize]) -> Operand {
    Operand::new(dtype, Shape::new(shape), Layout::Plain)
}

fn gemms(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for (trans_a, trans_b) in [(false, false), (true, false), (false, true), (true, true)] {
        for addend in [None, Some(&[][..]), Some(&[9][..]), Some(&[70, 1][..])] {
            let a = if trans_a { [5, 70] } else { [70, 5] };
            let b = if trans_b { [9, 5] } else { [5, 9] };
            let mut inputs = vec![plain(DType::F32, &a), plain(DType::F32, &b)];
            inputs.extend(addend.map(|c| plain(DType::F32, c)));
            let op = Gemm { alpha: 0.5, beta: 2.0, trans_a, trans_b };
            cases.extend(Case::new(rng, op, inputs, F32, Numerics::Float));
        }
    }
    cases
}

/// Convolutions of computed weights.
fn convolutions(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for (groups, bias, residual) in [(1, false, false), (2, true, false), (2, true, true)] {
        let window = Window { pads: Pads::Explicit([1; 4]), ..Window::new([0, 0], [2, 1]) };
        let fused = Fused { residual, function: residual.then_some(UnaryFn::Silu), ..Fused::default() };
        let x = Operand::new(DType::F32, [1, 6, 7, 5].into(), Layout::ChannelsLast);
        let mut inputs = vec![x, plain(DType::F32, &[8, 6 / groups, 3, 3])];
        inputs.extend(bias.then(|| plain(DType::F32, &[8])));
        let sum = Operand::new(DType::F32, [1, 8, 4, 5].into(), Layout::ChannelsLast);
        inputs.extend(residual.then_some(sum));
        cases.extend(Case::new(rng, Conv { window, groups, fused }, inputs, NHWC_F32, Numerics::Float));
    }
    cases
}

/// Gather with computed indices.
fn chosen(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for (x, indices) in [(DType::F32, DType::I64), (DType::I64, DType::I32)] {
        for (axis, shape, layout) in [
            (1, &[1, 5, 7][..], Layout::Plain),
            (2, &[1, 3, 9][..], Layout::Plain),
            (1, &[1, 6, 3, 4][..], Layout::ChannelsLast),
        ] {
            for of in [&[4][..], &[2, 3], &[]] {
                let data = Operand::new(x, Shape::new(shape), layout);
                let inputs = vec![data, plain(indices, of)];
                cases.extend(Case::new(rng, Gather { axis }, inputs, (x, layout), Numerics::Float));
            }
        }
    }
    cases
}

/// BatchNormalization that no convolution took in.
fn statistics(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, layout) in
        [(&[1, 6, 3, 4][..], Layout::Plain), (&[1, 6, 3, 4], Layout::ChannelsLast), (&[1, 5], Layout::Plain)]
    {
        let parameter = Operand::constant(DType::F32, [shape[1]].into());
        let x = Operand::new(DType::F32, Shape::new(shape), layout);
        let inputs = [vec![x], vec![parameter; 4]].concat();
        let op = BatchNorm { epsilon: 1e-3 };
        let case = Case::new(rng, op, inputs, (DType::F32, layout), Numerics::Float);
        cases.extend(case.map(|mut c| {
            let variance: Vec<f32> = (0..shape[1]).map(|i| 0.5 + i as f32).collect();
            c.constants[3] = Tensor::new([shape[1]], &variance);
            c
        }));
    }
    cases
}

/// QuantizeLinear and DequantizeLinear on their own, with a scale for all and one for each channel.
fn quantizations(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::U8, DType::I8] {
        for n in [1, 5] {
            let scales: Vec<f32> = (0..n).map(|i| 0.02 + 0.01 * i as f32).collect();
            let given = |case: Case| Case {
                constants: vec![Tensor::new([n], &scales), case.constants[1].clone()],
                ..case
            };
            let parameters =
                [Operand::constant(DType::F32, [n].into()), Operand::constant(dtype, [n].into())].to_vec();
            let shape = [1, 5, 3, 4];
            let to = Quantize::To { axis: 1, dtype };
            let inputs = [vec![plain(DType::F32, &shape)], parameters.clone()].concat();
            cases.extend(Case::new(rng, to, inputs, (dtype, Layout::Plain), Numerics::Float).map(given));
            let inputs = [vec![plain(dtype, &shape)], parameters].concat();
            cases.extend(Case::new(rng, Quantize::From { axis: 1 }, inputs, F32, Numerics::Float).map(given));
        }
    }
    cases
}

/// Operators between f16 numbers, which are computed in f64 and rounded once, and between integers.
fn other_types(rng: &mut Rng) -> Vec<Case> {
    let of = DType::F16;
    let operators: [(Op, Vec<Operand>); 5] = [
        (Softmax { axis: 1, log: false, flatten: false }.into(), vec![plain(of, &[1, 9, 4])]),
        (
            LayerNorm { axis: -1, epsilon: 1e-5 }.into(),
            vec![plain(of, &[1, 3, 8]), Operand::constant(of, [8].into())],
        ),
        (Lrn { size: 3, alpha: 0.1, beta: 0.5, bias: 1.0 }.into(), vec![plain(of, &[1, 6, 5])]),
        (
            Reduce { f: ReduceFn::Sum, axes: vec![1], keepdims: true, noop: false }.into(),
            vec![plain(DType::BF16, &[1, 6, 5])],
        ),
        (
            Reduce { f: ReduceFn::Prod, axes: vec![1], keepdims: false, noop: false }.into(),
            vec![plain(DType::I64, &[1, 6, 5])],
        ),
    ];
    let case = |(op, inputs): (Op, Vec<Operand>)| {
        let to = inputs[0].dtype;
        Case::new(rng, op, inputs, (to, Layout::Plain), Numerics::Float)
    };
    operators.into_iter().filter_map(case).collect()
}
