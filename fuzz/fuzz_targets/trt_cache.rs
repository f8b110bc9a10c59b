//! The row "trt_cache" of the table in `src/testing/fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quantize_fuzz::body("trt_cache")(bytes));
