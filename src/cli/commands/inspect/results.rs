//! A report.json of an earlier run.

use crate::base::{Place, Result, files};
use crate::cli::page::{Cell, Page};
use crate::cli::summary;
use crate::report::from_json;
use std::path::Path;

/// Describes a report by the summary that its run ended with.
pub fn describe(path: &Path, page: &mut Page) -> Result<()> {
    let report = from_json(&files::read_text(path)?).map_err(|e| e.at(Place::file(path)))?;
    page.fact("model", report.model.as_str());
    page.fact("layers", Cell::count(report.layers.len() as u64));
    summary::of(&report, &[]).lines().filter(|l| !l.is_empty()).for_each(|l| page.note(l));
    Ok(())
}
