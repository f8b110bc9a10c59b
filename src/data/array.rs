//! NumPy files: `.npy` and `.npz` as sources of samples, `.npz` as output.

use crate::base::codes::{data::ARRAY, machine::IO};
use crate::base::{DType, Diagnostic, Place, Result, Shape, files};
use bytes::Bytes;
use ndarray::{ArrayViewD, IxDyn};
use ndarray_npy::NpzWriter;
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;

mod header;

/// Samples along the first axis, little endian, row-major; and their labels, where the file has them.
pub struct Array {
    /// `F32` (samples as the model reads them) or `U8` (images).
    pub dtype: DType,
    /// `[N, ...]`.
    pub shape: Shape,
    /// One a row, as the file has them.
    pub labels: Option<Vec<i64>>,
    data: Bytes,
}

impl Array {
    /// Opens a `.npy` (mapped into memory) or `.npz` file (read), whichever the content says it is.
    pub fn open(path: &Path) -> Result<Array> {
        let bytes = files::map(path)?;
        let array =
            if bytes.starts_with(b"PK") { read_npz(bytes) } else { View::of(&bytes).and_then(View::samples) };
        array.and_then(Array::checked).map_err(|e| e.at(Place::file(path)))
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// Has it no samples?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of one sample.
    pub fn row_shape(&self) -> Shape {
        Shape::new(&self.shape[1..])
    }

    /// The bytes of sample `i`.
    pub fn row(&self, i: usize) -> &[u8] {
        let size = self.row_shape().numel() * self.dtype.size();
        &self.data[i * size..(i + 1) * size]
    }

    fn checked(self) -> Result<Array> {
        let fits_model = match self.dtype {
            DType::F32 => self.shape.rank() >= 2,
            _ => image_axes(&self.shape).is_some(),
        };
        if !fits_model {
            let what = format!("an array of {} {} holds no samples", self.dtype, self.shape);
            return Err(Diagnostic::new(ARRAY, what).expected("f32 [N,...], or u8 [N,H,W,C] or [N,C,H,W]"));
        }
        match &self.labels {
            Some(l) if l.len() != self.len() => {
                Err(Diagnostic::new(ARRAY, format!("{} labels stand beside {} samples", l.len(), self.len())))
            }
            _ => Ok(self),
        }
    }
}

/// Where a `[N, ...]` array of u8 images has its height, width and channels, and whether channels come first.
pub fn image_axes(shape: &Shape) -> Option<(usize, usize, usize, bool)> {
    match shape[..] {
        [_, h, w] => Some((h, w, 1, false)),
        [_, h, w, c @ (1 | 3)] => Some((h, w, c, false)),
        [_, c @ (1 | 3), h, w] => Some((h, w, c, true)),
        _ => None,
    }
    .filter(|&(h, w, _, _)| h > 0 && w > 0)
}

/// An array's element type as NumPy spells it, its shape, and its values in row-major order.
struct View {
    descr: String,
    shape: Shape,
    data: Bytes,
}

impl View {
    /// The array in a whole `.npy` file. Nothing is allocated on the word of its header.
    fn of(bytes: &Bytes) -> Result<View> {
        let h = header::parse(bytes)?;
        if h.fortran && h.shape.rank() > 1 {
            return Err(Diagnostic::new(ARRAY, "the array is in Fortran order")
                .expected("row-major (C) order")
                .help("save it with `np.save(path, np.ascontiguousarray(a))`"));
        }
        Ok(View { descr: h.descr, shape: h.shape, data: bytes.slice(h.len..) })
    }

    /// The values, where there are as many as the header promises elements of so many bytes.
    fn data(&self, size: usize) -> Result<Bytes> {
        let want = self.shape.checked_numel().and_then(|n| n.checked_mul(size));
        if want == Some(self.data.len()) {
            return Ok(self.data.clone());
        }
        let (descr, shape, got) = (&self.descr, &self.shape, self.data.len());
        let what = format!("the header promises `{descr}` {shape}, but {got} bytes follow");
        Err(Diagnostic::new(ARRAY, what)
            .expected(want.map_or("an array of possible size".into(), |n| format!("{n} bytes"))))
    }

