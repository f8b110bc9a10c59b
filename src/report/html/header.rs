//! The top of the page: what, the verdict, the five figures that people look for; and its foot.

use crate::report::model::Report;
use crate::report::verdict::{Outcome, outcome};
use crate::report::words;
use maud::{Markup, html};

/// Name, verdict, warnings, tiles.
pub fn header(report: &Report) -> Markup {
    let outcome = outcome(report);
    let class = match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::NoGate => "done",
    };
    let sentence = report.verdict.split_once(": ").map_or(report.verdict.as_str(), |(_, rest)| rest);
    html! {
        header {
            div.bar {
                span.product { "quantize" span.muted { " drift report" } }
                button #theme type="button" aria-label="Switch between light and dark" { "◐" }
            }
            h1 { (report.model) }
            p.verdict { span class={ "badge " (class) } { (outcome.word()) } span.sentence { (words::typeset(sentence)) } }
            @if !report.warnings.is_empty() {
                div.warnings role="note" {
                    @for warning in &report.warnings { p { (warning) } }
                }
            }
            div.tiles {
                @for t in tiles(report) {
                    div.tile {
                        div.label { (t.label) }
                        div.figure { (t.figure) small { (t.unit) } }
                        div.note { (t.note) }
                    }
                }
            }
        }
    }
}

/// One large figure.
struct Tile {
    label: &'static str,
    figure: String,
    unit: &'static str,
    note: String,
}

fn tiles(report: &Report) -> Vec<Tile> {
    let mut tiles: Vec<Tile> =
        [top1(report), agreement(report), speed(report), size(report), coverage(report)]
            .into_iter()
            .flatten()
            .collect();
    if report.accuracy.is_none() {
        let metrics = report.metrics.iter().take(2).filter_map(|m| {
            let note = format!("{} of the output, {}", m.metric, words::plural(m.n, "sample"));
            Some(Tile { label: "Output", figure: words::short(m.engine?), unit: " ", note })
        });
        tiles.splice(0..0, metrics);
    }
    tiles
}

fn top1(report: &Report) -> Option<Tile> {
    let a = report.accuracy.as_ref()?;
    let (reference, engine) = (a.reference?, a.engine?);
    let change = words::signed(engine.top1 - reference.top1, 2);
    Some(Tile {
        label: "Top-1",
        figure: words::fixed(engine.top1, 2),
        unit: "%",
        note: format!("FP32 {} %, {change} pp", words::fixed(reference.top1, 2)),
    })
}

fn agreement(report: &Report) -> Option<Tile> {
    let a = report.accuracy.as_ref()?;
    Some(Tile {
        label: "Same answer as FP32",
        figure: words::fixed(a.agreement_top1?, 2),
        unit: "%",
        note: format!("{} of {} changed", words::count(a.flips.total()), words::count(a.n)),
    })
}

fn speed(report: &Report) -> Option<Tile> {
    let (r, e) = (report.latency_ms.reference?, report.latency_ms.engine?);
    Some(Tile {
        label: "Speed",
        figure: report.speedup().map_or(words::NONE.into(), |x| words::fixed(x, 2)),
        unit: if report.speedup().is_some() { "×" } else { "" },
        note: match words::noisy(&report.latency_ms) {
            Some(why) => why.into(),
            None => format!("{} ms, FP32 {} ms", words::short(e.median), words::short(r.median)),
        },
    })
}

fn size(report: &Report) -> Option<Tile> {
    let s = report.size_bytes;
    let (model, engine) = (s.model?, s.engine?);
    Some(Tile {
        label: "Size",
        figure: words::fixed(100.0 * engine as f64 / model.max(1) as f64, 1),
        unit: "%",
        note: format!("{} of {}", words::bytes(s.engine), words::bytes(s.model)),
    })
}

fn coverage(report: &Report) -> Option<Tile> {
    let c = report.coverage;
    (c.multiplying_count > 0).then(|| Tile {
        label: "INT8 layers",
        figure: c.int8_count.to_string(),
        unit: "",
        note: format!("of {}, {} of the work", c.multiplying_count, words::share(Some(c.int8_macs))),
    })
}

/// Version and form.
pub fn footer(report: &Report) -> Markup {
    html! {
        footer {
            "quantize " (report.provenance.version) " · report schema " (report.schema_version)
            " · the same data as report.json"
        }
    }
}
