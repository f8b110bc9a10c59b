//! `quantize report FILE.json`: an old report rendered again.

use crate::base::codes::machine::INTERNAL;
use crate::base::{Diagnostic, Place, Result, files};
use crate::cli::{args, print};
use crate::report::{FORMATS, from_json};
use clap::ValueEnum;
use std::io::Write;

/// Renders a report.json and prints it, or writes it to a file.
pub fn run(args: &args::Report, out: &mut dyn Write) -> Result<()> {
    let report = from_json(&files::read_text(&args.file)?).map_err(|e| e.at(Place::file(&args.file)))?;
    let name = args.format.to_possible_value().map(|v| v.get_name().to_string()).unwrap_or_default();
    let format = FORMATS.iter().find(|f| f.file.strip_prefix("report.") == Some(&name));
    let format =
        format.ok_or_else(|| Diagnostic::new(INTERNAL, format!("no rendering is called `{name}`")))?;
    let text = (format.render)(&report);
    match &args.out {
        Some(path) => files::write(path, text.as_bytes()),
        None => print(out, &text),
    }
}
