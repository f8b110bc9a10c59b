//! Depthwise convolution: one input channel for each output channel, so that channels lie side by side in memory and
//! in registers.

mod float;
mod integer;

pub use integer::Interleaved;

use super::epilogue::FloatFinish;
use super::window::Walk;
use crate::base::{Result, Tensor};
#[cfg(all(target_arch = "x86_64", feature = "simd"))]
use crate::device::cpu::simd::{Avx2, Avx512, Vnni256};
use crate::device::cpu::simd::{Scalar, Simd};
use crate::device::cpu::{Family, Isa, Kernel, constant};
use crate::device::{Bound, Layout, Problem};
use crate::ir::Op;

/// AVX-512 VNNI with eight lanes: half as many channels a block.
pub const HALF: &str = "avx512-vnni-256";

/// The vectors of a variant.
macro_rules! with_variant {
    ($variant:expr, $S:ident => $body:expr) => {
        match &$variant[..] {
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            "avx512-vnni" => {
                type $S = Avx512;
                $body
            }
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            HALF => {
                type $S = Vnni256;
                $body
            }
            #[cfg(all(target_arch = "x86_64", feature = "simd"))]
            "avx2" => {
                type $S = Avx2;
                $body
            }
            _ => {
                type $S = Scalar;
                $body
            }
        }
    };
}

/// The family.
pub struct Depthwise;

impl Family for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn doc(&self) -> &'static str {
        "Conv with as many groups as channels, f32 and 8-bit: channels side by side"
    }

    /// The last channels of a pixel in f32 are computed in whole registers, some of them once more.
    fn computes_twice(&self, p: &Problem) -> bool {
        !p.is_int8()
    }

    fn variants(&self, p: &Problem, isa: Isa) -> Vec<&'static str> {
        let fits = match p.op() {
            Some(Op::Conv(c)) => {
                let w = &p.inputs[1];
                w.constant && w.shape[1] == 1 && w.shape[0] == c.groups && p.is_stored(Layout::ChannelsLast)
            }
            _ => false,
        };
        match (fits, isa) {
            (false, _) => vec![],
            (_, Isa::Avx512Vnni | Isa::Amx) => vec![HALF, Isa::Avx512Vnni.name()],
            _ => vec![isa.name()],
        }
    }

    fn writes_rows_apart(&self, p: &Problem) -> bool {
        p.op().is_some_and(|op| !op.fused().residual) // residuals are read at the places that are written
    }

    fn pack(&self, p: &Problem, variant: &str, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let walk = Walk::of(p);
        if let Some(w) = tensors[0].as_slice::<i8>() {
            let taps = walk.g.kernel[0] * walk.g.kernel[1];
            let sums: Vec<i32> = w.chunks(taps).map(|w| w.iter().map(|&w| i32::from(w)).sum()).collect();
            let lanes = with_variant!(variant, S => S::LANES);
            return Ok(vec![integer::interleaved(w, &walk, lanes), bytemuck::cast_slice(&sums).to_vec()]);
        }
        let w = tensors[0].as_slice::<f32>().unwrap_or_default();
        let rest = tensors[1..].iter().map(|t| t.bytes().to_vec());
        Ok(std::iter::once(float::side_by_side(w, &walk)).chain(rest).collect())
    }

    fn load(&self, step: &Bound, _: Isa) -> Result<Box<dyn Kernel>> {
        let p = &step.problem;
        if p.is_int8() {
            return Ok(with_variant!(&step.tactic.variant, S => Box::new(Interleaved::<S>::of(step)?)));
        }
        let walk = Walk::of(p);
        let pitch = p.outputs[0].pitch.unwrap_or(walk.outputs);
        let finish = FloatFinish::of(step, 1, walk.outputs)?;
        let w = constant(&step.packed, 0)?;
        Ok(
            with_variant!(&step.tactic.variant, S => Box::new(float::InPlace::<S>::new(walk, pitch, w, finish))),
        )
    }
}
