//! Conversions between types, scales and layouts.

use super::{Args, BLOCK, Family, Launch, Places, Spec};
use crate::base::Result;
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::Text;
use crate::device::numerics::Output;
use crate::device::{Numerics, Work};

/// The family.
pub struct Reformat;

impl Family for Reformat {
    fn name(&self) -> &'static str {
        "reformat"
    }

    fn doc(&self) -> &'static str {
        "conversions between types, scales and layouts"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let known = matches!(
            spec.numerics,
            Numerics::Float | Numerics::Integers | Numerics::Quantize(_) | Numerics::Rescale { .. }
        );
        if spec.problem.work == Work::Reformat && known { vec!["element".into()] } else { vec![] }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let text = Text::default().operand("x", &p.inputs[0]).operand("y", &p.outputs[0]);
        let text = match spec.numerics {
            Numerics::Quantize(q) => text
                .define("QUANTIZE", 1)
                .number("SCALE", q.scale.get())
                .store("store", &Output::unbounded(*q)),
            Numerics::Rescale { inputs, output } => (text.define("RESCALE", 1))
                .number("RATIO", inputs[0].0)
                .define("ZERO_POINT", inputs[0].1)
                .store("store", output),
            _ => text,
        };
        Ok(text.raw(include_str!("../kernels/reformat.cu")).source())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let count = spec.problem.outputs[0].shape.numel();
        Ok(vec![Launch::images("reformat", count, BLOCK, at, Args::default().operands(at))])
    }
}
