//! The verbs: functions from value to value, and the chain that runs them in order.
//!
//! ```text
//! import ─► fp32 ─► observe ─► ranges (+ select for `auto`) ─► build ─► evaluate, drift ─► assemble ─► files
//! ```

pub mod answers;
pub mod assemble;
pub mod bench;
pub mod build;
pub mod calibrate;
pub mod chain;
pub mod doubts;
pub mod drift;
pub mod evaluate;
pub mod feed;
pub mod finals;
pub mod fp32;
pub mod import;
pub mod infer;
pub mod latency;
pub mod mixed;
pub mod observe;
pub mod preflight;
pub mod ranges;
pub mod rules;
pub mod select;
pub mod taps;
pub mod target;
pub mod watch;

pub use chain::{build, calibrate, run};

use crate::report::Report;
use std::path::PathBuf;

/// What a run is told beside its configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Accept a calibration cache whose provenance differs.
    pub trust_cache: bool,
    /// The configuration file's text, for the record.
    pub config_text: String,
    /// The command line, for the record.
    pub command: String,
}

/// What a run leaves.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything measured.
    pub report: Report,
    /// The files written, in order.
    pub files: Vec<PathBuf>,
}
