//! Which nodes compute in INT8, and in which form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Precision: what is quantized, and what the rest computes in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Precision {
    /// How activations are stored: with `u8`, those that cannot be negative (after ReLU) have twice the resolution, and
    /// those that can have a zero point wherever every reader takes it away for nothing (all but padded convolutions);
    /// `s8` matches TensorRT's arithmetic.
    pub activations: Activations,
    /// Whether biases of INT8 nodes make good for what the rounding of their weights adds to the mean of each channel, which
    /// is known from the calibration samples.
    pub bias_correction: bool,
    /// What a node computes in that no rule matches.
    pub default: Arithmetic,
    /// What nodes compute in that are not INT8. `tf32` and `fp16` are for GPUs: with `tf32` what is
    /// multiplied with constant weights is rounded to 11 bits first, with `fp16` all floats between nodes are halves, and
    /// numbers beyond 65,504 become infinite, as in other toolkits.
    pub fallback: Fallback,
    /// Exceptions, by the name or the type of nodes. Where several rules match a node, the last one counts.
    pub rules: Vec<Rule>,
}

impl Default for Precision {
    fn default() -> Self {
        let (activations, default, fallback) = Default::default();
        Precision { activations, bias_correction: true, default, fallback, rules: Vec::new() }
    }
}

/// Types of activations that cannot be negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activations {
    /// 0 to 255.
    #[default]
    U8,
    /// -128 to 127.
    S8,
}

/// What a node computes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// INT8, where a kernel and the ranges exist.
    #[default]
    Int8,
    /// The `fallback`.
    Float,
}

/// What nodes compute in that are not INT8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// 32-bit floats, products with constant weights of 11 bits each, on GPUs.
    Tf32,
    /// 16-bit floats with 32-bit sums, on GPUs.
    Fp16,
}

/// An exception: exactly one of `name` and `op`, and the precision of the nodes that match.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A pattern for node names: `*` stands for any text, `?` for one character, such as `stage4.*`. It must match a
    /// node; `quantize inspect MODEL --nodes` prints the names.
    #[serde(default)]
    pub name: Option<String>,
    /// An ONNX operator, such as `Conv`.
    #[serde(default)]
    pub op: Option<String>,
    /// What these nodes compute in.
    pub precision: Arithmetic,
}
