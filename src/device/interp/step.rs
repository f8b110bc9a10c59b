//! One step, one image.

use super::super::numerics::{Output, PixelTables};
use super::super::{Layout, Numerics, Operand, Problem, Work};
use crate::base::codes::machine;
use crate::base::quant::{QuantParams, limits};
use crate::base::{Diagnostic, Result, Tensor};
use crate::ir::ops::{BinaryFn, Fused};
use crate::ir::{Array, Data, Op};
use bytes::Bytes;

/// Computes a step for one image: the bytes of its outputs from those of its inputs.
pub fn run(p: &Problem, numerics: &Numerics, packed: &[Bytes], inputs: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
    if let (Some(problems), Some(numerics)) = (p.halves(), numerics.halves()) {
        return pair(&problems, numerics, packed, inputs);
    }
    let (mut constants, mut activations) = (packed.iter(), inputs.iter());
    let arrays: Option<Vec<Array>> = (p.inputs.iter())
        .map(|o| match o.constant {
            true => constants.next().and_then(|b| read(o, b)),
            false => activations.next().and_then(|b| read(o, b)),
        })
        .collect();
    let arrays = arrays.ok_or_else(|| broken(p, "an operand has the wrong size"))?;
    let out = match &p.work {
        Work::Reformat => vec![reformat(numerics, &arrays[0]).ok_or_else(|| broken(p, "no conversion"))?],
        Work::Pixels => match numerics {
            Numerics::Pixels(tables) if tables.fits(p) => return Ok(vec![pixels(tables, p, &arrays[0])]),
            _ => return Err(broken(p, "no tables")),
        },
        Work::Op(op) => operate(op, numerics, &arrays).map_err(|e| broken(p, &e))?,
        Work::Pair(_) => return Err(broken(p, "no pair of numerics")),
    };
    Ok(p.outputs.iter().zip(out).map(|(o, a)| write(o, &a)).collect())
}

/// The first operator, then the second on what it wrote.
fn pair(
    (first, second): &(Problem, Problem),
    (a, b): (&Numerics, &Numerics),
    packed: &[Bytes],
    inputs: &[&[u8]],
) -> Result<Vec<Vec<u8>>> {
    let constants = first.inputs.iter().filter(|o| o.constant).count();
    let activations = first.activations().count();
    let (Some(packed), Some(inputs)) =
        (packed.split_at_checked(constants), inputs.split_at_checked(activations))
    else {
        return Err(broken(first, "an operand is missing"));
    };
    let between = run(first, a, packed.0, inputs.0)?;
    let all: Vec<&[u8]> = between.iter().map(Vec::as_slice).chain(inputs.1.iter().copied()).collect();
    run(second, b, packed.1, &all)
}

fn broken(p: &Problem, why: &str) -> Box<Diagnostic> {
    Diagnostic::new(machine::INTERNAL, format!("the reference cannot compute {p}: {why}"))
}

/// The numbers of an operand in the order of its shape.
fn read(o: &Operand, bytes: &[u8]) -> Option<Array> {
    let (pieces, len) = o.pieces();
    let numbers = pieces.map(|at| bytes.get(at..at + len)).collect::<Option<Vec<_>>>()?.concat();
    let stored = Array::of(&Tensor::from_bytes(o.dtype, o.shape.clone(), &numbers)?);
    Some(match o.layout {
        Layout::Plain => stored,
        _ => stored.gather(o.shape.clone(), |i| Some(o.layout.place(&o.shape, i))),
    })
}

/// The bytes of an operand from its numbers in the order of its shape, without gaps between rows.
fn write(o: &Operand, a: &Array) -> Vec<u8> {
    let mut from = vec![0; a.shape.numel()];
    (0..from.len()).for_each(|i| from[o.layout.place(&o.shape, i)] = i);
    let mut a = a.clone();
    if let (true, Data::Int(v)) = (o.dtype.is_int8(), &mut a.data) {
        // the maximum of a window that lies in the padding is lower than every number: here, the type's lowest
        let lowest = i64::from(limits(o.dtype).0);
        v.iter_mut().for_each(|v| *v = (*v).max(lowest));
    }
    a.gather(a.shape.clone(), |i| Some(from[i])).to_tensor(o.dtype).bytes().to_vec()
}

/// An array of stored numbers `f(i)` for each element.
fn store(shape: &crate::base::Shape, output: Option<QuantParams>, f: impl Fn(usize) -> (f32, i32)) -> Array {
    let n = shape.numel();
    match output {
        Some(_) => Array::int(shape.clone(), (0..n).map(|i| f(i).1.into()).collect()),
        None => Array::real(shape.clone(), (0..n).map(|i| f(i).0.into()).collect()),
    }
}

fn stored(output: &Output, t: f32) -> (f32, i32) {
    (output.clamp(t), output.store(t))
}

/// Integers plus `by`; reals as they are.
fn shifted(mut a: Array, by: i64) -> Array {
    if let Data::Int(v) = &mut a.data {
        v.iter_mut().for_each(|v| *v += by);
    }
    a
}

