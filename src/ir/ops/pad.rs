//! `Pad`: more at the ends of the axes, or less.

use super::axes::axes_of;
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, Data, ravel, unravel};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// What stands in the padding.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum PadMode {
    /// A constant.
    Constant(f32),
    /// The tensor mirrored at its first and last element, which is not repeated.
    Reflect,
    /// The nearest element.
    Edge,
    /// The tensor over again, from its other end.
    Wrap,
}

/// Padding. `pads`, the value and the axes are attributes before opset 11, inputs 1 to 3 since (axes since 18).
#[derive(Clone, PartialEq, Debug)]
pub struct Pad {
    /// What stands in the padding.
    pub mode: PadMode,
    /// Before each axis, then after each; a negative number cuts off.
    pub pads: Vec<i64>,
    /// The axes they are of; empty means all.
    pub axes: Vec<i64>,
}

impl Pad {
    /// What comes before and after every axis of an input of this shape.
    pub fn ends(&self, x: &Shape) -> Check<Vec<[i64; 2]>> {
        let axes = match self.axes.is_empty() {
            true => (0..x.rank()).collect(),
            false => axes_of(x, &self.axes)?,
        };
        if self.pads.len() != 2 * axes.len() {
            return Err(format!("{} pads for {} axes of {x}", self.pads.len(), axes.len()));
        }
        let mut ends = vec![[0; 2]; x.rank()];
        for (i, &a) in axes.iter().enumerate() {
            ends[a] = [self.pads[i], self.pads[i + axes.len()]];
        }
        Ok(ends)
    }

    fn output(&self, x: &Shape) -> Check<Shape> {
        let mut shape = x.clone();
        for (a, [before, after]) in self.ends(x)?.into_iter().enumerate() {
            let size = i64::try_from(x[a]).ok().and_then(|n| n.checked_add(before)?.checked_add(after));
            shape.0[a] = size
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(|| format!("pads {before} and {after} for an axis of {}", x[a]))?;
            let room = match self.mode {
                PadMode::Constant(_) => i64::MAX,
                PadMode::Reflect => x[a] as i64 - 1,
                PadMode::Edge if x[a] > 0 => i64::MAX,
                PadMode::Edge => 0,
                PadMode::Wrap => x[a] as i64,
            };
            if before.max(after) > room.max(0) {
                return Err(format!("an axis of {} has not enough for pads {before} and {after}", x[a]));
            }
        }
        Ok(shape)
    }

    /// The input index at output index `o` of an axis of `n`, unless the constant stands there.
    fn source(&self, o: usize, before: i64, n: usize) -> Option<usize> {
        let (i, n) = (o as i64 - before, n as i64);
        let j = match self.mode {
            PadMode::Constant(_) => return usize::try_from(i).ok().filter(|_| i < n),
            PadMode::Reflect => {
                let back = i.rem_euclid((2 * (n - 1)).max(1));
                back.min(2 * (n - 1) - back)
            }
            PadMode::Edge => i.clamp(0, n - 1),
            PadMode::Wrap => i.rem_euclid(n),
        };
        usize::try_from(j).ok()
    }
}

impl Operator for Pad {
    const KINDS: &'static [&'static str] = &["Pad"];

    fn parameters(_: &str) -> &'static [(usize, &'static str)] {
        &[(1, "pads"), (2, "value"), (3, "axes")]
    }

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        let value = attrs.float("value")?.unwrap_or(0.0);
        let mode = match attrs.text("mode")?.as_deref() {
            None | Some("constant") => PadMode::Constant(value),
            Some("reflect") => PadMode::Reflect,
            Some("edge") => PadMode::Edge,
            Some("wrap") => PadMode::Wrap,
            Some(other) => return Err(format!("mode `{other}` is unknown")),
        };
        Ok(Pad {
            mode,
            pads: attrs.ints("pads")?.ok_or("attribute `pads` is missing")?,
            axes: attrs.ints("axes")?.unwrap_or_default(),
        })
    }

    fn kind(&self) -> &'static str {
        "Pad"
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new().with("pads", Attr::Ints(self.pads.clone())).with_unless(
            self.axes.is_empty(),
            "axes",
            Attr::Ints(self.axes.clone()),
        );
        match self.mode {
            PadMode::Constant(v) => attrs.with_unless(v == 0.0, "value", Attr::Float(v)),
            PadMode::Reflect => attrs.with("mode", Attr::Str("reflect".into())),
            PadMode::Edge => attrs.with("mode", Attr::Str("edge".into())),
            PadMode::Wrap => attrs.with("mode", Attr::Str("wrap".into())),
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: self.output(&inputs[0].shape)? }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = inputs[0];
        let (ends, shape, strides) = (self.ends(&x.shape)?, self.output(&x.shape)?, x.shape.strides());
        let from = |i: usize| {
            let at = unravel(i, &shape);
            let at: Option<Vec<usize>> =
                (0..at.len()).map(|a| self.source(at[a], ends[a][0], x.shape[a])).collect();
            at.map(|at| ravel(&at, &strides))
        };
        let mut y = x.gather(shape.clone(), from);
        if let PadMode::Constant(value) = self.mode {
            let outside = (0..shape.numel()).filter(|&i| from(i).is_none());
            match &mut y.data {
                Data::Real(y) => outside.for_each(|i| y[i] = f64::from(value)),
                Data::Int(y) => outside.for_each(|i| y[i] = value as i64),
            }
        }
        Ok(vec![y])
    }

    /// A constant other than 0 need not be a number that the integers represent.
    fn role(&self) -> Role {
        match self.mode {
            PadMode::Constant(v) if v != 0.0 => Role::Float,
            _ => Role::Move,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(mode: PadMode, pads: [i64; 2]) -> Vec<i64> {
        let x = Array::int([3], vec![1, 2, 3]);
        Pad { mode, pads: pads.to_vec(), axes: vec![-1] }.eval(&[&x]).unwrap()[0].ints()
    }

    #[test]
    fn modes_are_those_of_numpy() {
        assert_eq!(padded(PadMode::Constant(7.0), [1, 2]), [7, 1, 2, 3, 7, 7]);
        assert_eq!(padded(PadMode::Constant(7.0), [-1, 1]), [2, 3, 7]);
        assert_eq!(padded(PadMode::Reflect, [2, 1]), [3, 2, 1, 2, 3, 2]);
        assert_eq!(padded(PadMode::Edge, [2, 1]), [1, 1, 1, 2, 3, 3]);
        assert_eq!(padded(PadMode::Wrap, [2, 1]), [2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn hostile_pads_are_refused() {
        let fact = [Fact::f32([3])];
        let pad = |mode, pads: [i64; 2]| Pad { mode, pads: pads.to_vec(), axes: vec![] }.infer(&fact);
        assert!(pad(PadMode::Constant(0.0), [i64::MAX, i64::MAX]).is_err());
        assert!(pad(PadMode::Constant(0.0), [-4, 0]).is_err());
        assert!(pad(PadMode::Reflect, [3, 0]).is_err());
    }
}
