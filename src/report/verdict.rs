//! One sentence from the numbers, in plain ASCII so that it can be searched for.

use super::Report;
use super::model::{Accuracy, Gate};
use super::words;

/// Does the engine pass its gate?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Pass,
    /// It does not, or what the gate judges was not measured.
    Fail,
    /// No gate was set.
    NoGate,
}

impl Outcome {
    /// The word that the sentence begins with.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Pass => "PASS",
            Outcome::Fail => "FAIL",
            Outcome::NoGate => "DONE",
        }
    }
}

/// Judges the loss itself, not its interval: a gate is a limit on what was measured.
pub fn outcome(report: &Report) -> Outcome {
    const ROUNDING: f64 = 1e-9; // 76.5 - 76.0 must not exceed 0.5
    let Some(gate) = report.gate else { return Outcome::NoGate };
    let drop = gate.max_drop_top1.is_none_or(|most| drop_top1(report).is_some_and(|d| d <= most + ROUNDING));
    let at_least = |least: Option<f64>, found: Option<f64>| {
        least.is_none_or(|least| found.is_some_and(|f| f >= least - ROUNDING))
    };
    let top1 = at_least(gate.min_top1, engine_top1(report));
    let agreement = at_least(gate.min_agreement_top1, agreement(report));
    if drop && top1 && agreement { Outcome::Pass } else { Outcome::Fail }
}

