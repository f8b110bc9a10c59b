//! Engines: a plan with its packed constants in one self-contained, checksummed, memory-mapped file, and sessions
//! that run it.
//!
//! ```no_run
//! # use quantize::engine::{Engine, Session};
//! # use ndarray::ArrayD;
//! # fn main() -> quantize::base::Result<()> {
//! let engine = Engine::load("resnet.engine".as_ref())?;
//! let mut session = Session::on_host(&engine)?;
//! let image = ArrayD::<f32>::zeros(vec![1, 3, 64, 64]);
//! let logits = session.run(&[image.view()])?;
//! println!("{:?}", logits[0].shape());
//! # Ok(())
//! # }
//! ```

pub mod batch;
pub mod build;
pub mod file;
pub mod host;
pub mod session;
pub mod stream;

pub use batch::Batch;
pub use build::{Settings, build, build_unchecked, has_floats};
pub use host::Wish;
pub use session::Session;

use crate::base::codes::engine;
use crate::base::{Diagnostic, Digest, Place, Result, Shape, files};
use crate::data::Preprocess;
use crate::device::{Bound, Entry, Program, Slot, Tactic};
use crate::plan::{self, BufferId, Plan, Step};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What an engine says of itself, beside its plan.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The model's name.
    pub model: String,
    /// Digest of the model file.
    pub model_digest: Option<Digest>,
    /// Digest of the calibration cache.
    pub calibration_digest: Option<Digest>,
    /// Class names, where known.
    pub labels: Vec<String>,
    /// How an image becomes the input, where known.
    pub preprocess: Option<Preprocess>,
    /// Are the outputs probabilities already?
    pub probabilities: bool,
}

/// A plan with its constants, ready for sessions. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Where it came from.
    pub origin: Origin,
    /// What it runs.
    pub plan: Plan,
    weights: Bytes,
}

impl Engine {
    /// An engine of a plan and its packed constants.
    pub fn new(origin: Origin, plan: Plan, weights: Bytes) -> Self {
        Engine { origin, plan, weights }
    }

    /// Maps an engine file. Checksums are verified; anything wrong is one sentence.
    pub fn load(path: &Path) -> Result<Self> {
        file::read(files::map(path)?).map_err(|e| e.at(Place::file(path)))
    }

    /// The engine file's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        file::write(self)
    }

    /// Writes the engine file.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write(path, &self.to_bytes()?)
    }

    /// Packed constants of all steps.
    pub fn weights(&self) -> &Bytes {
        &self.weights
    }

    /// Names and shapes (of one image) of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.plan.inputs.iter().map(|p| (p.name.as_str(), &p.shape))
    }

    /// Names and shapes (of one image) of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.plan.outputs.iter().map(|p| (p.name.as_str(), &p.shape))
    }

    /// The shape of one image as pixels, `[1, H, W, C]`, where the engine takes pixels.
    pub fn pixels(&self) -> Option<&Shape> {
        self.plan.entry.as_ref().map(|e| &e.port.shape)
    }

    /// The plan as a device takes it.
    pub fn program(&self) -> Result<Program> {
        let slot = |b: BufferId| Slot { offset: self.plan.buffer(b).offset, stride: self.plan.stride(b) };
        let slots = |ids: &[BufferId]| ids.iter().copied().map(slot).collect::<Vec<_>>();
        let cut = || Diagnostic::new(engine::DAMAGED, "a step's constants lie outside the weights section");
        let bound = |s: &Step| {
            let joined = s.choice.tactic == Tactic::joined();
            let (problem, numerics, inputs) = self.plan.computed(s);
            let packed = s.constants.iter().map(|r| {
                let inside = r.start <= r.end && r.end <= self.weights.len();
                inside.then(|| self.weights.slice(r.clone())).ok_or_else(cut)
            });
            Ok(Bound {
                name: s.name.clone(),
                problem: problem.into_owned(),
                tactic: s.choice.tactic.clone(),
                numerics: numerics.into_owned(),
                packed: packed.collect::<Result<Vec<_>>>()?,
                // one that a later step computes has no memory to read or write
                inputs: if joined { vec![] } else { slots(&inputs) },
                outputs: if joined { vec![] } else { slots(&s.outputs) },
            })
        };
        let entry = |e: &plan::Entry| -> Result<Entry<Bound>> {
            let (step, input) = (bound(&e.step)?, slot(e.port.buffer));
            Ok(Entry { step, instead: e.instead, input })
        };
        Ok(Program {
            steps: self.plan.steps.iter().map(bound).collect::<Result<Vec<_>>>()?,
            entry: self.plan.entry.as_ref().map(entry).transpose()?,
            arena: self.plan.arena,
            max_batch: self.plan.max_batch,
            inputs: self.plan.inputs.iter().map(|p| slot(p.buffer)).collect(),
            outputs: self.plan.outputs.iter().map(|p| slot(p.buffer)).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
