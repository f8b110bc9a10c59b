//! Pieces of CUDA text that follow from a problem: sizes as macros, where elements lie, how results are stored, functions
//! by their formulas. A kernel's file is written over these names and stays free of numbers.

use super::compiler::Source;
use crate::base::DType;
use crate::device::numerics::Output;
use crate::device::{Layout, Operand};
use crate::ir::ops::UnaryFn;
use crate::ir::ops::formula::Lanes;
use std::cell::RefCell;
use std::fmt::{Display, Write};
use std::ops::{Add, Div, Mul, Sub};

/// What every kernel begins with.
const PRELUDE: &str = include_str!("kernels/prelude.cuh");

/// A source text in the making.
#[derive(Clone, Debug)]
pub struct Text(String);

impl Default for Text {
    fn default() -> Self {
        Text(PRELUDE.into())
    }
}

impl Text {
    /// `#define name value`
    pub fn define(mut self, name: &str, value: impl Display) -> Self {
        let _ = writeln!(self.0, "#define {name} {value}");
        self
    }

    /// `#define name value` for several.
    pub fn defines<V: Display>(self, all: &[(&str, V)]) -> Self {
        all.iter().fold(self, |t, (name, value)| t.define(name, value))
    }

    /// A number, to the bit.
    pub fn number(self, name: &str, value: f32) -> Self {
        self.define(name, literal(value))
    }

    /// `NAME_T`, the element type of an operand, `NAME_place(i)`, where element `i` (row-major in the order of the shape)
    /// of an image lies, in elements from its first, and `NAME_COUNT` elements of an image.
    pub fn operand(mut self, name: &str, o: &Operand) -> Self {
        let upper = name.to_uppercase();
        let _ = writeln!(
            self.0,
            "typedef {} {upper}_T;\n#define {upper}_COUNT {}u",
            ctype(o.dtype),
            o.shape.numel()
        );
        let mut body = String::new();
        if let (Layout::ChannelsLast, &[_, c, h, w]) = (o.layout, &o.shape[..]) {
            let (area, all) = (h * w, c * h * w);
            let _ = write!(
                body,
                "const u32 n = i / {all}u, r = i % {all}u; i = (n * {area}u + r % {area}u) * {c}u + r / {area}u; "
            );
        }
        if let Some(pitch) = o.pitch {
            let row = o.row();
            let _ = write!(body, "i = i / {row}u * {pitch}u + i % {row}u; ");
        }
        let _ = writeln!(self.0, "__device__ __forceinline__ u32 {name}_place(u32 i) {{ {body}return i; }}");
        self
    }

    /// `NAME(t)`: what is stored of a number in units of the output (see [`Output::store`]), as a `NAME_T`.
    pub fn store(mut self, name: &str, out: &Output) -> Self {
        let (lo, hi) = (literal(out.lo), literal(out.hi));
        let clamp = format!("t = fminf(fmaxf(t, {lo}), {hi});");
        let _ = match out.quant {
            None => writeln!(
                self.0,
                "typedef float {name}_T;\n__device__ __forceinline__ float {name}(float t) {{ {clamp} return t; }}"
            ),
            Some(q) => {
                let (least, most) = q.limits();
                let (t, zp) = (ctype(q.dtype), q.zero_point);
                writeln!(
                    self.0,
                    "typedef {t} {name}_T;\n__device__ __forceinline__ {t} {name}(float t) {{ {clamp} \
                     return ({t})saturate(t, {least}, {most}, {zp}); }}"
                )
            }
        };
        self
    }

    /// `NAME(x)`: the function by its [`UnaryFn::formula`], or none where it has none.
    pub fn formula(mut self, name: &str, f: &UnaryFn) -> Option<Self> {
        let (statements, result) = record(f)?;
        let _ = writeln!(
            self.0,
            "__device__ __forceinline__ float {name}(const float t0) {{\n{statements}return t{result};\n}}"
        );
        Some(self)
    }

    /// Text as it is.
    pub fn raw(mut self, text: &str) -> Self {
        self.0.push_str(text);
        self.0.push('\n');
        self
    }

    /// The finished source.
    pub fn source(self) -> Source {
        Source(self.0)
    }
}

/// The C type of stored elements.
pub fn ctype(d: DType) -> &'static str {
    match d {
        DType::F32 => "float",
        DType::F64 => "double",
        DType::I8 => "i8",
        DType::U8 | DType::Bool => "u8",
        DType::I32 => "int",
        DType::I64 => "long long",
        DType::F16 | DType::BF16 => "u16",
    }
}

/// An f32, to the bit.
pub fn literal(x: f32) -> String {
    format!("__uint_as_float(0x{:08x}u)", x.to_bits())
}

thread_local! {
    /// The statements of the formula that is being recorded; statement `i` makes the number `t{i}`.
    static STATEMENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A number of a formula: the name of what computes it.
#[derive(Clone, Copy)]
struct Term(usize);

fn record(f: &UnaryFn) -> Option<(String, usize)> {
    STATEMENTS.with_borrow_mut(|s| {
        s.clear();
        s.push(String::new()); // t0, the argument
    });
    let result = f.formula(Term(0))?;
    Some((STATEMENTS.with_borrow_mut(std::mem::take).concat(), result.0))
}

fn term(expression: String) -> Term {
    STATEMENTS.with_borrow_mut(|s| {
        s.push(format!("  const float t{} = {expression};\n", s.len()));
        Term(s.len() - 1)
    })
}

macro_rules! operation {
    ($($trait:ident, $method:ident, $intrinsic:literal;)*) => {$(
        impl $trait for Term {
            type Output = Term;
            fn $method(self, other: Term) -> Term {
                term(format!(concat!($intrinsic, "(t{}, t{})"), self.0, other.0))
            }
        }
    )*};
}

operation! {
    Add, add, "__fadd_rn";
    Sub, sub, "__fsub_rn";
    Mul, mul, "__fmul_rn";
    Div, div, "__fdiv_rn";
}

impl Lanes for Term {
    fn splat(x: f32) -> Term {
        term(literal(x))
    }
    fn fma(self, m: Term, b: Term) -> Term {
        term(format!("__fmaf_rn(t{}, t{}, t{})", self.0, m.0, b.0))
    }
    fn at_least(self, bound: Term) -> Term {
        let (x, b) = (self.0, bound.0);
        term(format!("t{b} > t{x} ? t{b} : t{x}"))
    }
    fn at_most(self, bound: Term) -> Term {
        let (x, b) = (self.0, bound.0);
        term(format!("t{b} < t{x} ? t{b} : t{x}"))
    }
    fn rint(self) -> Term {
        term(format!("rintf(t{})", self.0))
    }
    fn times_power_of_two(self, n: Term) -> Term {
        term(format!("__fmul_rn(t{}, power_of_two(t{}))", self.0, n.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A formula is recorded as steps of IEEE operations, one after the other.
    #[test]
    fn formulas_become_text() {
        let text = Text(String::new()).formula("f", &UnaryFn::LeakyRelu { alpha: 0.5 }).unwrap().0;
        assert_eq!(
            text,
            "__device__ __forceinline__ float f(const float t0) {
  const float t1 = __uint_as_float(0x00000000u);
  const float t2 = __uint_as_float(0x3f800000u);
  const float t3 = t1 < t0 ? t1 : t0;
  const float t4 = __uint_as_float(0x3f000000u);
  const float t5 = t1 > t0 ? t1 : t0;
  const float t6 = __fmaf_rn(t3, t4, t5);
return t6;
}
"
        );
        assert!(Text::default().formula("f", &UnaryFn::Sqrt).is_none());
    }
}
