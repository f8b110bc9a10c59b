//! The last rounds of `auto`: whole 8-bit networks, each with another choice of methods, beside the FP32 reference on
//! calibration samples that did not make their thresholds.
//!
//! What a tensor's rounding does to its readers does not say what becomes of it further on: a few large values that
//! hardly count in a layer's energy may decide an answer. So the mixture that won tensor by tensor is compared with each
//! method used throughout. It stays unless another is better by more than a standard error. Every sample judges, a fold at
//! a time, by thresholds of all samples but that fold.

use super::ranges::{self, Winners};
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

/// Samples that judge together, with the reference's answers.
struct Jury {
    fold: Fold,
    samples: Vec<(Vec<f32>, Vec<Vec<f32>>)>,
}

/// Most samples that judge, and most bytes of them and of their answers, which are kept.
const MOST: usize = 128;
const MOST_BYTES: usize = 256 << 20;

impl Finals<'_> {
    /// The best of `mixed` and of each bounded method throughout, beside the `reference`.
    pub fn best(
        &self,
        mixed: Winners,
        reference: &mut Session,
        data: (&Dataset, &Preprocess),
        monitor: &dyn Monitor,
    ) -> Result<Winners> {
        let juries = self.juries(reference, data, monitor)?;
        let bounded: Vec<_> = METHODS.iter().filter(|m| m.is_bounded()).map(|m| m.name()).collect();
        monitor.stage("compare networks", "networks", 1 + bounded.len());
        let known =
            juries.iter().map(|jury| self.losses(&mixed, jury, monitor)).collect::<Result<Losses>>()?;
        monitor.advance(1);
        tracing::info!("methods mixed: loss {:.5} on {} samples", mean(&known), known.concat().len());
        let (mut best, mut least) = (mixed.clone(), mean(&known));
        for name in bounded {
            let throughout: Winners = mixed.keys().map(|tensor| (tensor.clone(), name)).collect();
            let losses = self.losses_if_ahead(&throughout, &known, &juries, monitor)?;
            monitor.advance(1);
            let (loss, seen) = (mean(&losses), losses.concat().len());
            tracing::info!("methods {name}: loss {loss:.5} on {seen} samples");
            if losses.len() == juries.len() && loss < least && is_better(&losses.concat(), &known.concat()) {
                (best, least) = (throughout, loss);
            }
        }
        Ok(best)
    }

    /// The losses of a choice, jury by jury, until it is not ahead of what is `known` of another.
    fn losses_if_ahead(
        &self,
        winners: &Winners,
        known: &[Vec<f64>],
        juries: &[Jury],
        monitor: &dyn Monitor,
    ) -> Result<Losses> {
        let mut losses = Losses::new();
        for jury in juries {
            losses.push(self.losses(winners, jury, monitor)?);
            if mean(&losses) >= mean(&known[..losses.len()]) {
                break;
            }
        }
        Ok(losses)
    }

    /// Samples of every fold with the reference's answers.
    fn juries(
        &self,
        reference: &mut Session,
        (dataset, preprocess): (&Dataset, &Preprocess),
        monitor: &dyn Monitor,
    ) -> Result<Vec<Jury>> {
        let g = self.graph;
        let numbers: usize = g.inputs.iter().chain(&g.outputs).map(|&v| g.value(v).fact.shape.numel()).sum();
        let most = (MOST_BYTES / (numbers * size_of::<f32>()).max(1)).clamp(1, MOST);
        let of = |fold| (0..dataset.len()).filter(move |&i| Fold::of(i) == fold).map(move |i| (fold, i));
        let judging: Vec<(Fold, usize)> = Fold::ALL.into_iter().flat_map(of).take(most).collect();
        monitor.stage("reference answers", "images", judging.len());
        let mut juries = Vec::new();
        for all in judging.chunk_by(|a, b| a.0 == b.0) {
            let mut jury = Jury { fold: all[0].0, samples: Vec::new() };
            for &(_, i) in all {
                monitor.check()?;
                monitor.advance(1);
                let Ok(sample) = dataset.load(i, preprocess) else { continue }; // skipped before, skipped now
                reference.input_mut(0, 1).copy_from_slice(&sample.values);
                reference.step(1, None)?;
                let answers = (0..g.outputs.len()).map(|o| reference.output_slice(o, 1).to_vec()).collect();
                jury.samples.push((sample.values, answers));
            }
            juries.push(jury);
        }
        Ok(juries)
    }

    /// What a choice, with thresholds of all samples but the jury's, loses on each of the jury's.
    fn losses(&self, winners: &Winners, jury: &Jury, monitor: &dyn Monitor) -> Result<Vec<f64>> {
        let engine = self.engine(winners, jury.fold)?;
        let mut session = Session::on_host(&engine)?;
        let loss = |(input, answers): &(Vec<f32>, Vec<Vec<f32>>)| {
            monitor.check()?;
            session.input_mut(0, 1).copy_from_slice(input);
            session.step(1, None)?;
            let each = answers.iter().enumerate().map(|(o, a)| self.loss(a, session.output_slice(o, 1)));
            Ok(each.sum())
        };
        jury.samples.iter().map(loss).collect()
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

/// Losses by jury and sample.
type Losses = Vec<Vec<f64>>;

fn mean(losses: &[Vec<f64>]) -> f64 {
    let n: usize = losses.iter().map(Vec::len).sum();
    losses.iter().flatten().sum::<f64>() / n.max(1) as f64
}

/// Are the losses smaller than others of the same samples, by more than the standard error of their mean difference?
fn is_better(losses: &[f64], others: &[f64]) -> bool {
    let differences: Vec<f64> = losses.iter().zip(others).map(|(a, b)| a - b).collect();
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    let error = (squares / (n - 1.0).max(1.0) / n).sqrt();
    // no number, where a loss is infinite, is not more than chance
    mean < 0.0 && (error.is_nan() || -mean > error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_more_than_chance() {
        // differences of -1, -3 and -2: -2 on average, give or take 1/sqrt(3)
        assert!(is_better(&[1.0, 2.0, 3.0], &[2.0, 5.0, 5.0]));
        // of +2, -3 and +0.5: -0.17, give or take 1.5
        assert!(!is_better(&[4.0, 2.0, 3.5], &[2.0, 5.0, 3.0]));
        assert!(!is_better(&[1.0, 1.0], &[1.0, 1.0]));
        assert!(is_better(&[1.0, 1.0], &[1.0, f64::INFINITY]));
        assert!(!is_better(&[1.0, f64::INFINITY], &[1.0, 1.0]));
        assert!(!is_better(&[f64::INFINITY; 2], &[f64::INFINITY; 2]));
    }

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
