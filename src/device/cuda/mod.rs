//! NVIDIA GPUs: kernels as CUDA text, compiled by NVRTC when an engine is built and run through the driver alone.
//!
//! Both are found at run time, so the same program builds and runs where there is neither. [`probe`] is the door to the
//! driver, [`nvrtc`] to the compiler. A [`Family`] is one way to compute a kind of problem; [`FAMILIES`] is the
//! table, tried in order.

mod ceilings;
mod compiler;
mod driver;
mod flight;
mod lanes;
mod maps;
pub mod nvrtc;
pub mod probe;
mod run;
mod step;
pub mod tactics;
mod text;

pub use driver::Context;
pub use probe::{Arch, Gpu};
pub use tactics::{FAMILIES, Family, Spec};

use super::{
    Ceilings, Device, DeviceId, Executor, Floats, Layout, Numerics, Operand, Problem, Program, Tactic, Trial,
};
use crate::base::codes::machine;
use crate::base::{DType, Diagnostic, Result, Tensor};
use rayon::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Pixels of 8-bit images and of halves begin at multiples of so many bytes.
const ROW: usize = 16;
/// Places among which a step is tried, at most.
const MOST_COPIES: usize = 32;
/// But for pixels of so few channels: an image from a camera would become five times as large.
const SMALL_ROW: usize = 4;

/// A GPU, or one that is not here to compile for.
#[derive(Clone)]
pub struct Cuda {
    gpu: Gpu,
    context: Option<Arc<Context>>,
}

impl Cuda {
    /// GPU number `ordinal` of this machine.
    ///
    /// # Errors
    /// Those of [`Context::open`].
    pub fn open(ordinal: usize) -> Result<Self> {
        let context = Context::open(ordinal)?;
        Ok(Cuda { gpu: context.gpu.clone(), context: Some(context) })
    }

    /// A GPU of this architecture that engines can be compiled for, not run on.
    pub fn absent(arch: Arch) -> Self {
        Cuda { gpu: Gpu::absent(arch), context: None }
    }

    /// What it is.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn code(&self, problem: &Problem, numerics: &Numerics, t: &Tactic) -> Result<Arc<Vec<u8>>> {
        let spec = Spec { problem, numerics, variant: &t.variant, gpu: &self.gpu };
        compiler::cubin(&family(t)?.source(&spec)?, self.gpu.arch)
    }

    /// The code that counts what runs write (see [`super::Counter`]), the same for every program.
    ///
    /// # Errors
    /// Where it does not compile for this architecture.
    pub fn counting_code(&self) -> Result<Arc<Vec<u8>>> {
        run::statistics::code(self.gpu.arch)
    }

    fn context(&self) -> Result<&Arc<Context>> {
        let absent =
            || Diagnostic::new(machine::NO_DEVICE, format!("{} is not in this machine", self.gpu.name));
        self.context.as_ref().ok_or_else(absent)
    }
}

impl Device for Cuda {
    fn id(&self) -> DeviceId {
        DeviceId { kind: "cuda".into(), arch: self.gpu.arch.to_string(), width: 1 }
    }

    fn tactics(&self, problem: &Problem, numerics: &Numerics) -> Vec<Tactic> {
        let spec = Spec { problem, numerics, variant: "", gpu: &self.gpu };
        let of = |f: &&dyn Family| -> Vec<Tactic> {
            f.variants(&spec).iter().map(|v| Tactic::new(f.name(), v)).collect()
        };
        FAMILIES.iter().flat_map(of).collect()
    }

    /// Pixels of 8-bit images and of halves begin at multiples of 16 bytes, as tensor maps and wide loads want them; those of
    /// at most four channels have four.
    fn stored(&self, operand: Operand) -> Operand {
        let row = operand.row();
        let grain = if row <= SMALL_ROW { SMALL_ROW } else { ROW / operand.dtype.size() };
        let small = is_small(operand.dtype);
        let apart = operand.layout == Layout::ChannelsLast && small && !row.is_multiple_of(grain);
        Operand { pitch: apart.then(|| row.next_multiple_of(grain)).or(operand.pitch), ..operand }
    }

    fn computes(&self, _: Floats) -> bool {
        true
    }

    fn reaches(&self, part: &Operand, at: usize) -> bool {
        reachable(part, at)
    }

