//! `quantize doctor`: what this machine can do, and what is missing for what.

use crate::base::{Result, machine};
use crate::cli::args::Doctor;
use crate::cli::page::{Cell, Page, Table};
use crate::cli::print;
use crate::device::cpu::isa::amx;
use crate::device::cpu::{Isa, peak};
use crate::device::cuda::probe::gpus;
use crate::device::cuda::{Arch, nvrtc};
use std::fs::read_to_string;
use std::io::Write;

/// Prints what was found.
pub fn run(args: &Doctor, out: &mut dyn Write) -> Result<()> {
    let mut page = Page::default();
    page.fact("quantize", env!("CARGO_PKG_VERSION"));
    hardware(&mut page);
    instruction_sets(&mut page);
    if args.measure {
        peaks(&mut page);
    }
    graphics(&mut page);
    print(out, &page.render(args.json.json))
}

fn hardware(page: &mut Page) {
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    page.fact("system", format!("{} {} {}", std::env::consts::OS, std::env::consts::ARCH, release.trim()));
    page.fact("processor", machine::processor().unwrap_or_else(|| "unknown".into()));
    page.fact("threads", Cell::count(machine::threads() as u64));
    page.maybe("memory", kilobytes("MemTotal").map(Cell::bytes));
    page.maybe("free memory", kilobytes("MemAvailable").map(Cell::bytes));
    let limit = read_to_string("/sys/fs/cgroup/memory.max").ok();
    page.maybe("memory limit", limit.and_then(|l| l.trim().parse().ok()).map(Cell::bytes));
}

/// A number of `/proc/meminfo`, in bytes.
fn kilobytes(key: &str) -> Option<u64> {
    let text = machine::field("/proc/meminfo", key)?;
    text.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn instruction_sets(page: &mut Page) {
    let mut t = Table::new("instruction sets", &["name", "usable", "why"]);
    for isa in Isa::ALL {
        t.row([
            isa.name().into(),
            Cell::new(if isa.available() { "yes" } else { "no" }, isa.available()),
            why(isa).into(),
        ]);
    }
    page.table(t);
    let best = Isa::best();
    page.fact("cpu.isa auto", best.name());
    if best < Isa::Avx512Vnni {
        page.note(
            "Without AVX-512 VNNI, INT8 products take several instructions each: expect less gain over FP32.",
        );
    }
}

/// What the inner products of each instruction set reach, with nothing else to do: the scale for the GMAC/s of `bench
/// --profile` (two operations each).
fn peaks(page: &mut Page) {
    let mut t = Table::new("peaks of one thread", &["name", "INT8 GOP/s", "FP32 GFLOP/s"]);
    for isa in Isa::ALL.into_iter().filter(|i| i.available()) {
        let [int8, f32] = peak(isa).map(|p| p / 1e9);
        t.row([
            isa.name().into(),
            Cell::new(format!("{int8:.0}"), int8),
            Cell::new(format!("{f32:.0}"), f32),
        ]);
    }
    page.table(t);
}

/// Why an instruction set can be used, or not.
fn why(isa: Isa) -> String {
    match (isa, isa.available()) {
        (Isa::Scalar, _) => "plain code, on every machine".into(),
        (Isa::Amx, true) => {
            "the CPU has AMX-INT8, and the operating system permits its tile registers".into()
        }
        (Isa::Amx, false) => amx().err().unwrap_or("the CPU has AMX, but no AVX-512 VNNI beside it").into(),
        (_, true) => "the CPU has it".into(),
        (Isa::Avx2, false) => "the CPU lacks AVX2 or FMA".into(),
        (Isa::Avx512Vnni, false) => "the CPU lacks AVX-512 (F, BW, DQ, VL) or VNNI".into(),
    }
}

fn graphics(page: &mut Page) {
    let mut t = Table::new("gpus", &["number", "name", "architecture", "multiprocessors", "memory"]);
    match gpus() {
        Ok(found) => {
            for (i, g) in found.iter().enumerate() {
                t.row([
                    Cell::count(i as u64),
                    g.name.as_str().into(),
                    g.arch.to_string().into(),
                    Cell::count(g.multiprocessors as u64),
                    Cell::bytes(g.memory as u64),
                ]);
                if g.arch < Arch::OLDEST {
                    page.note(format!(
                        "GPU {i} is older than {}, the first that kernels are made for.",
                        Arch::OLDEST
                    ));
                }
            }
            if found.is_empty() {
                page.note("The NVIDIA driver lists no GPU; `target: cuda` needs one. `target: cpu` works.");
            }
        }
        Err(why) => page.note(format!("No GPU: {why}; `target: cuda` needs one. `target: cpu` works.")),
    }
    page.table(t);
    match nvrtc::open() {
        Ok(n) => page.fact("NVRTC", format!("{}.{} ({})", n.version.0, n.version.1, n.path)),
        Err(why) => page.note(format!(
            "No NVRTC: engines for GPUs can be run, not built. {}",
            why.help.as_deref().unwrap_or_default()
        )),
    }
}
