//! A short page for a pull request: verdict, accuracy, coverage, the worst layers, what stayed float and why.

use super::Report;
use super::model::{Accuracy, Layer, Percentiles, Precision};
use super::words;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many of the worst layers are listed.
const WORST: usize = 5;

/// The page, in GitHub's Markdown.
pub fn render(report: &Report) -> String {
    let mut page =
        format!("## {}\n\n**{}**\n", escape(&report.model), escape(&words::typeset(&report.verdict)));
    let sections: [fn(&Report) -> Option<String>; 8] =
        [warnings, accuracy, metrics, cost, worst_layers, stayed_float, flags, files];
    for section in sections {
        if let Some(text) = section(report) {
            page.push('\n');
            page.push_str(&text);
        }
    }
    page
}

fn warnings(report: &Report) -> Option<String> {
    list(report.warnings.iter().map(|w| format!("warning: {}", escape(w))))
}

fn accuracy(report: &Report) -> Option<String> {
    let a = report.accuracy.as_ref()?;
    let mut text = String::new();
    if let (Some(reference), Some(engine)) = (a.reference, a.engine) {
        let change = |r: f64, e: f64| words::signed(e - r, 2);
        text += "| | FP32 | engine | change, pp |\n|---|---:|---:|---:|\n";
        for (name, r, e) in
            [("top-1, %", reference.top1, engine.top1), ("top-5, %", reference.top5, engine.top5)]
        {
            let _ = writeln!(text, "| {name} | {r:.2} | {e:.2} | {} |", change(r, e));
        }
        text.push('\n');
    }
    text += &details(a);
    Some(text)
}

/// The sentence under the table.
fn details(a: &Accuracy) -> String {
    let mut parts = vec![format!("{} samples", words::count(a.n))];
    if let Some(share) = a.agreement_top1 {
        parts.push(format!("same top-1 as FP32 on {share:.2} %"));
    }
    if let Some(kl) = a.mean_kl {
        parts.push(format!("mean KL {}", words::short(kl)));
    }
    if let (Some([low, high]), Some(p)) = (a.drop_ci95, a.mcnemar_p) {
        let (from, to) = (words::signed(-high, 2), words::signed(-low, 2));
        parts
            .push(format!("95 % interval of the change [{from}, {to}] pp (McNemar p = {})", words::short(p)));
    }
    let f = &a.flips;
    parts.push(match f.unlabelled {
        0 => format!(
            "{} right to wrong, {} wrong to right, {} wrong to other",
            f.correct_to_wrong, f.wrong_to_correct, f.wrong_to_other
        ),
        n => format!("{n} changed"),
    });
    format!("{}.\n", parts.join("; "))
}

fn metrics(report: &Report) -> Option<String> {
    if report.further_metrics().is_empty() {
        return None;
    }
    let mut text = String::from("| metric | FP32 | engine |\n|---|---:|---:|\n");
    for m in report.further_metrics() {
        let unit = if m.unit.is_empty() { String::new() } else { format!(", {}", m.unit) };
        let (reference, engine) = (words::short_or_none(m.reference), words::short_or_none(m.engine));
        let _ = writeln!(text, "| {}{unit} | {reference} | {engine} |", escape(&m.metric));
    }
    Some(text)
}

fn cost(report: &Report) -> Option<String> {
    let c = &report.coverage;
    let (l, s) = (&report.latency_ms, &report.size_bytes);
    let at = |p: &Option<Percentiles>, f: fn(&Percentiles) -> f64| words::short_or_none(p.as_ref().map(f));
    let mut text = String::from("| | FP32 | engine |\n|---|---:|---:|\n");
    for (name, f) in [("median", (|p| p.median) as fn(&Percentiles) -> f64), ("p95", |p| p.p95)] {
        let _ = writeln!(text, "| latency, {name}, ms | {} | {} |", at(&l.reference, f), at(&l.engine, f));
    }
    let _ = writeln!(text, "| file | {} | {} |", words::bytes(s.model), words::bytes(s.engine));
    let _ = writeln!(
        text,
        "\nINT8: {} of {} multiplying layers, {} of the multiply-accumulates.",
        c.int8_count,
        c.multiplying_count,
        words::share(Some(c.int8_macs))
    );
    Some(text)
}

