//! Where samples come from.

use super::Preprocess;
use crate::data::OnError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A dataset: exactly one of `folder`, `list` and `array`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// A folder with a sub-folder of images for each class, named as in `model.labels` (numbered by name without
    /// it), or a flat folder of unlabelled images.
    pub folder: Option<String>,
    /// A text file with one image a line, `path` or `path<TAB>label`: the path relative to the list, the label the
    /// number of the class from 0.
    pub list: Option<String>,
    /// A `.npy` or `.npz` file, samples along the first axis: float32, which the model gets as they are, or uint8
    /// images, which are preprocessed. An `.npz` may hold the labels in an array `labels`.
    pub array: Option<String>,
    /// Overrides the common `preprocess`, key by key.
    pub preprocess: Preprocess,
    /// What becomes of an image that cannot be decoded: `fail` stops, `skip` leaves it out and counts it.
    pub on_error: OnError,
}
