//! The verbs, as functions from value to value.

pub mod bench;
pub mod infer;

use crate::base::codes::machine::INTERNAL;
use crate::base::{Diagnostic, Monitor, Result};
use crate::config::Job;
use crate::report::Report;
use std::path::PathBuf;

/// What the caller decides beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Use a cache although it belongs to another run.
    pub trust_cache: bool,
    /// The configuration's text as it was read.
    pub config_text: String,
    /// The command as it was typed.
    pub command: String,
}

/// What a verb made.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was found out.
    pub report: Report,
    /// The files that were written.
    pub files: Vec<PathBuf>,
}

/// The whole chain.
pub fn run(_job: &Job, _options: &Options, _monitor: &dyn Monitor) -> Result<Outcome> {
    Err(Diagnostic::new(INTERNAL, "the chain is not built yet"))
}

/// Up to the two caches.
pub fn calibrate(job: &Job, options: &Options, monitor: &dyn Monitor) -> Result<Outcome> {
    run(job, options, monitor)
}

/// Up to the engine.
pub fn build(job: &Job, options: &Options, monitor: &dyn Monitor) -> Result<Outcome> {
    run(job, options, monitor)
}
