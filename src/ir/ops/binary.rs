//! Functions of two numbers, element by element, with NumPy broadcasting. One row a function.

use super::{Fused, Operator, Role, arity};
use crate::base::DType;
use crate::ir::array::{Array, Data, broadcast_strides, ravel, unravel};
use crate::ir::attrs::{Attrs, Check};
use crate::ir::graph::Fact;

/// Makes the functions. A row: the variant (an ONNX operator type), what it gives (`number` or `bool`), its meaning
/// for reals and its meaning for integers.
macro_rules! functions {
    ($($name:ident $gives:ident $real:expr, $int:expr;)*) => {
        /// A function of two numbers; the names are ONNX operator types, but for `Fmod`, which is Mod with fmod=1.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum BinaryFn { $($name,)* }

        const KINDS: &[&str] = &[$(stringify!($name)),*];

        impl BinaryFn {
            fn parse(kind: &str) -> Check<Self> {
                match kind {
                    $(stringify!($name) => Ok(BinaryFn::$name),)*
                    _ => Err(format!("{kind} is no function of two numbers")),
                }
            }

            fn kind(&self) -> &'static str {
                match self { $(BinaryFn::$name => stringify!($name),)* }
            }

            /// Is the result true or false?
            pub fn is_predicate(&self) -> bool {
                match self { $(BinaryFn::$name => stringify!($gives) == "bool",)* }
            }

            /// The function of two reals.
            pub fn real(&self) -> fn(f64, f64) -> f64 {
                match self { $(BinaryFn::$name => $real,)* }
            }

            /// The function of two integers.
            pub fn int(&self) -> fn(i64, i64) -> i64 {
                match self { $(BinaryFn::$name => $int,)* }
            }
        }
    };
}

functions! {
    Add number |a, b| a + b, i64::wrapping_add;
    Sub number |a, b| a - b, i64::wrapping_sub;
    Mul number |a, b| a * b, i64::wrapping_mul;
    Div number |a, b| a / b, |a, b| a.checked_div(b).unwrap_or(0);
    Mod number |a, b| a % b, floor_mod;
    Fmod number |a, b| a % b, |a, b| a.checked_rem(b).unwrap_or(0);
    Pow number f64::powf, |a, b| (a as f64).powf(b as f64) as i64;
    Max number f64::max, i64::max;
    Min number f64::min, i64::min;
    PRelu number |a, b| if a < 0.0 { a * b } else { a }, |a, b| if a < 0 { a.wrapping_mul(b) } else { a };
    Equal bool |a, b| f64::from(a == b), |a, b| i64::from(a == b);
    Less bool |a, b| f64::from(a < b), |a, b| i64::from(a < b);
    LessOrEqual bool |a, b| f64::from(a <= b), |a, b| i64::from(a <= b);
    Greater bool |a, b| f64::from(a > b), |a, b| i64::from(a > b);
    GreaterOrEqual bool |a, b| f64::from(a >= b), |a, b| i64::from(a >= b);
    And bool |a, b| f64::from(a != 0.0 && b != 0.0), |a, b| i64::from(a != 0 && b != 0);
    Or bool |a, b| f64::from(a != 0.0 || b != 0.0), |a, b| i64::from(a != 0 || b != 0);
}

/// The remainder with the sign of the divisor; 0 where there is none.
fn floor_mod(a: i64, b: i64) -> i64 {
    let r = a.checked_rem(b).unwrap_or(0);
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

/// A function applied to pairs of elements, with a fused activation.
#[derive(Clone, PartialEq, Debug)]
pub struct Binary {
    /// The function.
    pub f: BinaryFn,
    /// What is fused into it: an activation, never a residual or a function.
    pub fused: Fused,
}

impl Binary {
    /// The function alone.
    pub fn new(f: BinaryFn) -> Self {
        Binary { f, fused: Fused::default() }
    }
}

impl Operator for Binary {
    const KINDS: &'static [&'static str] = KINDS;

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        let fmod = kind == "Mod" && attrs.flag("fmod", false)?;
        let f = if fmod { BinaryFn::Fmod } else { BinaryFn::parse(kind)? };
        let fused = Fused::parse(attrs)?;
        match fused.function {
            Some(g) => Err(format!("{kind} fuses no function, not even {g:?}")),
            None => Ok(Binary { f, fused }),
        }
    }

    fn kind(&self) -> &'static str {
        self.f.kind()
    }

    fn attrs(&self) -> Attrs {
        self.fused.write(Attrs::new())
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 2..=2)?;
        let (a, b) = (&inputs[0], &inputs[1]);
        let shape = a
            .shape
            .broadcast(&b.shape)
            .ok_or(format!("shapes {} and {} do not broadcast", a.shape, b.shape))?;
        let dtype = if self.f.is_predicate() { DType::Bool } else { a.dtype };
        Ok(vec![Fact { dtype, shape }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let (a, b) = (inputs[0], inputs[1]);
        let shape = a.shape.broadcast(&b.shape).ok_or("shapes do not broadcast")?;
        let data = match (&a.data, &b.data) {
            (Data::Int(_), Data::Int(_)) => {
                Data::Int(pairs(&a.ints(), &b.ints(), a, b, &shape, self.f.int()))
            }
            _ => {
                let mut y = pairs(&a.reals(), &b.reals(), a, b, &shape, self.f.real());
                y.iter_mut().for_each(|y| *y = self.fused.activation.apply(*y));
                match self.f.is_predicate() {
                    true => Data::Int(y.into_iter().map(|v| v as i64).collect()),
                    false => Data::Real(y),
                }
            }
        };
        Ok(vec![Array { shape, data }])
    }

    fn role(&self) -> Role {
        match self.f {
            BinaryFn::Add | BinaryFn::Mul => Role::Combine,
            _ => Role::Float,
        }
    }

    fn fused(&self) -> Fused {
        self.fused
    }
}

fn pairs<T: Copy>(
    a: &[T],
    b: &[T],
    fa: &Array,
    fb: &Array,
    out: &crate::base::Shape,
    f: fn(T, T) -> T,
) -> Vec<T> {
    let (sa, sb) = (broadcast_strides(&fa.shape, out), broadcast_strides(&fb.shape, out));
    (0..out.numel())
        .map(|i| {
            let at = unravel(i, out);
            f(a[ravel(&at, &sa)], b[ravel(&at, &sb)])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasts_and_keeps_integers_exact() {
        let add = Binary::new(BinaryFn::Add);
        let a = Array::int([2, 1], vec![1 << 60, 2]);
        let b = Array::int([3], vec![1, 2, 3]);
        let y = add.eval(&[&a, &b]).unwrap();
        assert_eq!(y[0], Array::int([2, 3], vec![(1 << 60) + 1, (1 << 60) + 2, (1 << 60) + 3, 3, 4, 5]));
    }
}
