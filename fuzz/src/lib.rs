//! The fuzz targets, for libFuzzer. Their bodies and seeds are in `src/testing/fuzz` of the crate.
//!
//! ```text
//! cargo test --lib write_the_corpus -- --ignored          seeds into fuzz/corpus
//! cargo +nightly fuzz run onnx_import -- -max_total_time=60
//! ```

use quantize::testing::fuzz::TARGETS;

/// The body of a target.
///
/// # Panics
/// If the table has no such row.
pub fn body(name: &str) -> fn(&[u8]) {
    let target = TARGETS.iter().find(|t| t.name == name);
    target.unwrap_or_else(|| panic!("no target {name}")).body
}
