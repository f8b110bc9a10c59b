//! Judging an engine by its outputs: plain arrays in, numbers out.
//!
//! [`metrics`] compare outputs sample by sample; [`flips`] keeps the samples whose class changed; [`significance`]
//! says whether a difference is more than chance; [`answers`] keeps outputs for the next evaluation; [`drift`] follows the error from tensor to tensor; [`latency`]
//! sums up times and says when they are not to be trusted.

pub mod answers;
pub mod drift;
pub mod flips;
pub mod latency;
pub mod metrics;
pub mod significance;

pub use drift::Drift;
pub use flips::FlipRecorder;
pub use metrics::{Accumulator, METRICS, Metric, Outputs};
pub use significance::Paired;
