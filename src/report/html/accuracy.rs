//! Accuracy before and after, with the paired interval of the difference.

use super::parts::{heads, lead};
use super::svg::{Axis, line, picture, text, width_of};
use crate::report::model::{Accuracy, Report, Score, TopK};
use crate::report::words;
use maud::{Markup, html};

/// The section.
pub fn body(report: &Report) -> Option<Markup> {
    if report.accuracy.is_none() && report.metrics.is_empty() {
        return None;
    }
    Some(html! {
        @if let Some(a) = &report.accuracy {
            div.split {
                div {
                    (table(a))
                    (aside(a))
                }
                @if let Some(ci) = a.drop_ci95 { (interval(a, ci, report.gate.and_then(|g| g.max_drop_top1))) }
            }
        }
        @if !report.further_metrics().is_empty() { (metrics(&report.further_metrics())) }
    })
}

fn table(a: &Accuracy) -> Markup {
    let row = |name: &str, t: Option<TopK>| {
        html! {
            @if let Some(t) = t {
                tr {
                    th scope="row" { (name) }
                    td { (words::fixed(t.top1, 2)) " %" }
                    td.muted { (range(t.top1_ci95, words::fixed)) }
                    td { (words::fixed(t.top5, 2)) " %" }
                }
            }
        }
    };
    html! {
        div.sheet { table.plain {
            caption.hidden { "Accuracy of the FP32 reference and the engine" }
            (heads(&[("", ""), ("top-1", ""), ("95 % interval", ""), ("top-5", "")]))
            tbody {
                (row("FP32", a.reference))
                (row("Engine", a.engine))
                @if let (Some(r), Some(e)) = (a.reference, a.engine) {
                    tr.total {
                        th scope="row" { "Change" }
                        td { (words::signed(e.top1 - r.top1, 2)) " pp" }
                        td.muted { (range(a.drop_ci95.map(|[low, high]| [-high, -low]), words::signed)) }
                        td { (words::signed(e.top5 - r.top5, 2)) " pp" }
                    }
                }
            }
        } }
    }
}

/// An interval in words.
fn range(ends: Option<[f64; 2]>, show: fn(f64, usize) -> String) -> String {
    ends.map_or(words::NONE.into(), |[low, high]| format!("{} to {}", show(low, 2), show(high, 2)))
}

/// Agreement, divergence, and what the significance test says, in a sentence.
fn aside(a: &Accuracy) -> Markup {
    html! {
        p.lead {
            (words::count(a.n)) " samples."
            @if let Some(share) = a.agreement_top1 { " Both give the same answer on " (words::fixed(share, 2)) " %." }
            @if let Some(kl) = a.mean_kl { " Mean KL divergence of the probabilities: " (words::short(kl)) " nats." }
            @if let Some(p) = a.mcnemar_p { " " (significance(p)) }
        }
    }
}

fn significance(p: f64) -> String {
    let figure = if p < 0.0001 { "< 0.0001".to_string() } else { format!("= {}", words::short(p)) };
    if p < 0.05 {
        format!("The change is more than chance (exact McNemar p {figure}).")
    } else {
        format!("These samples do not show a difference between the two (exact McNemar p {figure}).")
    }
}

/// The change of top-1 as a dot with its interval, beside zero and the gate.
fn interval(a: &Accuracy, [low, high]: [f64; 2], gate: Option<f64>) -> Markup {
    const SIZE: (f64, f64) = (520.0, 150.0);
    const MIDDLE: f64 = 76.0;
    let change = -a.drop_top1.unwrap_or(0.0);
    let (from, to) = (-high, -low);
    let ends = [from, to, 0.0].into_iter().chain(gate.map(|g| -g));
    let (min, max) = ends.fold((0.0f64, 0.0f64), |(min, max), v| (min.min(v), max.max(v)));
    let room = 0.14 * (max - min).max(0.1);
    let x = Axis::new((min - room, max + room), (16.0, SIZE.0 - 16.0));
    let mark = |v: f64, class: &str, label: &str| {
        let half = width_of(label) / 2.0;
        let at = x.at(v).clamp(half, SIZE.0 - half);
        html! { (line(class, (x.at(v), 34.0), (x.at(v), 112.0))) (text(class, (at, 24.0), "middle", label)) }
    };
    let drawing = html! {
        @for t in x.ticks(6) { (text("tick", (x.at(t), 134.0), "middle", &words::signed(t, 2))) }
        (line("axis", (16.0, 112.0), (SIZE.0 - 16.0, 112.0)))
        (mark(0.0, "zero", "FP32"))
        @if let Some(g) = gate { (mark(-g, "gate", "gate")) }
        (line("whisker", (x.at(from), MIDDLE), (x.at(to), MIDDLE)))
        @for end in [from, to] { (line("whisker", (x.at(end), MIDDLE - 8.0), (x.at(end), MIDDLE + 8.0))) }
        circle.dot cx=(x.at(change)) cy=(MIDDLE) r="6" {}
        (text("strong", (x.at(change), MIDDLE - 14.0), "middle", &words::signed(change, 2)))
    };
    html! {
        figure {
            (picture(SIZE.0, SIZE.1, "Change of top-1 accuracy with its 95 % interval", drawing))
            figcaption {
                "Change of top-1 in percentage points with its 95 % interval, from the samples on which the two differ"
            }
        }
    }
}

fn metrics(scores: &[&Score]) -> Markup {
    html! {
        div.sheet { table.plain {
            (heads(&[("", ""), ("FP32", ""), ("engine", ""), ("samples", "")]))
            tbody {
                @for m in scores {
                    tr {
                        th scope="row" { (m.metric) }
                        td { (words::short_or_none(m.reference)) }
                        td { (words::short_or_none(m.engine)) " " (m.unit) }
                        td { (words::count(m.n)) }
                    }
                }
            }
        } }
        (lead("Of the engine's outputs against the FP32 reference's, over all samples."))
    }
}
