//! `Resize` and its forerunner `Upsample`: images of another size, by the nearest element or linearly.
//!
//! Coordinates are computed in f32, as ONNX Runtime does: which element is nearest depends on it.

use super::axes::axes_of;
use super::{Operator, Role, arity};
use crate::base::Shape;
use crate::base::shape::MAX_ELEMENTS;
use crate::ir::array::{Array, ravel, unravel};
use crate::ir::attrs::{Attr, Attrs, Check, sizes};
use crate::ir::graph::Fact;

/// Makes an enum of an attribute's words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $($(#[$d:meta])* $v:ident = $w:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$d])* $v,)* }

        impl $name {
            fn parse(word: &str) -> Check<Self> {
                match word {
                    $($w => Ok($name::$v),)*
                    _ => Err(format!("`{word}` is not supported, only {}", [$($w),*].join(", "))),
                }
            }

            fn word(self) -> Attr {
                Attr::Str(match self { $($name::$v => $w,)* }.into())
            }
        }
    };
}

words! {
    /// Where an output element lies in the input.
    Coordinates:
    /// `(o + 0.5) / scale - 0.5`: pixels are areas.
    HalfPixel = "half_pixel",
    /// Likewise, but 0 for an output of one element.
    PytorchHalfPixel = "pytorch_half_pixel",
    /// Likewise, about the middle of the input where the output's size was rounded.
    HalfPixelSymmetric = "half_pixel_symmetric",
    /// `(o + 0.5) / scale`, of opset 11 alone.
    TfHalfPixel = "tf_half_pixel_for_nn",
    /// `o (in - 1) / (out - 1)`: the ends meet.
    AlignCorners = "align_corners",
    /// `o / scale`.
    Asymmetric = "asymmetric",
}

words! {
    /// Which element is the nearest.
    Nearest:
    /// Halves go down.
    RoundPreferFloor = "round_prefer_floor",
    /// Halves go up.
    RoundPreferCeil = "round_prefer_ceil",
    /// The one before.
    Floor = "floor",
    /// The one after.
    Ceil = "ceil",
    /// The one before, but the one after where the axis shrinks: what opsets before 11 mean. Not a word of ONNX.
    Simple = "simple",
}

/// How much larger the output is.
#[derive(Clone, PartialEq, Debug)]
pub enum Extent {
    /// By these factors; sizes are rounded down.
    Scales(Vec<f32>),
    /// To these sizes.
    Sizes(Vec<usize>),
}

/// Resizing.
#[derive(Clone, PartialEq, Debug)]
pub struct Resize {
    /// Which element is taken; `None` interpolates linearly.
    pub nearest: Option<Nearest>,
    /// Where an output element lies in the input.
    pub coordinates: Coordinates,
    /// How large the output is.
    pub extent: Extent,
    /// The axes it speaks of; empty means all.
    pub axes: Vec<i64>,
}

/// What the elements along an axis of the output are made of.
#[derive(Clone, PartialEq, Debug)]
pub enum Taps {
    /// Of the input's element with the same index.
    Same,
    /// For each, the two elements of the input that it lies between, and the weight of the second.
    Between(Vec<(usize, usize, f64)>),
}

/// Resizing of one axis.
#[derive(Clone, Copy, Debug)]
struct Line {
    input: usize,
    output: usize,
    scale: f32,
}

impl Resize {
    fn lines(&self, x: &Shape) -> Check<Vec<Line>> {
        let axes = match self.axes.is_empty() {
            true => (0..x.rank()).collect(),
            false => axes_of(x, &self.axes)?,
        };
        let stated = match &self.extent {
            Extent::Scales(s) => s.len(),
            Extent::Sizes(s) => s.len(),
        };
        if stated != axes.len() {
            return Err(format!("{stated} scales or sizes for {} axes of {x}", axes.len()));
        }
        let mut lines: Vec<Line> = x.iter().map(|&n| Line { input: n, output: n, scale: 1.0 }).collect();
        for (i, a) in axes.into_iter().enumerate() {
            let n = x[a];
            lines[a] = match &self.extent {
                Extent::Scales(s) => {
                    let size = (n as f64 * f64::from(s[i])).floor();
                    if !(s[i] > 0.0 && size <= MAX_ELEMENTS as f64) {
                        return Err(format!("scale {} for an axis of {n}", s[i]));
                    }
                    Line { input: n, output: size as usize, scale: s[i] }
                }
                Extent::Sizes(s) => Line { input: n, output: s[i], scale: s[i] as f32 / n as f32 },
            };
            if n == 0 && lines[a].output > 0 {
                return Err(format!("axis {a} of {x} is empty"));
            }
        }
        Ok(lines)
    }

