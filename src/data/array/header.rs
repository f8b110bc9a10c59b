//! The header of a `.npy` file: magic, version, and a Python dictionary of three known keys.
//! Format: NumPy's `numpy.lib.format`, versions 1 to 3.

use crate::base::codes::data::ARRAY;
use crate::base::{Diagnostic, Result, Shape};

/// What the header says.
pub struct Header {
    /// NumPy's element type, such as `<f4`.
    pub descr: String,
    /// Are the axes stored in Fortran order?
    pub fortran: bool,
    /// The array's shape.
    pub shape: Shape,
    /// Bytes before the data.
    pub len: usize,
}

/// Parses the header at the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Result<Header> {
    parts(bytes).ok_or_else(|| {
        Diagnostic::new(ARRAY, "the file is no NumPy array, or its header is damaged")
            .expected("a `.npy` file as `np.save` writes it")
    })
}

fn parts(bytes: &[u8]) -> Option<Header> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (text, len) = match rest.first()? {
        1 => {
            let n = usize::from(u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?));
            (rest.get(4..4 + n)?, 10 + n)
        }
        2 | 3 => {
            let n = usize::try_from(u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?)).ok()?;
            (rest.get(6..n.checked_add(6)?)?, 12 + n)
        }
        _ => return None,
    };
    let text = std::str::from_utf8(text).ok()?;
    let descr = match after(text, "'descr'")?.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?.0.to_string(),
        None => "a structure".into(),
    };
    let fortran = match after(text, "'fortran_order'")? {
        t if t.starts_with("False") => false,
        t if t.starts_with("True") => true,
        _ => return None,
    };
    let dims = after(text, "'shape'")?.strip_prefix('(')?.split_once(')')?.0;
    let dims = dims.split(',').map(str::trim).filter(|d| !d.is_empty());
    let shape = Shape(dims.map(|d| d.parse().ok()).collect::<Option<_>>()?);
    Some(Header { descr, fortran, shape, len })
}

/// The text behind `key` and its colon.
fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(key)?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}
