//! From an image to the numbers that a model reads.
//!
//! In this order: the channels asked for, the steps (crop, resize) in the order they are configured, then for
//! every pixel `x = (pixel * scale - mean) / std`, computed in f64 and rounded once to f32, then the layout.

use super::{Interpolation, Picture, resize};
use crate::base::codes::data::{PREPROCESS, UNFIT};
use crate::base::digest::Digest;
use crate::base::{Diagnostic, Result, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest side that a step may ask for, in pixels.
pub const MAX_SIZE: u32 = 1 << 14;
/// Most pixels that a step may make of an image.
const MAX_PIXELS: usize = 1 << 26;

/// How an image becomes a sample. The default: RGB in `[0, 1]`, NCHW, at its own size.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Preprocess {
    /// What is done to the image, in this order.
    pub steps: Vec<Step>,
    /// The filter of every resize.
    pub interpolation: Interpolation,
    /// Which channels, in which order.
    pub channels: Channels,
    /// What a pixel of 0..=255 is multiplied by.
    pub scale: f64,
    /// What is then subtracted: one number, or one a channel in the order of `channels`.
    pub mean: Vec<f64>,
    /// What that is divided by, likewise.
    pub std: Vec<f64>,
    /// Order of the axes of a sample.
    pub layout: Layout,
}

/// One step of the preprocessing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Cuts this size out of the middle, from `x = (w - width) / 2`, `y = (h - height) / 2`, both rounded down.
    Crop(Size),
    /// Resizes to this size, whatever the proportions.
    Resize(Size),
    /// Resizes so that the short side has this length; the long side is `long * length / short`, rounded down.
    ResizeShort(u32),
}

/// A size in pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Size {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Which channels a sample has, in which order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue: what most models were trained on.
    #[default]
    Rgb,
    /// Blue, green, red: models from Caffe and OpenCV.
    Bgr,
    /// One channel, weighted as Pillow's mode `L`.
    Grey,
}

impl Channels {
    /// Number of channels.
    pub fn count(self) -> usize {
        match self {
            Channels::Rgb | Channels::Bgr => 3,
            Channels::Grey => 1,
        }
    }
}

/// Order of the axes of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Image, channel, row, column: PyTorch.
    #[default]
    Nchw,
    /// Image, row, column, channel: TensorFlow.
    Nhwc,
}

impl Default for Preprocess {
    fn default() -> Self {
        Preprocess {
            steps: Vec::new(),
            interpolation: Interpolation::default(),
            channels: Channels::default(),
            scale: 1.0 / 255.0,
            mean: vec![0.0],
            std: vec![1.0],
            layout: Layout::default(),
        }
    }
}

impl Preprocess {
    /// An error, where [`Preprocess::fault`] finds one.
    pub fn check(&self) -> Result<()> {
        match self.fault() {
            Some((_, what)) => Err(Diagnostic::new(PREPROCESS, what)),
            None => Ok(()),
        }
    }

