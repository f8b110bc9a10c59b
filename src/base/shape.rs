//! Shapes: the sizes of a tensor's axes, row-major.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Deref;

/// Largest number of elements a tensor may have: 2^31, which is 8 GiB of f32. More is taken for a malformed file.
pub const MAX_ELEMENTS: usize = 1 << 31;

/// The sizes of a tensor's axes, outermost first. A scalar has none.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Shape(pub Vec<usize>);

impl Shape {
    /// The shape with these axes.
    pub fn new(dims: &[usize]) -> Self {
        Shape(dims.to_vec())
    }

    /// The shape of a scalar: no axes, one element.
    pub fn scalar() -> Self {
        Shape(Vec::new())
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements. Saturates; see [`Shape::checked_numel`] for shapes that come from a file.
    pub fn numel(&self) -> usize {
        self.0.iter().fold(1usize, |n, &d| n.saturating_mul(d))
    }

    /// Number of elements, or `None` where it exceeds [`MAX_ELEMENTS`].
    pub fn checked_numel(&self) -> Option<usize> {
        let n = self.0.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        (n <= MAX_ELEMENTS).then_some(n)
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank()];
        for i in (0..self.rank().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * self.0[i + 1];
        }
        strides
    }

    /// The shape of an elementwise result of `self` and `other` (ONNX / NumPy broadcasting), if there is one.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let dim = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |j| s.0[j]);
        (0..rank)
            .map(|i| match (dim(self, i), dim(other, i)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Shape)
    }

    /// `axis` counted from the front, where a negative one counts from the end. `None` where it is out of range.
    pub fn axis(&self, axis: i64) -> Option<usize> {
        let a = if axis < 0 { axis.checked_add(self.rank() as i64)? } else { axis };
        usize::try_from(a).ok().filter(|&a| a < self.rank())
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl From<Vec<usize>> for Shape {
    fn from(v: Vec<usize>) -> Self {
        Shape(v)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(v: [usize; N]) -> Self {
        Shape(v.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let s = |d: &[usize]| Shape::new(d);
        assert_eq!(s(&[2, 3, 1]).broadcast(&s(&[4])), Some(s(&[2, 3, 4])));
        assert_eq!(s(&[]).broadcast(&s(&[5])), Some(s(&[5])));
        assert_eq!(s(&[2]).broadcast(&s(&[3])), None);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert_eq!(Shape::new(&[usize::MAX, 2]).checked_numel(), None);
        assert_eq!(Shape::new(&[1 << 20, 1 << 20]).checked_numel(), None);
        assert_eq!(Shape::new(&[0, usize::MAX]).checked_numel(), Some(0));
    }
}
