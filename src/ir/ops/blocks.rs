//! `DepthToSpace` and `SpaceToDepth`: blocks of pixels to channels and back. Input: `[1, C, H, W]`.

use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, unravel};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Which way blocks of `size` x `size` pixels go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Blocks {
    /// Channels become pixels of a block.
    DepthToSpace {
        /// Height and width of a block.
        size: usize,
        /// The channel is the slowest part of the input's channel index (mode CRD, pixel shuffle); else the place in
        /// the block is (mode DCR).
        channel_first: bool,
    },
    /// Pixels of a block become channels; the place in the block is the slowest part of the channel index.
    SpaceToDepth {
        /// Height and width of a block.
        size: usize,
    },
}

impl Blocks {
    fn output(&self, x: &Shape) -> Check<Shape> {
        if x.rank() != 4 {
            return Err(format!("input {x}: rank 4 is expected"));
        }
        let misfit = || format!("input {x} does not divide into blocks of {}", self.size());
        let b = self.size();
        let area = b.checked_mul(b).ok_or_else(misfit)?;
        match self {
            Blocks::DepthToSpace { .. } if x[1].is_multiple_of(area) => {
                Ok([x[0], x[1] / area, x[2].saturating_mul(b), x[3].saturating_mul(b)].into())
            }
            Blocks::SpaceToDepth { .. } if x[2].is_multiple_of(b) && x[3].is_multiple_of(b) => {
                Ok([x[0], x[1].saturating_mul(area), x[2] / b, x[3] / b].into())
            }
            _ => Err(misfit()),
        }
    }

    fn size(&self) -> usize {
        match self {
            Blocks::DepthToSpace { size, .. } | Blocks::SpaceToDepth { size } => *size,
        }
    }
}

impl Operator for Blocks {
    const KINDS: &'static [&'static str] = &["DepthToSpace", "SpaceToDepth"];

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        let size = attrs.int("blocksize")?.ok_or("attribute `blocksize` is missing")?;
        let size = usize::try_from(size).ok().filter(|&b| b > 0).ok_or(format!("blocksize is {size}"))?;
        if kind == "SpaceToDepth" {
            return Ok(Blocks::SpaceToDepth { size });
        }
        let channel_first = match attrs.text("mode")?.as_deref() {
            None | Some("DCR") => false,
            Some("CRD") => true,
            Some(other) => return Err(format!("mode `{other}` is unknown")),
        };
        Ok(Blocks::DepthToSpace { size, channel_first })
    }

    fn kind(&self) -> &'static str {
        match self {
            Blocks::DepthToSpace { .. } => "DepthToSpace",
            Blocks::SpaceToDepth { .. } => "SpaceToDepth",
        }
    }

    fn attrs(&self) -> Attrs {
        let crd = matches!(self, Blocks::DepthToSpace { channel_first: true, .. });
        Attrs::new().with("blocksize", Attr::Int(self.size() as i64)).with_unless(
            !crd,
            "mode",
            Attr::Str("CRD".into()),
        )
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: self.output(&inputs[0].shape)? }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = &inputs[0].shape;
        let (y, b) = (self.output(x)?, self.size());
        let index = |n: usize, c: usize, h: usize, w: usize| ((n * x[1] + c) * x[2] + h) * x[3] + w;
        Ok(vec![inputs[0].gather(y.clone(), |i| {
            let at = unravel(i, &y);
            let (n, c, h, w) = (at[0], at[1], at[2], at[3]);
            Some(match self {
                Blocks::DepthToSpace { channel_first, .. } => {
                    let place = h % b * b + w % b;
                    let from = if *channel_first { c * b * b + place } else { place * y[1] + c };
                    index(n, from, h / b, w / b)
                }
                Blocks::SpaceToDepth { .. } => {
                    let (place, from) = (c / x[1], c % x[1]);
                    index(n, from, h * b + place / b, w * b + place % b)
                }
            })
        })])
    }

    fn role(&self) -> Role {
        Role::Move
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_to_depth_undoes_depth_to_space() {
        let x = Array::int([1, 8, 1, 2], (0..16).collect());
        let there = Blocks::DepthToSpace { size: 2, channel_first: false };
        let y = there.eval(&[&x]).unwrap();
        // row 0 of channel 0: channels 0 and 2 (its first two places) of the first pixel, then of the second
        assert_eq!(y[0].ints()[..4], [0, 4, 1, 5]);
        assert_eq!(Blocks::SpaceToDepth { size: 2 }.eval(&[&y[0]]).unwrap()[0], x);
        assert!(Blocks::SpaceToDepth { size: usize::MAX }.infer(&[Fact::f32([1, 1, 2, 2])]).is_err());
    }
}
