//! What tests share: generators of problems, the suite that every device passes, and the bodies of fuzz targets.

pub mod conformance;
pub mod counting;
pub mod fuzz;
pub mod kernels;
pub mod problems;
pub mod quantized;
#[cfg(test)]
mod times;
