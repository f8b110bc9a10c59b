//! `Softmax` and `LogSoftmax`.

use super::axes::{around, axis_of};
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// `exp(x_i) / sum_j exp(x_j)` along an axis, or its logarithm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Softmax {
    /// The axis; negative ones count from the end.
    pub axis: i64,
    /// The logarithm of it.
    pub log: bool,
    /// The sum runs over `axis` and all axes after it, as before opset 13. The importer passes the attribute
    /// `flatten` = 1 there; the default of `axis` is then 1 instead of -1.
    pub flatten: bool,
}

impl Softmax {
    /// Numbers of elements before, along and after what is summed over.
    pub fn extent(&self, x: &Shape) -> Check<[usize; 3]> {
        let axis = axis_of(x, self.axis)?;
        let [outer, n, inner] = around(x, axis);
        Ok(if self.flatten { [outer, n * inner, 1] } else { [outer, n, inner] })
    }
}

impl Operator for Softmax {
    const KINDS: &'static [&'static str] = &["Softmax", "LogSoftmax"];

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        let flatten = attrs.flag("flatten", false)?;
        let axis = attrs.int("axis")?.unwrap_or(if flatten { 1 } else { -1 });
        Ok(Softmax { axis, log: kind == "LogSoftmax", flatten })
    }

    fn kind(&self) -> &'static str {
        if self.log { "LogSoftmax" } else { "Softmax" }
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("axis", Attr::Int(self.axis)).with_unless(!self.flatten, "flatten", Attr::Int(1))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        self.extent(&inputs[0].shape)?;
        Ok(inputs.to_vec())
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let mut y = inputs[0].reals();
        let [outer, n, inner] = self.extent(&inputs[0].shape)?;
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let at = |k: usize| (o * n + k) * inner + i;
            let max = (0..n).map(|k| y[at(k)]).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = (0..n).map(|k| (y[at(k)] - max).exp()).sum();
            for k in 0..n {
                let shifted = y[at(k)] - max;
                y[at(k)] = if self.log { shifted - sum.ln() } else { shifted.exp() / sum };
            }
        }
        Ok(vec![Array::real(inputs[0].shape.clone(), y)])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_opsets_sum_over_all_later_axes() {
        let x = Array::real([1, 2, 2], vec![0.0; 4]);
        let op = |flatten| Softmax { axis: 1, log: false, flatten };
        assert_eq!(op(true).eval(&[&x]).unwrap()[0].reals(), [0.25; 4]);
        assert_eq!(op(false).eval(&[&x]).unwrap()[0].reals(), [0.5; 4]);
    }
}
