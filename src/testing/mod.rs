//! What tests share: generators of problems, and the suite that every device passes.

pub mod conformance;
pub mod problems;
pub mod quantized;
