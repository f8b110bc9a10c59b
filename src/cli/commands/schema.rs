//! `quantize schema`.

use crate::base::Result;
use crate::cli::{args::Schema, print};
use crate::config::reference;
use crate::report;
use std::io::Write;

/// Prints a JSON Schema, or the reference of the configuration's keys.
pub fn run(args: &Schema, out: &mut dyn Write) -> Result<()> {
    let text = match (args.report, args.markdown) {
        (true, _) => format!("{:#}\n", report::schema().as_value()),
        (false, true) => reference::markdown(),
        (false, false) => reference::json_schema(),
    };
    print(out, &text)
}
