//! `quantize --config FILE`, `quantize calibrate`, `quantize build`.

use crate::base::{Result, files};
use crate::calib::MethodName;
use crate::cli::progress::Progress;
use crate::cli::{Done, args::Chain, print, summary};
use crate::config::{Document, Job, Names, resolve};
use crate::eval::metrics::METRICS;
use crate::pipeline::{self, Options, Outcome};
use crate::report::{self, Outcome as Judgement};
use std::io::Write;
use std::path::Path;

/// How far the chain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// To the report.
    Whole,
    /// To the two caches.
    Calibrate,
    /// To the engine.
    Build,
}

/// Runs the chain and prints its summary.
pub fn run(verb: Verb, args: &Chain, out: &mut dyn Write, progress: &Progress) -> Result<Done> {
    let (job, config_text) = job(&args.config, &args.overrides())?;
    let options = Options { trust_cache: args.trust_cache, config_text, command: command() };
    let stages = match verb {
        Verb::Whole => pipeline::run,
        Verb::Calibrate => pipeline::calibrate,
        Verb::Build => pipeline::build,
    };
    let Outcome { report, files } = stages(&job, &options, progress)?;
    progress.finish();
    print(out, &summary::of(&report, &files))?;
    match verb == Verb::Whole && report::outcome(&report) == Judgement::Fail {
        true => Ok(Done::GateFailed),
        false => Ok(Done::Good),
    }
}

/// What a configuration asks for, with values replaced, and its text.
pub fn job(config: &Path, overrides: &[String]) -> Result<(Job, String)> {
    let text = files::read_text(config)?;
    let document = Document::parse(&text, config, overrides)?;
    let methods: Vec<&str> = MethodName::all().collect();
    let metrics: Vec<&str> = METRICS.iter().map(|m| m.name()).collect();
    Ok((resolve(&document, &Names { methods: &methods, metrics: &metrics })?, text))
}

/// The command as it was typed, quoted as a shell wants it, without the folder that the program lies in.
pub fn command() -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    let quoted = |a: String| match !a.is_empty() && a.chars().all(plain) {
        true => a,
        false => format!("'{}'", a.replace('\'', "'\\''")),
    };
    let arguments = std::env::args_os().skip(1).map(|a| quoted(a.to_string_lossy().into_owned()));
    std::iter::once("quantize".to_string()).chain(arguments).collect::<Vec<_>>().join(" ")
}
