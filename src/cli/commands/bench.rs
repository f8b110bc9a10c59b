//! `quantize bench ENGINE`.

use super::rebuild;
use crate::base::codes::machine::INTERNAL;
use crate::base::{Diagnostic, Monitor, Result, machine};
use crate::cli::page::{Cell, Page, Table};
use crate::cli::progress::Progress;
use crate::cli::{args, print};
use crate::device::cpu::Mode;
use crate::engine::Engine;
use crate::pipeline::bench::{Input, Measured, Options, Roof, StepTime, bench, start};
use crate::report::model::{Percentiles, Precision};
use crate::report::words::{fixed, plural, share, short};
use std::io::Write;

/// Measures an engine and prints the result.
pub fn run(args: &args::Bench, out: &mut dyn Write, progress: &Progress) -> Result<()> {
    let path = rebuild::engine(&args.engine, args.rebuild.as_deref(), args.gpu, progress)?;
    let (engine, start) = start(&path, args.threads, args.gpu)?;
    let mode = match args.mode {
        args::ModeName::Latency => Mode::Latency,
        args::ModeName::Throughput => Mode::Throughput,
        args::ModeName::Auto => Mode::Auto,
    };
    let one_a_thread = || match mode {
        Mode::Throughput => args.threads.unwrap_or_else(machine::threads).min(engine.plan.max_batch),
        Mode::Latency | Mode::Auto => 1,
    };
    let options = Options {
        batch: args.batch.unwrap_or_else(one_a_thread),
        threads: args.threads,
        pin: args.pin.clone(),
        mode,
        duration: args.duration,
        warmup: args.warmup,
        streams: args.streams,
        resident: args.no_transfers,
        input: match args.input {
            args::InputName::F32 => Input::F32,
            args::InputName::U8 => Input::U8,
        },
        in_flight: args.in_flight,
        gpu: args.gpu,
        profile: args.profile,
    };
    let measured = Measured { start_ms: Some(start), ..bench(&engine, &options, progress)? };
    progress.finish();
    if let Some(warning) = &measured.warning {
        progress.note(warning);
    }
    let text = match args.json {
        true => serde_json::to_string_pretty(&measured)
            .map(|t| t + "\n")
            .map_err(|e| Diagnostic::new(INTERNAL, format!("the measurement has no JSON form: {e}")))?,
        false => page(&engine, &measured).render(false),
    };
    print(out, &text)
}

fn page(engine: &Engine, m: &Measured) -> Page {
    let mut page = Page::default();
    let l = &m.latency_ms;
    page.fact("engine", format!("{}, {}", engine.origin.model, m.precision));
    let threads = m.threads.map(|n| plural(n as u64, "thread"));
    let streams = threads.is_none().then(|| plural(m.streams as u64, "stream"));
    let parts = [threads, streams, m.in_flight.map(|n| format!("{n} in flight"))];
    let device = std::iter::once(m.device.clone()).chain(parts.into_iter().flatten());
    page.fact("device", device.collect::<Vec<_>>().join(", "));
    page.fact("batch", Cell::count(m.batch as u64));
    if m.input == Input::U8 {
        page.fact("input", "u8 pixels");
    }
    if let Some(s) = &m.start_ms {
        page.fact("start", format!("{} ms from the file to the first result", short(s.total)));
    }
    page.fact("throughput", format!("{} images/s", short(m.throughput_per_s)));
    page.fact("latency", format!("{} (of {} runs)", times(l), l.n));
    for (name, part) in [("H2D", &m.h2d_ms), ("compute", &m.compute_ms), ("D2H", &m.d2h_ms)] {
        if let Some(p) = part {
            page.fact(name, times(p));
        }
    }
    if let Some(roof) = &m.ceilings {
        page.fact("ceilings", ceilings(roof));
    }
    if let Some(steps) = &m.profile {
        page.table(profile(steps));
        let times: f64 = steps.iter().map(|s| s.time_us).sum();
        page.note(format!("All steps: {} ms a run, measured one by one.", short(times / 1e3)));
    }
    page
}

/// `1.2 ms median, min 1.1, ...`
fn times(p: &Percentiles) -> String {
    let named =
        [("min", p.min), ("mean", p.mean), ("p90", p.p90), ("p95", p.p95), ("p99", p.p99), ("max", p.max)];
    let list: Vec<String> = named.iter().map(|(name, ms)| format!("{name} {}", short(*ms))).collect();
    format!("{} ms median, {}", short(p.median), list.join(", "))
}

/// What shares of the roofline are of.
fn ceilings(roof: &Roof) -> String {
    let measured = [
        (roof.int8_tops, "TOPS in 8 bits"),
        (roof.fp16_tflops, "TFLOPS in f16"),
        (roof.fp32_tflops, "TFLOPS in f32"),
        (roof.gb_per_s, "GB/s"),
    ];
    let list: Vec<String> =
        measured.iter().filter_map(|(v, unit)| v.map(|v| format!("{} {unit}", short(v)))).collect();
    list.join(", ")
}

fn profile(steps: &[StepTime]) -> Table {
    const COLUMNS: [&str; 9] =
        ["time us", "share", "TOPS", "GB/s", "of roofline", "op", "precision", "tactic", "name"];
    let mut table = Table::new("steps", &COLUMNS);
    for s in steps {
        let rate = |v: f64, digits| if v > 0.0 { fixed(v, digits) } else { String::new() };
        table.row([
            Cell::new(fixed(s.time_us, 1), s.time_us),
            Cell::new(share(Some(s.share)), s.share),
            Cell::new(rate(s.tops, if s.tops < 10.0 { 3 } else { 1 }), s.tops),
            Cell::new(rate(s.gb_per_s, 1), s.gb_per_s),
            Cell::new(s.roofline.map(|r| share(Some(r))).unwrap_or_default(), s.roofline),
            s.op.as_str().into(),
            // as the report has it; what a conversion reads decides
            match s.dtype.as_str() {
                "f32" => Precision::Fp32,
                "f16" => Precision::Fp16,
                _ => Precision::Int8,
            }
            .label()
            .into(),
            s.tactic.as_str().into(),
            s.name.as_str().into(),
        ]);
    }
    table
}
