//! What the run cost and how to do it again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Latency of both sides, measured in the same run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latencies {
    /// Stable. The FP32 reference.
    pub reference: Option<Percentiles>,
    /// Stable. The engine.
    pub engine: Option<Percentiles>,
    /// Why the times are not to be trusted, a sentence each; the speed is then not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noise: Vec<String>,
}

/// A summary of times, all in the unit of the key that holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Stable. The shortest.
    pub min: f64,
    /// Stable. The arithmetic mean.
    pub mean: f64,
    /// Stable. The median.
    pub median: f64,
    /// Stable. 90 % took no longer.
    pub p90: f64,
    /// Stable. 95 % took no longer.
    pub p95: f64,
    /// Stable. 99 % took no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// How many times were measured.
    #[serde(default)]
    pub n: u64,
}

/// Sizes of files in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizeBytes {
    /// Stable. The ONNX model with its external data.
    pub model: Option<u64>,
    /// Stable. The engine.
    pub engine: Option<u64>,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryBytes {
    /// Stable. The engine's one arena of activations and workspaces.
    pub arena: Option<u64>,
    /// Stable. The sum of all activations: what the arena would be if nothing were reused.
    pub activations_sum: Option<u64>,
    /// Stable. The largest resident size of the process.
    pub peak_rss: Option<u64>,
}

/// Wall-clock seconds of each stage; `null` for a stage that did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // the names say it
pub struct Seconds {
    pub import: Option<f64>,
    pub reference: Option<f64>,
    pub calibrate: Option<f64>,
    pub build: Option<f64>,
    pub evaluate: Option<f64>,
    pub report: Option<f64>,
}

impl Seconds {
    /// The stages in order, with their seconds.
    pub fn stages(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("import", self.import),
            ("reference", self.reference),
            ("calibrate", self.calibrate),
            ("build", self.build),
            ("evaluate", self.evaluate),
            ("report", self.report),
        ]
    }
}

/// What one graph rewrite did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rewrite {
    /// The rule's name.
    pub rule: String,
    /// How often it was applied.
    pub done: u64,
    /// Where it matched and could not be applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<RewriteBlocked>,
}

/// One reason that kept a rewrite from being applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RewriteBlocked {
    /// The reason in words.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The nodes, maybe not all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

/// How the ranges were found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CalibrationInfo {
    /// The method, as the configuration names it.
    pub method: String,
    /// How many samples the statistics saw.
    pub samples: u64,
    /// How many samples were left out because they could not be decoded.
    #[serde(default)]
    pub skipped: u64,
    /// Where the ranges come from.
    pub source: CalibrationSource,
    /// Digest of the calibration cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_digest: Option<String>,
    /// What is done to every image, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<String>,
}

/// Where the ranges of a calibration come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationSource {
    /// This run gathered the statistics.
    #[default]
    Fresh,
    /// Our own cache of an earlier run, whose digests fit.
    Cache,
    /// A cache accepted although a digest differs, on request.
    Trusted,
    /// A TensorRT cache.
    Tensorrt,
    /// The quantize and dequantize nodes of the model.
    Model,
}

impl CalibrationSource {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            CalibrationSource::Fresh => "gathered in this run",
            CalibrationSource::Cache => "from the cache of an earlier run, all digests equal",
            CalibrationSource::Trusted => "from a cache whose digests differ, accepted on request",
            CalibrationSource::Tensorrt => "imported from a TensorRT cache",
            CalibrationSource::Model => "from the quantize and dequantize nodes of the model",
        }
    }
}

/// What is needed to do the run again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Provenance {
    /// Version of quantize.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The command line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// When, if the run is allowed to say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The model's path as the user wrote it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model_path: String,
    /// Digest of the model.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model_digest: String,
    /// Digest of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_digest: Option<String>,
    /// Digest of the configuration file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub config_digest: String,
    /// The text of the configuration file; what `--set` changed is in `command`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// The data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<Dataset>,
    /// The machine: architecture, operating system, and the processor where the system tells it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// The device the engine is for: `cpu`, `cuda`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// The instruction set or GPU architecture.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub isa: String,
    /// How many threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// The seeds by what they are for.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub seeds: std::collections::BTreeMap<String, u64>,
}

/// A list of samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dataset {
    /// `calibration`, `evaluation`.
    pub role: String,
    /// Its path as the user wrote it.
    pub path: String,
    /// How many samples were used.
    pub samples: u64,
    /// Digest of names and contents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// A file that the run wrote.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputFile {
    /// What it is.
    pub what: String,
    /// Its path.
    pub path: String,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}
