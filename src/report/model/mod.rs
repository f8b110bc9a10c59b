//! What a run found out: plain data, which is also `report.json`.
//!
//! Keys marked *stable* keep their name and meaning within one [`SCHEMA_VERSION`] and are always present, `null`
//! where nothing was measured. All others are left out where there is nothing to say.

mod accuracy;
mod layer;
mod run;
mod tensor;

pub use accuracy::{Accuracy, Class, Flip, FlipKind, Flips, Score, TopK};
pub use layer::{Alternative, EXACT_DB, Layer, Precision, Tactic};
pub use run::{
    CalibrationInfo, CalibrationSource, Dataset, Latencies, MemoryBytes, OutputFile, Percentiles, Provenance,
    Rewrite, RewriteBlocked, Seconds, SizeBytes,
};
pub use tensor::{Bars, TensorReport};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the JSON form. Raised when a stable key changes its name or meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// One run: what was built, how exact and how fast it is, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Stable. Version of this form.
    pub schema_version: u32,
    /// Stable. The name of the run: the configuration's `name`, or that of its file.
    pub model: String,
    /// Stable. One sentence that begins with PASS, FAIL or DONE (where no gate was set).
    pub verdict: String,
    /// The largest tolerated loss, where the configuration sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Stable. Accuracy of a classifier; `null` for other models, see `metrics`.
    #[serde(default)]
    pub accuracy: Option<Accuracy>,
    /// Every other metric that was asked for, over all outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Score>,
    /// Stable. How much of the network computes in INT8.
    pub coverage: Coverage,
    /// Stable. The fused layers in execution order.
    pub layers: Vec<Layer>,
    /// Stable. Latency in milliseconds of one image on all threads, input ready to output ready.
    pub latency_ms: Latencies,
    /// Stable. Sizes of files in bytes.
    pub size_bytes: SizeBytes,
    /// Stable. Memory in bytes.
    pub memory_bytes: MemoryBytes,
    /// Stable. Wall-clock seconds of each stage.
    pub seconds: Seconds,
    /// How many samples the drift of the layers was measured on, spread evenly over the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_samples: Option<u64>,
    /// The calibrated activation tensors in execution order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorReport>,
    /// What each graph rewrite did and what kept it from doing more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<Rewrite>,
    /// How the ranges were found; absent where none were needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationInfo>,
    /// What is needed to do it again.
    #[serde(default)]
    pub provenance: Provenance,
    /// Sentences the user should read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What this report does not tell: checks that were not made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<String>,
    /// The files that the run wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OutputFile>,
}

/// What the engine must keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// Largest `accuracy.drop_top1` that passes, in percentage points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_drop_top1: Option<f64>,
    /// Smallest `accuracy.engine.top1` that passes, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_top1: Option<f64>,
    /// Smallest share of samples, in percent, whose class must be FP32's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_agreement_top1: Option<f64>,
}

/// How much of the network computes in INT8. Layers that multiply (Conv, Gemm, MatMul) are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Stable. Share of the multiplying layers, 0 to 1.
    pub int8_nodes: f64,
    /// Stable. Share of the multiply-accumulates, 0 to 1.
    pub int8_macs: f64,
    /// How many multiplying layers compute in INT8.
    #[serde(default)]
    pub int8_count: u64,
    /// How many layers multiply.
    #[serde(default)]
    pub multiplying_count: u64,
}

impl Coverage {
    /// The coverage of `layers`: those with `macs > 0` multiply. A network without any is covered whole.
    pub fn of(layers: &[Layer]) -> Self {
        let multiplying = || layers.iter().filter(|l| l.macs > 0);
        let int8 = || multiplying().filter(|l| l.precision == Precision::Int8);
        let (count, all) = (int8().count(), multiplying().count());
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 1.0 };
        Coverage {
            int8_nodes: share(count as f64, all as f64),
            int8_macs: share(int8().map(|l| l.macs as f64).sum(), multiplying().map(|l| l.macs as f64).sum()),
            int8_count: count as u64,
            multiplying_count: all as u64,
        }
    }
}

impl Report {
    /// An empty report of `model`, of this version.
    pub fn new(model: impl Into<String>) -> Self {
        Report { schema_version: SCHEMA_VERSION, model: model.into(), ..Report::default() }
    }

    /// The flagged tensors, those first of which their range leaves least.
    pub fn flagged(&self) -> Vec<&TensorReport> {
        let mut flagged: Vec<&TensorReport> = self.tensors.iter().filter(|t| !t.flags.is_empty()).collect();
        let left = |t: &TensorReport| t.sqnr_db.unwrap_or(f64::INFINITY);
        flagged.sort_by(|a, b| left(a).total_cmp(&left(b)));
        flagged
    }

    /// The metrics that are not told elsewhere on a page: with an accuracy, its own.
    pub fn further_metrics(&self) -> Vec<&Score> {
        let told = |m: &Score| ["top1", "top5", "agreement_top1", "mean_kl"].contains(&m.metric.as_str());
        self.metrics.iter().filter(|m| self.accuracy.is_none() || !told(m)).collect()
    }

    /// How many times faster the engine is than the reference, by median latency. `None` where that was not measured,
    /// or the machine was too noisy to tell.
    pub fn speedup(&self) -> Option<f64> {
        if !self.latency_ms.noise.is_empty() {
            return None;
        }
        let (r, e) = (self.latency_ms.reference.as_ref()?, self.latency_ms.engine.as_ref()?);
        (e.median > 0.0).then(|| r.median / e.median)
    }
}
