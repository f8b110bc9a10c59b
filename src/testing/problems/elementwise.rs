//! Functions of one tensor and of two, and conversions.

use super::{Case, F32, Rng, calibrated};
use crate::base::quant::Activation;
use crate::base::{DType, Shape};
use crate::device::{Layout, Numerics, Operand, PixelTables, Problem, Work};
use crate::ir::ops::{Binary, BinaryFn, Cast, Fused, Unary, UnaryFn, Where};

const NHWC: Layout = Layout::ChannelsLast;
const INT8: [DType; 2] = [DType::U8, DType::I8];

pub fn cases(rng: &mut Rng) -> Vec<Case> {
    [
        unary(rng),
        tables(rng),
        pairs(rng),
        mixed(rng),
        combinations(rng),
        conversions(rng, &[DType::F32, DType::U8, DType::I8]),
    ]
    .concat()
}

fn unary(rng: &mut Rng) -> Vec<Case> {
    use UnaryFn::*;
    let functions = [
        Abs,
        Clip { min: -0.5, max: 1.0 },
        Elu { alpha: 0.7 },
        Erf,
        Exp,
        Gelu,
        HardSigmoid { alpha: 0.2, beta: 0.5 },
        HardSwish,
        LeakyRelu { alpha: 0.1 },
        Neg,
        Relu,
        Round,
        Sigmoid,
        Silu,
        Softplus,
        Tanh,
    ];
    let mut cases = Vec::new();
    for f in functions {
        for n in [1, 15, 33] {
            let x = Operand::new(DType::F32, [1, n].into(), Layout::Plain);
            cases.extend(Case::new(rng, Unary { f }, vec![x], F32, Numerics::Float));
        }
    }
    // more than one task
    let x = Operand::new(DType::F32, [1, 40_000].into(), Layout::Plain);
    cases.extend(Case::new(rng, Unary { f: Relu }, vec![x], F32, Numerics::Float));
    cases
}

fn tables(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for (x, y) in INT8.into_iter().flat_map(|x| INT8.map(|y| (x, y))) {
        for f in [UnaryFn::Silu, UnaryFn::HardSwish, UnaryFn::Gelu] {
            let (qx, qy) = (rng.quant(x), rng.quant(y));
            let o = Operand::new(x, [1, 3, 5, 40].into(), NHWC);
            cases.extend(Case::new(rng, Unary { f }, vec![o], (y, NHWC), Numerics::table(&f, qx, qy)));
        }
    }
    cases
}

/// Binary functions of f32 in every form of broadcasting, in both layouts.
fn pairs(rng: &mut Rng) -> Vec<Case> {
    let image = Shape::from([1, 5, 3, 4]);
    let others: [&[usize]; 9] =
        [&[1, 5, 3, 4], &[5, 1, 1], &[1, 5, 1, 1], &[], &[1], &[4], &[3, 4], &[1, 1, 3, 4], &[1, 5, 3, 1]];
    let functions = [BinaryFn::Add, BinaryFn::Sub, BinaryFn::Mul, BinaryFn::PRelu, BinaryFn::Max];
    let mut cases = Vec::new();
    for f in functions {
        for other in others {
            for layout in [Layout::Plain, NHWC] {
                for (constant, swap) in [(true, false), (true, true), (false, false), (false, true)] {
                    if swap && f == BinaryFn::PRelu {
                        continue; // its slope broadcasts to the input, never the other way
                    }
                    let x = Operand::new(DType::F32, image.clone(), layout);
                    let b = match constant {
                        true => Operand::constant(DType::F32, Shape::new(other)),
                        false => Operand::new(DType::F32, Shape::new(other), layout),
                    };
                    let activation = rng.pick(&[Activation::None, Activation::Relu]);
                    let op = Binary { f, fused: Fused { activation, ..Fused::default() } };
                    let inputs = if swap { vec![b, x] } else { vec![x, b] };
                    cases.extend(Case::new(rng, op, inputs, (DType::F32, layout), Numerics::Float));
                }
            }
        }
    }
    // one of each stored in the other layout than the output
    for (a, b) in [(NHWC, Layout::Plain), (Layout::Plain, NHWC)] {
        let inputs = [a, b].map(|l| Operand::new(DType::F32, image.clone(), l)).to_vec();
        cases.extend(Case::new(rng, Binary::new(BinaryFn::Add), inputs, (DType::F32, NHWC), Numerics::Float));
    }
    for n in [1, 40_000] {
        let inputs = vec![Operand::new(DType::F32, [1, n].into(), Layout::Plain); 2];
        cases.extend(Case::new(rng, Binary::new(BinaryFn::Div), inputs, F32, Numerics::Float));
    }
    cases
}

