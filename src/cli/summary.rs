//! The closing words of a chain: what came out, aligned, the verdict last.

use crate::report::Report;
use crate::report::model::{Accuracy, Precision};
use crate::report::words::{bytes, decibels, fixed, noisy, plural, seconds, share, short, signed};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names of nodes that a line shows before it says how many more there are.
const NAMES: usize = 3;

/// The summary of a run that wrote `files`.
pub fn of(report: &Report, files: &[PathBuf]) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(a) = &report.accuracy {
        accuracy(a, &mut rows);
    }
    metrics(report, &mut rows);
    coverage(report, &mut rows);
    cost(report, &mut rows);
    drift(report, &mut rows);
    flagged(report, &mut rows);
    for (i, w) in report.warnings.iter().enumerate() {
        rows.push((if i == 0 { "warnings" } else { "" }, w.clone()));
    }
    for (i, file) in files.iter().enumerate() {
        let size = std::fs::metadata(file).ok().map(|m| m.len());
        rows.push((if i == 0 { "files" } else { "" }, format!("{} ({})", file.display(), bytes(size))));
    }
    let width = rows.iter().map(|(k, _)| k.len()).max().unwrap_or(0);
    let mut text: String = rows.iter().map(|(k, v)| format!("{k:width$}  {v}\n")).collect();
    text = text.replace('−', "-"); // as in the verdict, and as terminals can be searched for
    if !report.verdict.is_empty() {
        text += &format!("{}{}\n", if text.is_empty() { "" } else { "\n" }, report.verdict);
    }
    text
}

fn accuracy(a: &Accuracy, rows: &mut Vec<(&str, String)>) {
    if let (Some(before), Some(after)) = (a.reference, a.engine) {
        let interval = a
            .drop_ci95
            .map(|[low, high]| format!(", 95 % interval [{}, {}]", signed(-high, 2), signed(-low, 2)));
        rows.push((
            "top-1",
            format!(
                "{} -> {} % ({} pp{}, n={})",
                fixed(before.top1, 2),
                fixed(after.top1, 2),
                signed(after.top1 - before.top1, 2),
                interval.unwrap_or_default(),
                a.n
            ),
        ));
        rows.push(("top-5", format!("{} -> {} %", fixed(before.top5, 2), fixed(after.top5, 2))));
    }
    if let Some(share) = a.agreement_top1 {
        let changed = plural(a.flips.total(), "image");
        rows.push(("agreement", format!("{} % have FP32's answer ({changed} changed)", fixed(share, 2))));
    }
}

fn metrics(report: &Report, rows: &mut Vec<(&str, String)>) {
    let told = |name: &str| report.accuracy.is_some() && ["top1", "top5", "agreement_top1"].contains(&name);
    for (i, m) in report.metrics.iter().filter(|m| !told(&m.metric)).enumerate() {
        let before = m.reference.map(|v| format!("{} -> ", short(v))).unwrap_or_default();
        let after = m.engine.map_or("not finite".into(), short);
        let line = format!("{} {before}{after} {}", m.metric, m.unit);
        rows.push((if i == 0 { "metrics" } else { "" }, line.trim_end().into()));
    }
}

fn coverage(report: &Report, rows: &mut Vec<(&str, String)>) {
    let c = &report.coverage;
    if report.layers.is_empty() {
        return;
    }
    let macs = share(Some(c.int8_macs));
    rows.push((
        "INT8",
        format!("{} of {} multiplying layers, {macs} of MACs", c.int8_count, c.multiplying_count),
    ));
    let mut float: BTreeMap<(Precision, &str), Vec<&str>> = BTreeMap::new();
    for l in report.layers.iter().filter(|l| l.precision != Precision::Int8) {
        float.entry((l.precision, &l.reason)).or_default().push(&l.name);
    }
    for (i, ((precision, reason), names)) in float.iter().enumerate() {
        let shown = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
        let more = if names.len() > NAMES { ", ..." } else { "" };
        let layers = plural(names.len() as u64, "layer");
        let line = format!("{layers} in {}: {reason} ({shown}{more})", precision.label());
        rows.push((if i == 0 { "float" } else { "" }, line));
    }
}

fn drift(report: &Report, rows: &mut Vec<(&str, String)>) {
    let Some(n) = report.drift_samples else { return };
    let worst = report.layers.iter().filter_map(|l| Some((l.local_sqnr_db?, &l.name)));
    let worst = worst.min_by(|a, b| a.0.total_cmp(&b.0));
    let worst = worst.map(|(db, name)| format!(", largest error at {name} ({} dB)", decibels(Some(db))));
    rows.push(("drift", format!("by layer on {}{}", plural(n, "sample"), worst.unwrap_or_default())));
}

fn flagged(report: &Report, rows: &mut Vec<(&str, String)>) {
    let flagged = report.flagged();
    if flagged.is_empty() {
        return;
    }
    let names = flagged.iter().take(NAMES).map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
    let more = if flagged.len() > NAMES { ", ..." } else { "" };
    let count = plural(flagged.len() as u64, "tensor");
    let order = if flagged.len() > 1 { ", worst first" } else { "" };
    rows.push(("flags", format!("{count} to look at{order}: {names}{more} (why: report.md, report.html)")));
}

fn cost(report: &Report, rows: &mut Vec<(&str, String)>) {
    let (model, engine) = (report.size_bytes.model, report.size_bytes.engine);
    if let (Some(m), Some(e)) = (model, engine) {
        let ratio = share(Some(e as f64 / m.max(1) as f64));
        rows.push(("size", format!("model {}, engine {} ({ratio})", bytes(model), bytes(engine))));
    }
    if let (Some(r), Some(e)) = (&report.latency_ms.reference, &report.latency_ms.engine) {
        let ratio = report.speedup().map(|x| format!(", {} times as fast", fixed(x, 2)));
        let noise = noisy(&report.latency_ms).map(|w| format!("; {w}"));
        let speedup = ratio.or(noise).unwrap_or_default();
        rows.push((
            "latency",
            format!("FP32 {} ms, engine {} ms (median, batch 1){speedup}", short(r.median), short(e.median)),
        ));
    }
    let memory = &report.memory_bytes;
    if memory.arena.is_some() {
        let of =
            format!("arena {} for {} of activations", bytes(memory.arena), bytes(memory.activations_sum));
        let peak = memory.peak_rss.map(|n| format!(", peak {}", bytes(Some(n)))).unwrap_or_default();
        rows.push(("memory", of + &peak));
    }
    let stages = report.seconds.stages();
    let spent: Vec<String> = stages
        .iter()
        .filter(|(_, s)| s.is_some())
        .map(|(name, s)| format!("{name} {}", seconds(*s)))
        .collect();
    if !spent.is_empty() {
        rows.push(("time", spent.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_sample_report_in_words() {
        insta::assert_snapshot!("summary", of(&sample::classifier(), &["missing/report.html".into()]));
    }

    #[test]
    fn a_noisy_machine_gives_no_ratio() {
        let mut report = sample::classifier();
        report.latency_ms.noise = vec!["latency of FP32: the machine was noisy".into()];
        let text = of(&report, &[]);
        assert!(text.contains("(median, batch 1); speed not judged: the machine was noisy\n"), "{text}");
        assert!(!text.contains("times as fast"), "{text}");
    }

    #[test]
    fn an_empty_report_has_nothing_to_say() {
        assert_eq!(of(&Report::new("m"), &[]), "");
    }
}
