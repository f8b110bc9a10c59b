//! Logging to standard error, through the progress bar.

use super::progress;
use crate::base::codes::machine::USAGE;
use crate::base::{Diagnostic, Place, Result};
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that chooses targets and levels, such as `quantize::tune=debug`.
const VARIABLE: &str = "QUANTIZE_LOG";

/// Starts logging: `QUANTIZE_LOG` where it is set, else what the number of `-v` says.
pub fn start(verbose: u8) -> Result<()> {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => text.parse::<Targets>().map_err(|e| {
            Diagnostic::new(USAGE, format!("`{text}` is no log filter: {e}"))
                .at(Place::Named(format!("environment variable {VARIABLE}")))
                .expected("a level or a list of target=level, such as `quantize::tune=debug`")
        })?,
        _ => Targets::new().with_target("quantize", level),
    };
    let lines =
        layer().without_time().with_ansi(io::stderr().is_terminal()).with_writer(|| AboveBar(Vec::new()));
    // it can only be started once, and in tests of this process it may have been
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(())
}

/// Collects an event's line and prints it where it does not tear the progress bar.
struct AboveBar(Vec<u8>);

impl Write for AboveBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AboveBar {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.0);
        if !text.is_empty() {
            progress::above_bar(text.trim_end_matches('\n'));
        }
    }
}
