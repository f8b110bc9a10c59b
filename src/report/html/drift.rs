//! The error layer by layer in the order of execution: where it is made, and whether it survives.

use super::parts::lead;
use super::svg::{Axis, bars, c, grid, line, picture, polyline, text, width_of};
use crate::report::model::{EXACT_DB, Layer, Precision, Report};
use crate::report::words;
use maud::{Markup, html};

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = WIDTH - 12.0;

/// The section.
pub fn body(report: &Report) -> Option<Markup> {
    let layers = &report.layers;
    let local =
        curve(layers, "local", "Local SQNR, dB: the error that each layer makes itself", |l| l.local_sqnr_db);
    let cumulative = curve(
        layers,
        "cumulative",
        "Cumulative SQNR, dB: the error that has gathered up to each layer",
        |l| l.sqnr_db,
    );
    if local.is_none() && cumulative.is_none() {
        return None;
    }
    let any_float = layers.iter().any(|l| l.precision != Precision::Int8);
    Some(html! {
        (lead(&format!(
            "A dip in the first curve is the layer to look at; the second shows whether its error reaches the output. \
             Above 20 dB (1 % of noise power, the green line) is good, below 10 dB (the red line) suspicious.{}",
            report.drift_samples.map(|n| format!(" Measured on {}.", on(n))).unwrap_or_default()
        )))
        @if any_float { p.legend { span.swatch.floatband {} "stays in float" } }
        (local.unwrap_or_default())
        (cumulative.unwrap_or_default())
        (times(layers).unwrap_or_default())
    })
}

fn on(samples: u64) -> String {
    match samples {
        1 => "one sample".into(),
        n => format!("{} samples spread evenly over the set", words::count(n)),
    }
}

/// Where layer `i` of `n` stands.
fn place(i: usize, n: usize) -> f64 {
    LEFT + (RIGHT - LEFT) * (i as f64 + 0.5) / n as f64
}

/// Bands behind the layers that stay in float, and the layers' numbers below.
fn frame(layers: &[Layer], top: f64, bottom: f64) -> Markup {
    let n = layers.len();
    let width = (RIGHT - LEFT) / n as f64;
    let every = [1, 2, 5, 10, 20, 50, 100].into_iter().find(|e| n / e <= 30).unwrap_or(200);
    html! {
        @for (i, _) in layers.iter().enumerate().filter(|(_, l)| l.precision != Precision::Int8) {
            rect.floatband x=(c(place(i, n) - width / 2.0)) y=(top) width=(c(width)) height=(bottom - top) {}
        }
        @for i in (0..n).filter(|i| (i + 1) % every == 0 || n < 2) {
            (text("tick", (place(i, n), bottom + 16.0), "middle", &(i + 1).to_string()))
        }
    }
}

fn curve(layers: &[Layer], class: &str, title: &str, of: fn(&Layer) -> Option<f64>) -> Option<Markup> {
    const TOP: f64 = 10.0;
    const BOTTOM: f64 = 176.0;
    let known: Vec<(usize, f64)> = layers.iter().enumerate().filter_map(|(i, l)| Some((i, of(l)?))).collect();
    let worst = known.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let highest = known.iter().map(|k| k.1).filter(|db| *db < EXACT_DB).fold(25.0, f64::max);
    let lowest = known.iter().map(|k| k.1).filter(|db| *db > -EXACT_DB).fold(0.0, f64::min);
    let y = Axis::new(((lowest / 10.0).floor() * 10.0, (highest / 10.0).ceil() * 10.0 + 5.0), (BOTTOM, TOP));
    let at = |(i, db): (usize, f64)| (place(i, layers.len()), y.at(db));
    let drawing = html! {
        (frame(layers, TOP, BOTTOM))
        (grid(&y, &y.ticks(4), LEFT, RIGHT, |t| words::fixed(t, 0)))
        @for (db, class) in [(20.0, "good"), (10.0, "suspicious")] {
            (line(class, (LEFT, y.at(db)), (RIGHT, y.at(db))))
        }
        path class={ "curve " (class) } d=(polyline(known.iter().filter(|k| k.1 < EXACT_DB).map(|&k| at(k)))) {}
        @for &k in &known {
            @let (x, y) = at(k);
            circle class=(if k.1 < EXACT_DB { class } else { "exact" }) cx=(c(x)) cy=(c(y)) r="2.6" {
                title { (k.0 + 1) " " (layers[k.0].name) ": " (words::decibels(Some(k.1))) " dB" }
            }
        }
        (worst_label(&layers[worst.0].name, worst.1, at(worst), BOTTOM))
    };
    Some(html! {
        figure.chart { figcaption { (title) } (picture(WIDTH, BOTTOM + 24.0, title, drawing)) }
    })
}

/// The name of the worst layer under its point, where a lowest point leaves room, or over it.
fn worst_label(name: &str, db: f64, (x, y): (f64, f64), bottom: f64) -> Markup {
    let words = format!("{name}: {}", words::decibels(Some(db)));
    let half = width_of(&words) * 0.55;
    let middle = x.clamp(LEFT + half, (RIGHT - half).max(LEFT + half));
    let below = y + 19.0;
    html! {
        circle.worst cx=(c(x)) cy=(c(y)) r="5" {}
        (text("strong halo", (middle, if below < bottom - 3.0 { below } else { y - 11.0 }), "middle", &words))
    }
}

/// Time of each layer as bars, in the same places.
fn times(layers: &[Layer]) -> Option<Markup> {
    const TOP: f64 = 8.0;
    const BOTTOM: f64 = 96.0;
    let longest = layers.iter().filter_map(|l| l.time_us).reduce(f64::max).filter(|t| *t > 0.0)?;
    let y = Axis::new((0.0, longest * 1.08), (BOTTOM, TOP));
    let n = layers.len();
    let half = (RIGHT - LEFT) / n as f64 * 0.36;
    let drawing = html! {
        (frame(layers, TOP, BOTTOM))
        (grid(&y, &y.ticks(3), LEFT, RIGHT, words::tick))
        @for (i, l) in layers.iter().enumerate() {
            @if let Some(t) = l.time_us {
                @let left = place(i, n) - half;
                path.timebar d=(bars(BOTTOM, |side| left + 2.0 * half * side as f64, &[y.at(t)])) {
                    title { (i + 1) " " (l.name) ": " (words::short(t)) " µs" }
                }
            }
        }
    };
    Some(html! {
        figure.chart {
            figcaption { "Time of each layer, µs" }
            (picture(WIDTH, BOTTOM + 24.0, "Time of each layer", drawing))
        }
    })
}
