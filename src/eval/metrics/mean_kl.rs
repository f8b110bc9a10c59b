//! Kullback-Leibler divergence of the class probabilities.

use super::{Accumulator, Metric, Outputs, Score, probabilities, score};

/// Added to both probabilities before the logarithm, so that a zero is no infinity.
const EPSILON: f64 = 1e-9;

/// Mean over the samples of `Σ p (ln(p + 1e-9) - ln(q + 1e-9))`: p the reference's probabilities, q the candidate's.
///
/// ```
/// use quantize::eval::{Metric, Outputs, metrics::MeanKl};
/// let mut a = MeanKl.start(Outputs::Probabilities);
/// a.update(&[0.5, 0.5], &[0.25, 0.75], None);
/// // 0.5 ln 2 + 0.5 ln (2/3) = 0.5 ln (4/3) = 0.143841
/// assert!((a.finish().engine.unwrap() - 0.143841).abs() < 1e-6);
/// // the same from logits, which may be shifted at will
/// let mut a = MeanKl.start(Outputs::Logits);
/// a.update(&[7.0, 7.0], &[1.0, 1.0 + 3f32.ln()], None);
/// assert!((a.finish().engine.unwrap() - 0.143841).abs() < 1e-6);
/// ```
pub struct MeanKl;

impl Metric for MeanKl {
    fn name(&self) -> &'static str {
        "mean_kl"
    }
    fn doc(&self) -> &'static str {
        "mean Kullback-Leibler divergence of the engine's class probabilities from the reference's"
    }
    fn unit(&self) -> &'static str {
        "nats"
    }
    fn start(&self, outputs: Outputs) -> Box<dyn Accumulator> {
        Box::new(Divergence { outputs, n: 0, sum: 0.0 })
    }
}

struct Divergence {
    outputs: Outputs,
    n: u64,
    sum: f64,
}

impl Accumulator for Divergence {
    fn update(&mut self, reference: &[f32], candidate: &[f32], _: Option<usize>) {
        let p = probabilities(reference, self.outputs);
        let q = probabilities(candidate, self.outputs);
        self.n += 1;
        self.sum += p.iter().zip(&q).map(|(p, q)| p * ((p + EPSILON).ln() - (q + EPSILON).ln())).sum::<f64>();
    }
    fn finish(&self) -> Score {
        // what is equal but for rounding must not read as less than nothing
        score(&MeanKl, self.n, None, (self.n > 0).then(|| (self.sum / self.n as f64).max(0.0)))
    }
}
