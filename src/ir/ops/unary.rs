//! Functions of one number, element by element. One row a function.

use super::{Operator, Role, arity};
use crate::base::quant::Activation;
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Makes the functions: the variant (an ONNX operator type), its parameters with ONNX names and defaults, and its
/// meaning as an f64 expression of `x`.
macro_rules! functions {
    ($($name:ident $({ $($p:ident = $default:expr),* })?: |$x:ident| $f:expr;)*) => {
        /// A function of one number; the names are ONNX operator types.
        #[derive(Clone, Copy, PartialEq, Debug)]
        #[allow(missing_docs)]
        pub enum UnaryFn {
            $($name $({ $($p: f32),* })?,)*
        }

        const KINDS: &[&str] = &[$(stringify!($name)),*];

        impl UnaryFn {
            fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
                match kind {
                    $(stringify!($name) => Ok(UnaryFn::$name $({
                        $($p: attrs.float(stringify!($p))?.unwrap_or($default)),*
                    })?),)*
                    _ => Err(format!("{kind} is no function of one number")),
                }
            }

            fn kind(&self) -> &'static str {
                match self { $(UnaryFn::$name { .. } => stringify!($name),)* }
            }

            #[allow(unused_mut)]
            fn attrs(&self) -> Attrs {
                match self {
                    $(UnaryFn::$name $({ $($p),* })? => {
                        let mut attrs = Attrs::new();
                        $($(attrs = attrs.with_unless(*$p == $default, stringify!($p), Attr::Float(*$p));)*)?
                        attrs
                    })*
                }
            }

            /// The function at `x`.
            pub fn apply(&self, x: f64) -> f64 {
                match *self {
                    $(UnaryFn::$name $({ $($p),* })? => {
                        $($(let $p = f64::from($p);)*)?
                        let $x = x;
                        $f
                    })*
                }
            }
        }
    };
}

functions! {
    Abs: |x| x.abs();
    Ceil: |x| x.ceil();
    Clip { min = f32::NEG_INFINITY, max = f32::INFINITY }: |x| Activation::Clip { lo: min as f32, hi: max as f32 }.apply(x);
    Cos: |x| x.cos();
    Elu { alpha = 1.0 }: |x| if x < 0.0 { alpha * x.exp_m1() } else { x };
    Erf: |x| erf(x);
    Exp: |x| x.exp();
    Floor: |x| x.floor();
    Gelu: |x| 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2));
    HardSigmoid { alpha = 0.2, beta = 0.5 }: |x| (alpha * x + beta).clamp(0.0, 1.0);
    HardSwish: |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0);
    LeakyRelu { alpha = 0.01 }: |x| if x < 0.0 { alpha * x } else { x };
    Log: |x| x.ln();
    Neg: |x| -x;
    Not: |x| f64::from(x == 0.0);
    Reciprocal: |x| 1.0 / x;
    Relu: |x| if x < 0.0 { 0.0 } else { x };
    Round: |x| x.round_ties_even();
    Selu { alpha = 1.673_263_2, gamma = 1.050_701 }: |x| gamma * if x < 0.0 { alpha * x.exp_m1() } else { x };
    Sigmoid: |x| 1.0 / (1.0 + (-x).exp());
    Sign: |x| if x == 0.0 { 0.0 } else { x.signum() };
    Silu: |x| x / (1.0 + (-x).exp());
    Sin: |x| x.sin();
    Softplus: |x| x.max(0.0) + (-x.abs()).exp().ln_1p();
    Softsign: |x| x / (1.0 + x.abs());
    Sqrt: |x| x.sqrt();
    Tanh: |x| x.tanh();
}

/// The error function, to f64 precision: the series 7.1.6 of Abramowitz and Stegun, whose terms are all positive.
fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() }; // 1 - erf(6) is 2e-17
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

impl UnaryFn {
    /// The activation that an epilogue can absorb, if this is one.
    pub fn activation(&self) -> Option<Activation> {
        match *self {
            UnaryFn::Relu => Some(Activation::Relu),
            UnaryFn::Clip { min, max } => Some(Activation::Clip { lo: min, hi: max }),
            _ => None,
        }
    }

