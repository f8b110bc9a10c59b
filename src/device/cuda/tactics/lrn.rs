//! Local response normalization.

use super::rows::floats;
use super::values::{self, Kind};
use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing};
use crate::base::Result;
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Text, along};
use crate::device::{Operand, Problem};
use crate::ir::Op;
use crate::ir::ops::Lrn;

/// The family.
pub struct Neighbours;

impl Family for Neighbours {
    fn name(&self) -> &'static str {
        "lrn"
    }

    fn doc(&self) -> &'static str {
        "local response normalization"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        if lrn(p).is_ok() && floats(p) && countable(p) { vec!["element".into()] } else { vec![] }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let (n, x, y) = (lrn(p)?, &p.inputs[0], &p.outputs[0]);
        let walk = |strides: &[usize]| along(y, |a| strides[a]);
        let channel: Vec<usize> = (0..y.shape.rank()).map(|a| usize::from(a == 1)).collect();
        let kind = Kind::of(std::iter::once(x.dtype));
        let text = values::numbers(Text::default().parameters(p), kind)
            .define("READ(e)", values::read(x.dtype, "e"))
            .define("STORED(t)", values::write(y.dtype, "t"))
            .walk("x0_at", &walk(&x.strides()))
            .walk("y0_at", &walk(&y.strides()))
            .walk("channel", &walk(&channel))
            .defines(&[("COUNT", y.shape.numel()), ("CHANNELS", x.shape[1])])
            .defines(&[("BEFORE", (n.size - 1) / 2), ("AFTER", n.size / 2)])
            .define("CHANNEL_STRIDE", x.strides()[1])
            .number("ALPHA", n.alpha / n.size as f32)
            .number("BETA", n.beta)
            .number("BIAS", n.bias);
        Ok(text.raw(include_str!("../kernels/lrn.cu")).source())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let count = spec.problem.outputs[0].shape.numel();
        Ok(vec![Launch::images("lrn", count, BLOCK, at, Args::default().operands(at))])
    }
}

fn lrn(p: &Problem) -> Result<&Lrn> {
    let constant = |o: &Operand| o.constant;
    match p.op() {
        Some(Op::Lrn(n)) if !p.inputs.iter().any(constant) => Ok(n),
        _ => Err(missing(p)),
    }
}
