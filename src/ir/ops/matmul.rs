//! `MatMul`: product of the last two axes, broadcast over the others (NumPy's `matmul`).

use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, broadcast_strides, ravel, unravel};
use crate::ir::attrs::{Attrs, Check};
use crate::ir::graph::Fact;

/// Matrix product of two values.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MatMul;

/// The product of `[.., m, k]` and `[.., k, n]`, with the batch axes broadcast.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct MatMulDims {
    pub batch: Shape,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// For each of the two inputs, which of its matrices each product takes.
    pub matrix: [Vec<usize>; 2],
    /// The shape of the result.
    pub output: Shape,
}

impl MatMulDims {
    /// The dimensions of the product of values of these shapes.
    pub fn of(a: &Shape, b: &Shape) -> Check<Self> {
        let mut d = MatMulDims::without_matrices(a, b)?;
        d.matrix = [a, b].map(|s| {
            let head = Shape::new(&s[..s.rank().saturating_sub(2)]);
            let strides = broadcast_strides(&head, &d.batch);
            (0..d.batch.numel()).map(|i| ravel(&unravel(i, &d.batch), &strides)).collect()
        });
        Ok(d)
    }

    /// The dimensions alone: the lists of matrices can be long, and shapes are checked before anything is allocated.
    fn without_matrices(a: &Shape, b: &Shape) -> Check<Self> {
        let misfit = || format!("matrices {a} and {b} do not fit");
        if a.rank() == 0 || b.rank() == 0 {
            return Err(misfit());
        }
        // a vector stands for a row on the left and a column on the right; the axis is dropped from the result
        let (a2, b2) = (promote(a, true), promote(b, false));
        let (m, k) = (a2[a2.rank() - 2], a2[a2.rank() - 1]);
        let n = b2[b2.rank() - 1];
        if b2[b2.rank() - 2] != k {
            return Err(misfit());
        }
        let heads = [&a2, &b2].map(|s| Shape::new(&s[..s.rank() - 2]));
        let batch = heads[0].broadcast(&heads[1]).ok_or_else(misfit)?;
        let mut output = batch.clone();
        if a.rank() > 1 {
            output.0.push(m);
        }
        if b.rank() > 1 {
            output.0.push(n);
        }
        Ok(MatMulDims { batch, m, k, n, matrix: Default::default(), output })
    }
}

fn promote(s: &Shape, left: bool) -> Shape {
    match (s.rank(), left) {
        (1, true) => Shape::from([1, s[0]]),
        (1, false) => Shape::from([s[0], 1]),
        _ => s.clone(),
    }
}

impl Operator for MatMul {
    const KINDS: &'static [&'static str] = &["MatMul"];

    fn parse(_: &str, _: &mut Attrs) -> Check<Self> {
        Ok(MatMul)
    }

    fn kind(&self) -> &'static str {
        "MatMul"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 2..=2)?;
        let d = MatMulDims::without_matrices(&inputs[0].shape, &inputs[1].shape)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: d.output }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let d = MatMulDims::of(&inputs[0].shape, &inputs[1].shape)?;
        let (a, b) = (inputs[0].reals(), inputs[1].reals());
        let mut y = Vec::with_capacity(d.output.numel());
        for i in 0..d.batch.numel() {
            let (a, b) = (&a[d.matrix[0][i] * d.m * d.k..], &b[d.matrix[1][i] * d.k * d.n..]);
            for r in 0..d.m {
                for c in 0..d.n {
                    y.push((0..d.k).map(|k| a[r * d.k + k] * b[k * d.n + c]).sum());
                }
            }
        }
        Ok(vec![Array::real(d.output, y)])
    }

    fn role(&self) -> Role {
        Role::Product
    }

    fn macs(&self, inputs: &[Fact], output: &Fact) -> u64 {
        output.shape.numel() as u64 * inputs[0].shape.last().copied().unwrap_or(1) as u64
    }
}
