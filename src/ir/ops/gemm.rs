//! `Gemm`: `alpha * A' * B' + beta * C` over matrices, where `'` is an optional transposition. Rewritten to
//! [`super::Linear`] where B is constant.

use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, broadcast_strides, ravel, unravel};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// General matrix product.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct Gemm {
    pub alpha: f32,
    pub beta: f32,
    pub trans_a: bool,
    pub trans_b: bool,
}

impl Gemm {
    fn dims(&self, a: &Shape, b: &Shape) -> Check<[usize; 3]> {
        if a.rank() != 2 || b.rank() != 2 {
            return Err(format!("inputs {a} and {b} are no matrices"));
        }
        let (m, k) = if self.trans_a { (a[1], a[0]) } else { (a[0], a[1]) };
        let (k2, n) = if self.trans_b { (b[1], b[0]) } else { (b[0], b[1]) };
        if k != k2 { Err(format!("matrices {a} and {b} do not fit")) } else { Ok([m, k, n]) }
    }
}

impl Operator for Gemm {
    const KINDS: &'static [&'static str] = &["Gemm"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(Gemm {
            alpha: attrs.float("alpha")?.unwrap_or(1.0),
            beta: attrs.float("beta")?.unwrap_or(1.0),
            trans_a: attrs.flag("transA", false)?,
            trans_b: attrs.flag("transB", false)?,
        })
    }

    fn kind(&self) -> &'static str {
        "Gemm"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with_unless(self.alpha == 1.0, "alpha", Attr::Float(self.alpha))
            .with_unless(self.beta == 1.0, "beta", Attr::Float(self.beta))
            .with_unless(!self.trans_a, "transA", Attr::Int(1))
            .with_unless(!self.trans_b, "transB", Attr::Int(1))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 2..=3)?;
        let [m, _, n] = self.dims(&inputs[0].shape, &inputs[1].shape)?;
        let out = Shape::from([m, n]);
        if let Some(c) = inputs.get(2).filter(|c| c.shape.broadcast(&out) != Some(out.clone())) {
            return Err(format!("addend {} for output {out}", c.shape));
        }
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: out }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let [m, k, n] = self.dims(&inputs[0].shape, &inputs[1].shape)?;
        let (a, b) = (inputs[0].reals(), inputs[1].reals());
        let out = Shape::from([m, n]);
        let c = inputs.get(2).map(|c| (c.reals(), broadcast_strides(&c.shape, &out)));
        let at = |r: usize, i: usize| if self.trans_a { a[i * m + r] } else { a[r * k + i] };
        let bt = |i: usize, j: usize| if self.trans_b { b[j * k + i] } else { b[i * n + j] };
        let y = (0..m * n).map(|i| {
            let dot: f64 = (0..k).map(|l| at(i / n, l) * bt(l, i % n)).sum();
            let add = c.as_ref().map_or(0.0, |(c, s)| c[ravel(&unravel(i, &out), s)]);
            f64::from(self.alpha) * dot + f64::from(self.beta) * add
        });
        Ok(vec![Array::real(out.clone(), y.collect())])
    }

    fn role(&self) -> Role {
        Role::Product
    }

    fn macs(&self, inputs: &[Fact], output: &Fact) -> u64 {
        let k = inputs[0].shape[usize::from(!self.trans_a)];
        output.shape.numel() as u64 * k as u64
    }
}
