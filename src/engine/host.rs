//! The device of this machine that an engine was built for.

use super::Engine;
use crate::base::codes::engine;
use crate::base::{Diagnostic, Result};
use crate::device::Device;
use crate::device::cpu::{Cpu, Isa, Mode, Pin};
use crate::device::cuda::Cuda;

/// What may be wished of the device, beside what the engine says.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Threads on a CPU; the machine's number without it.
    pub threads: Option<usize>,
    /// Where these threads run.
    pub pin: Pin,
    /// How these threads share a batch.
    pub mode: Mode,
    /// The number of the GPU.
    pub gpu: usize,
}

/// Was the engine built for this device?
///
/// # Errors
/// `WRONG_DEVICE` where it was not.
pub fn fits(built: &Engine, device: &dyn Device) -> Result<()> {
    let (built, here) = (&built.plan.device, device.id());
    match (&built.kind, &built.arch) == (&here.kind, &here.arch) {
        true => Ok(()),
        false => {
            let what = format!("the engine was built for {built}, this is {here}");
            Err(Diagnostic::new(engine::WRONG_DEVICE, what).help(REBUILD))
        }
    }
}

/// What helps against an engine for another machine.
const REBUILD: &str = "build it again here, or give `quantize run` and `bench` its configuration: `--rebuild CONFIG`; \
                       `quantize inspect` says what it was built from";

/// The device that `built` was built for.
///
/// # Errors
/// `WRONG_DEVICE` where the engine is for another kind of machine, or this one lacks what it needs.
pub fn device(built: &Engine, wish: &Wish) -> Result<Box<dyn Device>> {
    let id = &built.plan.device;
    let wrong = |e: Box<Diagnostic>| {
        let help = e.help.clone().or(Some(REBUILD.into()));
        Box::new(Diagnostic { code: engine::WRONG_DEVICE, help, ..*e })
    };
    let unknown = || Diagnostic::new(engine::WRONG_DEVICE, format!("the engine was built for {id}"));
    match id.kind.as_str() {
        "cuda" => Ok(Box::new(Cuda::open(wish.gpu).map_err(wrong)?)),
        "cpu" => {
            let isa: Isa = id.arch.parse().map_err(|_| unknown())?;
            let cpu = Cpu::new(Some(isa), wish.threads).map_err(wrong)?;
            Ok(Box::new(Cpu { mode: wish.mode, ..cpu }.pinned(&wish.pin)?))
        }
        _ => Err(unknown()),
    }
}
