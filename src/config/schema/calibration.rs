//! Choosing the ranges of the activations.

use super::Data;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Calibration: the FP32 model runs over a few hundred samples, and a method chooses each tensor's range.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// The samples. They need no labels.
    pub data: Option<Data>,
    /// How a range is chosen; `quantize list` explains the methods. `auto` chooses one for each tensor by the error
    /// that it causes.
    pub method: String,
    /// For method `percentile`: the share of values, in percent, that the range must hold.
    pub percentile: f64,
    /// How many samples are used: the first ones, or with `shuffle` random ones. All without it. A folder with
    /// classes is in the order of the classes, so set `shuffle` with it.
    pub samples: Option<usize>,
    /// Takes the samples in a random order, which depends on `seed` alone.
    pub shuffle: bool,
    /// Decides the order of `shuffle`.
    pub seed: u64,
    /// Samples that run at once. Does not change the result.
    pub batch: usize,
    /// Threads, 0 for as many as the machine has cores. Does not change the result.
    pub threads: usize,
    /// A calibration cache to use instead of calibrating: ours or TensorRT's.
    pub cache: Option<String>,
}

impl Default for Calibration {
    fn default() -> Self {
        Calibration {
            data: None,
            method: "entropy".into(),
            percentile: 99.99,
            samples: None,
            shuffle: false,
            seed: 0,
            batch: 16,
            threads: 0,
            cache: None,
        }
    }
}
