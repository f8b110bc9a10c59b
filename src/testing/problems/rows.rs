//! Softmax, normalizations, reductions and ArgMax, f32, along the last axes and others.

use super::{Case, F32, NHWC_F32, Rng};
use crate::base::{DType, Shape};
use crate::device::{Layout, Numerics, Operand};
use crate::ir::ops::{ArgMax, GroupNorm, LayerNorm, Lrn, Reduce, ReduceFn, Softmax};

pub fn cases(rng: &mut Rng) -> Vec<Case> {
    [softmax(rng), normalizations(rng), channels(rng), reductions(rng), extremes(rng)].concat()
}

fn float(shape: &[usize], layout: Layout) -> Operand {
    Operand::new(DType::F32, Shape::new(shape), layout)
}

fn softmax(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    let shapes: [&[usize]; 7] =
        [&[1, 1], &[1, 7], &[1, 1000], &[1, 3, 9, 17], &[1, 4, 65], &[1, 70, 197], &[1, 5, 1, 1]];
    for shape in shapes {
        for axis in 1..shape.len() as i64 {
            for (log, flatten) in [(false, false), (true, false), (false, true)] {
                let x = vec![float(shape, Layout::Plain)];
                cases.extend(Case::new(rng, Softmax { axis, log, flatten }, x, F32, Numerics::Float));
            }
        }
    }
    for axis in [1, 3] {
        let x = vec![float(&[1, 5, 3, 4], Layout::ChannelsLast)];
        let op = Softmax { axis, log: false, flatten: false };
        cases.extend(Case::new(rng, op, x, NHWC_F32, Numerics::Float));
    }
    cases
}

fn normalizations(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, axis) in
        [(vec![1, 9, 1], -1), (vec![1, 3, 17], -1), (vec![1, 197, 64], -1), (vec![1, 2, 3, 5], 2)]
    {
        let row = Shape::new(&shape[axis_from_front(axis, shape.len())..]);
        for bias in [true, false] {
            let mut inputs = vec![float(&shape, Layout::Plain), Operand::constant(DType::F32, row.clone())];
            if bias {
                inputs.push(Operand::constant(DType::F32, row.clone()));
            }
            cases.extend(Case::new(rng, LayerNorm { axis, epsilon: 1e-5 }, inputs, F32, Numerics::Float));
        }
    }
    cases
}

/// Groups of channels, and neighbouring channels.
fn channels(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    let shapes: [&[usize]; 6] =
        [&[1, 6, 3, 4], &[1, 6, 1], &[1, 12, 67], &[1, 6, 129, 3], &[1, 6, 2, 3, 5], &[1, 66, 7, 7]];
    for shape in shapes {
        for groups in [None, Some(1), Some(3), Some(6)] {
            // parameters of each channel, or of each group
            for n in [shape[1], groups.unwrap_or(shape[1])] {
                let parameters = [0; 2].map(|_| Operand::constant(DType::F32, [n].into()));
                let inputs = [vec![float(shape, Layout::Plain)], parameters.to_vec()].concat();
                cases.extend(Case::new(
                    rng,
                    GroupNorm { groups, epsilon: 1e-3 },
                    inputs,
                    F32,
                    Numerics::Float,
                ));
            }
        }
        for (size, beta, bias) in [(1, 0.75, 1.0), (4, 0.75, 2.0), (5, 0.6, 1.0), (100, 0.75, 0.5)] {
            let op = Lrn { size, alpha: 0.1, beta, bias };
            cases.extend(Case::new(rng, op, vec![float(shape, Layout::Plain)], F32, Numerics::Float));
        }
    }
    let parameters = [0; 2].map(|_| Operand::constant(DType::F32, [6].into()));
    let inputs = [vec![float(&[1, 6, 3, 4], Layout::ChannelsLast)], parameters.to_vec()].concat();
    cases.extend(Case::new(
        rng,
        GroupNorm { groups: Some(3), epsilon: 1e-5 },
        inputs,
        NHWC_F32,
        Numerics::Float,
    ));
    cases
}

/// ArgMax and ArgMin, with ties, which the drawn numbers have.
fn extremes(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    let shapes: [&[usize]; 4] = [&[1, 1], &[1, 1000], &[1, 3, 70], &[1, 21, 17, 9]];
    for shape in shapes {
        for axis in 1..shape.len() as i64 {
            for (min, last, keepdims) in
                [(false, false, true), (true, false, false), (false, true, false), (true, true, true)]
            {
                let op = ArgMax { min, axis, keepdims, last };
                let x = vec![float(shape, Layout::Plain)];
                cases.extend(Case::new(rng, op, x, (DType::I64, Layout::Plain), Numerics::Float));
            }
        }
    }
    cases
}

fn axis_from_front(axis: i64, rank: usize) -> usize {
    if axis < 0 { (rank as i64 + axis) as usize } else { axis as usize }
}

fn reductions(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    use ReduceFn::*;
    for f in [Mean, Sum, Max, Min, Prod, L1, L2, SumSquare, LogSumExp] {
        for axes in [vec![-1], vec![1], vec![2, 3], vec![1, 2, 3], vec![1, 3], vec![]] {
            for layout in [Layout::Plain, Layout::ChannelsLast] {
                for (shape, keepdims) in [([1, 5, 3, 4], true), ([1, 70, 7, 7], false)] {
                    let op = Reduce { f, axes: axes.clone(), keepdims, noop: false };
                    let x = vec![float(&shape, layout)];
                    cases.extend(Case::new(rng, op, x, (DType::F32, layout), Numerics::Float));
                }
            }
        }
    }
    let op = Reduce { f: Mean, axes: vec![1], keepdims: false, noop: false };
    cases.extend(Case::new(rng, op, vec![float(&[1, 197, 64], Layout::Plain)], F32, Numerics::Float));
    cases
}
