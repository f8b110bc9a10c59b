//! The device that a configuration asks for.

use crate::base::Result;
use crate::config::job::{Isa as IsaKey, Job, Target};
use crate::device::Device;
use crate::device::cpu::{Cpu, Isa};
use crate::device::cuda::Cuda;
use std::sync::Arc;

/// Opens the device of a job.
///
/// # Errors
/// `NO_DEVICE` where it is not there.
pub fn device(job: &Job) -> Result<Arc<dyn Device>> {
    if job.target == Target::Cuda {
        let help = "set `target: auto` or `target: cpu`; `quantize doctor` says what was found";
        return Ok(Arc::new(Cuda::open(job.device as usize).map_err(|e| e.help(help))?));
    }
    let isa = match job.cpu.isa {
        IsaKey::Auto => None,
        IsaKey::Amx => Some(Isa::Amx),
        IsaKey::Avx512Vnni => Some(Isa::Avx512Vnni),
        IsaKey::Avx2 => Some(Isa::Avx2),
        IsaKey::Scalar => Some(Isa::Scalar),
    };
    let threads = (job.cpu.threads > 0).then_some(job.cpu.threads);
    Ok(Arc::new(Cpu::new(isa, threads)?.pinned(&job.cpu.pin)?))
}
