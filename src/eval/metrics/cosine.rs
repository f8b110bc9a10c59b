//! Mean cosine between the outputs of a sample.

use super::{Accumulator, Metric, Outputs, Score, score};

/// Mean over the samples of `x·x̂ / (|x| |x̂|)`: 1 for equal directions. Two zero vectors are equal, one is not.
///
/// ```
/// use quantize::eval::{Metric, Outputs, metrics::Cosine};
/// let mut a = Cosine.start(Outputs::Logits);
/// a.update(&[3.0, 4.0], &[4.0, 3.0], None); // 24 / 25
/// a.update(&[1.0, 0.0], &[2.0, 0.0], None); // 1
/// assert!((a.finish().engine.unwrap() - 0.98).abs() < 1e-12);
/// ```
pub struct Cosine;

impl Metric for Cosine {
    fn name(&self) -> &'static str {
        "cosine"
    }
    fn doc(&self) -> &'static str {
        "mean cosine between the reference's and the engine's output of a sample"
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn start(&self, _: Outputs) -> Box<dyn Accumulator> {
        Box::new(Mean::default())
    }
}

#[derive(Default)]
struct Mean {
    n: u64,
    sum: f64,
}

impl Accumulator for Mean {
    fn update(&mut self, reference: &[f32], candidate: &[f32], _: Option<usize>) {
        let (mut dot, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (&x, &y) in reference.iter().zip(candidate) {
            let (x, y) = (f64::from(x), f64::from(y));
            dot += x * y;
            xx += x * x;
            yy += y * y;
        }
        self.n += 1;
        self.sum += match (xx == 0.0, yy == 0.0) {
            (true, true) => 1.0,
            (true, false) | (false, true) => 0.0,
            (false, false) => dot / (xx.sqrt() * yy.sqrt()),
        };
    }
    fn finish(&self) -> Score {
        score(&Cosine, self.n, None, (self.n > 0).then(|| self.sum / self.n as f64))
    }
}