    /// Samples, without labels.
    fn samples(self) -> Result<Array> {
        let dtype = match self.descr.as_str() {
            "<f4" => DType::F32,
            "|u1" => DType::U8,
            other => return Err(wrong_type(other)),
        };
        let data = self.data(dtype.size())?;
        Ok(Array { dtype, shape: self.shape, labels: None, data })
    }

    /// Integers of one dimension.
    fn labels(&self) -> Result<Vec<i64>> {
        let wide = |b: &[u8]| b.try_into().map_or(0, i64::from_le_bytes);
        let narrow = |b: &[u8]| b.try_into().map_or(0, i32::from_le_bytes).into();
        match (self.shape.rank(), self.descr.as_str()) {
            (1, "<i8") => Ok(self.data(8)?.chunks_exact(8).map(wide).collect()),
            (1, "<i4") => Ok(self.data(4)?.chunks_exact(4).map(narrow).collect()),
            (1, "|u1") => Ok(self.data(1)?.iter().map(|&b| b.into()).collect()),
            _ => Err(Diagnostic::new(ARRAY, "the array `labels` is no list of integers")
                .expected("one dimension of int64, int32 or uint8")),
        }
    }
}

fn wrong_type(descr: &str) -> Box<Diagnostic> {
    let d = Diagnostic::new(ARRAY, format!("the array's elements are `{descr}`"))
        .expected("float32 (`<f4`) or uint8 (`|u1`)");
    match descr {
        "|O" => {
            d.help("these are Python objects, as NumPy makes of ragged lists: give all samples one shape")
        }
        _ => d.help("convert it with `a.astype(np.float32)`"),
    }
}

/// An `.npz` file is a ZIP archive with one `.npy` file an array.
fn read_npz(bytes: Bytes) -> Result<Array> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| unreadable(&e))?;
    let mut samples: Vec<(String, View)> = Vec::new();
    let mut labels = None;
    for i in 0..zip.len() {
        let mut member = zip.by_index(i).map_err(|e| unreadable(&e))?;
        let name = member.name().trim_end_matches(".npy").to_string();
        let mut content = Vec::new(); // grows with what is there: the archive's word on its size is not taken
        member.read_to_end(&mut content).map_err(|e| unreadable(&e))?;
        let view = View::of(&content.into()).map_err(|e| e.detail(format!("the array `{name}`")))?;
        match name.as_str() {
            "labels" => labels = Some(view.labels()?),
            _ => samples.push((name, view)),
        }
    }
    match <[_; 1]>::try_from(samples) {
        Ok([(_, view)]) => Ok(Array { labels, ..view.samples()? }),
        Err(several) => {
            let names: Vec<String> = several.into_iter().map(|(name, _)| name).collect();
            let what = format!("the file holds {} arrays beside `labels`: {}", names.len(), names.join(", "));
            Err(Diagnostic::new(ARRAY, what).expected("exactly one array of samples"))
        }
    }
}

fn unreadable(e: &dyn std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::new(ARRAY, format!("the array file is damaged or none: {e}"))
        .expected("a whole `.npy` or `.npz` file")
}

/// Writes named f32 arrays as an uncompressed `.npz`, whole or not at all.
///
/// # Errors
/// A shape that does not fit its values, two arrays of one name, a file that cannot be written.
pub fn write_npz(path: &Path, arrays: &[(&str, &Shape, &[f32])]) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| {
        Diagnostic::new(IO, format!("cannot write the arrays: {e}")).at(Place::file(path))
    };
    let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
    for (name, shape, values) in arrays {
        let view = ArrayViewD::from_shape(IxDyn(shape), values).map_err(|e| failed(&e))?;
        npz.add_array(*name, &view).map_err(|e| failed(&e))?;
    }
    files::write(path, &npz.finish().map_err(|e| failed(&e))?.into_inner())
}

#[cfg(test)]
mod tests;
