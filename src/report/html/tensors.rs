//! Each tensor's magnitudes, with the threshold of every method and the one that was taken.

use super::parts::{lead, names};
use super::svg::{Axis, bars, grid, line, picture, text, width_of, x_labels};
use crate::report::model::{Bars, Report, TensorReport};
use crate::report::words;
use maud::{Markup, html};
use std::collections::HashMap;

/// How many are open.
const OPEN: usize = 5;

const WIDTH: f64 = 540.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = WIDTH - 8.0;

/// The section.
pub fn body(report: &Report) -> Option<Markup> {
    if report.tensors.is_empty() {
        return None;
    }
    let (worst, others) = by_concern(report);
    Some(html! {
        (lead("Magnitudes on a logarithmic count, zeros left out. Lines are the thresholds that each method gives; the \
               bold one was taken, and values beyond it are clipped. Where tensors must share a scale, the one taken \
               may be another tensor's."))
        div.tensors { @for t in &worst { (card(t)) } }
        @if !others.is_empty() {
            details.more {
                summary { (words::plural(others.len() as u64, "more tensor")) ", in order of execution" }
                div.tensors { @for t in &others { (card(t)) } }
            }
        }
    })
}

/// The tensors that deserve a look, worst first, and the others in their own order. Flagged ones come first, then
/// what the range leaves of the tensor counts, or the local error of the layer that writes it where that is unknown.
fn by_concern(report: &Report) -> (Vec<&TensorReport>, Vec<&TensorReport>) {
    let errors: HashMap<&str, f64> =
        report.layers.iter().filter_map(|l| Some((l.output.as_str(), l.local_sqnr_db?))).collect();
    let error = |t: &TensorReport| {
        t.sqnr_db.or_else(|| errors.get(t.name.as_str()).copied()).unwrap_or(f64::INFINITY)
    };
    let mut order: Vec<usize> = (0..report.tensors.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&report.tensors[a], &report.tensors[b]);
        a.flags.is_empty().cmp(&b.flags.is_empty()).then(error(a).total_cmp(&error(b)))
    });
    let (worst, rest) = order.split_at(OPEN.min(order.len()));
    let mut rest = rest.to_vec();
    rest.sort_unstable();
    (worst.iter().map(|&i| &report.tensors[i]).collect(), rest.iter().map(|&i| &report.tensors[i]).collect())
}

fn card(t: &TensorReport) -> Markup {
    let spread = t.half_spread.map(|s| format!("halves differ by {}", words::share(Some(s))));
    let clipped = t.clipped.map(|c| format!("{} clipped", words::share(Some(c))));
    let left = t.sqnr_db.map(|db| format!("{} dB by its range", words::decibels(Some(db))));
    let zeros = t.zero_code.map(|z| format!("{} become zero", words::share(Some(z))));
    let step = t.scale.map(|s| format!("step {}", words::short(s.into())));
    let zero_point = t.zero_point.filter(|z| *z != 0).map(|z| format!("zero point {z}"));
    let seen = format!("seen {} to {}", words::short(t.min.into()), words::short(t.max.into()));
    let facts: Vec<String> =
        [Some(t.dtype.clone()), step, zero_point, Some(seen), clipped, zeros, left, spread]
            .into_iter()
            .flatten()
            .filter(|f| !f.is_empty())
            .collect();
    html! {
        article.tensor {
            h3 { code { (t.name) } }
            @for flag in &t.flags { p.flag { (flag) } }
            p.muted { (facts.join(" · ")) }
            @if let Some(other) = &t.shared_with {
                p.muted { "threshold shared with " code { (other) } ": both have one scale" }
            }
            @if let Some(h) = t.histogram.as_ref().filter(|h| !h.counts.is_empty()) { (histogram(t, h)) }
            @if !t.consumers.is_empty() || t.amax_sample.is_some() {
                p.muted {
                    @if !t.consumers.is_empty() { "read by " (names(&t.consumers)) }
                    @if let Some(s) = &t.amax_sample { @if !t.consumers.is_empty() { "; " } "largest in " code { (s) } }
                }
            }
        }
    }
}

/// A threshold's line and its label.
struct Mark {
    label: String,
    value: f64,
    chosen: bool,
}

