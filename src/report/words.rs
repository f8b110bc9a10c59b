//! Numbers as people read them, the same in every rendering. What is missing is an en dash.

use super::model::{EXACT_DB, Latencies};

/// What stands where nothing was measured.
pub const NONE: &str = "–";

/// Why there is no ratio of speeds, where the times were not to be trusted.
pub fn noisy(latency: &Latencies) -> Option<&'static str> {
    (!latency.noise.is_empty()).then_some("speed not judged: the machine was noisy")
}

/// `digits` decimals with a true minus sign; what rounds to zero has none.
pub fn fixed(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.into(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// A sentence of plain ASCII, such as the verdict, with true minus signs and arrows.
pub fn typeset(text: &str) -> String {
    let arrows = text.replace("->", "→");
    let mut out = String::with_capacity(arrows.len());
    let mut chars = arrows.chars().peekable();
    while let Some(c) = chars.next() {
        let before = out.chars().next_back().is_none_or(|b| " ([".contains(b));
        let number = chars.peek().is_some_and(char::is_ascii_digit);
        out.push(if c == '-' && before && number { '−' } else { c });
    }
    out
}

/// As [`fixed`], with a plus sign where positive.
pub fn signed(x: f64, digits: usize) -> String {
    let text = fixed(x, digits);
    let zero = text.bytes().all(|b| b == b'0' || b == b'.');
    if zero || text.starts_with('−') { text } else { format!("+{text}") }
}

/// About three significant digits, never an exponent for what people meet: `0.0235`, `4.12`, `118`.
pub fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return fixed(x, 0);
    }
    let magnitude = x.abs().log10().floor() as i32;
    if !(-5..15).contains(&magnitude) {
        return format!("{x:.2e}").replace('-', "−");
    }
    fixed(x, (2 - magnitude).clamp(0, 8) as usize)
}

/// As [`short`], of what may be missing.
pub fn short_or_none(x: Option<f64>) -> String {
    x.map_or(NONE.into(), short)
}

/// As [`short`], without idle zeros: `0.5`, `10`. For the labels of an axis.
pub fn tick(x: f64) -> String {
    trimmed(&short(x))
}

/// Cuts the zeros at the end of a decimal fraction.
fn trimmed(text: &str) -> String {
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text.into(),
    }
}

/// A count with commas: `50,000`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(d);
    }
    text
}

/// A large number with a prefix, without idle zeros: `118 M`, `4.1 k`.
pub fn large(n: f64) -> String {
    let (divisor, prefix) = match n {
        n if n >= 1e12 => (1e12, " T"),
        n if n >= 1e9 => (1e9, " G"),
        n if n >= 1e6 => (1e6, " M"),
        n if n >= 1e3 => (1e3, " k"),
        _ => return fixed(n, 0),
    };
    format!("{}{prefix}", tick(n / divisor))
}

/// A size in decimal units: `44.7 MB`.
pub fn bytes(n: Option<u64>) -> String {
    match n {
        None => NONE.into(),
        Some(n) if n < 1000 => format!("{n} B"),
        Some(n) => format!("{}B", large(n as f64)),
    }
}

/// A share of 0 to 1 as percent. Neither a small share reads as none, nor a large one as all.
pub fn share(x: Option<f64>) -> String {
    match x {
        None => NONE.into(),
        Some(x) if x != 0.0 && x.abs() < 0.0001 => "< 0.01 %".into(),
        Some(x) if (0.9995..1.0).contains(&x) => "> 99.9 %".into(),
        Some(x) => format!("{} %", fixed(100.0 * x, if x < 0.1 { 2 } else { 1 })),
    }
}

/// Decibels: `38.2`, `exact` where bit for bit equal.
pub fn decibels(db: Option<f64>) -> String {
    match db {
        None => NONE.into(),
        Some(db) if db >= EXACT_DB => "exact".into(),
        Some(db) if db <= -EXACT_DB => "broken".into(),
        Some(db) => fixed(db, 1),
    }
}

/// Seconds: `80 ms`, `4.20 s`, `3 min 20 s`.
pub fn seconds(s: Option<f64>) -> String {
    match s {
        None => NONE.into(),
        Some(s) if s < 1.0 => format!("{} ms", fixed(1000.0 * s, 0)),
        Some(s) if s < 100.0 => format!("{} s", short(s)),
        Some(s) => format!("{} min {} s", (s / 60.0).floor(), (s % 60.0).floor()),
    }
}

/// `one layer`, `3 layers`.
pub fn plural(n: u64, one: &str) -> String {
    if n == 1 { format!("one {one}") } else { format!("{} {one}s", count(n)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!([fixed(-0.004, 2), fixed(-1.5, 1), signed(0.5, 2)], ["0.00", "−1.5", "+0.50"]);
        assert_eq!(
            [0.02349, 4.123, 118.4, 1234.0, 0.0, 3.1e-20].map(short),
            ["0.0235", "4.12", "118", "1234", "0", "3.10e−20"]
        );
        assert_eq!(
            [1, 999, 1000, 50_000, 1_234_567].map(count),
            ["1", "999", "1,000", "50,000", "1,234,567"]
        );
        assert_eq!([bytes(Some(44_700_000)), bytes(Some(12)), bytes(None)], ["44.7 MB", "12 B", "–"]);
        assert_eq!(
            [share(Some(0.991)), share(Some(0.00002)), share(Some(0.0))],
            ["99.1 %", "< 0.01 %", "0.00 %"]
        );
        assert_eq!([share(Some(0.99999)), share(Some(1.0))], ["> 99.9 %", "100.0 %"]);
        assert_eq!([Some(38.21), Some(200.0), Some(-200.0)].map(decibels), ["38.2", "exact", "broken"]);
        assert_eq!([seconds(Some(0.421)), seconds(Some(200.0))], ["421 ms", "3 min 20 s"]);
        assert_eq!(typeset("top-1 1 -> 2 % (-0.12 pp, [-0.30, 0])"), "top-1 1 → 2 % (−0.12 pp, [−0.30, 0])");
        assert_eq!([plural(1, "layer"), plural(3, "layer")], ["one layer", "3 layers"]);
    }
}
