//! What the engine answers, beside what the reference answers on the same inputs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accuracy of a classifier. Percentages are 0 to 100.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Accuracy {
    /// Stable. How many samples were evaluated.
    pub n: u64,
    /// Stable. The FP32 reference; `null` without labels.
    pub reference: Option<TopK>,
    /// Stable. The engine; `null` without labels.
    pub engine: Option<TopK>,
    /// Stable. Reference top-1 minus engine top-1 in percentage points: positive is worse.
    pub drop_top1: Option<f64>,
    /// 95 % confidence interval of `drop_top1`, paired: `[low, high]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_ci95: Option<[f64; 2]>,
    /// Exact McNemar test: the probability of flips at least as one-sided as these if neither were better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcnemar_p: Option<f64>,
    /// Stable. Share of samples on which both have the same arg-max, in percent.
    pub agreement_top1: Option<f64>,
    /// Stable. Mean over the samples of `sum p (ln(p + 1e-9) - ln(q + 1e-9))`, p the reference's softmax.
    pub mean_kl: Option<f64>,
    /// The samples whose class changed.
    #[serde(default)]
    pub flips: Flips,
}

/// Top-1 and top-5 accuracy in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopK {
    /// Stable. Share of samples whose label is the arg-max.
    pub top1: f64,
    /// Stable. Share of samples whose label is among the five largest.
    pub top5: f64,
    /// 95 % Wilson interval of `top1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1_ci95: Option<[f64; 2]>,
}

/// One metric over one evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Score {
    /// The metric's name, as the table of metrics has it.
    pub metric: String,
    /// Its unit: `%`, `dB`, `nats`, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// How many samples it saw.
    pub n: u64,
    /// The reference's value, where the metric judges one side at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<f64>,
    /// The engine's value; `null` without samples, or where outputs were not finite.
    pub engine: Option<f64>,
}

/// The samples whose arg-max differs between reference and engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flips {
    /// Reference right, engine wrong.
    pub correct_to_wrong: u64,
    /// Reference wrong, engine right.
    pub wrong_to_correct: u64,
    /// Both wrong, each in its own way.
    pub wrong_to_other: u64,
    /// Changed, without a label to say who is right.
    #[serde(default)]
    pub unlabelled: u64,
    /// The flips with the largest margins, largest first; maybe not all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<Flip>,
}

impl Flips {
    /// How many samples changed class.
    pub fn total(&self) -> u64 {
        self.correct_to_wrong + self.wrong_to_correct + self.wrong_to_other + self.unlabelled
    }
}

/// One sample whose class changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flip {
    /// The sample's name: its path in the dataset.
    pub sample: String,
    /// Who was right.
    pub kind: FlipKind,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Class>,
    /// The reference's answer.
    pub reference: Class,
    /// The engine's answer.
    pub engine: Class,
    /// The reference's largest output minus its second: how sure it was. Small margins are noise.
    pub margin: f64,
    /// A small picture, as a `data:image/...` address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<String>,
}

/// How a sample's class changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlipKind {
    /// Reference right, engine wrong.
    CorrectToWrong,
    /// Reference wrong, engine right.
    WrongToCorrect,
    /// Both wrong, each in its own way.
    WrongToOther,
    /// No label.
    Unlabelled,
}

/// A class of a classifier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Class {
    /// Its index in the output.
    pub index: usize,
    /// Its name, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "class {}", self.index),
        }
    }
}
