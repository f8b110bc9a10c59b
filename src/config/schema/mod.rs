//! The keys of a configuration. The doc comments here are the documentation of every key: the JSON Schema for
//! editors and the reference page are made of them.

mod build;
mod calibration;
mod data;
mod evaluation;
mod forms;
mod precision;
mod preprocess;

pub use build::{Build, Output, TrtCache};
pub use calibration::Calibration;
pub use data::Data;
pub use evaluation::{Evaluation, Gate};
pub use forms::{Factor, Numbers, Pixels};
pub use precision::{Activations, Arithmetic, Fallback, Precision, Rule};
pub use preprocess::{Preprocess, Step};

use crate::device::cpu::Pin;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Configuration of quantize.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Name of the run: names the engine file and the folder of its outputs. Without it, the name of the
    /// configuration file without its extension.
    pub name: Option<String>,
    /// What the engine is built for. `auto` takes a GPU where one is found, else the CPU.
    #[serde(default)]
    pub target: Target,
    /// Number of the GPU, from 0, for target `cuda`.
    #[serde(default)]
    pub device: u32,
    /// The CPU: instruction set and threads.
    #[serde(default)]
    pub cpu: Cpu,
    /// The model: its file, the shapes of its inputs, the names of its classes.
    pub model: Model,
    /// How images become the model's input. Each dataset may override it key by key.
    #[serde(default)]
    pub preprocess: Preprocess,
    /// Choosing the ranges of the activations.
    #[serde(default)]
    pub calibration: Calibration,
    /// Comparing the engine with the FP32 model.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// Which nodes compute in INT8.
    #[serde(default)]
    pub precision: Precision,
    /// What makes a run fail (exit code 3).
    #[serde(default)]
    pub gate: Gate,
    /// Building the engine.
    #[serde(default)]
    pub build: Build,
    /// The calibration cache in TensorRT's format.
    #[serde(default)]
    pub trt_cache: TrtCache,
    /// What is written, and in which folder.
    #[serde(default)]
    pub output: Output,
}

/// What an engine is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A GPU where one is found, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

/// The CPU.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cpu {
    /// The instruction set of the kernels. `auto` takes the best that the machine has; another one may be named to
    /// build for a lesser machine, or to compare.
    pub isa: Isa,
    /// Threads of the engine while it is built, measured and evaluated; 0 for as many as the machine has cores.
    pub threads: usize,
    /// Where these threads run: `none` (the system places them, among the CPUs that the process may use), `cores` (each
    /// on a CPU of its own, one of each core first), or the numbers of CPUs, such as `[0, 2]` or `0-3`.
    #[serde(with = "forms::pin")]
    #[schemars(with = "forms::PinForm")]
    pub pin: Pin,
}

/// Instruction sets of CPU kernels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isa {
    /// The best that the machine has.
    #[default]
    Auto,
    /// Tiles of Intel's 4th-generation Xeon and newer.
    Amx,
    /// AVX-512 with the dot products of VNNI.
    Avx512Vnni,
    /// AVX2 with FMA.
    Avx2,
    /// No vector instructions of our own.
    Scalar,
}

/// The model.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The ONNX file.
    pub path: String,
    /// The shape of each input, batch included, by the input's name, such as `image: [8, 3, 224, 224]`. Needed where
    /// the model leaves a size open; an open batch is 1 without it. The batch is the largest that the engine takes.
    #[serde(default)]
    pub inputs: BTreeMap<String, Vec<usize>>,
    /// A text file with the name of a class on every line, in the order of the model's outputs.
    #[serde(default)]
    pub labels: Option<String>,
}
