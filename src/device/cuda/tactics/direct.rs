//! Convolutions and products with constant weights by plain loops: any groups, strides, dilations and padding, floats
//! and 8 bits. Slow, and always there.

use super::{Args, BLOCK, Family, Launch, ONE_BY_ONE, Places, Spec, multiply};
use crate::base::{Result, Tensor};
use crate::device::Problem;
use crate::device::cuda::compiler::Source;

/// The family.
pub struct Direct;

impl Family for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn doc(&self) -> &'static str {
        "convolutions and products with constant weights, f32, f16 and 8-bit: plain loops"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        if multiply::Sizes::of(spec.problem).is_some() { vec!["loops".into()] } else { vec![] }
    }

    fn products_per_cycle(&self, _: &Problem) -> Option<f64> {
        Some(ONE_BY_ONE)
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let text = multiply::text(spec)?.raw(include_str!("../kernels/finish.cuh"));
        Ok(text.raw(include_str!("../kernels/direct.cu")).source())
    }

    fn pack(&self, spec: &Spec, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let [m, b] = multiply::scales(spec, tensors);
        Ok(vec![multiply::channels_last(&tensors[0]), m, b])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let count = spec.problem.outputs[0].shape.numel();
        let args = Args::default().operands(at).constants(at);
        Ok(vec![Launch::images("direct", count, BLOCK, at, args)])
    }
}
