//! Share of samples whose label is among the five largest outputs.

use super::{Accumulator, Metric, Outputs, top_k::TopK};

/// Top-5 accuracy of both sides.
///
/// ```
/// use quantize::eval::{Metric, Outputs, metrics::Top5};
/// let mut a = Top5.start(Outputs::Logits);
/// let six = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
/// a.update(&six, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Some(5)); // sixth of six, then first
/// assert_eq!((a.finish().reference, a.finish().engine), (Some(0.0), Some(100.0)));
/// ```
pub struct Top5;

impl Metric for Top5 {
    fn name(&self) -> &'static str {
        "top5"
    }
    fn doc(&self) -> &'static str {
        "share of samples whose label is among the five largest outputs"
    }
    fn unit(&self) -> &'static str {
        "%"
    }
    fn needs_labels(&self) -> bool {
        true
    }
    fn start(&self, _: Outputs) -> Box<dyn Accumulator> {
        TopK::boxed(&Top5, 5)
    }
}
