//! The FP32 reference as an evaluation asks it. Only the engine differs between runs with another method or precision,
//! so the reference's answers are kept in the output folder and asked for again only when something that decides
//! them has changed.

use super::feed;
use crate::base::digest::Digest;
use crate::base::{Monitor, Result, machine};
use crate::data::Preprocess;
use crate::data::loader::Batch;
use crate::engine::{Engine, Session};
use crate::eval::answers::{Answers, Asked};
use crate::report::words::plural;
use std::path::PathBuf;

/// More bytes of answers are not kept: reading them back would take as long as computing them.
const MOST_BYTES: usize = 1 << 28;

/// A session of the reference, with the answers that are known and those to be kept.
pub struct Reference<'a> {
    session: &'a mut Session,
    known: Option<Answers>,
    /// What is computed now, where it will be kept.
    fresh: Option<(Answers, PathBuf)>,
}

/// Which samples are asked about.
pub struct Question<'a> {
    /// Of the samples' list and contents.
    pub dataset: Digest,
    /// How many there are.
    pub samples: usize,
    /// What becomes of an image.
    pub preprocess: &'a Preprocess,
}

impl<'a> Reference<'a> {
    /// The reference with what `kept` knows; without a path, nothing is kept.
    pub fn new(
        (engine, session): (&Engine, &'a mut Session),
        question: &Question,
        kept: Option<PathBuf>,
        monitor: &dyn Monitor,
    ) -> Self {
        let (output, shape) = session.outputs()[0].clone();
        let bytes = shape.numel().saturating_mul(size_of::<f32>()).saturating_mul(question.samples);
        let path = match kept {
            Some(path) if bytes <= MOST_BYTES => path,
            _ => return Reference { session, known: None, fresh: None },
        };
        let model = engine.origin.model.clone();
        let asked = Asked { key: key(engine, question), model, output, shape };
        let known = path.exists().then(|| Answers::load(&path));
        let known = match known.transpose() {
            Ok(known) => known.filter(|a| *a.asked() == asked),
            Err(e) => {
                monitor.note(&format!("the kept FP32 answers are of no use: {}", e.what));
                None
            }
        };
        if let Some(known) = &known {
            monitor.note(&format!("FP32 answers of {} reused", plural(known.len() as u64, "image")));
        }
        Reference { session, known, fresh: Some((Answers::new(asked), path)) }
    }

    /// The first output for a batch: as it is known, else computed.
    pub fn answers(&mut self, batch: &Batch) -> Result<&[f32]> {
        let samples: Vec<usize> = batch.samples.iter().map(|s| s.index).collect();
        if samples.is_empty() {
            return Ok(&[]);
        }
        let known = self.known.as_ref().and_then(|k| k.find(&samples));
        let values = match known {
            Some(values) => values,
            None => {
                feed::fill(self.session, batch.samples.iter().map(|s| &s.values[..]));
                self.session.step(samples.len(), None)?;
                self.session.output_slice(0, samples.len())
            }
        };
        if let Some((fresh, _)) = &mut self.fresh {
            fresh.push(&samples, values);
        }
        Ok(values)
    }

    /// Writes what was not known before. Returns the file, where there is one.
    pub fn keep(self) -> Result<Option<PathBuf>> {
        let Some((fresh, path)) = self.fresh else { return Ok(None) };
        if self.known.is_none_or(|known| known.len() != fresh.len()) {
            fresh.save(&path)?;
        }
        Ok(Some(path))
    }
}

/// Everything that decides the answers: the program, the float engine (its model, and each step's tactic on this
/// instruction set), the samples and what becomes of them. Threads and batches decide nothing.
fn key(engine: &Engine, q: &Question) -> Digest {
    let plan = &engine.plan;
    let steps = plan.steps.iter().map(|s| format!("{} {}", s.problem, s.choice.tactic));
    let digests = [machine::program(), q.dataset, q.preprocess.digest()].map(|d| d.to_string());
    let device = format!("{}/{}", plan.device.kind, plan.device.arch);
    let weights = Digest::of(engine.weights()).to_string();
    let parts: Vec<String> = digests.into_iter().chain([device, weights]).chain(steps).collect();
    Digest::of_parts(parts.iter().map(|p| p.as_bytes()))
}
