//! NumPy files: `.npy` and `.npz` as sources of samples, `.npz` as output.

use crate::base::codes::{data::ARRAY, machine::IO};
use crate::base::{DType, Diagnostic, Place, Result, Shape, files};
use bytes::Bytes;
use ndarray::{ArrayViewD, Ix1, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyError, ReadNpzError, ReadableElement};
use std::io::Cursor;
use std::path::Path;

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
        let array = if bytes.starts_with(b"PK") { read_npz(bytes) } else { view_npy(&bytes) };
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

fn view_npy(bytes: &Bytes) -> Result<Array> {
    let h = header::parse(bytes)?;
    let dtype = match h.descr.as_str() {
        "<f4" => DType::F32,
        "|u1" => DType::U8,
        other => return Err(wrong_type(other)),
    };
    if h.fortran && h.shape.rank() > 1 {
        return Err(Diagnostic::new(ARRAY, "the array is in Fortran order")
            .expected("row-major (C) order")
            .help("save it with `np.save(path, np.ascontiguousarray(a))`"));
    }
    let want = h.shape.checked_numel().and_then(|n| n.checked_mul(dtype.size()));
    let data = bytes.slice(h.len..);
    if want != Some(data.len()) {
        return Err(Diagnostic::new(
            ARRAY,
            format!("the header promises {dtype} {}, but {} bytes follow", h.shape, data.len()),
        )
        .expected(want.map_or("an array of possible size".into(), |n| format!("{n} bytes"))));
    }
    Ok(Array { dtype, shape: h.shape, labels: None, data })
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

fn read_npz(bytes: Bytes) -> Result<Array> {
    let mut npz = NpzReader::new(Cursor::new(bytes)).map_err(unreadable)?;
    let names = npz.names().map_err(unreadable)?;
    let labels = match names.iter().any(|n| n == "labels") {
        true => Some(read_labels(&mut npz)?),
        false => None,
    };
    let others: Vec<&str> = names.iter().map(String::as_str).filter(|n| *n != "labels").collect();
    let [name] = others[..] else {
        return Err(Diagnostic::new(
            ARRAY,
            format!("the file holds {} arrays beside `labels`: {}", others.len(), others.join(", ")),
        )
        .expected("exactly one array of samples"));
    };
    let (dtype, shape, data) = match npz.by_name::<OwnedRepr<f32>, IxDyn>(name) {
        Ok(a) => (DType::F32, Shape::new(a.shape()), a.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Err(ReadNpzError::Npy(ReadNpyError::WrongDescriptor(_))) => read_images(&mut npz, name)?,
        Err(e) => return Err(unreadable(e)),
    };
    Ok(Array { dtype, shape, labels, data: Bytes::from(data) })
}

fn read_images(npz: &mut Npz, name: &str) -> Result<(DType, Shape, Vec<u8>)> {
    match npz.by_name::<OwnedRepr<u8>, IxDyn>(name) {
        Ok(a) => Ok((DType::U8, Shape::new(a.shape()), a.iter().copied().collect())),
        Err(ReadNpzError::Npy(ReadNpyError::WrongDescriptor(d))) => {
            Err(wrong_type(d.to_string().trim_matches('\'')))
        }
        Err(e) => Err(unreadable(e)),
    }
}

fn unreadable(e: ReadNpzError) -> Box<Diagnostic> {
    Diagnostic::new(ARRAY, format!("the array file is damaged or none: {e}"))
        .expected("a whole `.npy` or `.npz` file")
}

type Npz = NpzReader<Cursor<Bytes>>;

fn read_labels(npz: &mut Npz) -> Result<Vec<i64>> {
    fn typed<T: ReadableElement + Copy + Into<i64>>(npz: &mut Npz) -> Option<Vec<i64>> {
        let labels = npz.by_name::<OwnedRepr<T>, Ix1>("labels").ok()?;
        Some(labels.iter().map(|&v| v.into()).collect())
    }
    typed::<i64>(npz).or_else(|| typed::<i32>(npz)).or_else(|| typed::<u8>(npz)).ok_or_else(|| {
        Diagnostic::new(ARRAY, "the array `labels` is no list of integers")
            .expected("one dimension of int64, int32 or uint8")
    })
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
