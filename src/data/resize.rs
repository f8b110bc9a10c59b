//! Resampling of 8-bit images, bit-equal to Pillow's `Image.resize`.
//!
//! Each output pixel is a weighted mean of the input pixels under a filter that is stretched when the image
//! shrinks (antialiasing). The weights are computed in f64, normalized and rounded to 22-bit fixed point; each of
//! the two passes accumulates in i32 and stores u8. All of this, rounding included, follows Pillow's
//! `Resample.c`. The order of the passes is that of Pillow 13: vertical first where the height loses pixels, and
//! more than twice as many as the width; Pillow 11 always goes horizontally first, which differs in single steps.

use super::Picture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an image is resized.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle filter over the two nearest pixels, with antialiasing, as Pillow's `BILINEAR`.
    #[default]
    Bilinear,
    /// Cubic filter (a = -0.5) over the four nearest pixels, with antialiasing, as Pillow's `BICUBIC`.
    Bicubic,
}

impl Interpolation {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Interpolation::Bilinear => "bilinear",
            Interpolation::Bicubic => "bicubic",
        }
    }

    /// Half the filter's width, in pixels, where the size stays.
    fn support(self) -> f64 {
        match self {
            Interpolation::Bilinear => 1.0,
            Interpolation::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Interpolation::Bilinear if x < 1.0 => 1.0 - x,
            Interpolation::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Interpolation::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// `picture` at `width` by `height`, neither of them 0.
pub fn resize(picture: &Picture, width: usize, height: usize, by: Interpolation) -> Picture {
    match picture.channels() {
        1 => resize_channels::<1>(picture, width, height, by),
        _ => resize_channels::<3>(picture, width, height, by),
    }
}

fn resize_channels<const C: usize>(p: &Picture, width: usize, height: usize, by: Interpolation) -> Picture {
    let (w, h) = (p.width(), p.height());
    let (fewer_rows, fewer_columns) = (h as i64 - height as i64, w as i64 - width as i64);
    let vertical_first = fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
    let mut out = p.clone();
    for vertical in [vertical_first, !vertical_first] {
        if vertical && height != h {
            out = vertical_pass(&out, &taps(h, height, by));
        } else if !vertical && width != w {
            out = horizontal_pass::<C>(&out, &taps(w, width, by));
        }
    }
    out
}

/// Bits behind the point of a weight: 32, less 8 of the pixel, less 2 of room for sums above 1.
const PRECISION: u32 = 32 - 8 - 2;

/// The weights of the input pixels from `first` on that make one output pixel.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

fn taps(from: usize, to: usize, by: Interpolation) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = by.support() * stretch;
    (0..to)
        .map(|i| {
            let center = (i as f64 + 0.5) * scale;
            // casts truncate toward zero and saturate at 0, as the C code does by hand
            let first = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let real: Vec<f64> =
                (first..end).map(|x| by.weight((x as f64 - center + 0.5) * (1.0 / stretch))).collect();
            let sum: f64 = real.iter().sum();
            Taps { first, weights: real.iter().map(|w| fixed_point(w / sum)).collect() }
        })
        .collect()
}

fn fixed_point(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION) + 0.5f64.copysign(weight)) as i32
}

/// A pixel of an accumulator that began at one half.
fn pixel(acc: i32) -> u8 {
    (acc >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

fn horizontal_pass<const C: usize>(p: &Picture, taps: &[Taps]) -> Picture {
    let mut out = Vec::with_capacity(taps.len() * p.height() * C);
    for row in p.pixels().chunks_exact(p.width() * C) {
        for t in taps {
            let mut acc = [HALF; C];
            for (px, &w) in row[t.first * C..].chunks_exact(C).zip(&t.weights) {
                for c in 0..C {
                    acc[c] += i32::from(px[c]) * w;
                }
            }
            out.extend(acc.map(pixel));
        }
    }
    Picture::new(taps.len(), p.height(), C, out)
}

fn vertical_pass(p: &Picture, taps: &[Taps]) -> Picture {
    let row_len = p.width() * p.channels();
    let mut out = Vec::with_capacity(taps.len() * row_len);
    let mut acc = vec![0; row_len];
    for t in taps {
        acc.fill(HALF);
        for (row, &w) in p.pixels()[t.first * row_len..].chunks_exact(row_len).zip(&t.weights) {
            acc.iter_mut().zip(row).for_each(|(a, &px)| *a += i32::from(px) * w);
        }
        out.extend(acc.iter().map(|&a| pixel(a)));
    }
    Picture::new(p.width(), taps.len(), p.channels(), out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use ndarray_npy::NpzReader;

    fn picture(a: &Array3<u8>) -> Picture {
        let (h, w, c) = a.dim();
        Picture::new(w, h, c, a.iter().copied().collect())
    }

    /// Vectors made by `tests/data/make_resize_vectors.py` with Pillow 13.0.0.
    #[test]
    fn is_bit_equal_to_pillow() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/resize.npz");
        let mut npz = NpzReader::new(std::fs::File::open(path).unwrap()).unwrap();
        let names = npz.names().unwrap();
        let cases: Vec<_> = names.iter().filter_map(|n| n.strip_suffix("_in")).collect();
        assert!(cases.len() >= 30);
        for case in cases {
            let input = picture(&npz.by_name(&format!("{case}_in")).unwrap());
            for by in [Interpolation::Bilinear, Interpolation::Bicubic] {
                let want = picture(&npz.by_name(&format!("{case}_{}", by.name())).unwrap());
                let got = resize(&input, want.width(), want.height(), by);
                assert_eq!(got, want, "case {case}, {}", by.name());
            }
        }
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let p = Picture::new(2, 2, 1, vec![1, 2, 3, 4]);
        assert_eq!(resize(&p, 2, 2, Interpolation::Bicubic), p);
    }
}
