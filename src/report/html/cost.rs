//! Latency, file sizes, memory, and how long the run took.

use super::parts::lead;
use crate::report::model::{Percentiles, Report};
use crate::report::words;
use maud::{Markup, html};

/// The section.
pub fn body(report: &Report) -> Option<Markup> {
    let latency = &report.latency_ms;
    let memory = report.memory_bytes;
    let sizes = [
        ("ONNX model", report.size_bytes.model),
        ("Engine", report.size_bytes.engine),
        ("All activations", memory.activations_sum),
        ("Arena in use", memory.arena),
        ("Process, peak", memory.peak_rss),
    ];
    let measured = latency.engine.is_some() || sizes.iter().any(|s| s.1.is_some());
    measured.then(|| {
        html! {
            @if latency.engine.is_some() || latency.reference.is_some() { (times(&latency.reference, &latency.engine)) }
            div.split {
                (bars("Bytes", &sizes.map(|(n, b)| (n, b.map(|b| b as f64), words::bytes(b)))))
                (bars("Time of this run", &report.seconds.stages().map(|(n, s)| (n, s, words::seconds(s)))))
            }
        }
    })
}

fn times(reference: &Option<Percentiles>, engine: &Option<Percentiles>) -> Markup {
    type Column = (&'static str, fn(&Percentiles) -> f64);
    const COLUMNS: [Column; 7] = [
        ("min", |p| p.min),
        ("mean", |p| p.mean),
        ("median", |p| p.median),
        ("p90", |p| p.p90),
        ("p95", |p| p.p95),
        ("p99", |p| p.p99),
        ("max", |p| p.max),
    ];
    let row = |name: &str, p: &Option<Percentiles>| {
        html! {
            @if let Some(p) = p {
                tr { th scope="row" { (name) } @for (_, of) in COLUMNS { td { (words::fixed(of(p), 2)) } } }
            }
        }
    };
    html! {
        div.sheet {
            table.plain {
                caption.hidden { "Latency in milliseconds" }
                thead { tr { th scope="col" { "ms" } @for (name, _) in COLUMNS { th scope="col" { (name) } } } }
                tbody {
                    (row("FP32", reference))
                    (row("Engine", engine))
                    @if let (Some(r), Some(e)) = (reference, engine) {
                        tr.total {
                            th scope="row" { "Ratio" }
                            @for (_, of) in COLUMNS { td { (words::fixed(of(r) / of(e).max(f64::MIN_POSITIVE), 2)) " ×" } }
                        }
                    }
                }
            }
        }
        (lead("One image on all threads, input ready to output ready; both sides in the same run."))
    }
}

/// Named bars of what was measured, the longest full.
fn bars(title: &str, rows: &[(&str, Option<f64>, String)]) -> Markup {
    let longest = rows.iter().filter_map(|r| r.1).fold(f64::MIN_POSITIVE, f64::max);
    html! {
        table.bars {
            caption { (title) }
            @for (name, value, label) in rows {
                @if let Some(v) = value {
                    tr {
                        th scope="row" { (name) }
                        td.track { span style={ "width:" (format!("{:.1}", 100.0 * v / longest)) "%" } {} }
                        td { (label) }
                    }
                }
            }
        }
    }
}