    /// For each axis of an input of this shape, what the output's elements along it are made of.
    pub fn taps(&self, x: &Shape) -> Check<Vec<Taps>> {
        let taps = |l: &Line| match l.input == l.output && l.scale == 1.0 {
            true => Taps::Same,
            false => Taps::Between((0..l.output).map(|o| self.between(o, l)).collect()),
        };
        Ok(self.lines(x)?.iter().map(taps).collect())
    }

    /// The place in the input of output element `o`.
    fn place(&self, o: usize, l: &Line) -> f32 {
        let at = o as f32;
        let half_pixel = (at + 0.5) / l.scale - 0.5;
        match self.coordinates {
            _ if l.input == l.output && l.scale == 1.0 => at,
            Coordinates::HalfPixel => half_pixel,
            Coordinates::PytorchHalfPixel => {
                if l.output > 1 {
                    half_pixel
                } else {
                    0.0
                }
            }
            Coordinates::HalfPixelSymmetric => {
                let exact = l.scale * l.input as f32;
                let middle = l.input as f32 / 2.0;
                middle * (1.0 - l.output as f32 / exact) + half_pixel
            }
            Coordinates::TfHalfPixel => (at + 0.5) / l.scale,
            Coordinates::AlignCorners if l.output > 1 => {
                at * (l.input as f32 - 1.0) / (l.output as f32 - 1.0)
            }
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => at / l.scale,
        }
    }

    /// The two input elements that output element `o` lies between, and the weight of the second.
    fn between(&self, o: usize, l: &Line) -> (usize, usize, f64) {
        let at = self.place(o, l);
        let last = l.input.saturating_sub(1);
        let clamp = |v: f32| (v.max(0.0) as usize).min(last);
        match self.nearest {
            None => {
                let at = at.clamp(0.0, last as f32);
                let first = at.floor();
                (clamp(first), clamp(first + 1.0), f64::from(at - first))
            }
            Some(how) => {
                let i = clamp(match how {
                    Nearest::RoundPreferFloor => (at - 0.5).ceil(),
                    Nearest::RoundPreferCeil => (at + 0.5).floor(),
                    Nearest::Simple if l.scale < 1.0 => at.ceil(),
                    Nearest::Floor | Nearest::Simple => at.floor(),
                    Nearest::Ceil => at.ceil(),
                });
                (i, i, 0.0)
            }
        }
    }

    fn sample_nearest(&self, x: &Array, lines: &[Line], shape: Shape) -> Array {
        let maps: Vec<Vec<usize>> =
            lines.iter().map(|l| (0..l.output).map(|o| self.between(o, l).0).collect()).collect();
        let strides = x.shape.strides();
        x.gather(shape.clone(), |i| {
            let at: Vec<usize> = unravel(i, &shape).iter().zip(&maps).map(|(&o, map)| map[o]).collect();
            Some(ravel(&at, &strides))
        })
    }

    /// Interpolates one axis after the other.
    fn interpolate(&self, x: &Array, lines: &[Line]) -> Array {
        let (mut shape, mut data) = (x.shape.clone(), x.reals());
        for (axis, line) in lines.iter().enumerate().filter(|(_, l)| l.input != l.output || l.scale != 1.0) {
            let [outer, n, inner] = super::axes::around(&shape, axis);
            let mut y = Vec::with_capacity(outer * line.output * inner);
            for (o, k) in (0..outer).flat_map(|o| (0..line.output).map(move |k| (o, k))) {
                let (a, b, w) = self.between(k, line);
                let at = |j: usize, i: usize| data[(o * n + j) * inner + i];
                y.extend((0..inner).map(|i| at(a, i) * (1.0 - w) + at(b, i) * w));
            }
            shape.0[axis] = line.output;
            data = y;
        }
        Array::real(shape, data)
    }
}