/// Types other than f32, and from one type to another: casts, comparisons, choices, arithmetic of integers.
fn mixed(rng: &mut Rng) -> Vec<Case> {
    use BinaryFn::*;
    const WIDE: [DType; 7] =
        [DType::F32, DType::F16, DType::BF16, DType::F64, DType::I32, DType::I64, DType::Bool];
    let mut cases = Vec::new();
    for (from, to) in WIDE.into_iter().flat_map(|a| WIDE.map(|b| (a, b))) {
        for shape in [vec![1, 5, 3, 4], vec![1, 20_000]] {
            let x = vec![Operand::new(from, shape.into(), NHWC)];
            cases.extend(Case::new(rng, Cast { to }, x, (to, NHWC), Numerics::Float));
        }
    }
    let image = Shape::from([1, 5, 3, 4]);
    for (other, layout) in [
        (vec![1, 5, 3, 4], NHWC),
        (vec![5, 1, 1], NHWC),
        (vec![], Layout::Plain),
        (vec![3, 1], Layout::Plain),
    ] {
        for constant in [true, false] {
            let beside = |dtype| match constant {
                true => Operand::constant(dtype, Shape::new(&other)),
                false => Operand::new(dtype, Shape::new(&other), layout),
            };
            let x = |dtype| Operand::new(dtype, image.clone(), layout);
            for f in [Equal, Less, LessOrEqual, Greater, GreaterOrEqual, And, Or] {
                let of =
                    if matches!(f, And | Or) { DType::Bool } else { rng.pick(&[DType::F32, DType::I64]) };
                let inputs = vec![x(of), beside(of)];
                cases.extend(Case::new(rng, Binary::new(f), inputs, (DType::Bool, layout), Numerics::Float));
            }
            for (f, of) in
                [Add, Sub, Mul, Div, Mod, Max].into_iter().flat_map(|f| [(f, DType::I64), (f, DType::I32)])
            {
                let inputs = vec![x(of), beside(of)];
                cases.extend(Case::new(rng, Binary::new(f), inputs, (of, layout), Numerics::Float));
            }
            for of in [DType::F32, DType::I64] {
                for inputs in
                    [vec![x(DType::Bool), beside(of), x(of)], vec![beside(DType::Bool), x(of), beside(of)]]
                {
                    cases.extend(Case::new(rng, Where, inputs, (of, layout), Numerics::Float));
                }
            }
        }
        for (f, of) in [(UnaryFn::Not, DType::Bool), (UnaryFn::Abs, DType::I64), (UnaryFn::Neg, DType::I32)] {
            let x = vec![Operand::new(of, image.clone(), layout)];
            cases.extend(Case::new(rng, Unary { f }, x, (of, layout), Numerics::Float));
        }
    }
    cases
}

/// Add and Mul of 8-bit tensors.
fn combinations(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    let types = INT8.into_iter().flat_map(|a| INT8.map(|b| (a, b)));
    for (a, b) in types {
        for out in [DType::U8, DType::I8, DType::F32] {
            for f in [BinaryFn::Add, BinaryFn::Mul] {
                for n in [1, 33, 20_000] {
                    let activation = rng.pick(&[Activation::None, Activation::Relu]);
                    let op = Binary { f, fused: Fused { activation, ..Fused::default() } };
                    let inputs = [a, b].map(|t| Operand::new(t, [1, n].into(), Layout::Plain)).to_vec();
                    let (qa, qb, qy) = (rng.quant(a), rng.quant(b), rng.output(out));
                    let numerics = match f {
                        BinaryFn::Add => Numerics::add(qa, qb, qy, activation),
                        _ => Numerics::mul(qa, qb, qy, activation),
                    };
                    cases.extend(Case::new(rng, op, inputs, (out, Layout::Plain), numerics));
                }
            }
        }
    }
    cases
}

/// Pictures to what models read, of these types: both orders of axes and of channels, of whatever size.
pub fn pixels(rng: &mut Rng, types: &[DType]) -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes = [[1, 1], [5, 7], [16, 16], [150, 131]];
    for (to, [h, w]) in types.iter().flat_map(|&t| sizes.map(|s| (t, s))) {
        for (axis, layout) in [(1, NHWC), (1, Layout::Plain), (3, Layout::Plain)] {
            for from in [vec![0], vec![0, 1, 2], vec![2, 1, 0]] {
                let c = from.len();
                let shape = Shape::from(if axis == 1 { [1, c, h, w] } else { [1, h, w, c] });
                let lies = if axis == 1 { NHWC } else { Layout::Plain };
                let entries = Operand::new(to, Shape::from([1, 256]), Layout::Plain);
                let tables = (0..c).map(|_| rng.tensor(&entries).bytes().to_vec()).collect();
                let problem = Problem {
                    work: Work::Pixels,
                    inputs: vec![Operand::new(DType::U8, shape.clone(), lies)],
                    outputs: vec![Operand::new(to, shape, layout)],
                };
                let numerics = Numerics::Pixels(PixelTables { axis, from, tables });
                cases.push(Case::of(rng, problem, numerics));
            }
        }
    }
    cases
}

/// Every conversion between these types, in all four pairs of layouts.
pub fn conversions(rng: &mut Rng, types: &[DType]) -> Vec<Case> {
    let layouts =
        [(Layout::Plain, Layout::Plain), (Layout::Plain, NHWC), (NHWC, Layout::Plain), (NHWC, NHWC)];
    let shapes: [&[usize]; 5] = [&[1], &[1, 3, 5, 7], &[1, 33, 2, 1], &[1, 64, 17, 16], &[1, 1, 4, 4]];
    let mut cases = Vec::new();
    for (from, to) in types.iter().flat_map(|&a| types.iter().map(move |&b| (a, b))) {
        for (a, b) in layouts {
            for shape in shapes {
                let numerics = match (from, to) {
                    _ if from.is_float() && to.is_float() => Numerics::Float,
                    (_, DType::U8) if from.is_float() && rng.below(2) == 0 => {
                        Numerics::Quantize(calibrated(-0.7, 1.9))
                    }
                    _ if from.is_float() => Numerics::Quantize(rng.quant(to)),
                    _ if from == to && rng.below(2) == 0 => Numerics::Integers,
                    _ => Numerics::rescale(&[rng.quant(from)], rng.output(to)),
                };
                let inputs = vec![Operand::new(from, Shape::new(shape), a)];
                let outputs = vec![Operand::new(to, Shape::new(shape), b)];
                let problem = Problem { work: Work::Reformat, inputs, outputs };
                cases.push(Case::of(rng, problem, numerics));
            }
        }
    }
    cases
}
