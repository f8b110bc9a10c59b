//! What is computed of the elements that stand at one place, as text: functions of one number and of two, choices, casts,
//! and the conversions between 8 bits and floats.

use super::Spec;
use crate::base::DType;
use crate::base::quant::{Activation, QuantParams};
use crate::device::cuda::text::{Text, ctype, literal};
use crate::device::{Numerics, Problem, Work};
use crate::ir::Op;
use crate::ir::ops::{BinaryFn, Cast, Quantize, UnaryFn};

/// In what type numbers are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// f32, where everything is f32 or f16.
    Float,
    /// f64: the definition's reals.
    Double,
    /// i64: the definition's integers.
    Whole,
}

impl Kind {
    /// The kind in which elements of these types are computed.
    pub fn of(types: impl Iterator<Item = DType> + Clone) -> Kind {
        match types.clone().any(|t: DType| t.is_float()) {
            true if types.clone().all(|t| matches!(t, DType::F32 | DType::F16)) => Kind::Float,
            true => Kind::Double,
            false => Kind::Whole,
        }
    }

    /// Its C type.
    pub fn ctype(self) -> &'static str {
        match self {
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Whole => "long long",
        }
    }
}

/// The number that is stored as `e`.
pub fn read(dtype: DType, e: &str) -> String {
    match dtype {
        DType::BF16 => format!("(N)from_bfloat({e})"),
        _ => format!("(N)({e})"),
    }
}

/// The number `e`, rounded once or wrapped, as it is stored.
pub fn write(dtype: DType, e: &str) -> String {
    match dtype {
        DType::F32 => format!("(float)(D)({e})"),
        DType::F64 => format!("(double)({e})"),
        DType::F16 => format!("to_half((D)({e}))"),
        DType::BF16 => format!("to_bfloat((double)({e}))"),
        DType::Bool => format!("whole({e}) != 0"),
        DType::I8 | DType::U8 | DType::I32 | DType::I64 => format!("({})whole({e})", ctype(dtype)),
    }
}

/// The types that [`read`] and [`write`] name: `N`, in which numbers are computed, and `D`, its reals; and conversions.
pub fn numbers(text: Text, kind: Kind) -> Text {
    let real = if kind == Kind::Float { "float" } else { "double" };
    text.raw(&format!("typedef {} N;\ntypedef {real} D;", kind.ctype()))
        .raw(include_str!("../kernels/numbers.cuh"))
}

/// `value(x0, x1, ...)`: the element of the output that is made of these. It takes a pointer to the table too where the
/// numerics are one. `None` if the problem is nothing of that kind.
pub fn value(text: Text, spec: &Spec) -> Option<Text> {
    let p = spec.problem;
    let more = if let Numerics::Table(_) = spec.numerics { ", const u8* table" } else { "" };
    let (text, body) = match (spec.numerics, &p.work) {
        (Numerics::Float | Numerics::Integers, Work::Reformat) => (text, "return x0;".into()),
        (Numerics::Float | Numerics::Integers, Work::Op(op)) => by_definition(text, p, op)?,
        // scales of what is moved
        (Numerics::Rescale { .. }, Work::Op(_)) => return None,
        _ => scaled(text, spec.numerics, p.outputs[0].dtype)?,
    };
    let arguments: Vec<String> = (0..p.inputs.len()).map(|i| format!("const X{i}_T x{i}")).collect();
    let head = format!("__device__ __forceinline__ Y0_T value({}{more})", arguments.join(", "));
    Some(text.raw(&format!("{head} {{ {body} }}")))
}

/// 8-bit nodes, by the steps that [`Numerics`] states.
fn scaled(text: Text, numerics: &Numerics, y: DType) -> Option<(Text, String)> {
    Some(match numerics {
        Numerics::Table(_) => (text, "return table[(u8)x0];".into()),
        Numerics::Add { m, zero_points: z, output } => (
            text.store("store", output, y),
            format!(
                "const float t = __fmul_rn((float)((int)x0 - {}), {}); \
                 return store(__fmaf_rn((float)((int)x1 - {}), {}, t));",
                z[0],
                literal(m[0]),
                z[1],
                literal(m[1])
            ),
        ),
        Numerics::Mul { m, zero_points: z, output } => (
            text.store("store", output, y),
            format!(
                "return store(__fmul_rn((float)(((int)x0 - {}) * ((int)x1 - {})), {}));",
                z[0],
                z[1],
                literal(*m)
            ),
        ),
        Numerics::Rescale { inputs, output } => {
            (text.store("store", output, y), format!("return {};", rescaled("x0", inputs[0])))
        }
        Numerics::Quantize(q) => (text, format!("return {};", quantized(q, "x0"))),
        _ => return None,
    })
}

