//! What a GPU does at most, measured by short loops: the products of our kernels from registers or shared memory with
//! nothing else to do, and a copy from memory to memory.

use super::compiler::{self, Source};
use super::driver::{Context, Event, Memory, Module, Shape, Stream};
use super::probe::Arch;
use super::tactics::Args;
use super::tactics::hopper;
use super::text::Text;
use crate::base::{DType, Result};
use crate::device::Ceilings;
use std::sync::Arc;
use std::time::Duration;

/// Rounds of a launch: some milliseconds.
const ROUNDS: usize = 20_000;
/// Launches, of which the fastest counts.
const LAUNCHES: usize = 5;
/// Bytes that are copied: far more than the second-level cache holds.
const COPY: usize = 512 << 20;
/// Threads of a block.
const BLOCK: u32 = 256;
/// Registers that a warp adds up in at a time.
const CHAINS: usize = 8;
/// Bytes of shared memory of the products of warpgroups: the operands, and what puts them at a multiple of 1,024.
const SHARED: u32 = (2 * 64 + 256) * 128 + 1024;

/// What is multiplied.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Int8,
    Half,
    Float,
}

/// All ceilings; those of products where there is a compiler, or code that it made before.
pub fn measure(context: &Arc<Context>) -> Result<Ceilings> {
    let stream = Stream::new(context)?;
    let products = |kind| products(context, &stream, kind).ok();
    Ok(Ceilings {
        int8: products(Kind::Int8),
        half: products(Kind::Half),
        float: products(Kind::Float),
        bytes: Some(copy(context, &stream)?),
    })
}

/// The shortest of some runs.
fn fastest(context: &Arc<Context>, stream: &Stream, run: impl Fn() -> Result<()>) -> Result<Duration> {
    let clock = [Event::new(context)?, Event::new(context)?];
    let mut best = Duration::MAX;
    for _ in 0..LAUNCHES {
        stream.mark(&clock[0])?;
        run()?;
        stream.mark(&clock[1])?;
        stream.wait()?;
        best = best.min(clock[1].since(&clock[0])?);
    }
    Ok(best)
}

/// Bytes a second, read and written.
fn copy(context: &Arc<Context>, stream: &Stream) -> Result<f64> {
    let bytes = COPY.min(context.gpu.memory / 8);
    let (from, to) = (Memory::zeroed(context, bytes)?, Memory::zeroed(context, bytes)?);
    // SAFETY: `fastest` waits for the copy.
    let time = fastest(context, stream, || unsafe { stream.copy(&from, 0, &to, 0, bytes) })?;
    Ok(2.0 * bytes as f64 / time.as_secs_f64())
}

/// Operations a second, a multiplication and an addition each counted as one.
fn products(context: &Arc<Context>, stream: &Stream, kind: Kind) -> Result<f64> {
    let warpgroups = kind != Kind::Float && context.gpu.arch == Arch::of(9, 0);
    let cubin = compiler::cubin(&source(kind, warpgroups), context.gpu.arch)?;
    let module = Module::load(context, &cubin)?;
    let shared = if warpgroups { SHARED } else { 0 };
    let function = module.function("peak", shared)?;
    let sink = Memory::zeroed(context, 4)?;
    // blocks for every multiprocessor, as many as it runs at a time
    let each = if warpgroups { 1 } else { 4 };
    let blocks = (context.gpu.multiprocessors * each) as u32;
    let shape = Shape { grid: [blocks, 1, 1], block: BLOCK, shared, cluster: 1, chained: false };
    let time = fastest(context, stream, || {
        let mut args = Args::default().with(sink.address());
        // SAFETY: the kernel's only parameter is the address of four bytes, which `fastest` waits for.
        unsafe { stream.launch(function, &shape, &mut args.pointers()) }
    })?;
    let warps = BLOCK as usize / 32;
    let round = match (kind, warpgroups) {
        (Kind::Int8, true) => 2 * 64 * 256 * 128,
        (Kind::Half, true) => 2 * 64 * 256 * 64,
        (Kind::Int8, false) => warps * CHAINS * 16 * 8 * 32,
        (Kind::Half, false) => warps * CHAINS * 16 * 8 * 16,
        (Kind::Float, _) => BLOCK as usize * CHAINS,
    };
    Ok(2.0 * (round * ROUNDS) as f64 * f64::from(blocks) / time.as_secs_f64())
}

fn source(kind: Kind, warpgroups: bool) -> Source {
    let operands = if kind == Kind::Int8 { "noise(i)" } else { "halves(i)" };
    let text = Text::default().define("ROUNDS", ROUNDS).define("OPERANDS(i)", operands);
    let of_warpgroups = |text: Text, x| {
        let text = text.define("WGMMA", 1).raw(include_str!("kernels/hopper.cuh"));
        text.raw(&hopper::wgmma(256, x, hopper::First::Weights))
    };
    let text = match (kind, warpgroups) {
        (Kind::Int8, true) => of_warpgroups(text.raw("typedef int Sum;"), DType::I8),
        (Kind::Half, true) => of_warpgroups(text.raw("typedef float Sum;"), DType::F16),
        (Kind::Int8, false) => text.define("MMA8", 1),
        (Kind::Half, false) => text.define("MMA16", 1),
        (Kind::Float, _) => text.define("FFMA", 1),
    };
    text.raw(include_str!("kernels/peak.cu")).source()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::device::cuda::{Cuda, nvrtc};

    #[test]
    fn loops_compile_for_every_architecture() {
        if let Err(why) = nvrtc::open() {
            return println!("NVRTC: absent ({})", why.what);
        }
        for arch in Arch::ALL {
            for kind in [Kind::Int8, Kind::Half, Kind::Float] {
                let warpgroups = kind != Kind::Float && arch == Arch::of(9, 0);
                compiler::cubin(&source(kind, warpgroups), arch).unwrap();
            }
        }
    }

    #[test]
    fn a_gpu_has_ceilings() {
        let gpu = match Cuda::open(0) {
            Ok(gpu) => gpu,
            Err(why) => return println!("no GPU: {}", why.what),
        };
        let found = gpu.ceilings().unwrap();
        println!("{}: {found:?}", gpu.gpu().name);
        let order = [found.float, found.half, found.int8].map(Option::unwrap);
        assert!(order[0] > 1e12 && order[1] > order[0] && order[2] > order[1] && found.bytes.unwrap() > 1e11);
    }
}
