//! The table of metrics. To add one: a file here, and a row in [`METRICS`].
//!
//! A metric sees, sample by sample, an output of the reference and the same output of the candidate as plain
//! arrays. Those of classifiers look at the order of the values, those of tensors at the values.

mod agreement_top1;
mod cosine;
mod drift_of;
mod max_abs_error;
mod mean_kl;
mod mse;
mod sqnr_db;
mod top1;
mod top5;
mod top_k;

pub use agreement_top1::AgreementTop1;
pub use cosine::Cosine;
pub use max_abs_error::MaxAbsError;
pub use mean_kl::MeanKl;
pub use mse::Mse;
pub use sqnr_db::SqnrDb;
pub use top1::Top1;
pub use top5::Top5;

pub use crate::report::model::Score;

/// Every metric, classifiers' first.
pub static METRICS: &[&dyn Metric] = &[
    &Top1,          // share of labels that are the arg-max, of each side
    &Top5,          // share of labels among the five largest, of each side
    &AgreementTop1, // share of samples with the same arg-max on both sides
    &MeanKl,        // Kullback-Leibler divergence of the class probabilities
    &SqnrDb,        // signal to noise of the output
    &Mse,           // mean squared error of the output
    &MaxAbsError,   // largest error of any value
    &Cosine,        // mean cosine between the outputs of a sample
];

/// The metric of this name.
pub fn find(name: &str) -> Option<&'static dyn Metric> {
    METRICS.iter().copied().find(|m| m.name() == name)
}

/// A way to compare outputs.
pub trait Metric: Sync {
    /// Its name, as configurations and reports have it.
    fn name(&self) -> &'static str;
    /// What it is, in one line.
    fn doc(&self) -> &'static str;
    /// Its unit: `%`, `dB`, `nats`, or nothing.
    fn unit(&self) -> &'static str;
    /// Does it need labels? Samples without one are then left out.
    fn needs_labels(&self) -> bool {
        false
    }
    /// An accumulator that has seen nothing.
    fn start(&self, outputs: Outputs) -> Box<dyn Accumulator>;
}

/// What a classifier's outputs are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outputs {
    /// Any numbers, of which a softmax makes probabilities.
    #[default]
    Logits,
    /// Probabilities already: the model ends in a softmax.
    Probabilities,
}

/// A metric at work.
pub trait Accumulator: Send {
    /// Adds one output of one sample. Both slices have the same length.
    fn update(&mut self, reference: &[f32], candidate: &[f32], label: Option<usize>);
    /// The score over everything seen.
    fn finish(&self) -> Score;
}

/// The score of `metric`; values that are not finite are none.
fn score(metric: &dyn Metric, n: u64, reference: Option<f64>, engine: Option<f64>) -> Score {
    let finite = |v: Option<f64>| v.filter(|v| v.is_finite());
    Score {
        metric: metric.name().into(),
        unit: metric.unit().into(),
        n,
        reference: finite(reference),
        engine: finite(engine),
    }
}

/// `part` of `n` in percent; none of nothing.
fn percent(part: u64, n: u64) -> Option<f64> {
    (n > 0).then(|| 100.0 * part as f64 / n as f64)
}

/// The index of the largest value, the first on ties; NaN never wins. 0 for an empty slice.
///
/// ```
/// use quantize::eval::metrics::arg_max;
/// assert_eq!(arg_max(&[1.0, 3.0, 3.0]), 1);
/// assert_eq!(arg_max(&[f32::NAN, -2.0, -3.0]), 1);
/// ```
pub fn arg_max(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, &v) in values.iter().enumerate() {
        if v > values[best] || (values[best].is_nan() && !v.is_nan()) {
            best = i;
        }
    }
    best
}

/// The largest value minus the second largest: how sure a classifier is. 0 where there are not two.
///
/// ```
/// assert_eq!(quantize::eval::metrics::margin(&[1.0, 4.0, 3.5]), 0.5);
/// ```
pub fn margin(values: &[f32]) -> f64 {
    let best = arg_max(values);
    let second = values
        .iter()
        .enumerate()
        .filter(|&(i, v)| i != best && !v.is_nan())
        .map(|(_, &v)| v)
        .fold(f32::NEG_INFINITY, f32::max);
    match (values.get(best), second.is_finite()) {
        (Some(&first), true) => f64::from(first) - f64::from(second),
        _ => 0.0,
    }
}

/// Class probabilities: the outputs themselves, or `exp(x - max) / Σ` in f64.
///
/// ```
/// use quantize::eval::{Outputs, metrics::probabilities};
/// let p = probabilities(&[0.0, f32::ln(3.0)], Outputs::Logits);
/// assert!((p[0] - 0.25).abs() < 1e-7 && (p[1] - 0.75).abs() < 1e-7);
/// ```
pub fn probabilities(values: &[f32], outputs: Outputs) -> Vec<f64> {
    match outputs {
        Outputs::Probabilities => values.iter().map(|&v| f64::from(v)).collect(),
        Outputs::Logits => {
            let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exps: Vec<f64> = values.iter().map(|&v| (f64::from(v) - f64::from(max)).exp()).collect();
            let sum: f64 = exps.iter().sum();
            exps.into_iter().map(|e| e / sum).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_found_by_its_name_and_starts_empty() {
        for m in METRICS {
            assert_eq!(find(m.name()).map(|f| f.doc()), Some(m.doc()));
            let empty = m.start(Outputs::Logits).finish();
            assert_eq!((empty.metric.as_str(), empty.n, empty.engine), (m.name(), 0, None));
        }
        assert!(find("top2").is_none());
    }

    #[test]
    fn metrics_of_labels_leave_unlabelled_samples_out() {
        for m in METRICS.iter().filter(|m| m.needs_labels()) {
            let mut a = m.start(Outputs::Logits);
            a.update(&[1.0, 0.0], &[1.0, 0.0], None);
            assert_eq!(a.finish().n, 0, "{}", m.name());
        }
    }

    #[test]
    fn outputs_that_are_not_finite_give_no_number() {
        for m in METRICS {
            let mut a = m.start(Outputs::Logits);
            a.update(&[1.0, 0.0], &[f32::NAN, f32::INFINITY], Some(0));
            let value = a.finish().engine;
            assert!(value.is_none_or(f64::is_finite), "{}", m.name());
        }
        assert_eq!(margin(&[1.0]), 0.0);
        assert_eq!(arg_max(&[]), 0);
    }
}
