//! What little of drawing the page needs: axes, paths, labels. Colours come from the style sheet by class.

use maud::{Markup, html};
use std::fmt::Write;

/// A linear map from values to picture coordinates.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    domain: (f64, f64),
    range: (f64, f64),
}

impl Axis {
    /// `domain.0` lies at `range.0`, `domain.1` at `range.1`. A domain without width gets some.
    pub fn new(domain: (f64, f64), range: (f64, f64)) -> Self {
        let wide = domain.1 > domain.0;
        Axis { domain: if wide { domain } else { (domain.0 - 0.5, domain.0 + 0.5) }, range }
    }

    /// Where `v` lies; values outside the domain lie at its ends.
    pub fn at(&self, v: f64) -> f64 {
        let t = ((v - self.domain.0) / (self.domain.1 - self.domain.0)).clamp(0.0, 1.0);
        self.range.0 + t * (self.range.1 - self.range.0)
    }

    /// About `n` round values within the domain: steps of 1, 2 or 5 times a power of ten (Heckbert 1990).
    pub fn ticks(&self, n: usize) -> Vec<f64> {
        let rough = (self.domain.1 - self.domain.0) / n.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough * 0.999).unwrap_or(10.0) * power;
        let (first, last) =
            ((self.domain.0 / step - 1e-9).ceil() as i64, (self.domain.1 / step + 1e-9).floor() as i64);
        (first..=last).take(4 * n + 4).map(|i| i as f64 * step).collect()
    }
}

/// A coordinate with at most one decimal: pictures stay small.
pub fn c(v: f64) -> String {
    let text = format!("{v:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_string()
}

/// The path through `points`.
pub fn polyline(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut d = String::new();
    for (i, (x, y)) in points.into_iter().enumerate() {
        let _ = write!(d, "{}{} {}", if i == 0 { 'M' } else { 'L' }, c(x), c(y));
    }
    d
}

/// The closed outline of bars that stand on `base`: bar `i` reaches from `x(i)` to `x(i + 1)` and up to `tops[i]`.
pub fn bars(base: f64, x: impl Fn(usize) -> f64, tops: &[f64]) -> String {
    let mut d = format!("M{} {}", c(x(0)), c(base));
    for (i, &top) in tops.iter().enumerate() {
        let _ = write!(d, "V{}H{}", c(top), c(x(i + 1)));
    }
    let _ = write!(d, "V{}Z", c(base));
    d
}

/// A line with a class.
pub fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Markup {
    html! { line class=(class) x1=(c(from.0)) y1=(c(from.1)) x2=(c(to.0)) y2=(c(to.1)) {} }
}

/// A label; `anchor` is `start`, `middle` or `end`.
pub fn text(class: &str, at: (f64, f64), anchor: &str, words: &str) -> Markup {
    html! { text class=(class) x=(c(at.0)) y=(c(at.1)) text-anchor=(anchor) { (words) } }
}

/// About how wide `words` are at the page's label size, in the widest of the page's fonts.
pub fn width_of(words: &str) -> f64 {
    6.9 * words.chars().count() as f64
}

/// Horizontal grid lines from `left` to `right` with labels on the left.
pub fn grid(y: &Axis, ticks: &[f64], left: f64, right: f64, label: impl Fn(f64) -> String) -> Markup {
    html! {
        @for &t in ticks {
            (line("grid", (left, y.at(t)), (right, y.at(t))))
            (text("tick", (left - 8.0, y.at(t) + 4.0), "end", &label(t)))
        }
    }
}

/// Labels under a horizontal axis at height `at`.
pub fn x_labels(x: &Axis, ticks: &[f64], at: f64, label: impl Fn(f64) -> String) -> Markup {
    html! { @for &t in ticks { (text("tick", (x.at(t), at), "middle", &label(t))) } }
}

/// A picture of this size in its own units, scaled to the width there is.
pub fn picture(width: f64, height: f64, description: &str, content: Markup) -> Markup {
    html! {
        svg viewBox={ "0 0 " (c(width)) " " (c(height)) } role="img" aria-label=(description) { (content) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Axis::new((0.0, 47.0), (0.0, 1.0)).ticks(5), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(Axis::new((-0.31, 0.2), (0.0, 1.0)).ticks(4).len(), 3); // -0.2, 0, 0.2
        assert!(Axis::new((3.0, 3.0), (0.0, 1.0)).ticks(4).contains(&3.0));
    }

    #[test]
    fn values_outside_stay_at_the_edge() {
        let a = Axis::new((0.0, 10.0), (100.0, 0.0));
        assert_eq!([a.at(-5.0), a.at(5.0), a.at(50.0)], [100.0, 50.0, 0.0]);
    }

    #[test]
    fn paths() {
        assert_eq!(polyline([(0.0, 1.0), (2.25, 3.0)]), "M0 1L2.2 3");
        assert_eq!(bars(9.0, |i| 10.0 * i as f64, &[4.0, 2.5]), "M0 9V4H10V2.5H20V9Z");
    }
}
