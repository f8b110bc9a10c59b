//! The last round of `auto`: whole 8-bit networks, each with another choice of methods, beside the FP32 reference on
//! calibration samples that did not make their thresholds.
//!
//! What a tensor's rounding does to its readers does not say what becomes of it further on: a few large values that
//! hardly count in a layer's energy may decide an answer. So the mixture that won tensor by tensor competes with each
//! method used throughout. Where few samples are held out, the others judge too: a fold at a time, by thresholds of all
//! samples but that fold.

use super::ranges::{self, Winners};
use super::select::MOST;
use crate::base::{Monitor, Result};
use crate::calib::cache::Cache;
use crate::calib::methods::{self, METHODS, Options};
use crate::calib::shards::Fold;
use crate::data::{Dataset, Preprocess};
use crate::device::Floats;
use crate::device::cpu::Cpu;
use crate::engine::{self, Engine, Session};
use crate::ir::{Graph, Value};
use crate::quant::annotate::params;
use crate::quant::{self, Coding};

/// What the finalists share.
pub struct Finals<'a> {
    /// The graph, with precisions.
    pub graph: &'a Graph,
    /// How each value would be stored.
    pub codings: &'a [Option<Coding>],
    /// Statistics.
    pub cache: &'a Cache,
    /// Settings of the methods.
    pub options: &'a Options,
    /// Does the model end in probabilities?
    pub probabilities: bool,
    /// Are biases corrected for the rounding of weights?
    pub bias_correction: bool,
}

impl Finals<'_> {
    /// The best of `mixed` and of each bounded method throughout, beside the `reference`.
    pub fn best(
        &self,
        mixed: Winners,
        reference: &mut Session,
        data: (&Dataset, &Preprocess),
        monitor: &dyn Monitor,
    ) -> Result<Winners> {
        let throughout = |name: &'static str| mixed.keys().map(|tensor| (tensor.clone(), name)).collect();
        let mut finalists: Vec<Winners> = vec![mixed.clone()];
        let bounded = || METHODS.iter().filter(|m| m.is_bounded()).map(|m| m.name());
        finalists.extend(bounded().map(throughout));
        let all = 0..data.0.len();
        let judging: Vec<usize> = Fold::ALL
            .iter()
            .flat_map(|&f| all.clone().filter(move |&i| Fold::of(i) == f))
            .take(MOST)
            .collect();
        monitor.stage("compare networks", "images", judging.len());
        let mut losses = vec![0.0; finalists.len()];
        for samples in judging.chunk_by(|&a, &b| Fold::of(a) == Fold::of(b)) {
            self.judge(&finalists, &mut losses, samples, reference, data, monitor)?;
        }
        for (w, loss) in std::iter::once("mixed").chain(bounded()).zip(&losses) {
            tracing::info!(
                "methods {w}: loss {:.5} on {} samples",
                loss / judging.len().max(1) as f64,
                judging.len()
            );
        }
        // the first of equals: the mixture
        let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
        Ok(finalists.swap_remove(best))
    }

    /// Adds what each finalist, with thresholds of all samples but their fold, loses on `samples` of one fold.
    fn judge(
        &self,
        finalists: &[Winners],
        losses: &mut [f64],
        samples: &[usize],
        reference: &mut Session,
        (dataset, preprocess): (&Dataset, &Preprocess),
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let Some(fold) = samples.first().map(|&i| Fold::of(i)) else { return Ok(()) };
        let engines = finalists.iter().map(|w| self.engine(w, fold)).collect::<Result<Vec<_>>>()?;
        let mut sessions = engines.iter().map(Session::on_host).collect::<Result<Vec<_>>>()?;
        for &i in samples {
            monitor.check()?;
            let Ok(sample) = dataset.load(i, preprocess) else { continue }; // skipped before, skipped now
            reference.input_mut(0, 1).copy_from_slice(&sample.values);
            reference.step(1, None)?;
            for (s, sum) in sessions.iter_mut().zip(losses.iter_mut()) {
                s.input_mut(0, 1).copy_from_slice(&sample.values);
                s.step(1, None)?;
                let outputs = 0..s.outputs().len();
                *sum += outputs
                    .map(|o| self.loss(reference.output_slice(o, 1), s.output_slice(o, 1)))
                    .sum::<f64>();
            }
            monitor.advance(1);
        }
        Ok(())
    }

    /// The 8-bit network of a choice, with thresholds of all samples but a fold.
    fn engine(&self, winners: &Winners, fold: Fold) -> Result<Engine> {
        let g = self.graph;
        let mut codings = self.codings.to_vec();
        let stats = |name: &str| Some(self.cache.tensors.get(name)?.stats.without(fold));
        let range = |name: &str, coding| {
            let method = methods::find(ranges::winner(winners, name))?;
            Some(ranges::range_of(&stats(name)?, method, coding, self.options))
        };
        let ranges = ranges::unified(g, &mut codings, range);
        let of = |v: usize| Some(params(codings[v]?, ranges[v]?));
        let mut annotated = g.clone();
        quant::annotate(&mut annotated, &(0..g.value_count()).map(of).collect::<Vec<_>>());
        if self.bias_correction {
            let means = |v: &Value| stats(&v.name).map(|s| s.means.values()).unwrap_or_default();
            quant::correct_bias(&mut annotated, means);
        }
        engine::build_unchecked(&annotated, &Cpu::host(), Floats::F32)
    }

    /// [`loss`] of one output.
    fn loss(&self, reference: &[f32], candidate: &[f32]) -> f64 {
        let rank = self.graph.outputs.first().map_or(0, |&v| self.graph.value(v).fact.shape.rank());
        loss(reference, candidate, self.graph.outputs.len() == 1 && rank == 2 && !self.probabilities)
    }
}

/// How far an answer is from the reference's: the error's energy over the reference's, where only differences count if
/// the answer is logits. It tells networks apart by fewer samples than the divergence of probabilities, which a few
/// undecided images make up nearly alone. An answer that is no number is infinitely far.
fn loss(reference: &[f32], candidate: &[f32], logits: bool) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|&x| f64::from(x)).sum::<f64>() / v.len().max(1) as f64;
    let [a, b] = [reference, candidate].map(|v| if logits { mean(v) } else { 0.0 });
    let energy: f64 = reference.iter().map(|&r| (f64::from(r) - a).powi(2)).sum();
    let difference = |(&r, &c): (&f32, &f32)| (f64::from(r) - a - (f64::from(c) - b)).powi(2);
    let error: f64 = reference.iter().zip(candidate).map(difference).sum();
    let loss = error / energy.max(f64::MIN_POSITIVE);
    if loss.is_nan() { f64::INFINITY } else { loss }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_by_hand() {
        // as numbers, errors of 1 and 1 over 9 + 16; as logits, a shift is no error, and (3, 5) is (-1, 1) for (-0.5, 0.5)
        assert_eq!(loss(&[3.0, 4.0], &[4.0, 5.0], false), 2.0 / 25.0);
        assert_eq!(loss(&[3.0, 4.0], &[4.0, 5.0], true), 0.0);
        assert_eq!(loss(&[3.0, 4.0], &[3.0, 5.0], true), 1.0);
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
            assert_eq!(loss(&[3.0, 4.0], &[bad, 4.0], true), f64::INFINITY);
        }
        assert_eq!(loss(&[0.0, 0.0], &[0.0, 0.0], false), 0.0);
    }
}
