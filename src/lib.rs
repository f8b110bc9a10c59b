//! INT8 quantization and calibration.
#![warn(missing_docs)]

pub mod base;
pub mod calib;
pub mod cli;
pub mod config;
pub mod data;
pub mod device;
pub mod engine;
pub mod eval;
pub mod ir;
pub mod onnx;
pub mod pipeline;
pub mod plan;
pub mod quant;
pub mod report;
pub mod rewrite;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tune;
