//! The command line: arguments, progress, one file per subcommand.
//!
//! A command resolves its arguments, calls the rooms below and prints. Results go to standard output and nothing
//! else does, so that they can be piped; progress, warnings and errors go to standard error. A reader that closes
//! the pipe (`| head`) ends the program quietly.

pub mod args;
mod commands;
mod log;
mod page;
mod progress;
mod summary;

use crate::base::codes::machine::{INTERNAL, INTERRUPTED, IO, USAGE};
use crate::base::{Diagnostic, Result};
use args::{Cli, Command};
use clap::{CommandFactory, Parser, error::ErrorKind};
use progress::Progress;
use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// As it should.
    Good,
    /// It ran, but the engine's accuracy is below the gate.
    GateFailed,
}

/// What the exit codes mean; scripts rely on them.
mod exit {
    pub const GOOD: u8 = 0;
    pub const ERROR: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const GATE_FAILED: u8 = 3;
    pub const INTERRUPTED: u8 = 130;
}

/// Runs the program: parses the arguments, runs the command, prints its error.
pub fn main() -> ExitCode {
    report_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let code = if e.use_stderr() { exit::USAGE } else { exit::GOOD };
            let e = if misplaced() { misplacement() } else { e };
            let _ = e.print(); // a closed pipe is no reason to complain
            return code.into();
        }
    };
    if cli.chain.is_some() && cli.command.is_some() {
        let _ = misplacement().print();
        return exit::USAGE.into();
    }
    // a panic was reported by the hook; what is left to do is to end with the right code
    let code = std::panic::catch_unwind(|| outcome(&cli)).unwrap_or(exit::ERROR);
    code.into()
}

/// Does the configuration stand before a command that takes one?
fn misplaced() -> bool {
    let args: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let config = args.iter().position(|a| a == "-c" || a == "--config" || a.starts_with("--config="));
    let command = args.iter().position(|a| a == "calibrate" || a == "build");
    matches!((config, command), (Some(config), Some(command)) if config + 1 < command)
}

/// The error of options before a command.
fn misplacement() -> clap::Error {
    Cli::command().error(
        ErrorKind::ArgumentConflict,
        "options of the chain stand before a command; put them after it: `quantize COMMAND --config FILE`",
    )
}

/// Runs the command and turns its end into an exit code.
fn outcome(cli: &Cli) -> u8 {
    let progress = Progress::new(cli.verbosity.quiet);
    let mut out = Output { to: io::stdout().lock(), closed: false };
    let ended = log::start(cli.verbosity.verbose).and_then(|()| dispatch(cli, &mut out, &progress));
    match ended {
        Ok(done) => {
            progress.finish();
            match done {
                Done::Good => exit::GOOD,
                Done::GateFailed => exit::GATE_FAILED,
            }
        }
        Err(_) if out.closed => exit::GOOD,
        Err(e) => {
            progress.abandon();
            if e.code == INTERRUPTED {
                eprintln_quietly(&format!("interrupted: {}", kept(cli)));
                return exit::INTERRUPTED;
            }
            eprintln_quietly(&e.to_string());
            if e.code == USAGE { exit::USAGE } else { exit::ERROR }
        }
    }
}

fn dispatch(cli: &Cli, out: &mut dyn Write, progress: &Progress) -> Result<Done> {
    use commands::{bench, chain, completions, doctor, explain, inspect, list, report, run, schema};
    let Some(command) = &cli.command else {
        return match &cli.chain {
            Some(c) => chain::run(chain::Verb::Whole, c, out, progress),
            None => Err(Diagnostic::new(USAGE, "neither a configuration nor a command is given")
                .expected("`quantize --config FILE` or `quantize COMMAND`")),
        };
    };
    match command {
        Command::Calibrate(a) => return chain::run(chain::Verb::Calibrate, a, out, progress),
        Command::Build(a) => return chain::run(chain::Verb::Build, a, out, progress),
        Command::Run(a) => run::run(a, out, progress),
        Command::Bench(a) => bench::run(a, out, progress),
        Command::Inspect(a) => inspect::run(a, out),
        Command::List(a) => list::run(a, out),
        Command::Doctor(a) => doctor::run(a, out),
        Command::Schema(a) => schema::run(a, out),
        Command::Explain(a) => explain::run(a, out),
        Command::Report(a) => report::run(a, out),
        Command::Completions(a) => completions::run(a, out),
    }?;
    Ok(Done::Good)
}

/// What an interrupted command leaves behind, in a sentence.
fn kept(cli: &Cli) -> &'static str {
    match cli.command {
        None | Some(Command::Calibrate(_) | Command::Build(_)) => {
            "finished files are whole; given the same command again, calibration goes on from its last checkpoint"
        }
        _ => "nothing was written",
    }
}

/// Standard output that remembers when its reader has gone.
struct Output<W> {
    to: W,
    closed: bool,
}

impl<W: Write> Output<W> {
    fn watch<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.closed |= result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes);
        self.watch(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.to.flush();
        self.watch(flushed)
    }
}

/// Prints a result.
fn print(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Diagnostic::new(IO, format!("cannot write to standard output: {e}")))
}

/// Prints a line on standard error; that it cannot be printed can be told to nobody.
fn eprintln_quietly(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A panic is a mistake in this program. It is said so in a sentence instead of a backtrace.
fn report_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return; // whoever sets it wants to see it
    }
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(|s| s.to_string());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        let e = Diagnostic::new(INTERNAL, format!("quantize ran into a mistake of its own: {text}{place}"))
            .help("please report it with this message; RUST_BACKTRACE=1 says more");
        eprintln_quietly(&e.to_string());
    }));
}
