//! The main exhibit: one row per fused layer, sortable, errors and times side by side.

use super::parts::{heat, lead, names, precision};
use crate::report::model::{Layer, Precision, Report, Tactic};
use crate::report::words;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The section.
pub fn body(report: &Report) -> Option<Markup> {
    if report.layers.is_empty() {
        return None;
    }
    let longest = report.layers.iter().filter_map(|l| l.time_us).fold(f64::MIN_POSITIVE, f64::max);
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|c| report.layers.iter().any(|l| (c.value)(l).is_some())).collect();
    Some(html! {
        (summary(&report.layers))
        div.scroll tabindex="0" role="region" aria-label="Layers" {
            table.layers {
                thead { tr {
                    (head("#", "order of execution", false))
                    (head("layer", "name, operator, reason", false))
                    (head("precision", "what the layer computes in", false))
                    @for c in &columns { (head(c.title, c.doc, true)) }
                    th scope="col" { "tactic" }
                } }
                tbody { @for (i, l) in report.layers.iter().enumerate() { (row(i, l, &columns, longest)) } }
            }
        }
        (lead("Local SQNR: the layer alone quantized, fed the reference's inputs. Cumulative: the whole engine against \
               the reference at the layer's output. RMSE/step: the local error in steps of the output; rounding the \
               output alone gives 0.29, the rest comes from the rounded inputs and weights, and from clipping where \
               that column is not 0. A heading sorts by its column."))
        (legend())
    })
}

/// What the colours of the decibels mean.
fn legend() -> Markup {
    html! {
        p.legend {
            @for (words, db) in [("below 30 dB", 29.0), ("below 25", 24.0), ("below 20", 19.0), ("below 10", 9.0)] {
                span class={ "swatch " (heat(Some(db))) } {} (words)
            }
        }
    }
}

/// A column of numbers.
struct Column {
    title: &'static str,
    doc: &'static str,
    value: fn(&Layer) -> Option<f64>,
    show: fn(Option<f64>) -> String,
    look: Look,
}

/// How the cells of a column look.
#[derive(PartialEq)]
enum Look {
    Plain,
    Heat,
    Bar,
}

static COLUMNS: &[Column] = &[
    Column {
        title: "step",
        doc: "scale of the output",
        value: |l| l.scale.map(f64::from),
        show: words::short_or_none,
        look: Look::Plain,
    },
    Column {
        title: "clipped",
        doc: "share of the output's values beyond its range",
        value: |l| l.clipped,
        show: words::share,
        look: Look::Plain,
    },
    Column {
        title: "RMSE/step",
        doc: "local error in units of the step",
        value: |l| l.rmse_over_scale,
        show: |v| v.map_or(words::NONE.into(), |v| words::fixed(v, 2)),
        look: Look::Plain,
    },
    Column {
        title: "local dB",
        doc: "SQNR of this layer alone",
        value: |l| l.local_sqnr_db,
        show: words::decibels,
        look: Look::Heat,
    },
    Column {
        title: "cumul. dB",
        doc: "SQNR of the whole engine up to here",
        value: |l| l.sqnr_db,
        show: words::decibels,
        look: Look::Heat,
    },
    Column {
        title: "MACs",
        doc: "multiply-accumulates of one sample",
        value: |l| (l.macs > 0).then_some(l.macs as f64),
        show: |v| v.map_or(words::NONE.into(), words::large),
        look: Look::Plain,
    },
    Column { title: "µs", doc: "time", value: |l| l.time_us, show: words::short_or_none, look: Look::Bar },
];

fn head(title: &str, doc: &str, number: bool) -> Markup {
    let class = if number { "num" } else { "" };
    html! { th scope="col" class=(class) { button type="button" title=(doc) { (title) } } }
}

fn row(i: usize, l: &Layer, columns: &[&Column], longest: f64) -> Markup {
    let float = l.precision != Precision::Int8;
    let zero_point = l.zero_point.filter(|z| *z != 0).map(|z| format!(", zp {z}")).unwrap_or_default();
    html! {
        tr id={ "layer-" (i + 1) } class=(if float { "float" } else { "" }) {
            td.num.muted data-v=(i) { (i + 1) }
            td.name data-v=(l.name) {
                @if l.origin.is_empty() { code { (l.name) } }
                @else {
                    details {
                        summary { code { (l.name) } }
                        p.origin { "from " (names(&l.origin)) (weights(l)) }
                    }
                }
                span.op { (l.op) }
                @if float { span.reason { (l.reason) @if let Some(c) = &l.reason_code { " (" (c) ")" } } }
            }
            td data-v=(l.precision.label()) title=(l.reason) {
                (precision(l.precision))
                @if !l.dtype.is_empty() { span.dtype { "→ " (l.dtype) (zero_point) } }
            }
            @for c in columns { (cell(l, c, longest)) }
            td.tactic { @if let Some(t) = &l.tactic { (tactic(t)) } @else { span.muted { (words::NONE) } } }
        }
    }
}

/// How unlike the scales of the output channels are, where that is known.
fn weights(l: &Layer) -> String {
    l.weight_scale_ratio
        .map(|r| format!("; largest weight scale {} times the smallest", words::short(r)))
        .unwrap_or_default()
}

fn cell(l: &Layer, c: &Column, longest: f64) -> Markup {
    let value = (c.value)(l);
    let class = if c.look == Look::Heat { heat(value) } else { "" };
    let bar = value.filter(|_| c.look == Look::Bar).map(|v| format!("--w:{:.0}%", 100.0 * v / longest));
    let reference = l.reference_time_us.filter(|_| c.look == Look::Bar);
    html! {
        td class={ "num " (class) @if bar.is_some() { "timed" } } style=[bar] data-v=[value] {
            ((c.show)(value))
            @if let Some(t) = reference { span.under { "FP32 " (words::short(t)) } }
        }
    }
}

fn tactic(t: &Tactic) -> Markup {
    html! {
        @if t.alternatives.is_empty() { code { (t.name) } }
        @else {
            details {
                summary { code { (t.name) } }
                ul {
                    @for a in &t.alternatives {
                        li {
                            code { (a.name) } " "
                            @if let Some(t) = a.time_us { (words::short(t)) " µs, " }
                            (a.verdict)
                        }
                    }
                }
            }
        }
    }
}

/// How many layers there are of each operator and precision.
fn summary(layers: &[Layer]) -> Markup {
    let mut kinds: BTreeMap<(Precision, &str), u64> = BTreeMap::new();
    for l in layers {
        *kinds.entry((l.precision, l.op.as_str())).or_default() += 1;
    }
    html! {
        p.counts {
            @for ((p, op), n) in &kinds {
                span.count { b { (n) } " " (op) " " (precision(*p)) }
            }
        }
    }
}
