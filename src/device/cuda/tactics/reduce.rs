//! Reductions over any axes, and where an extreme stands, of any types: some threads share a row. Sums of f32 and f16 are f32,
//! other reals are f64, integers exact.

use super::rows::{Along, Split};
use super::values::{self, Kind};
use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing};
use crate::base::{DType, Result, Shape};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::Text;
use crate::device::{Numerics, Operand, Problem};
use crate::ir::Op;
use crate::ir::ops::{ArgMax, ReduceFn};

/// The family.
pub struct Reduction;

impl Family for Reduction {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn doc(&self) -> &'static str {
        "reductions over any axes and ArgMax, of any types"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        let known = matches!(spec.numerics, Numerics::Float | Numerics::Integers) && countable(p);
        match (along(p).filter(|_| known), p.op()) {
            (Some(_), Some(Op::ArgMax(_))) => vec!["extreme".into()],
            (Some(_), _) => vec!["fold".into()],
            _ => vec![],
        }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let along = along(p).ok_or_else(|| missing(p))?;
        let (x, y) = (&p.inputs[0], &p.outputs[0]);
        // the output's places by the rows of an output that keeps its axes
        let kept = Operand { shape: kept(&x.shape, &along), ..y.clone() };
        let text = Split::of(x, &along).text(Text::default().parameters(p), "x0");
        let text = Split::of(&kept, &along).text(text, "y0");
        let kind = match p.op() {
            Some(Op::ArgMax(_)) => Kind::of(std::iter::once(x.dtype)),
            Some(Op::Reduce(r)) => kind(r.f, x.dtype),
            _ => return Err(missing(p)),
        };
        let text = values::numbers(text, kind).define("READ(e)", values::read(x.dtype, "e"));
        let text = text.raw(include_str!("../kernels/fold.cuh"));
        let text = match p.op() {
            Some(Op::ArgMax(a)) => extreme(text, a),
            Some(Op::Reduce(r)) => fold(text, r.f, kind, y.dtype),
            _ => text,
        };
        Ok(text.raw(include_str!("../kernels/reduce.cu")).source())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let along = along(spec.problem).ok_or_else(|| missing(spec.problem))?;
        let threads = Split::of(&spec.problem.inputs[0], &along).threads();
        Ok(vec![Launch::images("reduce", threads, BLOCK, at, Args::default().operands(at))])
    }
}

/// The axes that the members of a result lie along.
fn along(p: &Problem) -> Option<Along> {
    let x = p.inputs.first().filter(|x| !x.constant)?;
    Some(Along::Axes(match p.op()? {
        Op::Reduce(r) if !(r.noop && r.axes.is_empty()) => r.reduced(&x.shape).ok()?,
        Op::ArgMax(a) => {
            let axis = x.shape.axis(a.axis)?;
            (0..x.shape.rank()).map(|i| i == axis).collect()
        }
        _ => return None,
    }))
}

fn kept(x: &Shape, along: &Along) -> Shape {
    let Along::Axes(reduced) = along else { return x.clone() };
    Shape(x.iter().zip(reduced).map(|(&n, &r)| if r { 1 } else { n }).collect())
}

/// In what a function of numbers of this type is computed.
fn kind(f: ReduceFn, x: DType) -> Kind {
    use ReduceFn::*;
    match (x, f) {
        (DType::F32 | DType::F16, Mean | Sum | Max | Min | L1) => Kind::Float,
        _ if !x.is_float() && matches!(f, Sum | Prod | Max | Min) => Kind::Whole,
        _ => Kind::Double,
    }
}

fn extreme(text: Text, a: &ArgMax) -> Text {
    let better = match (a.min, a.last) {
        (false, false) => "(a) > (b)",
        (false, true) => "(a) >= (b)",
        (true, false) => "(a) < (b)",
        (true, true) => "(a) <= (b)",
    };
    text.define("EXTREME", 1).define("BETTER(a, b)", better).define("FINISH(t)", "(t).at")
}

/// `START`, `TERM`, `JOIN` and `FINISH` of a function.
fn fold(text: Text, f: ReduceFn, kind: Kind, y: DType) -> Text {
    let (lowest, highest) = match kind {
        Kind::Whole => ("(N)(1ull << 63)", "(N)~(1ull << 63)"),
        _ => ("-(N)__int_as_float(0x7f800000)", "(N)__int_as_float(0x7f800000)"),
    };
    let (most, least) = match kind {
        Kind::Whole => ("max(a, b)", "min(a, b)"),
        _ => ("fmax(a, b)", "fmin(a, b)"),
    };
    let (sum, product) = match kind {
        Kind::Whole => ("(N)((u64)(a) + (u64)(b))", "(N)((u64)(a) * (u64)(b))"),
        _ => ("(a) + (b)", "(a) * (b)"),
    };
    let [start, term, join, finish] = match f {
        ReduceFn::Mean => ["0", "(x)", sum, "(t) / (N)MEMBERS"],
        ReduceFn::Sum => ["0", "(x)", sum, "(t)"],
        ReduceFn::Max => [lowest, "(x)", most, "(t)"],
        ReduceFn::Min => [highest, "(x)", least, "(t)"],
        ReduceFn::Prod => ["1", "(x)", product, "(t)"],
        ReduceFn::L1 => ["0", "fabs(x)", sum, "(t)"],
        ReduceFn::L2 => ["0", "(x) * (x)", sum, "sqrt(t)"],
        ReduceFn::SumSquare => ["0", "(x) * (x)", sum, "(t)"],
        ReduceFn::LogSum => ["0", "(x)", sum, "log(t)"],
        ReduceFn::LogSumExp => ["0", "exp((x) - most)", sum, "most - most == 0 ? most + log(t) : most"],
    };
    let text = if f == ReduceFn::LogSumExp { text.define("SHIFTED", 1) } else { text };
    text.define("FOUND_T", "N")
        .define("START", start)
        .define("TERM(x)", term)
        .define("JOIN(a, b)", join)
        .define("FINISH(t)", values::write(y, finish))
}
