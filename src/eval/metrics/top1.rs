//! Share of samples whose label is the arg-max.

use super::{Accumulator, Metric, Outputs, top_k::TopK};

/// Top-1 accuracy of both sides.
///
/// ```
/// use quantize::eval::{Metric, Outputs, metrics::Top1};
/// let mut a = Top1.start(Outputs::Logits);
/// a.update(&[0.1, 0.9], &[0.8, 0.7], Some(1)); // reference right, candidate wrong
/// a.update(&[0.6, 0.4], &[0.6, 0.4], Some(0)); // both right
/// let s = a.finish();
/// assert_eq!((s.n, s.reference, s.engine), (2, Some(100.0), Some(50.0)));
/// ```
pub struct Top1;

impl Metric for Top1 {
    fn name(&self) -> &'static str {
        "top1"
    }
    fn doc(&self) -> &'static str {
        "share of samples whose label is the largest output (the first on ties)"
    }
    fn unit(&self) -> &'static str {
        "%"
    }
    fn needs_labels(&self) -> bool {
        true
    }
    fn start(&self, _: Outputs) -> Box<dyn Accumulator> {
        TopK::boxed(&Top1, 1)
    }
}
