//! Signal to quantization noise of the output.

use super::{Accumulator, Metric, Outputs, drift_of::DriftOf};
use crate::eval::Drift;

/// `10 log10(Σx² / Σ(x - x̂)²)` over all samples; 200 dB where nothing differs.
///
/// ```
/// use quantize::eval::{Metric, Outputs, metrics::SqnrDb};
/// let mut a = SqnrDb.start(Outputs::Logits);
/// a.update(&[3.0, 4.0], &[3.0, 4.5], None); // 25 against 0.25
/// assert!((a.finish().engine.unwrap() - 20.0).abs() < 1e-12);
/// ```
pub struct SqnrDb;

impl Metric for SqnrDb {
    fn name(&self) -> &'static str {
        "sqnr_db"
    }
    fn doc(&self) -> &'static str {
        "signal to quantization noise of the output, 10 log10 of the ratio of the sums of squares"
    }
    fn unit(&self) -> &'static str {
        "dB"
    }
    fn start(&self, _: Outputs) -> Box<dyn Accumulator> {
        DriftOf::boxed(&SqnrDb, Drift::sqnr_db)
    }
}
