//! Share of samples on which both sides have the same arg-max.

use super::{Accumulator, Metric, Outputs, Score, arg_max, percent, score};

/// Agreement of the arg-max, labels or not.
///
/// ```
/// use quantize::eval::{Metric, Outputs, metrics::AgreementTop1};
/// let mut a = AgreementTop1.start(Outputs::Logits);
/// a.update(&[1.0, 1.0], &[2.0, 0.0], None); // a tie goes to the first: both 0
/// a.update(&[0.0, 1.0], &[1.0, 0.0], None);
/// assert_eq!(a.finish().engine, Some(50.0));
/// ```
pub struct AgreementTop1;

impl Metric for AgreementTop1 {
    fn name(&self) -> &'static str {
        "agreement_top1"
    }
    fn doc(&self) -> &'static str {
        "share of samples on which reference and engine have the same largest output"
    }
    fn unit(&self) -> &'static str {
        "%"
    }
    fn start(&self, _: Outputs) -> Box<dyn Accumulator> {
        Box::new(Agreement::default())
    }
}

#[derive(Default)]
struct Agreement {
    n: u64,
    same: u64,
}

impl Accumulator for Agreement {
    fn update(&mut self, reference: &[f32], candidate: &[f32], _: Option<usize>) {
        self.n += 1;
        self.same += u64::from(arg_max(reference) == arg_max(candidate));
    }
    fn finish(&self) -> Score {
        score(&AgreementTop1, self.n, None, percent(self.same, self.n))
    }
}
