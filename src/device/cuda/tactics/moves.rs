//! Operators that only move numbers, of any type, and joins of different scales: where each unit of the output comes from
//! is a table made on the host. Units are elements, or as many neighbours as always stay neighbours.

use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing, values};
use crate::base::{DType, Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Text, literal};
use crate::device::moved::{MAX_INPUTS, NOWHERE, SHIFT, input_and_place, moved, origins, padding};
use crate::device::{Numerics, Operand, Problem};
use crate::ir::Op;
use crate::ir::ops::Role;

/// The family.
pub struct Moves;

/// Bytes of the units that neighbours may be copied in, by the name of the variant.
const UNITS: [(&str, usize); 3] = [("units-16", 16), ("units-8", 8), ("units-4", 4)];

impl Family for Moves {
    fn name(&self) -> &'static str {
        "move"
    }

    fn doc(&self) -> &'static str {
        "operators that only move numbers, of any type, and joins of different scales: an index for each unit"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        if !moves(spec) {
            return vec![];
        }
        // where constants decide what moves, that is not known before packing
        if moved(p).len() < p.inputs.len() {
            return vec!["element".into()];
        }
        let Some(origins) = origins(p, &[]) else { return vec![] };
        let mut larger = UNITS.iter().filter(|(_, bytes)| *bytes > p.outputs[0].dtype.size());
        let units = larger.find(|(_, bytes)| tables(spec, *bytes, &origins).is_some());
        units.map(|u| u.0).into_iter().chain(["element"]).map(String::from).collect()
    }

    /// What is moved are parameters as they are; the output is one of its own, as there may be several.
    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let inputs = moved(p).into_iter().cloned().collect();
        let inputs = Problem { outputs: vec![], inputs, ..p.clone() };
        let count = inputs.inputs.len();
        let text = Text::default().parameters(&inputs).define("SHIFT", SHIFT);
        let text = text.define("NOWHERE", format!("{NOWHERE}u"));
        let text = match spec.numerics {
            Numerics::Rescale { inputs, output } => {
                let zero = output.quant.map_or(0, |q| q.zero_point);
                text.store("store", output, p.outputs[0].dtype)
                    .define("UNIT_T", "store_T")
                    .define("PADDING", format!("(store_T){zero}"))
                    .define(
                        "VALUE(k, p)",
                        choice(count, |k| values::rescaled(&format!("x{k}[p]"), inputs[k])),
                    )
            }
            _ => {
                let unit = unsigned(unit(spec));
                let fill = padding(p).map_or(format!("{unit}{{}}"), |v| match p.outputs[0].dtype {
                    DType::F16 => format!("half({}).bits", literal(v)),
                    _ => format!("__float_as_uint({})", literal(v)),
                });
                text.define("UNIT_T", unit)
                    .define("PADDING", fill)
                    .define("VALUE(k, p)", choice(count, |k| format!("load((const UNIT_T*)x{k} + (p))")))
            }
        };
        Ok(text.raw(include_str!("../kernels/move.cu")).source())
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let origins = origins(spec.problem, tensors);
        let tables =
            origins.and_then(|o| tables(spec, unit(spec), &o)).ok_or_else(|| missing(spec.problem))?;
        // behind the tables, the constants that are joined
        let joined = moved(spec.problem).len() == spec.problem.inputs.len();
        let constants = tensors.iter().filter(|_| joined).map(|t| t.bytes().to_vec());
        Ok(tables.iter().map(|t| bytemuck::cast_slice(t).to_vec()).chain(constants).collect())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let inputs = at.inputs.iter().fold(Args::default(), |args, place| args.operand(*place));
        let constants = at.constants.iter().skip(spec.problem.outputs.len());
        let inputs = constants.fold(inputs, |args, address| args.with(*address));
        let each = spec.problem.outputs.iter().enumerate().map(|(i, o)| {
            let elements = (unit(spec) / o.dtype.size()).max(1);
            let count = o.shape.numel() / elements;
            let (row, pitch) =
                o.pitch.map_or((count.max(1), 0), |pitch| (o.row() / elements, pitch / elements));
            let args = inputs.clone().operand(at.outputs[i]).with(at.constants[i]);
            let args = args.with(count as u32).with(row as u32).with(pitch as u32);
            Launch::images("move", count, BLOCK, at, args)
        });
        Ok(each.collect())
    }
}

