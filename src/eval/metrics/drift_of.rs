//! Metrics that are one figure of a [`Drift`] over all samples.

use super::{Accumulator, Metric, Score, score};
use crate::eval::Drift;

/// A metric that is one figure of a [`Drift`].
pub(super) struct DriftOf {
    metric: &'static dyn Metric,
    figure: fn(&Drift) -> Option<f64>,
    samples: u64,
    drift: Drift,
}

impl DriftOf {
    pub fn boxed(metric: &'static dyn Metric, figure: fn(&Drift) -> Option<f64>) -> Box<dyn Accumulator> {
        Box::new(DriftOf { metric, figure, samples: 0, drift: Drift::default() })
    }
}

impl Accumulator for DriftOf {
    fn update(&mut self, reference: &[f32], candidate: &[f32], _: Option<usize>) {
        self.samples += 1;
        self.drift.update(reference, candidate);
    }
    fn finish(&self) -> Score {
        score(self.metric, self.samples, None, (self.figure)(&self.drift))
    }
}
