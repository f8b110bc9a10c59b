//! Fuzzing: whatever bytes stand in a file, reading it gives a value or one clear error; never a panic.
//!
//! A target is a function in [`bodies`] and a row in [`TARGETS`]. The crate in `fuzz/` hands the rows to libFuzzer.
//! Where there is no libFuzzer, the tests here mutate the same seeds for a second a target, or for
//! `QUANTIZE_FUZZ_SECONDS`.

pub mod bodies;
mod mutate;
mod repair;
mod seeds;

#[cfg(test)]
mod tests;

pub use mutate::Mutator;

/// Something that reads files.
pub struct Target {
    /// Its name: that of the file in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Reads the bytes; panics only where there is a mistake in the reader.
    pub body: fn(&[u8]),
    /// Good files to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub static TARGETS: &[Target] = &[
    Target { name: "onnx_import", body: crate::onnx::fuzz::fuzz, seeds: seeds::models },
    Target { name: "engine_read", body: bodies::engine_read, seeds: seeds::engines },
    Target { name: "answers_read", body: bodies::answers_read, seeds: seeds::answers },
    Target { name: "graph_parse", body: bodies::graph_parse, seeds: seeds::graphs },
    Target { name: "config", body: bodies::config, seeds: seeds::configurations },
    Target { name: "calibration_cache", body: bodies::calibration_cache, seeds: seeds::calibration_caches },
    Target { name: "trt_cache", body: bodies::trt_cache, seeds: seeds::trt_caches },
    Target { name: "timing_cache", body: bodies::timing_cache, seeds: seeds::timing_caches },
];
