//! `Linear`: product with a constant matrix, the normal form that Gemm and MatMul are rewritten to. Not an ONNX
//! operator.
//!
//! Inputs: `x [.., K]`, `w [N, K]`, optionally `bias [N]`, optionally a fused residual of the output's shape
//! `[.., N]`.

use super::{Fused, Operator, Role};
use crate::ir::array::{Array, Data, Number};
use crate::ir::attrs::{Attrs, Check};
use crate::ir::graph::Fact;
use rayon::prelude::*;

/// Product with a constant matrix, with what is fused into it.
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(missing_docs)]
pub struct Linear {
    pub fused: Fused,
}

impl Operator for Linear {
    const KINDS: &'static [&'static str] = &["Linear"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(Linear { fused: Fused::parse(attrs)? })
    }

    fn kind(&self) -> &'static str {
        "Linear"
    }

    fn attrs(&self) -> Attrs {
        self.fused.write(Attrs::new())
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        self.fused.arity(inputs)?;
        let (x, w) = (&inputs[0].shape, &inputs[1].shape);
        if w.rank() != 2 || x.last() != Some(&w[1]) {
            return Err(format!("input {x} and weight {w} do not fit"));
        }
        let mut out = x.clone();
        out.0[x.rank() - 1] = w[0];
        self.fused.check(inputs, w[0], &out)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: out }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let (x, w) = (inputs[0], inputs[1]);
        let (n, k) = (w.shape[0], w.shape[1]);
        let mut shape = x.shape.clone();
        shape.0[x.shape.rank() - 1] = n;
        let data = match (&x.data, &w.data) {
            (Data::Int(a), Data::Int(b)) => Data::Int(multiply(a, b, n, k)),
            _ => {
                let mut y = multiply(&x.as_reals(), &w.as_reals(), n, k);
                self.fused.apply(&mut y, inputs, |i| i % n);
                Data::Real(y)
            }
        };
        Ok(vec![Array { shape, data }])
    }

    fn role(&self) -> Role {
        Role::Multiply { channel_axis: 0 }
    }

    fn macs(&self, inputs: &[Fact], output: &Fact) -> u64 {
        output.shape.numel() as u64 * inputs[1].shape[1] as u64
    }

    fn fused(&self) -> Fused {
        self.fused
    }
}

/// `x [rows, k]` times the transpose of `w [n, k]`.
fn multiply<T: Number>(x: &[T], w: &[T], n: usize, k: usize) -> Vec<T> {
    let dot = |a: &[T], b: &[T]| a.iter().zip(b).fold(T::ZERO, |s, (&a, &b)| s + a * b);
    let rows = x.par_chunks_exact(k.max(1));
    rows.flat_map_iter(|row| (0..n).map(move |j| dot(row, &w[j * k..(j + 1) * k]))).collect()
}
