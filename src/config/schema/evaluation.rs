//! Comparing the engine with the FP32 model, and what is tolerated.

use super::Data;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Evaluation: FP32 and INT8 on the same samples, which should be none of the calibration's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Evaluation {
    /// The samples. Without it, nothing is evaluated. Without labels, the engine is compared with FP32 alone.
    pub data: Option<Data>,
    /// How many samples are used, from the first. All without it.
    pub samples: Option<usize>,
    /// What is measured; `quantize list` explains the metrics. Without it, top-1 and top-5 where there are labels.
    pub metrics: Vec<String>,
    /// Added to each label of a list or an array: 1 where the model's output 0 means "background".
    pub label_offset: i64,
    /// Samples that run at once.
    pub batch: usize,
    /// Keeps what FP32 says of the samples in `fp32.answers`, so that the next run with the same model, samples and
    /// preprocessing evaluates the engine alone. The numbers are the same with and without it.
    pub keep_answers: bool,
}

impl Default for Evaluation {
    fn default() -> Self {
        Evaluation {
            data: None,
            samples: None,
            metrics: Vec::new(),
            label_offset: 0,
            batch: 16,
            keep_answers: true,
        }
    }
}

/// What makes a run fail, for scripts and continuous integration (exit code 3).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Largest tolerated drop of the top-1 accuracy from FP32 to the engine, in percentage points. The measured drop
    /// is judged, not its interval; where the interval holds this limit, the verdict says that it is inconclusive.
    pub max_drop: Option<f64>,
    /// Least top-1 accuracy of the engine, in percent. It also catches what drags FP32 down with it, such as a wrong
    /// preprocessing.
    pub min_top1: Option<f64>,
    /// Least share of samples, in percent, on which FP32 and the engine must agree. Needs no labels.
    pub min_agreement: Option<f64>,
}
