//! Linear interpolation of images, f32 and f16, along any axes. (Resizing to the nearest element only moves.)

use super::{Args, BLOCK, Family, Launch, Places, Spec, countable, missing};
use crate::base::{DType, Result, Tensor};
use crate::device::Problem;
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Text, along};
use crate::ir::Op;
use crate::ir::ops::resize::Taps;

/// The family.
pub struct Interpolation;

impl Family for Interpolation {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn doc(&self) -> &'static str {
        "Resize by linear interpolation, f32 and f16"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        let float = p.inputs.iter().chain(&p.outputs).all(|o| matches!(o.dtype, DType::F32 | DType::F16));
        if taps(p).is_ok() && float && countable(p) { vec!["linear".into()] } else { vec![] }
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let (taps, x, y) = (taps(p)?, &p.inputs[0], &p.outputs[0]);
        let walk = |stride: &dyn Fn(usize) -> usize| along(y, stride);
        let same = |a: usize| if taps[a] == Taps::Same { x.strides()[a] } else { 0 };
        let mut text = (Text::default().parameters(p))
            .walk("x0_at", &walk(&same))
            .walk("y0_at", &walk(&|a| y.strides()[a]))
            .define("COUNT", y.shape.numel());
        let (mut list, mut start) = (Vec::new(), 0);
        for (axis, of) in taps.iter().enumerate() {
            if let Taps::Between(all) = of {
                let name = format!("index{axis}");
                text = text.walk(&name, &walk(&|a| usize::from(a == axis)));
                list.push(format!("taps[{start} + {name}(i)]"));
                start += all.len();
            }
        }
        let text = text.define("AXES", list.len()).define("TAPS(i)", list.join(", "));
        Ok(text.raw(include_str!("../kernels/resize.cu")).source())
    }

    fn pack(&self, spec: &Spec, _: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let strides = spec.problem.inputs[0].strides();
        let mut bytes = Vec::new();
        for (axis, of) in taps(spec.problem)?.into_iter().enumerate() {
            let Taps::Between(all) = of else { continue };
            for (first, second, weight) in all {
                bytes.extend(((first * strides[axis]) as u32).to_le_bytes());
                bytes.extend(((second * strides[axis]) as u32).to_le_bytes());
                bytes.extend((weight as f32).to_le_bytes());
            }
        }
        Ok(vec![bytes])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let count = spec.problem.outputs[0].shape.numel();
        Ok(vec![Launch::images("resize", count, BLOCK, at, Args::default().operands(at).constants(at))])
    }
}

/// For each axis, what is taken; at least one is interpolated.
fn taps(p: &Problem) -> Result<Vec<Taps>> {
    let taps = match p.op() {
        Some(Op::Resize(r)) if r.nearest.is_none() && !p.inputs[0].constant => {
            r.taps(&p.inputs[0].shape).ok()
        }
        _ => None,
    };
    taps.filter(|t| t.iter().any(|t| *t != Taps::Same)).ok_or_else(|| missing(p))
}