impl Operator for Resize {
    const KINDS: &'static [&'static str] = &["Resize", "Upsample"];

    /// Resize of opset 10 has its scales at input 1, where later ones have `roi`: a region without scales and sizes
    /// is taken for them. An Upsample before opset 9 has them as an attribute.
    fn parameters(kind: &str) -> &'static [(usize, &'static str)] {
        if kind == "Upsample" { &[(1, "scales")] } else { &[(1, "roi"), (2, "scales"), (3, "sizes")] }
    }

    fn parse(kind: &str, attrs: &mut Attrs) -> Check<Self> {
        let roi = attrs.floats("roi")?.filter(|r| !r.is_empty());
        let scales = attrs.floats("scales")?.filter(|s| !s.is_empty());
        let to = attrs.ints("sizes")?.filter(|s| !s.is_empty());
        let old = kind == "Upsample" || (scales.is_none() && to.is_none());
        let extent = match (scales.or(if old { roi } else { None }), to) {
            (_, Some(to)) => Extent::Sizes(sizes("sizes", &to)?),
            (Some(scales), None) => Extent::Scales(scales),
            (None, None) => return Err("neither `scales` nor `sizes` are given".into()),
        };
        let coordinates = match attrs.text("coordinate_transformation_mode")? {
            Some(word) => Coordinates::parse(&word)?,
            None => {
                if old {
                    Coordinates::Asymmetric
                } else {
                    Coordinates::HalfPixel
                }
            }
        };
        let how = match attrs.text("nearest_mode")? {
            Some(word) => Nearest::parse(&word)?,
            None => {
                if old {
                    Nearest::Simple
                } else {
                    Nearest::RoundPreferFloor
                }
            }
        };
        let nearest = match attrs.text("mode")?.as_deref() {
            None | Some("nearest") => Some(how),
            Some("linear" | "bilinear") => None,
            Some(other) => return Err(format!("mode `{other}` is not supported, only nearest and linear")),
        };
        if attrs.flag("antialias", false)? {
            return Err("antialias=1 is not supported".into());
        }
        if let Some(policy) = attrs.text("keep_aspect_ratio_policy")?.filter(|p| p != "stretch") {
            return Err(format!("keep_aspect_ratio_policy `{policy}` is not supported"));
        }
        for unused in ["cubic_coeff_a", "exclude_outside", "extrapolation_value"] {
            attrs.float(unused)?; // of modes that are refused
        }
        Ok(Resize { nearest, coordinates, extent, axes: attrs.ints("axes")?.unwrap_or_default() })
    }

    fn kind(&self) -> &'static str {
        "Resize"
    }

    fn attrs(&self) -> Attrs {
        let how = self.nearest.unwrap_or(Nearest::RoundPreferFloor);
        let attrs = Attrs::new()
            .with_unless(
                self.coordinates == Coordinates::HalfPixel,
                "coordinate_transformation_mode",
                self.coordinates.word(),
            )
            .with_unless(how == Nearest::RoundPreferFloor, "nearest_mode", how.word())
            .with_unless(self.nearest.is_some(), "mode", Attr::Str("linear".into()))
            .with_unless(self.axes.is_empty(), "axes", Attr::Ints(self.axes.clone()));
        match &self.extent {
            Extent::Scales(s) => attrs.with("scales", Attr::Floats(s.clone())),
            Extent::Sizes(s) => attrs.with("sizes", Attr::Ints(s.iter().map(|&i| i as i64).collect())),
        }
    }

    fn infer(&self, inputs: &[Fact]) -> Check<Vec<Fact>> {
        arity(inputs, 1..=1)?;
        let lines = self.lines(&inputs[0].shape)?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: Shape(lines.iter().map(|l| l.output).collect()) }])
    }

    fn eval(&self, inputs: &[&Array]) -> Check<Vec<Array>> {
        let lines = self.lines(&inputs[0].shape)?;
        let shape = Shape(lines.iter().map(|l| l.output).collect());
        Ok(vec![match self.nearest {
            Some(_) => self.sample_nearest(inputs[0], &lines, shape),
            None => self.interpolate(inputs[0], &lines),
        }])
    }

    fn role(&self) -> Role {
        if self.nearest.is_some() { Role::Move } else { Role::Float }
    }
}