fn reformat(numerics: &Numerics, x: &Array) -> Option<Array> {
    match numerics {
        Numerics::Quantize(q) => {
            let ints = x.reals().into_iter().map(|v| q.quantize(v as f32).into());
            Some(Array::int(x.shape.clone(), ints.collect()))
        }
        Numerics::Rescale { inputs, output } => {
            let ((m, zp), v) = (inputs[0], x.ints());
            Some(store(&x.shape, output.quant, |i| stored(output, (v[i] as i32 - zp) as f32 * m)))
        }
        Numerics::Float | Numerics::Integers => Some(x.clone()),
        _ => None,
    }
}

/// The output's bytes, without gaps between rows: a table's entry for each element.
fn pixels(t: &PixelTables, p: &Problem, x: &Array) -> Vec<u8> {
    let (y, values) = (&p.outputs[0], x.ints());
    let (channels, inner) = (y.shape[t.axis], y.shape[t.axis + 1..].iter().product::<usize>());
    let mut bytes = vec![0; y.bytes()];
    for i in 0..values.len() {
        let (outer, c, rest) = (i / inner / channels, i / inner % channels, i % inner);
        let from = (outer * channels + t.from[c]) * inner + rest;
        let entry = t.entry(c, values[from] as u8);
        bytes[y.layout.place(&y.shape, i) * entry.len()..][..entry.len()].copy_from_slice(entry);
    }
    bytes
}

fn operate(op: &Op, numerics: &Numerics, inputs: &[Array]) -> std::result::Result<Vec<Array>, String> {
    let refs: Vec<&Array> = inputs.iter().collect();
    Ok(match numerics {
        Numerics::Float | Numerics::Tf32 | Numerics::Integers => op.eval(&refs)?,
        Numerics::Multiply { zero_point, epilogue } => {
            let x = shifted(inputs[0].clone(), -i64::from(*zero_point));
            let acc = bare(op).eval(&[&x, &inputs[1]])?.remove(0);
            let (sums, channel) = (acc.ints(), channel_of(op, &acc));
            let residual = op.fused().residual.then(|| inputs[inputs.len() - 1].ints());
            let function = op.fused().function;
            vec![store(&acc.shape, epilogue.out, |i| {
                let r = residual.as_ref().map_or(0, |r| r[i] as i32);
                let t = epilogue.sum(sums[i] as i32, channel(i), r);
                let t = function.and_then(|f| f.formula(t)).unwrap_or(t);
                (epilogue.real(t), epilogue.quantized(t))
            })]
        }
        Numerics::Average { zero_point, ratio, output } => {
            let Op::Pool(pool) = op else { return Err("no average".into()) };
            let x = shifted(inputs[0].clone(), -i64::from(*zero_point));
            let sums = op.eval(&[&x])?.remove(0);
            let g = pool.geometry(&x.shape)?;
            let area = g.output[0] * g.output[1];
            let v = sums.ints();
            vec![store(&sums.shape, output.quant, |i| {
                let count = pool.divisor(&g, i % area / g.output[1], i % g.output[1]);
                stored(output, v[i] as f32 * Numerics::factor(*ratio, count))
            })]
        }
        Numerics::Add { m, zero_points, output } => {
            let (a, b) = (inputs[0].ints(), inputs[1].ints());
            let t = |i: usize| Numerics::add_one(*m, *zero_points, a[i] as i32, b[i] as i32);
            vec![store(&inputs[0].shape, output.quant, |i| stored(output, t(i)))]
        }
        Numerics::Mul { m, zero_points: z, output } => {
            let (a, b) = (inputs[0].ints(), inputs[1].ints());
            let t = |i: usize| ((a[i] as i32 - z[0]) * (b[i] as i32 - z[1])) as f32 * m;
            vec![store(&inputs[0].shape, output.quant, |i| stored(output, t(i)))]
        }
        Numerics::Table(table) => {
            let y = inputs[0].ints().into_iter().map(|v| i64::from(table[usize::from(v as u8)]));
            vec![Array::int(inputs[0].shape.clone(), y.collect())]
        }
        Numerics::Rescale { inputs: scales, output } => {
            // what the operator pads with is a real 0: it moves q - zero_point
            let zero = output.quant.map_or(0, |q| i64::from(q.zero_point));
            let each: Vec<Array> = (inputs.iter().zip(scales))
                .map(|(x, &(m, zp))| {
                    let v = x.ints();
                    let y = store(&x.shape, output.quant, |i| stored(output, (v[i] as i32 - zp) as f32 * m));
                    shifted(y, -zero)
                })
                .collect();
            let moved = op.eval(&each.iter().collect::<Vec<_>>())?;
            moved.into_iter().map(|y| shifted(y, zero)).collect()
        }
        Numerics::Quantize(_) | Numerics::Pixels(_) | Numerics::Pair(_) => {
            return Err("that is a conversion".into());
        }
    })
}

/// The operator without what is fused into it: the sums alone.
fn bare(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Conv(c) => c.fused = Fused::default(),
        Op::Linear(l) => l.fused = Fused::default(),
        Op::Binary(b) if b.f == BinaryFn::Add => b.fused = Fused::default(),
        _ => {}
    }
    op
}

/// The output channel of each element of an accumulator.
fn channel_of(op: &Op, acc: &Array) -> impl Fn(usize) -> usize + use<> {
    let (channels, inner) = match op {
        Op::Conv(_) => (acc.shape[1], acc.shape[2] * acc.shape[3]),
        _ => (acc.shape[acc.shape.rank() - 1], 1),
    };
    move |i| i / inner % channels
}
