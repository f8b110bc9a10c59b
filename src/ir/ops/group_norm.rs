//! `InstanceNormalization` and `GroupNormalization`: groups of channels of each image to mean 0 and variance 1, then
//! scaled and shifted.
//!
//! Inputs: `x [1, C, ..]`, `scale` and `bias`, of `[C]`; those of GroupNormalization in opsets 18 to 20 are of
//! `[groups]`.

use super::layer_norm::normalize;
use super::{Operator, Role, arity};
use crate::ir::array::Array;
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Normalization of groups of channels.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupNorm {
    /// How many groups; `None` makes each channel one (InstanceNormalization).
    pub groups: Option<usize>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Operator for GroupNorm {
    const KINDS: &'static [&'static str] = &["InstanceNormalization", "GroupNormalization"];

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        let groups = match kind {
            "GroupNormalization" => {
                attrs.int("stash_type")?;
                let n = attrs.int("num_groups")?.ok_or("attribute `num_groups` is missing")?;
                Some(usize::try_from(n).ok().filter(|&n| n > 0).ok_or(format!("num_groups is {n}"))?)
            }
            _ => None,
        };
        Ok(GroupNorm { groups, epsilon: attrs.float("epsilon")?.unwrap_or(1e-5) })
    }

    fn kind(&self) -> &'static str {
        if self.groups.is_some() { "GroupNormalization" } else { "InstanceNormalization" }
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new().with_unless(self.epsilon == 1e-5, "epsilon", Attr::Float(self.epsilon));
        self.groups.map_or(attrs.clone(), |n| attrs.with("num_groups", Attr::Int(n as i64)))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 3..=3)?;
        let x = &inputs[0].shape;
        if x.rank() < 3 {
            return Err(format!("input {x} has no axes after its channels"));
        }
        let groups = self.groups.unwrap_or(x[1]);
        if groups == 0 || !x[1].is_multiple_of(groups) {
            return Err(format!("{groups} groups of {} channels", x[1]));
        }
        for p in &inputs[1..] {
            if *p.shape != [x[1]] && *p.shape != [groups] {
                return Err(format!("scale or bias {} for {} channels", p.shape, x[1]));
            }
        }
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let s = &inputs[0].shape;
        let (channels, area) = (s[1], s[2..].iter().product::<usize>());
        let groups = self.groups.unwrap_or(channels).max(1);
        let (scale, bias) = (inputs[1].reals(), inputs[2].reals());
        let mut y = inputs[0].reals();
        y.chunks_exact_mut((channels / groups * area).max(1)).for_each(|g| normalize(g, self.epsilon));
        let of = |p: &[f64], c: usize| p[c * p.len() / channels];
        for (i, y) in y.iter_mut().enumerate() {
            let c = i / area % channels;
            *y = *y * of(&scale, c) + of(&bias, c);
        }
        Ok(vec![Array::real(s.clone(), y)])
    }

    fn role(&self) -> Role {
        Role::Float
    }
}
