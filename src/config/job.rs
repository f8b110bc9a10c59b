//! What a configuration asks for, resolved: paths made whole, defaults filled in, combinations checked.

pub use super::schema::{Activations, Arithmetic, Cpu, Fallback, Gate, Isa, Target, TrtCache};
use crate::base::codes::config::CONTRADICTION;
use crate::base::{Diagnostic, Place, Result, Shape};
use crate::data::{Dataset, Preprocess, Source};
use crate::quant::Rule;
use std::path::PathBuf;
use std::time::Duration;

/// A run, ready to be carried out.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name of the run.
    pub name: String,
    /// What the engine is built for.
    pub target: Target,
    /// Number of the GPU.
    pub device: u32,
    /// Instruction set and threads.
    pub cpu: Cpu,
    /// The model.
    pub model: Model,
    /// The preprocessing without any dataset's exceptions: what the engine records for its users.
    pub preprocess: Preprocess,
    /// How ranges are chosen.
    pub calibration: Calibration,
    /// What is compared; `None` where there is nothing to compare on.
    pub evaluation: Option<Evaluation>,
    /// Which nodes are INT8.
    pub precision: Precision,
    /// What makes the run fail.
    pub gate: Gate,
    /// How the engine is built.
    pub build: Build,
    /// Header of TensorRT's cache.
    pub trt_cache: TrtCache,
    /// What is written.
    pub output: Output,
    /// Sentences worth the user's eye: what was asked for and is not done.
    pub notes: Vec<String>,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    /// The ONNX file, which exists.
    pub path: PathBuf,
    /// The shapes of inputs that the configuration names, batch included.
    pub inputs: Vec<(String, Shape)>,
    /// Where it does, or would.
    pub inputs_at: Option<Place>,
    /// The names of the outputs, where there is a labels file.
    pub classes: Option<Vec<String>>,
}

/// A dataset and how its images are preprocessed.
#[derive(Clone, Debug)]
pub struct Data {
    /// Where the samples are.
    pub source: Source,
    /// The preprocessing of this dataset.
    pub preprocess: Preprocess,
}

/// How ranges are chosen.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// The samples; `None` only where there is a cache.
    pub data: Option<Data>,
    /// One of the methods' names.
    pub method: String,
    /// In percent.
    pub percentile: f64,
    /// How many samples; all without it.
    pub samples: Option<usize>,
    /// In a random order?
    pub shuffle: bool,
    /// Of the random order.
    pub seed: u64,
    /// Samples at once.
    pub batch: usize,
    /// 0: as many as the machine has cores.
    pub threads: usize,
    /// The cache to use instead, which exists.
    pub cache: Option<PathBuf>,
}

impl Calibration {
    /// The samples that are calibrated on, where there are data: shuffled and shortened as asked for.
    pub fn dataset(&self) -> Result<Option<Dataset>> {
        let Some(data) = &self.data else { return Ok(None) };
        let all = Dataset::open(&data.source)?;
        let ordered = if self.shuffle { all.shuffled(self.seed) } else { all };
        Ok(Some(self.samples.map_or(ordered.clone(), |n| ordered.take(n))))
    }
}

/// What is compared.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The samples. The labels' offset is part of their source.
    pub data: Data,
    /// How many of them, from the first; all without it.
    pub samples: Option<usize>,
    /// Names of metrics; empty for the default.
    pub metrics: Vec<String>,
    /// Samples at once.
    pub batch: usize,
    /// Are the answers of FP32 kept for the next run?
    pub keep_answers: bool,
    /// The key of the configuration that needs labels, and where it stands.
    pub(super) labels_needed: Option<(&'static str, Place)>,
}

impl Evaluation {
    /// The samples that are evaluated.
    ///
    /// # Errors
    /// Those of [`Dataset::open`]; samples without labels, where the gate needs them.
    pub fn dataset(&self) -> Result<Dataset> {
        let all = Dataset::open(&self.data.source)?;
        match &self.labels_needed {
            Some((key, place)) if !all.is_labelled() => Err(Diagnostic::new(
                CONTRADICTION,
                format!("`{key}` needs the accuracy, but the samples of `evaluation.data` have no labels"),
            )
            .at(place.clone())
            .help("label the samples, or use `gate.min_agreement`, which compares with FP32 alone")),
            _ => Ok(self.samples.map_or(all.clone(), |n| all.take(n))),
        }
    }
}

/// Which nodes are INT8.
#[derive(Clone, Debug)]
pub struct Precision {
    /// Type of activations that cannot be negative.
    pub activations: Activations,
    /// Are biases corrected for the rounding of weights?
    pub bias_correction: bool,
    /// Where no rule matches.
    pub default: Arithmetic,
    /// What the others compute in.
    pub fallback: Fallback,
    /// Exceptions; the last that matches counts.
    pub rules: Vec<Rule>,
}

/// How the engine is built.
#[derive(Clone, Debug)]
pub struct Build {
    /// Where kernels' times are kept.
    pub timing_cache: Option<PathBuf>,
    /// How long kernels may be timed.
    pub budget: Option<Duration>,
    /// Is the engine run against the interpreter?
    pub self_check: bool,
}

/// What is written.
#[derive(Clone, Debug)]
pub struct Output {
    /// The folder.
    pub dir: PathBuf,
    /// Write `calibration.trt.cache`?
    pub trt_cache: bool,
    /// Write `report.html`?
    pub html: bool,
    /// Write `report.md`?
    pub markdown: bool,
}
