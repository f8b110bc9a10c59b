//! What a long stage owes its caller: progress, and stopping when asked.

use super::codes::machine;
use super::{Diagnostic, Result};

/// Receives the progress of a stage and says when to stop. The command line draws bars; a library may ignore it.
pub trait Monitor: Sync {
    /// A stage of `total` steps of `unit` (images, tactics, ...) begins. A stage ends when the next begins.
    fn stage(&self, name: &str, unit: &str, total: usize);
    /// `n` more steps are done.
    fn advance(&self, n: usize);
    /// A sentence worth the user's eye, such as a warning.
    fn note(&self, text: &str);
    /// Has the user asked to stop?
    fn cancelled(&self) -> bool;

    /// An error, once the user has asked to stop. Stages call it between steps.
    fn check(&self) -> Result<()> {
        match self.cancelled() {
            true => Err(Diagnostic::new(machine::INTERRUPTED, "stopped on request")),
            false => Ok(()),
        }
    }
}

/// A monitor that says nothing and never stops.
pub struct Silent;

impl Monitor for Silent {
    fn stage(&self, _: &str, _: &str, _: usize) {}
    fn advance(&self, _: usize) {}
    fn note(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}
