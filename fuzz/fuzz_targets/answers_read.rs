//! The row "answers_read" of the table in `src/testing/fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quantize_fuzz::body("answers_read")(bytes));
