//! Functions of the elements that stand at the same place, with broadcasting, of any types: Unary, Binary, Where, Cast,
//! BatchNormalization, (de)quantization, 8-bit sums, products and tables, and conversions that change no layout.

use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing, values};
use crate::base::{Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Axis, Text, along, joined};
use crate::device::{Numerics, Operand, Problem};
use crate::ir::Op;
use crate::ir::ops::Quantize;

/// The family.
pub struct Elementwise;

/// Bytes that a thread reads or writes at once.
const WIDE: usize = 16;

impl Family for Elementwise {
    fn name(&self) -> &'static str {
        "elementwise"
    }

    fn doc(&self) -> &'static str {
        "functions of the elements at one place, of any types, and conversions that change no layout"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        let known = p.outputs.len() == 1 && countable(p) && values::value(Text::default(), spec).is_some();
        match known {
            false => vec![],
            true if lanes(p).is_some() => vec!["vector".into()],
            true => vec!["element".into()],
        }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let y = &p.outputs[0];
        let mut text = Text::default().parameters(p).define("COUNT", y.shape.numel());
        for (i, x) in p.inputs.iter().enumerate() {
            text = text.walk(&format!("x{i}_at"), &walk(p, x, i));
        }
        text = values::value(text.walk("y0_at", &walk(p, y, 0)), spec).ok_or_else(|| missing(p))?;
        let table = if let Numerics::Table(_) = spec.numerics { ", table" } else { "" };
        let call = |of: &dyn Fn(usize) -> String| {
            let arguments: Vec<String> = (0..p.inputs.len()).map(of).collect();
            format!("value({}{table})", arguments.join(", "))
        };
        if !table.is_empty() {
            text = text.define("TABLE", 1);
        }
        text = text.define("ELEMENT(i)", call(&|i| format!("x{i}[x{i}_at(i)]")));
        if let Some(lanes) = lanes(p) {
            let row = |i: usize| is_row(&joined(&walk(p, &p.inputs[i], i)));
            let load = |i: usize| match row(i) {
                true => format!("const auto v{i} = load<LANES>(x{i} + x{i}_at(i)); "),
                false => format!("const X{i}_T v{i} = x{i}[x{i}_at(i)]; "),
            };
            let lane = |i: usize| if row(i) { format!("v{i}.v[j]") } else { format!("v{i}") };
            text = (text.define("LANES", lanes))
                .define("LOAD(i)", (0..p.inputs.len()).map(load).collect::<String>())
                .define("LANE(j)", call(&lane));
        }
        let text = text.raw(include_str!("../kernels/lanes.cuh"));
        Ok(text.raw(include_str!("../kernels/elementwise.cu")).source())
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let table = if let Numerics::Table(t) = spec.numerics { Some(t.clone()) } else { None };
        Ok(tensors.iter().map(|t| t.bytes().to_vec()).chain(table).collect())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let count = spec.problem.outputs[0].shape.numel();
        let args = Args::default().operands(at).constants(at);
        Ok(vec![match lanes(spec.problem).filter(|_| at.aligned(WIDE as u64)) {
            Some(lanes) => Launch::images("vectors", count.div_ceil(lanes), BLOCK, at, args),
            None => Launch::images("elements", count, BLOCK, at, args),
        }])
    }
}

/// The walk over an operand that meets, for each element of the output in the order of memory, the one it is made of.
fn walk(p: &Problem, o: &Operand, input: usize) -> Vec<Axis> {
    let y = &p.outputs[0];
    let (own, rank) = (o.strides(), y.shape.rank());
    // parameters of an axis have one number for each of its indices
    let axis = match p.op() {
        Some(Op::BatchNorm(_)) if input > 0 => Some(1),
        Some(Op::Quantize(Quantize::To { axis, .. } | Quantize::From { axis })) if input > 0 => {
            y.shape.axis(*axis)
        }
        _ => None,
    };
    let stride = |a: usize| match (axis, (a + o.shape.rank()).checked_sub(rank)) {
        (Some(axis), _) if o.shape.numel() > 1 && a == axis => own[0],
        (None, Some(i)) if o.shape[i] > 1 => own[i],
        _ => 0,
    };
    along(y, stride)
}

/// Do neighbours of the output meet neighbours, not one and the same element?
fn is_row(walk: &[Axis]) -> bool {
    walk.last().is_some_and(|a| a.stride == 1)
}

/// How many elements a thread takes at once: neighbours in every operand, or the same element of it. `None` where
/// there is no such number but 1.
fn lanes(p: &Problem) -> Option<usize> {
    let operands = || p.inputs.iter().enumerate().chain([(0, &p.outputs[0])]);
    let walks: Vec<Vec<Axis>> = operands().map(|(i, o)| joined(&walk(p, o, i))).collect();
    let rows = operands().zip(&walks).filter(|(_, w)| is_row(w));
    let size = rows.map(|((_, o), _)| o.dtype.size()).max()?;
    let fits = |walk: &[Axis], lanes: usize| match walk {
        // the last elements are taken one by one
        [] => true,
        [all] => all.stride <= 1,
        [outer @ .., row] => {
            let apart = outer.iter().all(|a| a.stride.is_multiple_of(lanes));
            row.count.is_multiple_of(lanes) && (row.stride == 0 || row.stride == 1 && apart)
        }
    };
    [16, 8, 4, 2].into_iter().find(|&n| n * size <= WIDE && walks.iter().all(|w| fits(w, n)))
}
