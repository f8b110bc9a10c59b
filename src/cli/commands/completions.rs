//! `quantize completions SHELL`.

use crate::base::Result;
use crate::cli::args::{Cli, Completions};
use crate::cli::print;
use clap::CommandFactory;
use std::io::Write;

/// Prints the script that teaches a shell our options.
pub fn run(args: &Completions, out: &mut dyn Write) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "quantize", &mut script);
    print(out, &String::from_utf8_lossy(&script))
}
