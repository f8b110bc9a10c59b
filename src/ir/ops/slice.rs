//! `Slice`: every `step`-th index from `start` to before `end`, along some axes.

use super::axes::axes_of;
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::ir::array::{Array, ravel, unravel};
use crate::ir::attrs::{Attr, Attrs, Check};
use crate::ir::graph::Fact;

/// Slices as Python takes them. Attributes before opset 10, inputs 1 to 4 since, under the same names.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Slice {
    pub starts: Vec<i64>,
    pub ends: Vec<i64>,
    /// Empty means the first ones.
    pub axes: Vec<i64>,
    /// Empty means 1; never 0.
    pub steps: Vec<i64>,
}

/// The slice of one axis: indices `start`, `start + step`, .., `count` of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Span {
    pub start: usize,
    pub step: i64,
    pub count: usize,
}

impl Slice {
    /// The slice of every axis of an input of this shape.
    pub fn spans(&self, x: &Shape) -> Check<Vec<Span>> {
        let k = self.starts.len();
        let fits = |list: &[i64]| list.is_empty() || list.len() == k;
        if self.ends.len() != k || !fits(&self.axes) || !fits(&self.steps) {
            return Err("starts, ends, axes and steps differ in number".into());
        }
        let mut spans: Vec<Span> = x.iter().map(|&count| Span { start: 0, step: 1, count }).collect();
        let axes = match self.axes.is_empty() {
            true if k > x.rank() => return Err(format!("{k} slices for input {x}")),
            true => (0..k).collect(),
            false => axes_of(x, &self.axes)?,
        };
        for (i, axis) in axes.into_iter().enumerate() {
            let step = self.steps.get(i).copied().unwrap_or(1);
            if step == 0 {
                return Err("a step is 0".into());
            }
            spans[axis] = span(x[axis], self.starts[i], self.ends[i], step);
        }
        Ok(spans)
    }
}

/// Clamps as ONNX does. In i128, where nothing overflows.
fn span(size: usize, start: i64, end: i64, step: i64) -> Span {
    let n = size as i128;
    let from_front = |i: i64| i128::from(i) + if i < 0 { n } else { 0 };
    let (lo, hi) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let first = from_front(start).clamp(lo.max(0).min(hi), hi);
    let last = from_front(end).clamp(lo, hi);
    let step128 = i128::from(step);
    let count = (last - first + step128 - step128.signum()) / step128;
    Span { start: first.max(0) as usize, step, count: count.clamp(0, n) as usize }
}

impl Operator for Slice {
    const KINDS: &'static [&'static str] = &["Slice"];

    fn parameters(_: &str) -> &'static [(usize, &'static str)] {
        &[(1, "starts"), (2, "ends"), (3, "axes"), (4, "steps")]
    }

    fn parse(_: &str, attrs: &mut Attrs) -> Check<Self> {
        Ok(Slice {
            starts: attrs.ints("starts")?.ok_or("attribute `starts` is missing")?,
            ends: attrs.ints("ends")?.ok_or("attribute `ends` is missing")?,
            axes: attrs.ints("axes")?.unwrap_or_default(),
            steps: attrs.ints("steps")?.unwrap_or_default(),
        })
    }

    fn kind(&self) -> &'static str {
        "Slice"
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("starts", Attr::Ints(self.starts.clone()))
            .with("ends", Attr::Ints(self.ends.clone()))
            .with_unless(self.axes.is_empty(), "axes", Attr::Ints(self.axes.clone()))
            .with_unless(self.steps.is_empty(), "steps", Attr::Ints(self.steps.clone()))
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        let spans = self.spans(&inputs[0].shape)?;
        let shape = Shape(spans.iter().map(|s| s.count).collect());
        Ok(vec![Fact { dtype: inputs[0].dtype, shape }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let x = &inputs[0].shape;
        let spans = self.spans(x)?;
        let shape = Shape(spans.iter().map(|s| s.count).collect());
        let strides = x.strides();
        Ok(vec![inputs[0].gather(shape.clone(), |i| {
            let at = unravel(i, &shape);
            let source = |(&o, s): (&usize, &Span)| (s.start as i64 + o as i64 * s.step) as usize;
            Some(ravel(&at.iter().zip(&spans).map(source).collect::<Vec<_>>(), &strides))
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
    fn spans_are_those_of_python() {
        let of = |start, end, step| span(5, start, end, step);
        assert_eq!(of(1, 4, 2), Span { start: 1, step: 2, count: 2 });
        assert_eq!(of(-2, i64::MAX, 1), Span { start: 3, step: 1, count: 2 });
        assert_eq!(of(i64::MAX, i64::MIN, -2), Span { start: 4, step: -2, count: 3 });
        assert_eq!(of(3, 1, 1).count, 0);
        assert_eq!(of(i64::MIN, i64::MAX, i64::MAX), Span { start: 0, step: i64::MAX, count: 1 });
        assert_eq!(span(0, -1, i64::MIN, -1).count, 0);
    }
}
