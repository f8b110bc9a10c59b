//! `LRN`: local response normalization over neighbouring channels (Krizhevsky, Sutskever and Hinton, 2012, 3.3).
//! Input: `[1, C, ..]`.

use super::axes::around;
use super::{Operator, Role, arity};
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// `x / (bias + alpha / size * sum of x^2 over size channels around) ^ beta`.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub struct Lrn {
    pub size: usize,
    pub alpha: f32,
    pub beta: f32,
    pub bias: f32,
}

impl Lrn {
    /// The channels, of so many, whose squares count for channel `c`. An even size reaches one further ahead.
    pub fn neighbours(&self, c: usize, channels: usize) -> std::ops::RangeInclusive<usize> {
        c.saturating_sub((self.size - 1) / 2)..=c.saturating_add(self.size / 2).min(channels - 1)
    }
}

impl Operator for Lrn {
    const KINDS: &'static [&'static str] = &["LRN"];

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        let size = attrs.int("size")?.ok_or("attribute `size` is missing")?;
        Ok(Lrn {
            size: usize::try_from(size).ok().filter(|&n| n > 0).ok_or(format!("size is {size}"))?,
            alpha: attrs.float("alpha")?.unwrap_or(1e-4),
            beta: attrs.float("beta")?.unwrap_or(0.75),
            bias: attrs.float("bias")?.unwrap_or(1.0),
        })
    }

    fn kind(&self) -> &'static str {
        "LRN"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("size", Attr::Int(self.size as i64))
            .with_unless(self.alpha == 1e-4, "alpha", Attr::Float(self.alpha))
            .with_unless(self.beta == 0.75, "beta", Attr::Float(self.beta))
            .with_unless(self.bias == 1.0, "bias", Attr::Float(self.bias))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        match inputs[0].shape.rank() {
            0 | 1 => Err(format!("input {} has no axis of channels", inputs[0].shape)),
            _ => Ok(inputs.to_vec()),
        }
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0].reals();
        let [_, channels, area] = around(&inputs[0].shape, 1);
        let y = (0..x.len()).map(|i| {
            let c = i / area % channels;
            let sum: f64 = self.neighbours(c, channels).map(|k| x[i + k * area - c * area].powi(2)).sum();
            let base = f64::from(self.bias) + f64::from(self.alpha) / self.size as f64 * sum;
            x[i] / base.powf(f64::from(self.beta))
        });
        Ok(vec![Array::real(inputs[0].shape.clone(), y.collect())])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}
