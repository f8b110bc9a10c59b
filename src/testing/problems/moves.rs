//! Operators that move numbers, of f32, u8, s8 and i64, in both layouts; Concat of different scales.

use super::{Case, F32, Rng};
use crate::base::{DType, Shape, Tensor};
use crate::device::{Layout, Numerics, Operand};
use crate::ir::ops::{Concat, Gather, Pad, PadMode, Reshape, Role, Slice, Transpose};
use crate::ir::{Attr, Attrs, Op};

const NHWC: Layout = Layout::ChannelsLast;

pub fn cases(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    let layouts =
        [(Layout::Plain, Layout::Plain), (NHWC, NHWC), (NHWC, Layout::Plain), (Layout::Plain, NHWC)];
    for dtype in [DType::F32, DType::U8, DType::I8] {
        for (from, to) in layouts {
            // a Pad with a constant other than 0 is float
            let fits = |op: &Op| dtype == DType::F32 || op.role() != Role::Float;
            for (op, shapes) in operators().into_iter().filter(|(op, _)| fits(op)) {
                let inputs = shapes.iter().map(|s| Operand::new(dtype, s.clone(), from)).collect();
                let numerics = if dtype == DType::F32 { Numerics::Float } else { Numerics::Integers };
                cases.extend(Case::new(rng, op, inputs, (dtype, to), numerics));
            }
        }
    }
    cases.extend(rescaled(rng));
    cases.extend(gathers(rng));
    cases.extend(joined_constants(rng));
    cases
}

/// Concat with constants, as the class token of a vision transformer is one.
fn joined_constants(rng: &mut Rng) -> Vec<Case> {
    let token = |n: usize| Operand::constant(DType::F32, [1, n, 192].into());
    let patches = |n: usize| Operand::new(DType::F32, [1, n, 192].into(), Layout::Plain);
    let mut join = |inputs: Vec<Operand>| Case::new(rng, Concat { axis: 1 }, inputs, F32, Numerics::Float);
    let all = [vec![token(1), patches(7)], vec![patches(3), token(2), patches(1), token(1)]];
    all.into_iter().filter_map(&mut join).collect()
}

fn operators() -> Vec<(Op, Vec<Shape>)> {
    let image = || vec![Shape::from([1, 3, 4, 5])];
    let ints = |v: &[i64]| Attr::Ints(v.to_vec());
    let parsed = |kind: &str, attrs: Attrs| Op::parse(kind, attrs).expect("a valid operator");
    let slice = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| Slice {
        starts: starts.to_vec(),
        ends: ends.to_vec(),
        axes: axes.to_vec(),
        steps: steps.to_vec(),
    };
    let pad = |mode, pads: &[i64]| Pad { mode, pads: pads.to_vec(), axes: vec![] };
    vec![
        (Reshape::Flatten { axis: 1 }.into(), image()),
        (parsed("Squeeze", Attrs::new().with("axes", ints(&[0]))), image()),
        (Transpose { perm: vec![] }.into(), image()),
        (Transpose { perm: vec![0, 2, 3, 1] }.into(), image()),
        (Transpose { perm: vec![0, 2, 1] }.into(), vec![Shape::from([1, 7, 130])]),
        (Transpose { perm: vec![1, 0] }.into(), vec![Shape::from([150, 120])]),
        (Concat { axis: 1 }.into(), vec![[1, 3, 4, 5].into(), [1, 1, 4, 5].into(), [1, 6, 4, 5].into()]),
        (Concat { axis: -1 }.into(), vec![[1, 2, 3, 5].into(), [1, 2, 3, 1].into()]),
        (Concat { axis: 0 }.into(), vec![[3].into(); 5]),
        (slice(&[1], &[3], &[1], &[]).into(), image()),
        (slice(&[-1, 0], &[-100, 5], &[2, 3], &[-1, 2]).into(), image()),
        (pad(PadMode::Constant(0.0), &[0, 0, 1, 2, 0, 0, 0, 3]).into(), image()),
        (pad(PadMode::Constant(0.0), &[0, 1, 0, -1, 0, 0, -1, 0]).into(), image()),
        (pad(PadMode::Constant(1.5), &[0, 0, 1, 2, 0, 0, 0, 3]).into(), image()),
        (pad(PadMode::Constant(-0.5), &[0, 0, 0, 9, 0, 1, 0, 9]).into(), vec![[1, 2, 3, 40].into()]),
        (pad(PadMode::Reflect, &[0, 0, 1, 2, 0, 0, 3, 1]).into(), image()),
        (pad(PadMode::Edge, &[0, 0, 1, 2, 0, 0, 3, 1]).into(), image()),
        (parsed("Split", Attrs::new().with("axis", Attr::Int(1)).with("split", ints(&[1, 2]))), image()),
        (parsed("DepthToSpace", Attrs::new().with("blocksize", Attr::Int(2))), vec![[1, 8, 3, 2].into()]),
        (parsed("SpaceToDepth", Attrs::new().with("blocksize", Attr::Int(2))), vec![[1, 3, 4, 6].into()]),
        (parsed("Identity", Attrs::new()), image()),
        (
            parsed("Resize", Attrs::new().with("scales", Attr::Floats(vec![1.0, 1.0, 2.0, 3.0]))),
            vec![[1, 3, 4, 5].into()],
        ),
        (parsed("ReduceMax", Attrs::new().with("axes", ints(&[1]))), image()),
        (parsed("ReduceMax", Attrs::new().with("axes", ints(&[2, 3]))), image()),
    ]
}