fn histogram(t: &TensorReport, h: &Bars) -> Markup {
    let marks = marks(t);
    let right_end = marks.iter().map(|m| m.value).fold(h.upper(), f64::max);
    let x = Axis::new((0.0, right_end), (LEFT, RIGHT));
    let labels: Vec<Label> = marks.iter().map(|m| label(m, &x)).collect();
    let rows = label_rows(&labels);
    let top = 8.0 + 15.0 * (1.0 + rows.iter().copied().max().unwrap_or(0) as f64);
    let bottom = top + 120.0;
    let decades = h.counts.iter().copied().max().map_or(1.0, |n| (n.max(10) as f64).log10().ceil());
    // half a count lies on the base line, so that a single value is still seen
    let y = Axis::new((-0.3, decades), (bottom, top));
    let tops: Vec<f64> =
        h.counts.iter().map(|&n| if n == 0 { bottom } else { y.at((n as f64).log10()) }).collect();
    let ticks: Vec<f64> =
        (0..=decades as u32).step_by(if decades > 4.0 { 2 } else { 1 }).map(f64::from).collect();
    let drawing = html! {
        (grid(&y, &ticks, LEFT, RIGHT, |t| words::large(10f64.powf(t))))
        path.hist d=(bars(bottom, |i| x.at(i as f64 * h.width()), &tops)) {}
        (line("axis", (LEFT, bottom), (RIGHT, bottom)))
        (x_labels(&x, &x.ticks(6), bottom + 16.0, words::tick))
        // labels over all lines: where one lies across a line, its halo parts them
        @for (m, row) in marks.iter().zip(&rows) {
            @let at = x.at(m.value);
            (line(m.class(), (at, height(*row) - 9.0), (at, bottom)))
        }
        @for ((m, l), row) in marks.iter().zip(&labels).zip(&rows) { (label_text(m, l, height(*row))) }
    };
    let description = format!("Histogram of {} with the thresholds of each method", t.name);
    html! { figure { (picture(WIDTH, bottom + 24.0, &description, drawing)) } }
}

/// Every method's threshold, in order; the one in use is marked, and added where it is nobody's own.
fn marks(t: &TensorReport) -> Vec<Mark> {
    let mut marks: Vec<Mark> = t
        .thresholds
        .iter()
        .map(|(method, &v)| Mark { label: method.clone(), value: v.into(), chosen: *method == t.method })
        .collect();
    if let Some(taken) = t.chosen_threshold().map(f64::from) {
        match marks.iter_mut().find(|m| m.chosen) {
            Some(own) if (own.value - taken).abs() <= 1e-6 * taken.abs() => {}
            own => {
                if let Some(own) = own {
                    own.chosen = false;
                }
                let label = if t.shared_with.is_some() { "shared" } else { "taken" };
                marks.push(Mark { label: label.into(), value: taken, chosen: true });
            }
        }
    }
    marks.retain(|m| m.value.is_finite());
    marks.sort_by(|a, b| a.value.total_cmp(&b.value));
    merged(marks)
}

/// Methods that agree have one line with all their names.
fn merged(marks: Vec<Mark>) -> Vec<Mark> {
    let mut out: Vec<Mark> = Vec::new();
    for m in marks {
        match out.last_mut() {
            Some(last) if (m.value - last.value).abs() <= 1e-6 * m.value.abs() => {
                last.label = format!("{}, {}", last.label, m.label);
                last.chosen |= m.chosen;
            }
            _ => out.push(m),
        }
    }
    out
}

impl Mark {
    fn class(&self) -> &'static str {
        if self.chosen { "threshold chosen" } else { "threshold" }
    }
}

/// A label above the plot: on the right of its line, or on the left where the picture ends too soon.
struct Label {
    words: String,
    left: f64,
    right: f64,
    leftward: bool,
}

fn label(m: &Mark, x: &Axis) -> Label {
    const GAP: f64 = 4.0;
    let words = format!("{} {}", m.label, words::short(m.value));
    let width = width_of(&words) * if m.chosen { 1.1 } else { 1.0 };
    let (at, leftward) = (x.at(m.value), x.at(m.value) + GAP + width > RIGHT);
    let left = if leftward { at - GAP - width } else { at + GAP };
    Label { words, left, right: left + width, leftward }
}

/// The row of each label above the plot, such that none overlaps another and none lies across another's line:
/// those on the right of their lines from left to right, then the others from right to left, each as high as it can.
fn label_rows(labels: &[Label]) -> Vec<usize> {
    let rightward = (0..labels.len()).filter(|&i| !labels[i].leftward);
    let leftward = (0..labels.len()).rev().filter(|&i| labels[i].leftward);
    let mut rows = vec![0; labels.len()];
    let mut taken: Vec<(usize, f64, f64)> = Vec::new();
    for i in rightward.chain(leftward) {
        let l = &labels[i];
        let free =
            |row: usize| !taken.iter().any(|t| t.0 == row && t.1 < l.right + 6.0 && l.left < t.2 + 6.0);
        rows[i] = (0..).find(|&row| free(row)).unwrap_or(0);
        taken.push((rows[i], l.left, l.right));
    }
    rows
}

/// Where the words of a row stand.
fn height(row: usize) -> f64 {
    14.0 + 15.0 * row as f64
}

fn label_text(m: &Mark, l: &Label, height: f64) -> Markup {
    let (at, anchor) = if l.leftward { (l.right, "end") } else { (l.left, "start") };
    text(m.class(), (at, height), anchor, &l.words)
}
