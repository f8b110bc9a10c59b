//! Pieces of CUDA text that follow from a problem: sizes as macros, where elements lie, how results are stored, functions
//! by their formulas. A kernel's file is written over these names and stays free of numbers.

use super::compiler::Source;
use crate::base::DType;
use crate::device::numerics::Output;
use crate::device::{Operand, Problem};
use crate::ir::ops::formula::Lanes;
use crate::ir::ops::{Geometry, UnaryFn};
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

    /// The same for a name that may have been defined before.
    pub fn redefine(mut self, name: &str, value: impl Display) -> Self {
        let _ = writeln!(self.0, "#undef {name}");
        self.define(name, value)
    }

    /// `#define name value` for several.
    pub fn defines<V: Display>(self, all: &[(&str, V)]) -> Self {
        all.iter().fold(self, |t, (name, value)| t.define(name, value))
    }

    /// Sizes of a window: input `H`, `W`, output `P`, `Q`, kernel `R`, `S`, strides, dilations, padding.
    pub fn geometry(self, g: &Geometry) -> Self {
        let pairs = [
            (["H", "W"], g.input),
            (["P", "Q"], g.output),
            (["R", "S"], g.kernel),
            (["STRIDE_H", "STRIDE_W"], g.strides),
            (["DILATION_H", "DILATION_W"], g.dilations),
            (["PAD_H", "PAD_W"], g.begin),
        ];
        pairs.iter().fold(self, |t, (names, v)| t.define(names[0], v[0]).define(names[1], v[1]))
    }

    /// A number, to the bit.
    pub fn number(self, name: &str, value: f32) -> Self {
        self.define(name, literal(value))
    }

    /// The C type of elements, under a name.
    pub fn typed(self, name: &str, dtype: DType) -> Self {
        self.define(name, ctype(dtype))
    }

    /// `PARAMETERS` of a kernel that takes every operand as [`super::tactics::Args`] passes them, inputs as `x0`, `x1`,
    /// ..., outputs as `y0`, ..., constants last; their types, `X0_T`; and `TO_IMAGE`, which moves them to the image
    /// `blockIdx.y`.
    pub fn parameters(mut self, p: &Problem) -> Self {
        let (mut list, mut constants, mut moves) = (Vec::new(), Vec::new(), String::new());
        let inputs = p.inputs.iter().enumerate().map(|(i, o)| ("const ", 'x', i, o));
        let outputs = p.outputs.iter().enumerate().map(|(i, o)| ("", 'y', i, o));
        for (access, letter, i, o) in inputs.chain(outputs) {
            let (name, ty) = (format!("{letter}{i}"), format!("{}{i}_T", letter.to_ascii_uppercase()));
            let _ = writeln!(self.0, "typedef {} {ty};", ctype(o.dtype));
            if o.constant {
                constants.push(format!("const {ty}* __restrict__ {name}"));
                continue;
            }
            list.push(format!("{access}{ty}* {name}, u64 {name}_stride"));
            let _ =
                write!(moves, "{name} = ({access}{ty}*)(({access}u8*){name} + blockIdx.y * {name}_stride); ");
        }
        list.append(&mut constants);
        self.define("PARAMETERS", list.join(", ")).define("TO_IMAGE", moves)
    }

    /// `NAME(i)`: the place of element `i`, row-major, of these axes, each of so many elements so far apart.
    pub fn walk(mut self, name: &str, axes: &[Axis]) -> Self {
        let mut body = String::new();
        let axes = joined(axes);
        for (i, Axis { count, stride }) in axes.iter().enumerate().rev() {
            let _ = match i {
                0 => write!(body, "at += i * {stride}u; "),
                _ => write!(body, "at += i % {count}u * {stride}u; i /= {count}u; "),
            };
        }
        let _ = writeln!(
            self.0,
            "__device__ __forceinline__ u32 {name}(u32 i) {{ u32 at = 0; {body}return at; }}"
        );
        self
    }

    /// `NAME(t)`: what is stored of a number in units of the output (see [`Output::store`]), as a `NAME_T`: of this type,
    /// where it is not in 8 bits.
    pub fn store(mut self, name: &str, out: &Output, dtype: DType) -> Self {
        let (lo, hi) = (literal(out.lo), literal(out.hi));
        let clamp = format!("t = fminf(fmaxf(t, {lo}), {hi});");
        let _ = match out.quant {
            None => {
                let t = ctype(dtype);
                writeln!(
                    self.0,
                    "typedef {t} {name}_T;\n__device__ __forceinline__ {t} {name}(float t) {{ {clamp} return t; }}"
                )
            }
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

/// An axis to walk along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Axis {
    /// Its elements.
    pub count: usize,
    /// How far apart they are.
    pub stride: usize,
}

/// A walk over the elements of `y` in the order in which it has them in memory, so far apart along each axis of its shape.
pub fn along(y: &Operand, stride: impl Fn(usize) -> usize) -> Vec<Axis> {
    y.order().into_iter().map(|a| Axis { count: y.shape[a], stride: stride(a) }).collect()
}

/// The same walk in fewer axes: neighbours that are one are joined.
pub fn joined(axes: &[Axis]) -> Vec<Axis> {
    let mut all: Vec<Axis> = Vec::new();
    for &axis in axes.iter().filter(|a| a.count != 1) {
        match all.last_mut() {
            Some(last) if last.stride == axis.count * axis.stride => {
                *last = Axis { count: last.count * axis.count, stride: axis.stride };
            }
            _ => all.push(axis),
        }
    }
    all
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
        DType::F16 => "half",
        DType::BF16 => "u16",
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