fn worst_layers(report: &Report) -> Option<String> {
    let error = |l: &Layer| l.local_sqnr_db.or(l.sqnr_db);
    let mut layers: Vec<&Layer> =
        report.layers.iter().filter(|l| l.precision == Precision::Int8 && error(l).is_some()).collect();
    layers.sort_by(|a, b| error(a).partial_cmp(&error(b)).unwrap_or(std::cmp::Ordering::Equal));
    if layers.is_empty() {
        return None;
    }
    let on =
        report.drift_samples.map(|n| format!(" (on {})", words::plural(n, "sample"))).unwrap_or_default();
    let mut text = format!(
        "Layers with the largest error of their own{on}:\n\n\
         | layer | op | local SQNR, dB | cumulative, dB | time, µs |\n|---|---|---:|---:|---:|\n",
    );
    for l in layers.iter().take(WORST) {
        let (local, cumulative) = (words::decibels(l.local_sqnr_db), words::decibels(l.sqnr_db));
        let time = words::short_or_none(l.time_us);
        let _ =
            writeln!(text, "| `{}` | {} | {local} | {cumulative} | {time} |", code(&l.name), escape(&l.op));
    }
    Some(text)
}

/// What does not compute in INT8, by reason.
fn stayed_float(report: &Report) -> Option<String> {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for l in report.layers.iter().filter(|l| l.precision != Precision::Int8) {
        reasons.entry(&l.reason).or_default().push(&l.name);
    }
    let items = reasons.iter().map(|(reason, names)| format!("{}: {}", escape(reason), some_names(names)));
    Some(format!("Stayed in float:\n\n{}", list(items)?))
}

/// The first few names, and how many more there are.
fn some_names(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{}`", code(n))).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn flags(report: &Report) -> Option<String> {
    let items =
        report.flagged().into_iter().map(|t| format!("`{}`: {}", code(&t.name), escape(&t.flags.join("; "))));
    Some(format!("Tensors to look at, worst first:\n\n{}", list(items)?))
}

fn files(report: &Report) -> Option<String> {
    let files = report.files.iter().map(|f| format!("`{}`", code(&f.path)));
    let files: Vec<String> = files.collect();
    (!files.is_empty()).then(|| format!("Files: {}.\n", files.join(", ")))
}

fn list(items: impl Iterator<Item = String>) -> Option<String> {
    let text: String = items.map(|i| format!("- {i}\n")).collect();
    (!text.is_empty()).then_some(text)
}

/// Plain text: what Markdown or HTML would take as markup is escaped, line breaks become spaces.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '|' | '*' | '_' | '`' | '\\' | '~' => out.extend(['\\', c]),
            '(' if out.ends_with(']') => out.push_str("\\("), // no link
            c => out.push(c),
        }
    }
    out
}

/// Text between backticks: nothing is markup there but the backtick, and the bar of a table.
fn code(text: &str) -> String {
    text.replace(['`', '\n', '\r'], "'").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_is_what_it_was() {
        insta::assert_snapshot!("report.md", render(&sample::classifier()));
        insta::assert_snapshot!("report-without-labels.md", render(&sample::regressor()));
    }

    #[test]
    fn names_cannot_break_the_page() {
        let mut r = sample::small();
        r.model = "a|b\n# c <script> [x](y)".into();
        r.layers[0].name = "x`|y".into();
        r.layers[0].local_sqnr_db = Some(1.0);
        let page = render(&r);
        assert!(page.starts_with("## a\\|b # c &lt;script> [x]\\(y)\n"), "{page}");
        assert!(page.contains("`x'\\|y`"), "{page}");
    }
}
