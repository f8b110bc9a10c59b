//! Maximum and mean over windows or whole images, channels-last: floats and 8 bits, several channels a thread.

use super::multiply::pitch;
use super::{Args, BLOCK, Family, Launch, Places, Spec, bytes_of, countable, missing};
use crate::base::quant::limits;
use crate::base::{DType, Result, Tensor};
use crate::device::cuda::compiler::Source;
use crate::device::cuda::text::{Text, literal};
use crate::device::{Layout, Numerics, Problem};
use crate::ir::Op;
use crate::ir::ops::{Geometry, Pool, PoolFn};

/// The family.
pub struct Pooling;

impl Family for Pooling {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn doc(&self) -> &'static str {
        "maximum and mean over windows or whole images, f32, f16 and 8-bit"
    }

    fn variants(&self, spec: &Spec) -> Vec<String> {
        let p = spec.problem;
        let Some((pool, g)) = pooling(p) else { return vec![] };
        let (x, y) = (p.inputs[0].dtype, p.outputs[0].dtype);
        let known = match (spec.numerics, pool.f) {
            (Numerics::Float, _) => [x, y].iter().all(|t| matches!(t, DType::F32 | DType::F16)),
            (Numerics::Integers, PoolFn::Max) => x.is_int8() && y == x,
            (Numerics::Average { .. }, PoolFn::Average { .. }) => x.is_int8(),
            _ => false,
        };
        if !known || !countable(p) {
            return vec![];
        }
        let name = if pool.f == PoolFn::Max { "max" } else { "average" };
        let shared = is_shared(p, &g).then(|| format!("{name}{SHARED}"));
        [name.into()].into_iter().chain(shared).collect()
    }

    fn source(&self, spec: &Spec) -> Result<Source> {
        let p = spec.problem;
        let (_, g) = pooling(p).ok_or_else(|| missing(p))?;
        let channels = p.inputs[0].shape[1];
        let text = Text::default().parameters(p).geometry(&g).defines(&[
            ("CHANNELS", channels),
            ("X_PITCH", pitch(&p.inputs[0], channels)),
            ("Y_PITCH", pitch(&p.outputs[0], channels)),
            ("LANES", lanes(p)),
        ]);
        let text = match (spec.numerics, spec.variant) {
            (Numerics::Average { zero_point, output, .. }, _) => {
                (text.store("store", output, p.outputs[0].dtype))
                    .defines(&[("SUM_T", "int"), ("START", "0")])
                    .define("TERM(x)", format!("((int)(x) - {zero_point})"))
                    .define("JOIN(s, x)", "((s) + (x))")
                    .define("FINISH(s, by)", "store(__fmul_rn((float)(s), by))")
            }
            (_, "average") => (text.defines(&[("SUM_T", "float"), ("START", "0"), ("TERM(x)", "x")]))
                .define("JOIN(s, x)", "__fadd_rn(s, x)")
                .define("FINISH(s, by)", "__fdiv_rn(s, by)"),
            (Numerics::Integers, _) => (text.define("SUM_T", "int"))
                .define("START", limits(p.inputs[0].dtype).0)
                .define("TERM(x)", "(int)(x)")
                .define("JOIN(s, x)", "max(s, x)")
                .define("FINISH(s, by)", "(Y0_T)(s)"),
            _ => (text.defines(&[("SUM_T", "float"), ("TERM(x)", "x")]))
                .define("START", literal(f32::NEG_INFINITY))
                .define("JOIN(s, x)", "fmaxf(s, x)")
                .define("FINISH(s, by)", "(s)"),
        };
        let shared = u8::from(spec.variant.ends_with(SHARED));
        let text = text.define("SHARED", shared).raw(include_str!("../kernels/lanes.cuh"));
        Ok(text.raw(include_str!("../kernels/pool.cu")).source())
    }

    /// For each pixel of the output, what a mean's sum is multiplied by (8 bits) or divided by.
    fn pack(&self, spec: &Spec, _: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let (pool, g) = pooling(spec.problem).ok_or_else(|| missing(spec.problem))?;
        let pixels = (0..g.output[0]).flat_map(|h| (0..g.output[1]).map(move |w| (h, w)));
        let by = |(h, w)| {
            let count = pool.divisor(&g, h, w);
            match spec.numerics {
                Numerics::Average { ratio, .. } => Numerics::factor(*ratio, count),
                _ => count as f32,
            }
        };
        Ok(vec![bytes_of(&pixels.map(by).collect::<Vec<_>>())])
    }

    fn launches(&self, spec: &Spec, at: &Places) -> Result<Vec<Launch>> {
        let (count, lanes) = (spec.problem.outputs[0].shape.numel(), lanes(spec.problem));
        let args = Args::default().operands(at).constants(at);
        Ok(vec![match at.aligned(16) {
            true if spec.variant.ends_with(SHARED) => {
                let channels = spec.problem.inputs[0].shape[1];
                let blocks = count / channels * (channels / lanes).div_ceil(COLUMNS);
                Launch::images("pool_shared", blocks * BLOCK as usize, BLOCK, at, args)
            }
            true => Launch::images("pool_wide", count / lanes, BLOCK, at, args),
            false => Launch::images("pool", count, BLOCK, at, args),
        }])
    }
}

fn pooling(p: &Problem) -> Option<(&Pool, Geometry)> {
    match p.op() {
        Some(Op::Pool(pool)) if p.is_stored(Layout::ChannelsLast) => {
            Some((pool, pool.geometry(&p.inputs[0].shape).ok()?))
        }
        _ => None,
    }
}

/// Ends the names of variants whose threads share windows.
const SHARED: &str = "-shared";
/// Threads of a block that take neighbouring channels; the others share their windows.
const COLUMNS: usize = 8;
/// A window of fewer members is not shared.
const FEWEST_MEMBERS: usize = 16;

/// Are there more members of windows than threads can take side by side otherwise? Of integers: floats are added in one
/// order.
fn is_shared(p: &Problem, g: &Geometry) -> bool {
    p.is_int8() && g.kernel[0] * g.kernel[1] >= FEWEST_MEMBERS
}

/// Channels that a thread takes: 16 bytes of them, or what rows are multiples of.
fn lanes(p: &Problem) -> usize {
    let channels = p.inputs[0].shape[1];
    let widest = p.inputs[0].dtype.size().max(p.outputs[0].dtype.size());
    let all = [channels, pitch(&p.inputs[0], channels), pitch(&p.outputs[0], channels), 16 / widest];
    1 << all.iter().map(|n| n.trailing_zeros()).min().unwrap_or(0)
}
