//! Largest error of any value of the output.

use super::{Accumulator, Metric, Outputs, drift_of::DriftOf};

/// `max |x - x̂|` over all samples and values.
///
/// ```
/// use quantize::eval::{Metric, Outputs, metrics::MaxAbsError};
/// let mut a = MaxAbsError.start(Outputs::Logits);
/// a.update(&[1.0, 2.0], &[1.5, 1.75], None);
/// assert_eq!(a.finish().engine, Some(0.5));
/// ```
pub struct MaxAbsError;

impl Metric for MaxAbsError {
    fn name(&self) -> &'static str {
        "max_abs_error"
    }
    fn doc(&self) -> &'static str {
        "largest absolute error of any of the output's values"
    }
    fn unit(&self) -> &'static str {
        ""
    }
    fn start(&self, _: Outputs) -> Box<dyn Accumulator> {
        DriftOf::boxed(&MaxAbsError, |d| (d.count > 0).then_some(d.max_abs_error))
    }
}
