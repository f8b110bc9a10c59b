//! Mean squared error of the output.

use super::{Accumulator, Metric, Outputs, drift_of::DriftOf};
use crate::eval::Drift;

/// `Σ(x - x̂)²` over the number of values.
///
/// ```
/// use quantize::eval::{Metric, Outputs, metrics::Mse};
/// let mut a = Mse.start(Outputs::Logits);
/// a.update(&[1.0, 2.0], &[1.0, 4.0], None);
/// a.update(&[0.0, 0.0], &[0.0, 2.0], None);
/// assert_eq!(a.finish().engine, Some(2.0)); // (4 + 4) / 4
/// ```
pub struct Mse;

impl Metric for Mse {
    fn name(&self) -> &'static str {
        "mse"
    }
    fn doc(&self) -> &'static str {
        "mean squared error of the output's values"
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn start(&self, _: Outputs) -> Box<dyn Accumulator> {
        DriftOf::boxed(&Mse, Drift::mse)
    }
}