/// `(k) == 2 ? c : (k) == 1 ? b : a`
fn choice(count: usize, one: impl Fn(usize) -> String) -> String {
    let others = (1..count).rev().map(|k| format!("(k) == {k} ? {} : ", one(k)));
    others.collect::<String>() + &one(0)
}

/// A C type of so many bytes.
fn unsigned(bytes: usize) -> &'static str {
    match bytes {
        1 => "u8",
        2 => "u16",
        4 => "u32",
        8 => "u64",
        _ => "uint4",
    }
}

/// Bytes of the units of this variant.
fn unit(spec: &Spec) -> usize {
    let known = UNITS.iter().find(|u| u.0 == spec.variant);
    known.map_or(spec.problem.outputs[0].dtype.size(), |u| u.1)
}

/// Does the problem only move numbers?
fn moves(spec: &Spec) -> bool {
    let p = spec.problem;
    let moved = moved(p);
    let small = moved.iter().all(|o| o.span() / o.dtype.size() < 1 << SHIFT) && moved.len() <= MAX_INPUTS;
    let Some(op) = p.op().filter(|_| !moved.is_empty() && small && countable(p)) else { return false };
    let alike = moved.iter().all(|o| o.dtype == p.outputs[0].dtype);
    let alike = alike && p.outputs.iter().all(|o| o.dtype == p.outputs[0].dtype);
    let scaled = match spec.numerics {
        Numerics::Float | Numerics::Integers => alike,
        Numerics::Rescale { inputs, .. } => {
            inputs.len() == moved.len() && p.outputs.len() == 1 && moved.iter().all(|o| o.dtype.is_int8())
        }
        _ => false,
    };
    scaled
        && match op.role() {
            Role::Move => match op {
                Op::Pool(_) => false,
                Op::Reduce(r) => r.noop && r.axes.is_empty(),
                // computed indices are no places
                Op::Gather(_) => !p.inputs[0].constant && p.inputs[1].constant,
                _ => true,
            },
            Role::Concat => true,
            _ => padding(p).is_some() && matches!(moved[0].dtype, DType::F32 | DType::F16),
        }
}

/// For each output, where each of its units of so many bytes comes from, as an origin that counts units. `None` where
/// neighbours within a unit do not stay neighbours, or are not as they were.
fn tables(spec: &Spec, unit: usize, origins: &[Vec<u32>]) -> Option<Vec<Vec<u32>>> {
    let p = spec.problem;
    let elements = (unit / p.outputs[0].dtype.size()).max(1);
    let plain = padding(p).is_none() && !matches!(spec.numerics, Numerics::Rescale { .. });
    if elements > 1 && !plain {
        return None;
    }
    let inputs = moved(p);
    let table = |(o, origins): (&Operand, &Vec<u32>)| {
        let whole = |n: usize| n.is_multiple_of(elements);
        let rows = o.pitch.is_none_or(|pitch| whole(pitch) && whole(o.row()));
        let units = origins.chunks(elements).map(|u| origin_of(u, elements, &inputs));
        if rows && whole(origins.len()) { units.collect::<Option<Vec<u32>>>() } else { None }
    };
    p.outputs.iter().zip(origins).map(table).collect()
}

/// The origin of a unit whose elements have these.
fn origin_of(unit: &[u32], elements: usize, inputs: &[&Operand]) -> Option<u32> {
    let place = |origin: u32| input_and_place(origin).map(|(k, at)| (k, inputs[k].spread(at)));
    let Some((input, first)) = place(unit[0]) else {
        return unit.iter().all(|&o| o == NOWHERE).then_some(NOWHERE);
    };
    let follows = |(i, &o): (usize, &u32)| place(o) == Some((input, first + i));
    let whole = first.is_multiple_of(elements) && unit.iter().enumerate().all(follows);
    whole.then_some(((input << SHIFT) | (first / elements)) as u32)
}
