//! The body of the fuzz target: any bytes give a graph or an error, never a panic.

use super::{ImportOptions, import_bytes};
use crate::base::codes::machine::INTERNAL;
use bytes::Bytes;

/// Imports any bytes.
///
/// # Panics
/// Where the importer panics or breaks an invariant of its own: a mistake in it.
pub fn fuzz(bytes: &[u8]) {
    let options = ImportOptions { fold_limit: 1 << 16, ..ImportOptions::default() };
    if let Err(e) = import_bytes(Bytes::copy_from_slice(bytes), None, &options) {
        assert_ne!(e.code, INTERNAL, "{e}");
        assert!(!e.to_string().is_empty());
    }
}
