//! `quantize bench ENGINE`.

use crate::base::codes::machine::INTERNAL;
use crate::base::{Diagnostic, Monitor, Result, machine};
use crate::cli::page::{Cell, Page, Table};
use crate::cli::progress::Progress;
use crate::cli::{args, print};
use crate::device::cpu::Mode;
use crate::engine::Engine;
use crate::pipeline::bench::{Measured, Options, StepTime, bench, start};
use crate::report::model::Precision;
use crate::report::words::{fixed, share, short};
use std::io::Write;

/// Measures an engine and prints the result.
pub fn run(args: &args::Bench, out: &mut dyn Write, progress: &Progress) -> Result<()> {
    let (engine, start) = start(&args.engine, args.threads, args.gpu)?;
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
    page.fact("device", format!("{}, {} threads", m.device, m.threads));
    page.fact("batch", Cell::count(m.batch as u64));
    if let Some(s) = &m.start_ms {
        page.fact("start", format!("{} ms from the file to the first result", short(s.total)));
    }
    page.fact("throughput", format!("{} images/s", short(m.throughput_per_s)));
    page.fact("latency", format!("{} ms median of {} runs", short(l.median), l.n));
    let named =
        [("min", l.min), ("mean", l.mean), ("p90", l.p90), ("p95", l.p95), ("p99", l.p99), ("max", l.max)];
    let list: Vec<String> = named.iter().map(|(name, ms)| format!("{name} {}", short(*ms))).collect();
    page.fact("", list.join(", "));
    for (name, part) in [("H2D", &m.h2d_ms), ("compute", &m.compute_ms), ("D2H", &m.d2h_ms)] {
        if let Some(p) = part {
            let [min, mean, median, p99] = [p.min, p.mean, p.median, p.p99].map(short);
            page.fact(name, format!("{median} ms median, min {min}, mean {mean}, p99 {p99}"));
        }
    }
    if let Some(steps) = &m.profile {
        page.table(profile(steps));
        let times: f64 = steps.iter().map(|s| s.time_us).sum();
        page.note(format!("All steps: {} ms a run, measured one by one.", short(times / 1e3)));
    }
    page
}

fn profile(steps: &[StepTime]) -> Table {
    let mut table = Table::new("steps", &["time us", "share", "GMAC/s", "op", "precision", "tactic", "name"]);
    for s in steps {
        let rate = if s.gmac_per_s > 0.0 { fixed(s.gmac_per_s, 1) } else { String::new() };
        table.row([
            Cell::new(fixed(s.time_us, 1), s.time_us),
            Cell::new(share(Some(s.share)), s.share),
            Cell::new(rate, s.gmac_per_s),
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