/// An 8-bit number in the output's scale.
pub fn rescaled(x: &str, (m, zero_point): (f32, i32)) -> String {
    format!("store(__fmul_rn((float)((int)({x}) - {zero_point}), {}))", literal(m))
}

fn quantized(q: &QuantParams, x: &str) -> String {
    let (least, most) = q.limits();
    let by = literal(q.scale.get());
    format!("({})saturate(__fdiv_rn({x}, {by}), {least}, {most}, {})", ctype(q.dtype), q.zero_point)
}

/// Functions of numbers of any type: in f32 where all are, else in f64 or i64.
fn by_definition(text: Text, p: &Problem, op: &Op) -> Option<(Text, String)> {
    let types = p.inputs.iter().map(|o| o.dtype);
    let kind = Kind::of(types);
    let text = numbers(text, kind);
    let input = |i: usize| p.inputs.get(i).map(|o| read(o.dtype, &format!("x{i}")));
    let to = p.outputs[0].dtype;
    let result = |e: &str| format!("return {};", write(to, e));
    Some(match op {
        Op::Cast(Cast { to: DType::Bool }) => (text, format!("return {} != 0;", input(0)?)),
        Op::Cast(_) => (text, result(&input(0)?)),
        Op::Where(_) => (text, format!("return whole({}) != 0 ? (Y0_T)x1 : (Y0_T)x2;", input(0)?)),
        // of an integer the function's real, cut
        Op::Unary(u) => (function(text, kind, &u.f)?, result(&format!("function({})", input(0)?))),
        Op::Binary(b) => {
            let arguments = format!("const N a = {}, b = {};", input(0)?, input(1)?);
            let e = match kind {
                Kind::Whole => whole(b.f).to_string(),
                _ => activated(b.fused.activation, real(b.f)),
            };
            (text, format!("{arguments} const N t = {e}; {}", result("t")))
        }
        Op::BatchNorm(n) => {
            let factor = format!("{} / sqrt({} + (D){})", input(1)?, input(4)?, literal(n.epsilon));
            (text, result(&format!("({} - {}) * ({factor}) + {}", input(0)?, input(3)?, input(2)?)))
        }
        Op::Quantize(q) => (text, quantization(q, p)),
        _ => return None,
    })
}

fn quantization(q: &Quantize, p: &Problem) -> String {
    let zero = if p.inputs.len() > 2 { "(int)x2" } else { "0" };
    match q {
        Quantize::To { dtype, .. } => {
            let (least, most) = crate::base::quant::limits(*dtype);
            let x = read(p.inputs[0].dtype, "x0");
            format!(
                "return ({})saturate(__fdiv_rn((float)({x}), (float)x1), {least}, {most}, {zero});",
                ctype(*dtype)
            )
        }
        Quantize::From { .. } => {
            format!("return (float)((double)((long long)x0 - {zero}) * (double)x1);")
        }
    }
}

/// The number `e` with the activation applied.
pub fn activated(a: Activation, e: &str) -> String {
    match a {
        Activation::None => e.into(),
        _ => {
            let (lo, hi) = a.bounds();
            clamp(e, lo, hi)
        }
    }
}

/// `function(x)` of a real: in f32 by the formula where there is one, else by the definition.
pub fn function(text: Text, kind: Kind, f: &UnaryFn) -> Option<Text> {
    match kind == Kind::Float && f.has_formula() {
        true => text.formula("function", f),
        false => {
            let head = "__device__ __forceinline__ D function(const D x)";
            Some(text.raw(&format!("{head} {{ return {}; }}", unary(f))))
        }
    }
}

/// By comparisons, so that NaN stays.
fn clamp(e: &str, lo: f32, hi: f32) -> String {
    let (lo, hi) = (format!("(D){}", literal(lo)), format!("(D){}", literal(hi)));
    format!("({e}) < {lo} ? {lo} : ({e}) > {hi} ? {hi} : ({e})")
}

