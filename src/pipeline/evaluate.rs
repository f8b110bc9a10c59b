//! FP32 against the engine, over the evaluation samples.

use super::answers::{Question, Reference};
use super::feed;
use crate::base::{Digest, Monitor, Result};
use crate::config::job::Evaluation;
use crate::data::Dataset;
use crate::data::loader::{Loader, Skipped};
use crate::engine::{Engine, Session};
use crate::eval::FlipRecorder;
use crate::eval::metrics::{self, Accumulator, Outputs};
use crate::eval::significance::wilson95;
use crate::report::data_uri;
use crate::report::model::{Accuracy, Class, Flip, Score, TopK};
use std::path::PathBuf;

/// What an evaluation found.
#[derive(Default)]
pub struct Evaluated {
    /// For classifiers.
    pub accuracy: Option<Accuracy>,
    /// Every metric.
    pub scores: Vec<Score>,
    /// What could not be decoded.
    pub skipped: Vec<Skipped>,
    /// How many samples were compared.
    pub samples: u64,
    /// Of the samples' list and contents.
    pub dataset: Option<Digest>,
    /// Where the answers of FP32 are kept.
    pub answers: Option<PathBuf>,
}

/// Pixels of a flip's picture each way.
const THUMBNAIL: usize = 64;
/// Flips kept for the report.
const FLIPS: usize = 12;

/// Metrics where the configuration names none: of classifiers, of those without labels, and of anything else.
const OF_CLASSES: &[&str] = &["top1", "top5", "agreement_top1", "mean_kl", "sqnr_db"];
const UNLABELLED: &[&str] = &["agreement_top1", "mean_kl", "sqnr_db"];
const OF_TENSORS: &[&str] = &["sqnr_db", "mse", "max_abs_error", "cosine"];

/// Compares two sessions over the samples, by their first output. What the reference says is taken from the file
/// `kept`, where it is known, and kept there for the next time.
pub fn evaluate(
    job: &Evaluation,
    labels: &[String],
    probabilities: bool,
    (reference, engine): ((&Engine, &mut Session), &mut Session),
    kept: Option<PathBuf>,
    monitor: &dyn Monitor,
) -> Result<Evaluated> {
    let dataset = job.dataset()?;
    let outputs = if probabilities { Outputs::Probabilities } else { Outputs::Logits };
    let scores = matches!(engine.outputs(), [(_, shape)] if shape.rank() == 2 && shape[1] > 1);
    let classifier = engine.outputs().len() == 1 && (dataset.is_labelled() || scores);
    let names: Vec<&str> = match (job.metrics.is_empty(), classifier) {
        (false, _) => job.metrics.iter().map(String::as_str).collect(),
        (true, true) if dataset.is_labelled() => OF_CLASSES.to_vec(),
        (true, true) => UNLABELLED.to_vec(),
        (true, false) => OF_TENSORS.to_vec(),
    };
    let chosen = names.iter().filter_map(|n| metrics::find(n));
    let mut accumulators: Vec<Box<dyn Accumulator>> = chosen.map(|m| m.start(outputs)).collect();
    let mut flips = FlipRecorder::new(FLIPS);
    let digest = dataset.digest()?;
    let mut out = Evaluated { dataset: Some(digest), ..Evaluated::default() };
    let question = Question { dataset: digest, samples: dataset.len(), preprocess: &job.data.preprocess };
    let mut reference = Reference::new(reference, &question, kept, monitor);
    monitor.stage("evaluate", "images", dataset.len());
    let shape = feed::input_shape(engine);
    let size = engine.outputs()[0].1.numel();
    let at_once = job.batch.min(engine.max_batch());
    for batch in Loader::new(&dataset, &job.data.preprocess, at_once).expect_shape(shape) {
        monitor.check()?;
        let batch = batch?;
        let n = batch.samples.len();
        if n > 0 {
            feed::fill(engine, batch.samples.iter().map(|s| &s.values[..]));
            engine.step(n, None)?;
        }
        let (a, b) = (reference.answers(&batch)?, engine.output_slice(0, n));
        for (s, (a, b)) in batch.samples.iter().zip(a.chunks_exact(size).zip(b.chunks_exact(size))) {
            accumulators.iter_mut().for_each(|m| m.update(a, b, s.label));
            if classifier {
                flips.update(s.index, a, b, s.label);
            }
        }
        out.samples += n as u64;
        monitor.advance(n + batch.skipped.len());
        out.skipped.extend(batch.skipped);
    }
    out.answers = reference.keep()?;
    out.scores = accumulators.iter().map(|a| a.finish()).collect();
    if classifier {
        out.accuracy = Some(accuracy(&out, &flips, labels, &dataset));
    }
    Ok(out)
}

fn accuracy(out: &Evaluated, flips: &FlipRecorder, labels: &[String], dataset: &Dataset) -> Accuracy {
    let score = |metric: &str| out.scores.iter().find(|s| s.metric == metric);
    let side = |pick: fn(&Score) -> Option<f64>| -> Option<TopK> {
        let top1 = pick(score("top1")?)?;
        let n = score("top1")?.n;
        let correct = (top1 / 100.0 * n as f64).round() as u64;
        let top5 = score("top5").and_then(pick).unwrap_or(top1);
        Some(TopK { top1, top5, top1_ci95: wilson95(correct, n) })
    };
    let (reference, engine) = (side(|s| s.reference), side(|s| s.engine));
    let paired = flips.paired();
    let class = |index: usize| Class { index, name: labels.get(index).cloned() };
    let mut counts = flips.counts();
    let listed = flips.worst().iter().map(|f| Flip {
        sample: dataset.name(f.sample).to_string(),
        kind: f.kind,
        label: f.label.map(class),
        reference: class(f.reference),
        engine: class(f.candidate),
        margin: f.margin,
        thumbnail: dataset.thumbnail(f.sample, THUMBNAIL).map(|jpeg| data_uri("image/jpeg", &jpeg)),
    });
    counts.list = listed.collect();
    Accuracy {
        n: out.samples,
        drop_top1: reference.as_ref().zip(engine.as_ref()).map(|(r, e)| r.top1 - e.top1),
        reference,
        engine,
        drop_ci95: paired.drop_ci95(),
        mcnemar_p: (paired.n > 0).then(|| paired.mcnemar_p()),
        agreement_top1: score("agreement_top1").and_then(|s| s.engine),
        mean_kl: score("mean_kl").and_then(|s| s.engine),
        flips: counts,
    }
}
