//! `Cast`: to another element type.

use super::{Operator, Role, arity};
use crate::base::DType;
use crate::ir::array::{Array, Data};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// A change of type. Floats become integers by truncation toward zero, integers wrap, what is not 0 is true.
/// Casts to F32 and F64 round nothing here, where floats are f64; casts to F16 and BF16 round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cast {
    /// The type.
    pub to: DType,
}

/// ONNX numbers of element types (`TensorProto.DataType`).
const NUMBERS: &[(i64, DType)] = &[
    (1, DType::F32),
    (2, DType::U8),
    (3, DType::I8),
    (6, DType::I32),
    (7, DType::I64),
    (9, DType::Bool),
    (10, DType::F16),
    (11, DType::F64),
    (16, DType::BF16),
];

/// The element type of this ONNX number.
pub fn dtype_of(number: i64) -> Check<DType> {
    let row = NUMBERS.iter().find(|(n, _)| *n == number);
    row.map(|(_, d)| *d).ok_or_else(|| format!("element type {number} of ONNX is not supported"))
}

/// The ONNX number of an element type.
pub fn number_of(dtype: DType) -> i64 {
    NUMBERS.iter().find(|(_, d)| *d == dtype).map_or(0, |(n, _)| *n)
}

impl Operator for Cast {
    const KINDS: &'static [&'static str] = &["Cast"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        attrs.flag("saturate", true)?; // of 8-bit floats
        attrs.text("round_mode")?; // likewise
        Ok(Cast { to: dtype_of(attrs.int("to")?.ok_or("attribute `to` is missing")?)? })
    }

    fn kind(&self) -> &'static str {
        "Cast"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("to", Attr::Int(number_of(self.to)))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(vec![Fact { dtype: self.to, shape: inputs[0].shape.clone() }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0];
        Ok(vec![match self.to {
            DType::F32 | DType::F64 => Array::real(x.shape.clone(), x.reals()),
            DType::Bool => {
                let truth = match &x.data {
                    Data::Real(v) => v.iter().map(|&x| i64::from(x != 0.0)).collect(),
                    Data::Int(v) => v.iter().map(|&x| i64::from(x != 0)).collect(),
                };
                Array::int(x.shape.clone(), truth)
            }
            to => Array::of(&x.to_tensor(to)),
        }])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncates_wraps_and_tells_truth() {
        let x = Array::real([4], vec![-1.7, 0.5, 255.9, 0.0]);
        let to = |to| Cast { to }.eval(&[&x]).unwrap()[0].ints();
        assert_eq!(to(DType::I32), [-1, 0, 255, 0]);
        assert_eq!(to(DType::I8), [-1, 0, -1, 0]);
        assert_eq!(to(DType::Bool), [1, 1, 1, 0]);
        assert!(DType::ALL.iter().all(|&d| dtype_of(number_of(d)) == Ok(d)));
    }
}