/// The function of the real `x`, as [`UnaryFn::apply`] has it.
fn unary(f: &UnaryFn) -> String {
    let number = |v: f32| format!("(D){}", literal(v));
    let text = |s: &str| s.to_string();
    match *f {
        UnaryFn::Abs => text("fabs(x)"),
        UnaryFn::Ceil => text("ceil(x)"),
        UnaryFn::Clip { min, max } => clamp("x", min, max),
        UnaryFn::Cos => text("cos(x)"),
        UnaryFn::Elu { alpha } => format!("x < 0 ? {} * expm1(x) : x", number(alpha)),
        UnaryFn::Erf => text("erf(x)"),
        UnaryFn::Exp => text("exp(x)"),
        UnaryFn::Floor => text("floor(x)"),
        UnaryFn::Gelu => text("(D)0.5 * x * (1 + erf(x * (D)0.70710678118654752440))"),
        UnaryFn::HardSigmoid { alpha, beta } => {
            clamp(&format!("{} * x + {}", number(alpha), number(beta)), 0.0, 1.0)
        }
        UnaryFn::HardSwish => format!("x * ({})", clamp("x / 6 + (D)0.5", 0.0, 1.0)),
        UnaryFn::LeakyRelu { alpha } => format!("x < 0 ? {} * x : x", number(alpha)),
        UnaryFn::Log => text("log(x)"),
        UnaryFn::Neg => text("-x"),
        UnaryFn::Not => text("(D)(x == 0)"),
        UnaryFn::Reciprocal => text("1 / x"),
        UnaryFn::Relu => text("x < 0 ? 0 : x"),
        UnaryFn::Round => text("rint(x)"),
        UnaryFn::Selu { alpha, gamma } => {
            format!("{} * (x < 0 ? {} * expm1(x) : x)", number(gamma), number(alpha))
        }
        UnaryFn::Sigmoid => text("1 / (1 + exp(-x))"),
        UnaryFn::Sign => text("x > 0 ? (D)1 : x < 0 ? (D)-1 : x"),
        UnaryFn::Silu => text("x / (1 + exp(-x))"),
        UnaryFn::Sin => text("sin(x)"),
        UnaryFn::Softplus => text("fmax(x, (D)0) + log1p(exp(-fabs(x)))"),
        UnaryFn::Softsign => text("x / (1 + fabs(x))"),
        UnaryFn::Sqrt => text("sqrt(x)"),
        UnaryFn::Tanh => text("tanh(x)"),
    }
}

/// The function of the reals `a` and `b`, as [`BinaryFn::real`] has it.
fn real(f: BinaryFn) -> &'static str {
    match f {
        BinaryFn::Add => "a + b",
        BinaryFn::Sub => "a - b",
        BinaryFn::Mul => "a * b",
        BinaryFn::Div => "a / b",
        BinaryFn::Mod | BinaryFn::Fmod => "fmod(a, b)",
        BinaryFn::Pow => "pow(a, b)",
        BinaryFn::Max => "fmax(a, b)",
        BinaryFn::Min => "fmin(a, b)",
        BinaryFn::PRelu => "a < 0 ? a * b : a",
        _ => compared(f),
    }
}

/// The function of the integers `a` and `b`, as [`BinaryFn::int`] has it.
fn whole(f: BinaryFn) -> &'static str {
    match f {
        BinaryFn::Add => "(N)((u64)a + (u64)b)",
        BinaryFn::Sub => "(N)((u64)a - (u64)b)",
        BinaryFn::Mul => "(N)((u64)a * (u64)b)",
        BinaryFn::Div => "quotient(a, b)",
        BinaryFn::Mod => "floor_remainder(a, b)",
        BinaryFn::Fmod => "remainder_of(a, b)",
        BinaryFn::Pow => "whole(pow((double)a, (double)b))",
        BinaryFn::Max => "a > b ? a : b",
        BinaryFn::Min => "a < b ? a : b",
        BinaryFn::PRelu => "a < 0 ? (N)((u64)a * (u64)b) : a",
        _ => compared(f),
    }
}

/// Predicates, of reals and of integers alike.
fn compared(f: BinaryFn) -> &'static str {
    match f {
        BinaryFn::Equal => "(N)(a == b)",
        BinaryFn::Less => "(N)(a < b)",
        BinaryFn::LessOrEqual => "(N)(a <= b)",
        BinaryFn::Greater => "(N)(a > b)",
        BinaryFn::GreaterOrEqual => "(N)(a >= b)",
        BinaryFn::Or => "(N)(a != 0 || b != 0)",
        _ => "(N)(a != 0 && b != 0)",
    }
}
