//! Gather with computed indices, of any type. (Constant ones only move.)

use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing};
use crate::base::Result;
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Text, along};
use crate::device::{Numerics, Problem};
use crate::ir::Op;

/// The family.
pub struct Chosen;

impl Family for Chosen {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn doc(&self) -> &'static str {
        "entries of an axis that computed indices choose, of any type"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        let moved = matches!(spec.numerics, Numerics::Float | Numerics::Integers);
        let known = axis(p).is_ok() && moved && p.inputs[0].dtype == p.outputs[0].dtype;
        if known && countable(p) { vec!["element".into()] } else { vec![] }
    }

    /// The output has the axes of the indices in place of the data's axis.
    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let axis = axis(p)?;
        let (x, indices, y) = (&p.inputs[0], &p.inputs[1], &p.outputs[0]);
        let chosen = axis..axis + indices.shape.rank();
        let of_data = |a: usize| match a {
            a if chosen.contains(&a) => 0,
            a if a < axis => x.strides()[a],
            a => x.strides()[a + 1 - indices.shape.rank()],
        };
        let of_indices = |a: usize| if chosen.contains(&a) { indices.strides()[a - axis] } else { 0 };
        let walk = |stride: &dyn Fn(usize) -> usize| along(y, stride);
        let text = (Text::default().parameters(p))
            .walk("x0_at", &walk(&of_data))
            .walk("index_at", &walk(&of_indices))
            .walk("y0_at", &walk(&|a| y.strides()[a]))
            .defines(&[("COUNT", y.shape.numel()), ("ENTRIES", x.shape[axis]), ("ENTRY", x.strides()[axis])]);
        Ok(text.raw(include_str!("../kernels/gather.cu")).source())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let count = spec.problem.outputs[0].shape.numel();
        Ok(vec![Launch::images("gather", count, BLOCK, at, Args::default().operands(at).constants(at))])
    }
}

/// The axis of the data, where the indices are computed or the data is a constant.
fn axis(p: &Problem) -> Result<usize> {
    let axis = match p.op() {
        Some(Op::Gather(g)) if !p.inputs[1].constant => p.inputs[0].shape.axis(g.axis),
        _ => None,
    };
    axis.ok_or_else(|| missing(p))
}