    /// Does an error of the argument grow to twice its size at most? So it is where the slope is at most 2 everywhere
    /// and there are no jumps.
    pub fn is_gentle(&self) -> bool {
        use UnaryFn::*;
        match *self {
            Elu { alpha } | HardSigmoid { alpha, .. } | LeakyRelu { alpha } => alpha.abs() <= 2.0,
            Selu { alpha, gamma } => gamma.abs() <= 2.0 && (alpha * gamma).abs() <= 2.0,
            Abs
            | Clip { .. }
            | Cos
            | Erf
            | Gelu
            | HardSwish
            | Neg
            | Relu
            | Sigmoid
            | Silu
            | Sin
            | Softplus
            | Softsign
            | Tanh => true,
            Ceil | Exp | Floor | Log | Not | Reciprocal | Round | Sign | Sqrt => false,
        }
    }

    /// Is the result never negative, whatever the input?
    pub fn is_non_negative(&self) -> bool {
        match self {
            UnaryFn::Abs | UnaryFn::Exp | UnaryFn::HardSigmoid { .. } | UnaryFn::Relu | UnaryFn::Sigmoid => {
                true
            }
            UnaryFn::Softplus | UnaryFn::Sqrt => true,
            UnaryFn::Clip { min, .. } => *min >= 0.0,
            _ => false,
        }
    }
}

/// A function applied to every element.
#[derive(Clone, PartialEq, Debug)]
pub struct Unary {
    /// The function.
    pub f: UnaryFn,
}

impl Operator for Unary {
    const KINDS: &'static [&'static str] = KINDS;

    /// Since opset 11 the bounds of Clip are inputs; no other function of one number has a second input.
    fn parameters(kind: &str) -> &'static [(usize, &'static str)] {
        if kind == "Clip" { &[(1, "min"), (2, "max")] } else { &[] }
    }

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        if kind == "Gelu"
            && let Some(form) = attrs.text("approximate")?.filter(|a| a != "none")
        {
            return Err(format!("Gelu with approximate={form} is not supported, only the exact form"));
        }
        Ok(Unary { f: UnaryFn::parse(kind, attrs)? })
    }

    fn kind(&self) -> &'static str {
        self.f.kind()
    }

    fn attrs(&self) -> Attrs {
        self.f.attrs()
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(inputs.to_vec())
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0];
        let y: Vec<f64> = x.reals().into_iter().map(|x| self.f.apply(x)).collect();
        let y = Array::real(x.shape.clone(), y);
        // an integer in, an integer out: Abs, Neg, Clip of shape arithmetic
        Ok(vec![if matches!(x.data, crate::ir::Data::Int(_)) {
            Array::int(y.shape.clone(), y.ints())
        } else {
            y
        }])
    }

    fn role(&self) -> Role {
        Role::Table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_at_known_points() {
        let at = |kind: &str, x: f64| Unary::parse(kind, &mut Attrs::new()).unwrap().f.apply(x);
        assert_eq!(at("Relu", -2.0), 0.0);
        assert_eq!(at("HardSwish", 3.0), 3.0);
        assert!((at("Gelu", 1.0) - 0.841_344_746_068_543).abs() < 1e-12);
        assert!((at("Sigmoid", -1.0) - 0.268_941_421_369_995).abs() < 1e-12);
        assert!((at("Softplus", 50.0) - 50.0).abs() < 1e-12);
        assert!(at("Clip", f64::NAN).is_nan());
    }

    /// The steepest step between neighbouring points, of functions that claim to be gentle and others.
    #[test]
    fn gentle_functions_have_small_slopes() {
        use UnaryFn::*;
        let slope = |f: UnaryFn| {
            let steps = (-8000..8000).map(|i| f64::from(i) * 1e-3);
            steps.map(|x| (f.apply(x + 1e-3) - f.apply(x)).abs() * 1e3).fold(0.0, f64::max)
        };
        let elu = |alpha| Elu { alpha };
        let selu = Selu { alpha: 1.673_263_2, gamma: 1.050_701 };
        for f in
            [Abs, Cos, elu(1.0), Erf, Gelu, HardSwish, Neg, selu, Sigmoid, Silu, Softplus, Softsign, Tanh]
        {
            assert!(f.is_gentle() && slope(f) <= 2.0, "{f:?} has slope {}", slope(f));
        }
        for f in [elu(3.0), Exp, Floor, Reciprocal, Round, Sign] {
            assert!(!f.is_gentle() && slope(f) > 2.0, "{f:?} has slope {}", slope(f));
        }
    }

    #[test]
    fn parameters_keep_their_onnx_names() {
        let op = Unary { f: UnaryFn::Clip { min: 0.0, max: 6.0 } };
        assert_eq!(op.attrs().to_string(), "{max=6.0, min=0.0}");
        assert_eq!(Unary::parse("Clip", &mut op.attrs()), Ok(op));
    }
}