    /// At the engine's batch, over places that together are larger than the second-level cache.
    fn trial(&self, bytes: usize, max_batch: usize) -> Trial {
        let once = (bytes * max_batch).max(1);
        Trial { images: max_batch, copies: (2 * self.gpu.l2).div_ceil(once).clamp(1, MOST_COPIES) }
    }

    /// The roofline: products at the most that a family does in a cycle (loops over single products are out of the question
    /// where tensor cores have done the whole in less), and what is read and written at the memory's rate, less what the
    /// second-level cache may hold of it: what comes near that is not worth beating.
    fn least_time(&self, p: &Problem, t: &Tactic, images: usize) -> Duration {
        let most = family(t).ok().and_then(|f| f.products_per_cycle(p)).unwrap_or(f64::INFINITY);
        let each_second = most * (self.gpu.multiprocessors * self.gpu.clock).max(1) as f64;
        let products = p.macs() as f64 * images as f64 / each_second;
        let moved = p.activations().chain(&p.outputs).map(Operand::bytes).sum::<usize>() * images;
        let bytes = match self.gpu.bandwidth {
            0 => 0.0, // the driver does not say
            rate => moved.saturating_sub(self.gpu.l2) as f64 / rate as f64,
        };
        Duration::from_secs_f64(products.max(bytes))
    }

    fn warm(&self, wanted: &[(&Problem, &Numerics)]) {
        let tactics =
            wanted.iter().flat_map(|&(p, n)| self.tactics(p, n).into_iter().map(move |t| (p, n, t)));
        let all: Vec<_> = tactics.collect();
        all.par_iter().for_each(|(p, n, t)| {
            // what does not compile says so when it is tried
            let _ = self.code(p, n, t);
        });
    }

    /// Machine code, then constants.
    fn pack(&self, p: &Problem, n: &Numerics, t: &Tactic, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        let spec = Spec { problem: p, numerics: n, variant: &t.variant, gpu: &self.gpu };
        let mut packed = vec![self.code(p, n, t)?.to_vec()];
        packed.extend(family(t)?.pack(&spec, tensors)?);
        Ok(packed)
    }

    fn ceilings(&self) -> Result<Ceilings> {
        ceilings::measure(self.context()?)
    }

    fn in_place(&self, _: &Problem, _: &Tactic) -> bool {
        true
    }

    fn load(&self, program: &Program) -> Result<Box<dyn Executor>> {
        Ok(Box::new(run::Run::new(self, program)?))
    }
}

/// Types whose rows are stored at multiples of [`ROW`] bytes.
fn is_small(dtype: DType) -> bool {
    dtype.is_int8() || dtype == DType::F16
}

/// Can kernels read and write a part that begins so many bytes into a tensor? They take 16 bytes at once where rows are made
/// of such pieces.
fn reachable(part: &Operand, at: usize) -> bool {
    let pitch = part.pitch.unwrap_or(part.row()) * part.dtype.size();
    let apart = part.pitch.is_some() || is_small(part.dtype);
    at.is_multiple_of(ROW) && (!apart || pitch.is_multiple_of(ROW))
}

fn family(t: &Tactic) -> Result<&'static dyn Family> {
    FAMILIES.iter().copied().find(|f| f.name() == t.family).ok_or_else(|| {
        Diagnostic::new(machine::NO_DEVICE, format!("this build of quantize has no GPU kernels called `{t}`"))
            .help("the engine was built by another version: build it again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Shape;

    /// A run of f32 must begin well, of small types rows too; rows that lie apart always.
    #[test]
    fn parts_begin_where_kernels_read_them() {
        let part = |dtype, dims: &[usize], pitch| {
            let operand = Operand::new(dtype, Shape::new(dims), Layout::ChannelsLast);
            Operand { pitch, ..operand }
        };
        let f32s = part(DType::F32, &[1, 5, 7, 7], None);
        assert_eq!([0, 16, 20, 32].map(|at| reachable(&f32s, at)), [true, true, false, true]);
        let rows = |pitch| part(DType::F32, &[1, 5, 7, 7], Some(pitch));
        assert_eq!([8, 10].map(|pitch| reachable(&rows(pitch), 16)), [true, false]);
        let bytes = |channels| part(DType::U8, &[1, channels, 7, 7], None);
        assert_eq!([16, 20].map(|channels| reachable(&bytes(channels), 16)), [true, false]);
    }
}
