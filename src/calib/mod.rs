//! Calibration: which range of a tensor its 8-bit integers cover.

#[cfg(test)]
mod golden;
pub mod histogram;
pub mod methods;
pub mod shards;
pub mod stats;
