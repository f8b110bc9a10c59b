//! The last round of `auto`: whole 8-bit networks, each with another choice of methods, beside the FP32 reference on
//! held-out calibration samples.
//!
//! What a tensor's rounding does to its readers does not say what becomes of it further on: a few large values that
//! hardly count in a layer's energy may decide an answer. So the mixture that won tensor by tensor competes with each
//! method used throughout.

use super::ranges::{Winners, range_of};
use crate::base::{Monitor, Result};
use crate::calib::cache::Cache;
use crate::calib::methods::{METHODS, Options};
use crate::data::{Dataset, Preprocess};
use crate::device::cpu::Cpu;
use crate::engine::{self, Engine, Session};
use crate::ir::{Graph, ValueId};
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
}

impl Finals<'_> {
    /// The best of `mixed` and of each method throughout, by the samples numbered `held_out`. Thresholds come from the
    /// other samples' statistics.
    pub fn best(
        &self,
        mixed: Winners,
        session: &mut Session,
        (dataset, preprocess): (&Dataset, &Preprocess),
        held_out: &[usize],
        monitor: &dyn Monitor,
    ) -> Result<Winners> {
        let throughout = |name: &'static str| mixed.keys().map(|tensor| (tensor.clone(), name)).collect();
        let mut finalists: Vec<Winners> = vec![mixed.clone()];
        let bounded = || METHODS.iter().filter(|m| m.is_bounded()).map(|m| m.name());
        finalists.extend(bounded().map(throughout));
        monitor.stage("compare networks", "images", held_out.len());
        let engines = finalists.iter().map(|w| self.engine(w)).collect::<Result<Vec<_>>>()?;
        let mut sessions = engines.iter().map(Session::on_host).collect::<Result<Vec<_>>>()?;
        let mut losses = vec![0.0; finalists.len()];
        for &i in held_out {
            monitor.check()?;
            let Ok(sample) = dataset.load(i, preprocess) else { continue }; // skipped before, skipped now
            session.input_mut(0, 1).copy_from_slice(&sample.values);
            session.step(1, None)?;
            for (s, loss) in sessions.iter_mut().zip(&mut losses) {
                s.input_mut(0, 1).copy_from_slice(&sample.values);
                s.step(1, None)?;
                for o in 0..session.outputs().len() {
                    *loss += self.loss(session.output_slice(o, 1), s.output_slice(o, 1));
                }
            }
            monitor.advance(1);
        }
        for (w, loss) in std::iter::once("mixed").chain(bounded()).zip(&losses) {
            tracing::info!(
                "methods {w}: loss {:.5} on held-out samples",
                loss / held_out.len().max(1) as f64
            );
        }
        // the first of equals: the mixture
        let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
        Ok(finalists.swap_remove(best))
    }

    /// The 8-bit network of a choice.
    fn engine(&self, winners: &Winners) -> Result<Engine> {
        let g = self.graph;
        let (mut codings, mut ranges) = (self.codings.to_vec(), vec![None; g.value_count()]);
        for v in g.live_values() {
            let (value, coding) = (g.value(v), self.codings[v.index()]);
            let method = winners.get(&value.name).copied().unwrap_or("minmax");
            let method = METHODS.iter().find(|m| m.name() == method);
            let stats = self.cache.tensors.get(&value.name).map(|e| e.stats.kept());
            if let (None, Some(coding), Some(method), Some(stats)) = (value.quant, coding, method, stats) {
                ranges[v.index()] = Some(range_of(&stats, *method, coding, self.options));
            }
        }
        quant::unify(g, &mut codings, &mut ranges);
        let of = |v: usize| Some(params(codings[v]?, ranges[v]?));
        let mut annotated = g.clone();
        quant::annotate(&mut annotated, &(0..g.value_count()).map(of).collect::<Vec<_>>());
        engine::build_unchecked(&annotated, &Cpu::host())
    }

    /// How far an answer is from the reference's: the error's energy over the reference's, where only differences
    /// count if the answer is logits. It tells networks apart by fewer samples than the divergence of probabilities,
    /// which a few undecided images make up nearly alone.
    fn loss(&self, reference: &[f32], candidate: &[f32]) -> f64 {
        let mean = |v: &[f32]| v.iter().map(|&x| f64::from(x)).sum::<f64>() / v.len().max(1) as f64;
        let logits = self.graph.outputs.len() == 1 && self.rank_of_output() == 2 && !self.probabilities;
        let [a, b] = [reference, candidate].map(|v| if logits { mean(v) } else { 0.0 });
        let energy: f64 = reference.iter().map(|&r| (f64::from(r) - a).powi(2)).sum();
        let difference = |(&r, &c): (&f32, &f32)| (f64::from(r) - a - (f64::from(c) - b)).powi(2);
        let error: f64 = reference.iter().zip(candidate).map(difference).sum();
        error / energy.max(f64::MIN_POSITIVE)
    }

    fn rank_of_output(&self) -> usize {
        let output: Option<&ValueId> = self.graph.outputs.first();
        output.map_or(0, |&v| self.graph.value(v).fact.shape.rank())
    }
}