/// Writes the report's verdict from its other fields. Call it when all of them are set.
pub fn conclude(report: &mut Report) {
    let parts = [quality(report), gate(report), coverage(report), speed(report)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    report.verdict = format!("{}: {}", outcome(report).word(), parts.join(", "));
}

fn drop_top1(report: &Report) -> Option<f64> {
    report.accuracy.as_ref()?.drop_top1
}

fn engine_top1(report: &Report) -> Option<f64> {
    Some(report.accuracy.as_ref()?.engine?.top1)
}

fn agreement(report: &Report) -> Option<f64> {
    report.accuracy.as_ref()?.agreement_top1
}

/// `top-1 96.17 -> 96.05 % (-0.12 pp, 95 % CI [-0.30, +0.06], n=5000)`, or the best there is instead.
fn quality(report: &Report) -> Option<String> {
    if let Some(a) = &report.accuracy {
        return labelled(a).or_else(|| {
            a.agreement_top1.map(|share| format!("same top-1 as FP32 on {share:.2} % (n={})", a.n))
        });
    }
    let score = report.metrics.first()?;
    Some(format!("{} {:.4} {} (n={})", score.metric, score.engine?, score.unit, score.n).replace("  ", " "))
}

fn labelled(a: &Accuracy) -> Option<String> {
    let (reference, engine) = (a.reference?, a.engine?);
    let interval = match a.drop_ci95 {
        Some([low, high]) => format!("95 % CI [{}, {}], ", signed(-high), signed(-low)),
        None => String::new(),
    };
    let change = signed(engine.top1 - reference.top1);
    Some(format!("top-1 {:.2} -> {:.2} % ({change} pp, {interval}n={})", reference.top1, engine.top1, a.n))
}

fn gate(report: &Report) -> Option<String> {
    let Gate { max_drop_top1, min_top1, min_agreement_top1 } = report.gate?;
    let unmeasured = |known: bool| if known { "" } else { " but top-1 was not measured" };
    let drop = max_drop_top1.map(|most| {
        let open = if inconclusive(report, most) { doubt(report) } else { String::new() };
        format!("gate {most:.2} pp{}{open}", unmeasured(drop_top1(report).is_some()))
    });
    let top1 =
        min_top1.map(|least| format!("gate {least:.2} % top-1{}", unmeasured(engine_top1(report).is_some())));
    let agreement = min_agreement_top1
        .map(|least| format!("gate {least:.2} % same top-1{}", unmeasured(agreement(report).is_some())));
    let gates: Vec<String> = drop.into_iter().chain(top1).chain(agreement).collect();
    (!gates.is_empty()).then(|| gates.join(", "))
}

/// Does the interval of the drop reach to both sides of the gate? Then chance decided.
fn inconclusive(report: &Report, most: f64) -> bool {
    let interval = report.accuracy.as_ref().and_then(|a| a.drop_ci95);
    interval.is_some_and(|[low, high]| low < most && most < high)
}

fn doubt(report: &Report) -> String {
    let n = report.accuracy.as_ref().map_or(0, |a| a.n);
    format!(" (inconclusive: n={n} cannot tell, the interval holds the gate)")
}

fn coverage(report: &Report) -> Option<String> {
    let c = &report.coverage;
    (c.multiplying_count > 0).then(|| {
        let macs = words::share(Some(c.int8_macs));
        format!("INT8 {}/{} layers ({macs} of MACs)", c.int8_count, c.multiplying_count)
    })
}

fn speed(report: &Report) -> Option<String> {
    let ratio = report.speedup().map(|x| format!("{x:.2}x the speed of FP32"));
    ratio.or_else(|| words::noisy(&report.latency_ms).map(String::from))
}

/// Two decimals with a sign; what rounds to zero has none.
fn signed(x: f64) -> String {
    match format!("{x:+.2}").as_str() {
        "-0.00" | "+0.00" => "0.00".into(),
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::{Coverage, Latencies, Percentiles, Score, TopK};

    fn report(drop: f64, gate: Option<f64>) -> Report {
        let mut r = Report::new("m");
        let top = |top1| Some(TopK { top1, ..TopK::default() });
        r.gate = gate.map(|most| Gate { max_drop_top1: Some(most), ..Gate::default() });
        r.accuracy = Some(Accuracy {
            n: 5000,
            reference: top(96.17),
            engine: top(96.17 - drop),
            drop_top1: Some(drop),
            drop_ci95: Some([drop - 0.2, drop + 0.2]),
            ..Accuracy::default()
        });
        r
    }

    fn said(mut r: Report) -> String {
        conclude(&mut r);
        r.verdict
    }

    #[test]
    fn sentences() {
        let mut full = report(0.12, Some(0.5));
        full.coverage =
            Coverage { int8_nodes: 20.0 / 21.0, int8_macs: 0.991, int8_count: 20, multiplying_count: 21 };
        let times = |median| Some(Percentiles { median, ..Percentiles::default() });
        full.latency_ms = Latencies { reference: times(12.0), engine: times(4.0), noise: Vec::new() };
        let mut noisy = full.clone();
        noisy.latency_ms.noise = vec!["latency of FP32: the machine was noisy".into()];
        assert!(said(noisy).ends_with("of MACs), speed not judged: the machine was noisy"));
        assert_eq!(
            said(full),
            "PASS: top-1 96.17 -> 96.05 % (-0.12 pp, 95 % CI [-0.32, +0.08], n=5000), gate 0.50 pp, \
             INT8 20/21 layers (99.1 % of MACs), 3.00x the speed of FP32"
        );
        assert!(said(report(0.0, None)).starts_with("DONE: top-1 96.17 -> 96.17 % (0.00 pp"));
        assert!(said(report(0.51, Some(0.5))).starts_with("FAIL: "));
        assert_eq!(outcome(&report(76.5 - 76.0, Some(0.5))), Outcome::Pass);
    }

    #[test]
    fn a_gate_on_what_was_not_measured_fails() {
        let mut r = report(0.0, Some(1.0));
        r.accuracy = Some(Accuracy { n: 9, agreement_top1: Some(99.5), ..Accuracy::default() });
        assert_eq!(
            said(r),
            "FAIL: same top-1 as FP32 on 99.50 % (n=9), gate 1.00 pp but top-1 was not measured"
        );
    }

    #[test]
    fn an_interval_that_holds_the_gate_is_inconclusive() {
        let open = |drop, gate| said(report(drop, Some(gate))).contains("inconclusive: n=5000"); // the interval: +-0.2
        assert!(open(0.4, 0.5) && open(0.6, 0.5));
        assert!(!open(0.1, 0.5) && !open(0.9, 0.5));
    }

    #[test]
    fn a_gate_on_the_accuracy_itself() {
        let mut r = report(0.0, None); // 96.17 %
        r.gate = Some(Gate { min_top1: Some(96.0), ..Gate::default() });
        assert_eq!(outcome(&r), Outcome::Pass);
        r.gate = Some(Gate { max_drop_top1: Some(1.0), min_top1: Some(97.0), ..Gate::default() });
        let said = said(r);
        assert!(said.starts_with("FAIL: ") && said.contains("gate 1.00 pp, gate 97.00 % top-1"), "{said}");
    }

    #[test]
    fn other_models_speak_of_their_first_metric() {
        let mut r = Report::new("m");
        r.metrics = vec![Score { metric: "mse".into(), n: 4, engine: Some(0.25), ..Score::default() }];
        assert_eq!(said(r), "DONE: mse 0.2500 (n=4)");
    }
}
