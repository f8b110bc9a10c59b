//! Convolutions whose weights are computed, or whose numbers are of other types than f32, f16 and 8 bits: by the definition.

use super::multiply::Sizes;
use super::rows::floats;
use super::values::{self, Kind};
use super::{Args, BLOCK, Family, Launch, ONE_BY_ONE, Places, Spec, countable, missing};
use crate::base::Result;
use crate::device::Problem;
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Axis, Text, along};
use crate::ir::Op;
use crate::ir::ops::Conv;

/// The family.
pub struct Computed;

impl Family for Computed {
    fn name(&self) -> &'static str {
        "computed"
    }

    fn doc(&self) -> &'static str {
        "convolutions of computed weights, or of floats other than f32 and f16: by definition"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        // what other families know they compute faster
        let known = conv(p).is_ok() && floats(p) && Sizes::of(p).is_none();
        if known && countable(p) { vec!["loops".into()] } else { vec![] }
    }

    fn products_per_cycle(&self, _: &Problem) -> Option<f64> {
        Some(ONE_BY_ONE)
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let (conv, x, w, y) = (conv(p)?, &p.inputs[0], &p.inputs[1], &p.outputs[0]);
        let g = conv.geometry(&x.shape, &w.shape).map_err(|_| missing(p))?;
        let kind = Kind::of(p.inputs.iter().map(|o| o.dtype));
        let walk = |strides: &[usize]| along(y, |a| strides[a]);
        let (xs, ws) = (x.strides(), w.strides());
        let text = values::numbers(Text::default().parameters(p), kind)
            .geometry(&g)
            .walk("channel", &walk(&[0, 1, 0, 0]))
            .walk("row", &walk(&[0, 0, 1, 0]))
            .walk("column", &walk(&[0, 0, 0, 1]))
            .walk("y0_at", &walk(&y.strides()))
            .defines(&[("COUNT", y.shape.numel()), ("OUTPUTS", w.shape[0])])
            .defines(&[("GROUPS", conv.groups), ("CHANNELS", w.shape[1])])
            .defines(&[("X_CHANNEL", xs[1]), ("X_ROW", xs[2]), ("X_COLUMN", xs[3])])
            .defines(&[("W_OUTPUT", ws[0]), ("W_CHANNEL", ws[1]), ("W_ROW", ws[2]), ("W_COLUMN", ws[3])])
            .define("X0(at)", values::read(x.dtype, "x0[at]"))
            .define("X1(at)", values::read(w.dtype, "x1[at]"));
        let text = after(text, p, conv, kind, &walk)?;
        Ok(text.raw(include_str!("../kernels/computed.cu")).source())
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let count = spec.problem.outputs[0].shape.numel();
        let args = Args::default().operands(at).constants(at);
        Ok(vec![Launch::images("computed", count, BLOCK, at, args)])
    }
}

/// `AFTER(t, i, k)`: bias, residual, function, activation.
fn after(
    mut text: Text,
    p: &Problem,
    conv: &Conv,
    kind: Kind,
    walk: &dyn Fn(&[usize]) -> Vec<Axis>,
) -> Result<Text> {
    let (bias, residual) = conv.fused.extra_inputs(p.inputs.len());
    let mut sum = "(t)".to_string();
    if bias {
        sum += &format!(" + {}", values::read(p.inputs[2].dtype, "x2[k]"));
    }
    if let Some(r) = residual {
        text = text.walk("residual_at", &walk(&p.inputs[r].strides()));
        sum += &format!(" + {}", values::read(p.inputs[r].dtype, &format!("x{r}[residual_at(i)]")));
    }
    if let Some(f) = &conv.fused.function {
        text = values::function(text, kind, f).ok_or_else(|| missing(p))?;
        sum = format!("function({sum})");
    }
    let activated = values::activated(conv.fused.activation, "t");
    Ok(text
        .raw(&format!("__device__ __forceinline__ N activated(N t) {{ return {activated}; }}"))
        .define("AFTER(t, i, k)", values::write(p.outputs[0].dtype, &format!("activated({sum})"))))
}

fn conv(p: &Problem) -> Result<&Conv> {
    match p.op() {
        Some(Op::Conv(conv)) => Ok(conv),
        _ => Err(missing(p)),
    }
}
