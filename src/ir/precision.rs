//! What a node computes in, and why.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a fused node computes in. A node is the unit of precision: its inputs and its arithmetic are wholly 8-bit or
/// wholly float; an 8-bit node may still write F32.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Precision {
    /// 8-bit integers, or floats.
    pub int8: bool,
    /// Why.
    pub reason: Reason,
}

/// Why a node has its precision.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// An integer kernel exists and its inputs have scales.
    Quantized,
    /// It only moves integers, or takes their maximum, and all around it is 8-bit.
    FollowsNeighbours,
    /// A rule of the configuration says so; the rule's text.
    Rule(String),
    /// The operator has no integer form.
    NoIntegerForm(String),
    /// Its second operand is not constant (attention products).
    TwoActivations,
    /// An input has no scale; the tensor.
    NoScale(String),
    /// The reduction is too long for an i32 accumulator; its length.
    LongReduction(usize),
    /// Its neighbours are float, and converting there and back would cost more than it saves.
    FloatNeighbours,
    /// Weights hold NaN or infinity; the tensor.
    BadWeights(String),
    /// The whole engine was asked to be float.
    FloatEngine,
    /// The device is faster with it in float, conversions included.
    FasterInFloat,
    /// It moves integers as they are, and the model gives its output another scale than its input has; the input.
    ScalesDiffer(String),
}

/// Number, title and a paragraph of each reason, for `quantize explain`.
pub static REASONS: &[(&str, &str, &str)] = &[
    ("R01", "int8 kernel and scales", "An 8-bit kernel exists for the operator and every input has a scale."),
    (
        "R02",
        "follows its neighbours",
        "The operator only moves data (or takes a maximum), which commutes with quantization, and its neighbours are 8-bit.",
    ),
    (
        "R03",
        "rule of the configuration",
        "A row of `precision.rules` matches the node; of several, the last match wins.",
    ),
    (
        "R04",
        "no integer form",
        "The operator has no 8-bit kernel here. Softmax, LayerNorm and their like lose too much in 8 bits to be worth one.",
    ),
    (
        "R05",
        "both operands are activations",
        "Both factors change with the input, as in attention; only products with constant weights are 8-bit.",
    ),
    (
        "R06",
        "an input has no scale",
        "The calibration has no usable range for an input of the node: the tensor was not seen, or an imported cache lacks it.",
    ),
    (
        "R07",
        "reduction too long",
        "More than 66,311 products of u8 by s8 could overflow the 32-bit accumulator.",
    ),
    (
        "R08",
        "float neighbours",
        "The nodes around it are float; converting to 8 bits and back for this one alone would cost more than it saves.",
    ),
    ("R09", "weights not finite", "The weights hold NaN or infinity, which no scale represents."),
    (
        "R10",
        "float engine",
        "The engine was asked to be float (`precision.default: float`), as the reference engine is.",
    ),
    (
        "R11",
        "other scale after than before",
        "The operator moves numbers as they are, and the model's own quantization gives its output another scale than its input.",
    ),
    (
        "R12",
        "faster in float",
        "With `precision.fallback: fp16` both precisions were timed: this node, with the conversions that it causes, is faster in FP16.",
    ),
];

impl Reason {
    /// The reason's code, a row of [`REASONS`].
    pub fn code(&self) -> &'static str {
        let row = match self {
            Reason::Quantized => 0,
            Reason::FollowsNeighbours => 1,
            Reason::Rule(_) => 2,
            Reason::NoIntegerForm(_) => 3,
            Reason::TwoActivations => 4,
            Reason::NoScale(_) => 5,
            Reason::LongReduction(_) => 6,
            Reason::FloatNeighbours => 7,
            Reason::BadWeights(_) => 8,
            Reason::FloatEngine => 9,
            Reason::ScalesDiffer(_) => 10,
            Reason::FasterInFloat => 11,
        };
        REASONS[row].0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Quantized => write!(f, "an 8-bit kernel exists and its inputs have scales"),
            Reason::FollowsNeighbours => write!(f, "moves 8-bit data of its neighbours"),
            Reason::Rule(r) => write!(f, "rule {r}"),
            Reason::NoIntegerForm(op) => write!(f, "{op} has no 8-bit form"),
            Reason::TwoActivations => write!(f, "both operands are activations"),
            Reason::NoScale(t) => write!(f, "input {t} has no scale"),
            Reason::LongReduction(k) => write!(f, "its reduction of {k} products could overflow 32 bits"),
            Reason::FloatNeighbours => write!(f, "its neighbours are float"),
            Reason::BadWeights(t) => write!(f, "weights {t} are not finite"),
            Reason::FloatEngine => write!(f, "the engine was asked to be float"),
            Reason::FasterInFloat => write!(f, "it is faster in float, conversions included"),
            Reason::ScalesDiffer(x) => {
                write!(f, "the model's scale of its output is not that of its input {x}")
            }
        }
    }
}
