//! The device that a configuration asks for.

use super::build;
use crate::base::{Monitor, Result};
use crate::config::job::{Isa as IsaKey, Job, Target};
use crate::device::Device;
use crate::device::cpu::{Cpu, Isa};
use crate::device::cuda::{Cuda, nvrtc, probe};
use crate::engine;
use std::sync::Arc;

/// Opens the device of a job. What `auto` takes is noted where the choice may surprise.
///
/// # Errors
/// `NO_DEVICE` where it is not there, `NO_FLOATS` where it has not the floats that the job asks for.
pub fn device(job: &Job, monitor: &dyn Monitor) -> Result<Arc<dyn Device>> {
    let device = opened(job, monitor)?;
    engine::has_floats(&*device, build::floats(job.precision.fallback))?;
    Ok(device)
}

fn opened(job: &Job, monitor: &dyn Monitor) -> Result<Arc<dyn Device>> {
    match job.target {
        Target::Cpu => cpu(job),
        Target::Cuda => {
            let help = "set `target: auto` or `target: cpu`; `quantize doctor` says what was found";
            Ok(Arc::new(Cuda::open(job.device as usize).map_err(|e| e.help(help))?))
        }
        Target::Auto => match usable_gpu(job) {
            Ok(gpu) => Ok(Arc::new(gpu)),
            Err(None) => cpu(job),
            Err(Some(why)) => {
                monitor.note(&format!("the GPU is not used: {why}; the CPU is"));
                cpu(job)
            }
        },
    }
}

/// The GPU that an engine can be built for; `None` where there is none, or why the one that is there cannot be used.
fn usable_gpu(job: &Job) -> std::result::Result<Cuda, Option<String>> {
    let number = job.device as usize;
    probe::gpus().ok().filter(|all| number < all.len()).ok_or(None)?;
    nvrtc::open().map_err(|e| Some(format!("{} ({})", e.what, e.help.unwrap_or_default())))?;
    Cuda::open(number).map_err(|e| Some(e.what.clone()))
}

fn cpu(job: &Job) -> Result<Arc<dyn Device>> {
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
