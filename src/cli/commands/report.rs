//! `quantize report FILE.json`: an old report rendered again.

use crate::base::{Place, Result, files};
use crate::cli::{args, print};
use crate::report::from_json;
use std::io::Write;

/// Renders a report.json and prints it, or writes it to a file.
pub fn run(args: &args::Report, out: &mut dyn Write) -> Result<()> {
    let report = from_json(&files::read_text(&args.file)?).map_err(|e| e.at(Place::file(&args.file)))?;
    let text = (args.format.render)(&report);
    match &args.out {
        Some(path) => files::write(path, text.as_bytes()),
        None => print(out, &text),
    }
}
