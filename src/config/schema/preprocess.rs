//! How images become numbers.

use super::{Factor, Numbers, Pixels};
use crate::data::{self, Channels, Interpolation, Layout, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an image becomes the model's input: steps, then `x = (pixel * scale - mean) / std`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocess {
    /// What is done to the image, in this order: `crop: N` cuts the middle out, `resize: N` resizes to N by N,
    /// `resize_short: N` resizes the short side to N. `crop` and `resize` also take `{width: W, height: H}`.
    /// Without it, images keep their size.
    pub steps: Option<Vec<Step>>,
    /// The filter of every resize, as Pillow's. Default: bilinear.
    pub interpolation: Option<Interpolation>,
    /// The channels and their order. Default: rgb.
    pub channels: Option<Channels>,
    /// What a pixel of 0 to 255 is multiplied by; a fraction may be written. Default: 1/255.
    pub scale: Option<Factor>,
    /// What is then subtracted: one number, or one a channel in the order of `channels`. Default: 0.
    pub mean: Option<Numbers>,
    /// What that is divided by, likewise. Default: 1.
    pub std: Option<Numbers>,
    /// The order of the input's axes: images, channels, rows, columns. Default: nchw.
    pub layout: Option<Layout>,
}

/// One step of the preprocessing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Cuts this size out of the middle: `x = (w - width) / 2`, `y = (h - height) / 2`, rounded down.
    Crop(Pixels),
    /// Resizes to this size, whatever the proportions.
    Resize(Pixels),
    /// Resizes so that the short side has this length and the proportions stay.
    ResizeShort(u32),
}

impl Preprocess {
    /// These keys, and those of `base` that are not among them.
    pub fn over(&self, base: &Preprocess) -> Preprocess {
        let (a, b) = (self.clone(), base.clone());
        Preprocess {
            steps: a.steps.or(b.steps),
            interpolation: a.interpolation.or(b.interpolation),
            channels: a.channels.or(b.channels),
            scale: a.scale.or(b.scale),
            mean: a.mean.or(b.mean),
            std: a.std.or(b.std),
            layout: a.layout.or(b.layout),
        }
    }

    /// With the defaults for what is not set.
    pub fn resolve(&self) -> data::Preprocess {
        let default = data::Preprocess::default();
        let p = self.clone();
        data::Preprocess {
            steps: p.steps.map_or(default.steps, |s| s.into_iter().map(Step::resolve).collect()),
            interpolation: p.interpolation.unwrap_or(default.interpolation),
            channels: p.channels.unwrap_or(default.channels),
            scale: p.scale.map_or(default.scale, |f| f.0),
            mean: p.mean.map_or(default.mean, |n| n.0),
            std: p.std.map_or(default.std, |n| n.0),
            layout: p.layout.unwrap_or(default.layout),
        }
    }
}

impl Step {
    fn resolve(self) -> data::Step {
        let size = |p: Pixels| Size { width: p.width, height: p.height };
        match self {
            Step::Crop(p) => data::Step::Crop(size(p)),
            Step::Resize(p) => data::Step::Resize(size(p)),
            Step::ResizeShort(n) => data::Step::ResizeShort(n),
        }
    }
}