/// Concat of different scales and types; Pad of a tensor with a zero point.
fn rescaled(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for out in [DType::U8, DType::I8, DType::F32] {
        for types in [[DType::U8; 3], [DType::I8; 3], [DType::U8, DType::I8, DType::U8]] {
            let quants = types.map(|t| rng.quant(t));
            let numerics = Numerics::rescale(&quants, rng.output(out));
            let channels = [3, 1, 40];
            let inputs = [0, 1, 2].map(|i| Operand::new(types[i], [1, channels[i], 3, 4].into(), NHWC));
            // the operator itself joins one type: what it infers is the shape
            let as_u8 = inputs.clone().map(|o| Operand { dtype: DType::U8, ..o }).to_vec();
            let Some(shape) = Case::new(rng, Concat { axis: 1 }, as_u8, (out, NHWC), numerics.clone()) else {
                continue;
            };
            let problem = crate::device::Problem { inputs: inputs.to_vec(), ..shape.problem };
            cases.push(Case::of(rng, problem, numerics));
        }
    }
    for dtype in [DType::U8, DType::I8] {
        let q = rng.quant(dtype);
        let x = Operand::new(dtype, [1, 3, 4, 5].into(), NHWC);
        let op = Pad { mode: PadMode::Constant(0.0), pads: vec![0, 0, 1, 2, 0, 0, 0, 3], axes: vec![] };
        let q = crate::base::quant::QuantParams { zero_point: if dtype == DType::U8 { 77 } else { 0 }, ..q };
        let numerics = Numerics::rescale(&[q], Some(q));
        cases.extend(Case::new(rng, op, vec![x], (dtype, NHWC), numerics));
    }
    cases
}

/// Gather with constant indices.
fn gathers(rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::U8, DType::I8] {
        for (axis, layout) in [(1, Layout::Plain), (1, NHWC), (3, NHWC)] {
            let indices = Tensor::new([4], &[2i64, 0, -1, 2]);
            let inputs = vec![
                Operand::new(dtype, [1, 3, 4, 5].into(), layout),
                Operand::constant(DType::I64, indices.shape().clone()),
            ];
            let numerics = if dtype == DType::F32 { Numerics::Float } else { Numerics::Integers };
            let case = Case::new(rng, Gather { axis }, inputs, (dtype, layout), numerics);
            cases.extend(case.map(|c| Case { constants: vec![indices.clone()], ..c }));
        }
    }
    cases
}
