//! `QuantizeLinear` and `DequantizeLinear`, per tensor or per index of an axis. The importer folds them into the
//! quantization of the values around them; what is left of them runs in float.
//!
//! Inputs: `x`, `scale` (a scalar, or one number per index of `axis`) and optionally a zero point of scale's shape.

use super::axes::{around, axis_of};
use super::{Operator, Role, arity};
use crate::base::quant::{QuantParams, Scale};
use crate::base::{DType, Shape};
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;
use crate::ir::ops::cast::{dtype_of, number_of};

/// Reals to 8-bit integers, or integers to reals.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Quantize {
    /// `sat(rint(x / scale) + zero_point)`, dividing in f32.
    To {
        /// The axis that scales run along, where there are several.
        axis: i64,
        /// The type of the result: the attribute `output_dtype`. Before opset 21 it is the zero point's type alone,
        /// and the importer adds the attribute; without either it is U8.
        dtype: DType,
    },
    /// `(q - zero_point) * scale`.
    From {
        /// The axis that scales run along, where there are several.
        axis: i64,
    },
}

impl Quantize {
    fn axis(&self) -> i64 {
        match *self {
            Quantize::To { axis, .. } | Quantize::From { axis } => axis,
        }
    }

    /// For element `i` of `x`, which of `n` scales is its own: their number along the axis and the elements after it.
    fn run(&self, x: &Shape, n: usize) -> Check<[usize; 2]> {
        if n == 1 {
            return Ok([1, 1]);
        }
        let [_, along, inner] = around(x, axis_of(x, self.axis())?);
        Ok([along, inner])
    }
}

impl Operator for Quantize {
    const KINDS: &'static [&'static str] = &["QuantizeLinear", "DequantizeLinear"];

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        let axis = attrs.int("axis")?.unwrap_or(1);
        if let Some(n) = attrs.int("block_size")?.filter(|&n| n != 0) {
            return Err(format!("block_size={n} (several scales along the axis) is not supported"));
        }
        let dtype = attrs.int("output_dtype")?.filter(|&n| n != 0).map(dtype_of).transpose()?;
        if kind == "DequantizeLinear" {
            return Ok(Quantize::From { axis });
        }
        attrs.flag("saturate", true)?; // of 8-bit floats
        let dtype = dtype.unwrap_or(DType::U8);
        match dtype.is_int8() {
            true => Ok(Quantize::To { axis, dtype }),
            false => Err(format!("quantization to {dtype} is not supported, only to i8 and u8")),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Quantize::To { .. } => "QuantizeLinear",
            Quantize::From { .. } => "DequantizeLinear",
        }
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new().with_unless(self.axis() == 1, "axis", Attr::Int(self.axis()));
        match self {
            Quantize::To { dtype, .. } => {
                attrs.with_unless(*dtype == DType::U8, "output_dtype", Attr::Int(number_of(*dtype)))
            }
            Quantize::From { .. } => attrs,
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 2..=3)?;
        let (x, scale) = (&inputs[0], &inputs[1]);
        let n = scale.shape.numel();
        if scale.shape.rank() > 1 || n == 0 || (n > 1 && x.shape[axis_of(&x.shape, self.axis())?] != n) {
            return Err(format!("scale {} for axis {} of {}", scale.shape, self.axis(), x.shape));
        }
        let integers = if let Quantize::To { dtype, .. } = self { *dtype } else { x.dtype };
        if let Some(z) = inputs.get(2).filter(|z| z.shape.numel() != n || z.dtype != integers) {
            return Err(format!(
                "zero point {}{} for {integers} and scale {}",
                z.dtype, z.shape, scale.shape
            ));
        }
        let dtype = if let Quantize::To { dtype, .. } = self { *dtype } else { scale.dtype };
        Ok(vec![Fact { dtype, shape: x.shape.clone() }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let (x, scales) = (inputs[0], inputs[1].reals());
        let zeros = inputs.get(2).map_or(vec![0; scales.len()], |z| z.ints());
        let [along, inner] = self.run(&x.shape, scales.len())?;
        let channel = |i: usize| i / inner % along;
        Ok(vec![match *self {
            Quantize::From { .. } => {
                let real = |(i, q): (usize, i64)| (q - zeros[channel(i)]) as f64 * scales[channel(i)];
                Array::real(x.shape.clone(), x.ints().into_iter().enumerate().map(real).collect())
            }
            Quantize::To { dtype, .. } => {
                let params = scales.iter().zip(&zeros).map(|(&s, &z)| {
                    let scale = Scale::new(s as f32).ok_or(format!("scale {s} is no usable step"))?;
                    Ok(QuantParams { dtype, scale, zero_point: z as i32 })
                });
                let params = params.collect::<Check<Vec<_>>>()?;
                let int = |(i, v): (usize, f64)| params[channel(i)].quantize(v as f32).into();
                Array::int(x.shape.clone(), x.reals().into_iter().enumerate().map(int).collect())
            }
        }])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}
