//! One fused layer: its precision and the reason, its error, its time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The SQNR that stands for "bit for bit the reference's", so that JSON can carry it. FP32 itself has about 150 dB.
pub const EXACT_DB: f64 = 200.0;

/// A fused layer of the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Layer {
    /// Stable. The layer's name.
    pub name: String,
    /// Stable. Its operator with what is fused into it: `Conv+Add+Relu`.
    pub op: String,
    /// Stable. What it computes in.
    pub precision: Precision,
    /// Stable. Why this precision, in words.
    pub reason: String,
    /// The reason's code: `quantize explain CODE` says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// Stable. Cumulative SQNR in dB: the whole engine's value at this layer's output against the reference's.
    /// 200 where they are equal bit for bit.
    pub sqnr_db: Option<f64>,
    /// Local SQNR in dB: this layer alone quantized, fed the reference's inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_sqnr_db: Option<f64>,
    /// Local root-mean-square error in units of the output's scale: 0.289 (1/sqrt 12) is rounding alone, beyond
    /// 0.5 clipping dominates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rmse_over_scale: Option<f64>,
    /// Stable. Time in microseconds.
    pub time_us: Option<f64>,
    /// The same layer's time in the reference, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_time_us: Option<f64>,
    /// Multiply-accumulates of one sample; 0 for a layer that does not multiply.
    #[serde(default)]
    pub macs: u64,
    /// The tensor it writes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// The output's element type: `u8`, `i8`, `f32`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dtype: String,
    /// The output's step, where it is quantized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// The output's zero point, where it is quantized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_point: Option<i32>,
    /// Share of the output's values beyond its range, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
    /// Largest weight scale over smallest: how unlike the output channels are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_scale_ratio: Option<f64>,
    /// How it is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tactic: Option<Tactic>,
    /// The ONNX nodes that became this layer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origin: Vec<String>,
}

/// What a layer computes in. Layers that only move INT8 data are `int8`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 8-bit integers.
    Int8,
    /// Half precision.
    Fp16,
    /// F32 with products of TF32.
    Tf32,
    /// Single precision.
    #[default]
    Fp32,
}

impl Precision {
    /// `INT8`, `FP16`, `FP32`.
    pub fn label(self) -> &'static str {
        match self {
            Precision::Int8 => "INT8",
            Precision::Fp16 => "FP16",
            Precision::Tf32 => "TF32",
            Precision::Fp32 => "FP32",
        }
    }
}

/// The chosen way to compute a layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tactic {
    /// Its name.
    pub name: String,
    /// What else was considered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
}

/// A tactic that was not chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alternative {
    /// Its name.
    pub name: String,
    /// Its time in microseconds, where it was timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_us: Option<f64>,
    /// What tuning learned: `slower`, `failed: WHY`, `wrong: WHAT`, or `right, not timed`.
    pub verdict: String,
}
