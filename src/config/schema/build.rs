//! Building the engine, and what is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Building the engine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Build {
    /// A file that remembers how fast each kernel was, so that the next build need not measure again and comes out
    /// the same. Made where it does not exist. Without it, `timing.cache` beside the engine does; a file named here may
    /// serve any number of models.
    pub timing_cache: Option<String>,
    /// Seconds that the timing of kernels may take. What is left then is not timed: the first right kernel is taken.
    /// Without it, everything is timed.
    pub budget: Option<f64>,
    /// Runs the finished engine against the reference interpreter.
    pub self_check: bool,
}

impl Default for Build {
    fn default() -> Self {
        Build { timing_cache: None, budget: None, self_check: true }
    }
}

/// The header of the calibration cache in TensorRT's format: `TRT-<version>-<algorithm>`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrtCache {
    /// TensorRT's version as its caches write it: 8601 for 8.6.1, 100100 for 10.1.0.
    pub version: u32,
    /// The calibrator that TensorRT takes the cache for.
    pub algorithm: String,
}

impl Default for TrtCache {
    fn default() -> Self {
        TrtCache { version: 8601, algorithm: "EntropyCalibration2".into() }
    }
}

/// What is written, and where.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// The folder of everything that a run writes. Without it, `reports/<name>` in the working directory.
    pub dir: Option<String>,
    /// Writes `calibration.trt.cache`.
    pub trt_cache: bool,
    /// Writes `report.html`.
    pub html: bool,
    /// Writes `report.md`.
    pub markdown: bool,
}

impl Default for Output {
    fn default() -> Self {
        Output { dir: None, trt_cache: true, html: true, markdown: true }
    }
}