    /// What makes no sense: the field, and a sentence. `mean` and `std` must fit the channels, every number be
    /// finite, and sizes be in range.
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let channels = self.channels.count();
        for (name, list) in [("mean", &self.mean), ("std", &self.std)] {
            if list.len() != 1 && list.len() != channels {
                let plural = if channels == 1 { "" } else { "s" };
                return Some((
                    name,
                    format!("`{name}` has {} numbers for {channels} channel{plural}", list.len()),
                ));
            }
            if let Some(v) = list.iter().find(|v| !v.is_finite()) {
                return Some((name, format!("`{name}` holds {v}")));
            }
        }
        if self.std.contains(&0.0) {
            return Some(("std", "`std` holds 0, and pixels are divided by it".into()));
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            return Some(("scale", format!("`scale` is {}", self.scale)));
        }
        let sides = self.steps.iter().flat_map(|s| match *s {
            Step::Crop(s) | Step::Resize(s) => [s.width, s.height],
            Step::ResizeShort(n) => [n, n],
        });
        let absurd = sides.into_iter().find(|n| !(1..=MAX_SIZE).contains(n))?;
        Some(("steps", format!("a step asks for a side of {absurd} pixels (1 to {MAX_SIZE} are possible)")))
    }

    /// All of it on one line, the same for the same result: what caches and engines record.
    pub fn describe(&self) -> String {
        let steps: String = self.steps.iter().map(|s| format!("{s}; ")).collect();
        let resizes = self.steps.iter().any(|s| !matches!(s, Step::Crop(_)));
        let filter = if resizes { format!("{}; ", self.interpolation.name()) } else { String::new() };
        format!(
            "{steps}{filter}{:?}; (x*{} - {:?})/{:?}; {:?}",
            self.channels,
            self.scale,
            self.per_channel(&self.mean),
            self.per_channel(&self.std),
            self.layout
        )
        .to_lowercase()
    }

    /// The digest of [`Preprocess::describe`].
    pub fn digest(&self) -> Digest {
        Digest::of(self.describe().as_bytes())
    }

    fn per_channel(&self, list: &[f64]) -> Vec<f64> {
        (0..self.channels.count()).map(|c| list[if list.len() == 1 { 0 } else { c }]).collect()
    }

    /// The sample of a picture and its shape (no batch axis): `[C, H, W]` or `[H, W, C]`.
    ///
    /// # Errors
    /// A crop larger than the picture; a step that makes an absurd size; what [`Preprocess::check`] refuses.
    pub fn apply(&self, picture: &Picture) -> Result<(Vec<f32>, Shape)> {
        self.check()?;
        let start = match self.channels {
            Channels::Grey => picture.to_grey(),
            Channels::Rgb | Channels::Bgr => picture.to_rgb(),
        };
        let p = self.steps.iter().try_fold(start, |p, step| step.apply(&p, self.interpolation))?;
        Ok(self.numbers(&p))
    }

    /// What each of the 256 values of a pixel becomes, a table for each channel of a sample.
    pub fn tables(&self) -> Vec<[f32; 256]> {
        let (mean, std) = (self.per_channel(&self.mean), self.per_channel(&self.std));
        let table = |i: usize| std::array::from_fn(|v| ((v as f64 * self.scale - mean[i]) / std[i]) as f32);
        (0..self.channels.count()).map(table).collect()
    }

    /// Channel `i` of a sample is this channel of the picture: red, green, blue, or the only one.
    pub fn source(&self, i: usize) -> usize {
        if self.channels == Channels::Bgr { 2 - i } else { i }
    }

    fn numbers(&self, p: &Picture) -> (Vec<f32>, Shape) {
        let (w, h, c) = (p.width(), p.height(), p.channels());
        let tables = self.tables();
        match self.layout {
            Layout::Nchw => {
                let plane =
                    |i: usize| p.pixels().iter().skip(self.source(i)).step_by(c).map(move |&v| (i, v));
                let values = (0..c).flat_map(plane).map(|(i, v)| tables[i][v as usize]).collect();
                (values, Shape::new(&[c, h, w]))
            }
            Layout::Nhwc => {
                let pixel =
                    |px: &[u8]| (0..c).map(|i| tables[i][px[self.source(i)] as usize]).collect::<Vec<_>>();
                let values = p.pixels().chunks_exact(c).flat_map(pixel).collect();
                (values, Shape::new(&[h, w, c]))
            }
        }
    }
}

impl Step {
    fn apply(self, p: &Picture, by: Interpolation) -> Result<Picture> {
        let (w, h) = (p.width(), p.height());
        match self {
            Step::Crop(s) => {
                let (cw, ch) = (s.width as usize, s.height as usize);
                if cw > w || ch > h {
                    return Err(Diagnostic::new(
                        UNFIT,
                        format!("a crop of {s} does not fit into an image of {w}x{h}"),
                    )
                    .help("put a step `resize_short` before the crop"));
                }
                Ok(p.cut((w - cw) / 2, (h - ch) / 2, cw, ch))
            }
            Step::Resize(s) => resized(p, s.width as usize, s.height as usize, by),
            Step::ResizeShort(n) => {
                let (n, short) = (n as usize, w.min(h).max(1));
                resized(p, (w * n / short).max(1), (h * n / short).max(1), by)
            }
        }
    }
}

fn resized(p: &Picture, width: usize, height: usize, by: Interpolation) -> Result<Picture> {
    // between the passes a picture may have the long side of both
    if width.max(p.width()).saturating_mul(height.max(p.height())) > MAX_PIXELS {
        return Err(Diagnostic::new(
            UNFIT,
            format!("an image of {}x{} would be resized to {width}x{height}", p.width(), p.height()),
        )
        .expected(format!("at most {MAX_PIXELS} pixels")));
    }
    Ok(resize::resize(p, width, height, by))
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Crop(s) => write!(f, "crop {s}"),
            Step::Resize(s) => write!(f, "resize {s}"),
            Step::ResizeShort(n) => write!(f, "resize_short {n}"),
        }
    }
}

mod doubt;
mod layouts;
pub use layouts::layout_hint;
#[cfg(test)]
mod tests;
