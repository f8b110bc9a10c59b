//! Axes as attributes state them: a negative one counts from the end.

use crate::base::Shape;
use crate::ir::attrs::Check;

/// The axis of `x` that `axis` means.
pub(crate) fn axis_of(x: &Shape, axis: i64) -> Check<usize> {
    x.axis(axis).ok_or_else(|| format!("axis {axis} for input {x}"))
}

/// The axes of `x` that `axes` mean, in the order given; each at most once.
pub(crate) fn axes_of(x: &Shape, axes: &[i64]) -> Check<Vec<usize>> {
    let mut found = Vec::with_capacity(axes.len().min(x.rank()));
    for &a in axes {
        let axis = axis_of(x, a)?;
        if found.contains(&axis) {
            return Err(format!("axis {a} of {x} is named twice in {axes:?}"));
        }
        found.push(axis);
    }
    Ok(found)
}

/// Numbers of elements before, along and after an axis.
pub(crate) fn around(x: &Shape, axis: usize) -> [usize; 3] {
    [x[..axis].iter().product(), x[axis], x[axis + 1..].iter().product()]
}
