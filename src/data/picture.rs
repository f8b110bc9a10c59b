//! Decoded images: 8-bit pixels, interleaved.

use crate::base::codes::data::UNDECODABLE;
use crate::base::{Diagnostic, Place, Result, files};
use image::{DynamicImage, ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;

/// Longest side of an image that is read, in pixels.
pub const MAX_SIDE: u32 = 1 << 15;
/// Most memory that decoding one image may take.
const MAX_BYTES: u64 = 1 << 30;

/// Extensions of the files that count as images.
pub const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];

/// An image of 1 (grey) or 3 (RGB) channels, 8 bits each, rows from the top, channels interleaved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A small JPEG of it, at most `side` pixels each way.
    pub fn thumbnail(&self, side: usize) -> Option<Vec<u8>> {
        let shrink = self.width.max(self.height).div_ceil(side.max(1)).max(1);
        let (w, h) = ((self.width / shrink).max(1), (self.height / shrink).max(1));
        let small = super::resize::resize(self, w, h, super::Interpolation::Bilinear);
        let kind =
            if small.channels == 1 { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
        let mut jpeg = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 80);
        image::ImageEncoder::write_image(encoder, &small.pixels, w as u32, h as u32, kind).ok()?;
        Some(jpeg)
    }

    /// The picture of these pixels.
    ///
    /// # Panics
    /// Where the numbers contradict each other: a mistake of the caller.
    pub fn new(width: usize, height: usize, channels: usize, pixels: Vec<u8>) -> Self {
        assert!(channels == 1 || channels == 3, "a picture has 1 or 3 channels, not {channels}");
        assert_eq!(pixels.len(), width * height * channels, "pixels of a {width}x{height} picture");
        Picture { width, height, channels, pixels }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// 1 or 3.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The pixels, `height * width * channels` of them.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Reads an image file as RGB. Grey is repeated, alpha dropped, CMYK converted, 16 bits rounded to 8; a turn
    /// noted in the metadata (EXIF) is not applied, as Pillow does not either.
    pub fn open(path: &Path) -> Result<Picture> {
        Picture::decode(&files::map(path)?).map_err(|e| e.at(Place::file(path)))
    }

    /// Decodes the bytes of an image file as [`Picture::open`] does. The content decides the format, not a name.
    pub fn decode(bytes: &[u8]) -> Result<Picture> {
        let rgb = decode_any(bytes).map_err(|e| undecodable(&e))?.into_rgb8();
        let (w, h) = (rgb.width() as usize, rgb.height() as usize);
        Ok(Picture::new(w, h, 3, rgb.into_raw()))
    }

    /// The picture in one channel, weighted as Pillow's mode `L` is (ITU-R 601-2): a grey one stays as it is.
    pub fn to_grey(&self) -> Picture {
        if self.channels == 1 {
            return self.clone();
        }
        let luma = |p: &[u8]| {
            let [r, g, b] = [p[0], p[1], p[2]].map(u32::from);
            ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
        };
        Picture::new(self.width, self.height, 1, self.pixels.chunks_exact(3).map(luma).collect())
    }

    /// The picture in three channels: a grey one repeats its channel.
    pub fn to_rgb(&self) -> Picture {
        if self.channels == 3 {
            return self.clone();
        }
        Picture::new(self.width, self.height, 3, self.pixels.iter().flat_map(|&v| [v; 3]).collect())
    }

    /// The part of `width` by `height` whose upper left corner is at `x`, `y`. It must lie inside the picture.
    pub fn cut(&self, x: usize, y: usize, width: usize, height: usize) -> Picture {
        let (row, c) = (self.width * self.channels, self.channels);
        let mut out = Vec::with_capacity(width * height * c);
        for line in self.pixels.chunks_exact(row).skip(y).take(height) {
            out.extend_from_slice(&line[x * c..(x + width) * c]);
        }
        Picture::new(width, height, c, out)
    }
}

fn decode_any(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    reader.decode()
}

fn undecodable(e: &image::ImageError) -> Box<Diagnostic> {
    let d = Diagnostic::new(UNDECODABLE, format!("the image cannot be decoded: {e}"));
    match e {
        image::ImageError::Limits(_) => {
            d.expected(format!("at most {MAX_SIDE} pixels a side and {} MiB decoded", MAX_BYTES >> 20))
        }
        _ => d.expected("a whole JPEG, PNG, BMP or WebP file"),
    }
    .help("remove the file, or set `on_error: skip` for the dataset")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayAlphaImage, ImageFormat, LumaA, Rgb};

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_kind_becomes_rgb8() {
        let grey_alpha = GrayAlphaImage::from_pixel(2, 1, LumaA([200, 3])).into();
        assert_eq!(Picture::decode(&encoded(&grey_alpha, ImageFormat::Png)).unwrap().pixels(), [200; 6]);
        let deep: image::ImageBuffer<Rgb<u16>, _> =
            image::ImageBuffer::from_pixel(1, 1, Rgb([65535, 257, 256]));
        assert_eq!(Picture::decode(&encoded(&deep.into(), ImageFormat::Png)).unwrap().pixels(), [255, 1, 1]);
    }

    #[test]
    fn a_damaged_or_absurd_image_is_an_error() {
        let good = encoded(&DynamicImage::new_rgb8(64, 64), ImageFormat::Png);
        for n in 0..good.len() {
            assert!(Picture::decode(&good[..n]).is_err() || n + 16 > good.len(), "cut at {n}");
        }
        // width and height of the BMP header set to 2^31 - 1
        let mut bmp = encoded(&DynamicImage::new_rgb8(2, 2), ImageFormat::Bmp);
        bmp[18..26].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f]);
        assert!(Picture::decode(&bmp).is_err());
        assert!(Picture::decode(b"not an image").unwrap_err().to_string().contains("JPEG, PNG"));
    }

    /// Values of `Image.new("RGB", ...).convert("L")` in Pillow.
    #[test]
    fn grey_is_weighted_as_in_pillow() {
        let p = Picture::new(4, 1, 3, vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30]);
        assert_eq!(p.to_grey().pixels(), [76, 150, 29, 18]);
    }
}
