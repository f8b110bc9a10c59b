//! INT8 quantization and calibration.
#![warn(missing_docs)]

pub mod base;
pub mod calib;
pub mod data;
pub mod device;
pub mod eval;
pub mod ir;
pub mod report;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
