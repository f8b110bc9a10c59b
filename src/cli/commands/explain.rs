//! `quantize explain CODE`.

use crate::base::codes::machine::USAGE;
use crate::base::nearest::nearest;
use crate::base::{Diagnostic, Result, codes};
use crate::cli::{args::Explain, print};
use crate::ir::precision::REASONS;
use std::io::Write;

/// Prints the explanation of an error's code, or of the code of a precision's reason.
pub fn run(args: &Explain, out: &mut dyn Write) -> Result<()> {
    let code = args.code.trim();
    if let Some(c) = codes::find(code) {
        return print(out, &format!("{c}\n"));
    }
    match REASONS.iter().find(|r| r.0.eq_ignore_ascii_case(code)) {
        Some((id, title, explanation)) => print(out, &format!("{id}: {title}\n\n{explanation}\n")),
        None => Err(unknown(code)),
    }
}

fn unknown(code: &str) -> Box<Diagnostic> {
    let known = codes::all().map(|c| c.id).chain(REASONS.iter().map(|r| r.0));
    let e = Diagnostic::new(USAGE, format!("there is no code `{code}`"))
        .expected("the code of an error, such as Q0101, or of a precision's reason, such as R04");
    match nearest(code, known) {
        Some(id) => e.help(format!("did you mean `{id}`? `quantize list codes` prints all of them")),
        None => e.help("`quantize list codes` prints all of them"),
    }
}
