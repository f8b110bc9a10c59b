//! INT8 quantization and calibration.
#![warn(missing_docs)]

pub mod base;
pub mod ir;
pub mod onnx;
