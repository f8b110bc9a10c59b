//! What can be typed: the arguments as they are, before anything is opened.

use crate::base::machine;
use crate::device::cpu::Pin;
use crate::report::{FORMATS, Format};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use std::time::Duration;

/// INT8 quantization and calibration: an ONNX model and images in; a calibrated INT8 engine and a drift report out.
///
/// Without a command the whole chain runs: import, FP32 reference, calibration, build, evaluation, report.
#[derive(Parser, Debug)]
#[command(
    name = "quantize",
    version,
    subcommand_negates_reqs = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = MAIN_EXAMPLES
)]
pub struct Cli {
    /// The whole chain, where no command is given.
    #[command(flatten)]
    pub chain: Option<Chain>,
    /// What to do instead.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How much is said.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

const MAIN_EXAMPLES: &str = "\
Examples:
  quantize --config configs/resnet.yaml            results in reports/resnet/
  quantize --config c.yaml --set calibration.method=percentile
  quantize run reports/resnet/resnet.engine image.jpg
  quantize bench reports/resnet/resnet.engine --batch 8
  quantize inspect model.onnx
  quantize explain Q0405

Exit codes: 0 good, 1 error, 2 wrong command line, 3 accuracy gate failed, 130 interrupted";

/// How much is said on standard error.
#[derive(Args, Debug, Clone, Copy)]
pub struct Verbosity {
    /// Say more: -v what is decided, -vv every step. QUANTIZE_LOG=target=level,... chooses in detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// No progress: only results, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The options of the whole chain and of its parts.
#[derive(Args, Debug, Clone)]
pub struct Chain {
    /// The configuration (YAML); `quantize schema --markdown` explains every key
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Replace a value of the configuration, such as calibration.samples=100; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Time kernels for so long at most, then take the first right one of each; as `--set build.budget=SECONDS`
    #[arg(long, value_name = "SECONDS")]
    pub build_budget: Option<f64>,
    /// Use a calibration cache although it was made from another model, data or preprocessing
    #[arg(long)]
    pub trust_cache: bool,
}

impl Chain {
    /// What replaces values of the configuration, in order.
    pub fn overrides(&self) -> Vec<String> {
        let budget = self.build_budget.map(|seconds| format!("build.budget={seconds}"));
        self.set.iter().cloned().chain(budget).collect()
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the FP32 model over the calibration images and write the two caches
    #[command(
        after_help = "Example:\n  quantize calibrate --config configs/resnet.yaml --set calibration.samples=100"
    )]
    Calibrate(Chain),
    /// Calibrate, or use the cache there is, and build the INT8 engine
    #[command(after_help = "Example:\n  quantize build --config configs/resnet.yaml --set cpu.isa=avx2")]
    Build(Chain),
    /// Run an engine on images or arrays: the most likely classes, or all outputs to a file
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Measure an engine: throughput, latency, time of each layer
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(Bench),
    /// Say what is in a file: model, calibration cache, timing cache, engine, graph text, report
    #[command(
        after_help = "Examples:\n  quantize inspect model.onnx\n  quantize inspect model.onnx --nodes\n  quantize inspect resnet.engine --json | jq .layers"
    )]
    Inspect(Inspect),
    /// List what there is: operators, methods, rewrites, tactics, metrics, codes
    #[command(after_help = "Examples:\n  quantize list methods\n  quantize list codes --json")]
    List(List),
    /// Say what this machine can do: instruction sets, GPUs, memory
    Doctor(Doctor),
    /// Print the JSON Schema of configurations, for editors, or the reference of all keys
    #[command(
        after_help = "Examples:\n  quantize schema > quantize.schema.json\n  quantize schema --markdown > docs/configuration.md"
    )]
    Schema(Schema),
    /// Say more about the code of an error (Q0405) or of a precision's reason (R04)
    Explain(Explain),
    /// Render a report.json again
    #[command(
        after_help = "Example:\n  quantize report reports/resnet/report.json --format html --out page.html"
    )]
    Report(Report),
    /// Print the completions of a shell
    #[command(
        after_help = "Example:\n  quantize completions bash > ~/.local/share/bash-completion/completions/quantize"
    )]
    Completions(Completions),
}

const RUN_EXAMPLES: &str = "\
Examples:
  quantize run resnet.engine photo.jpg             the five most likely classes
  quantize run resnet.engine photos/ --top 1       of every image of a folder
  quantize run resnet.engine x.npy --out y.npz     all outputs, one array each";

const BENCH_EXAMPLES: &str = "\
Examples:
  quantize bench resnet.engine                     one image at a time, all threads
  quantize bench resnet.engine --batch 16 --duration 10 --json
  quantize bench resnet.engine --mode throughput   an image on each thread
  quantize bench resnet.engine --profile           with the time of each layer
  quantize bench resnet.engine --batch 256 --input u8 --in-flight 3
                                                   pictures in memory to scores, copies overlapped";

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The engine
    pub engine: PathBuf,
    /// Images (JPEG, PNG, BMP, WebP), folders of images, or .npy/.npz arrays of the engine's input
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
    /// How many classes to print
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    pub top: usize,
    /// Write all outputs to a file instead, one array per output, inputs along the first axis
    #[arg(long, value_name = "FILE.npz")]
    pub out: Option<PathBuf>,
    /// Inputs at once [default: as many as the engine takes]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// Threads [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
    /// Where the threads run: none, cores, or numbers of CPUs such as 0,2 or 0-3
    #[arg(long, value_name = "CPUS", default_value = "none")]
    pub pin: Pin,
    /// If the engine is for another machine, build it for this one first, from its configuration
    #[arg(long, value_name = "CONFIG")]
    pub rebuild: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench`.
#[derive(Args, Debug)]
pub struct Bench {
    /// The engine
    pub engine: PathBuf,
    /// Images at once [default: 1; with `--mode throughput` one a thread]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// Threads [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
    /// Where the threads run: none, cores, or numbers of CPUs such as 0,2 or 0-3
    #[arg(long, value_name = "CPUS", default_value = "none")]
    pub pin: Pin,
    /// How threads share a batch
    #[arg(long, value_enum, default_value = "auto")]
    pub mode: ModeName,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, default_value = "5", value_parser = seconds)]
    pub duration: Duration,
    /// How long to run before measuring
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, default_value = "1", value_parser = seconds)]
    pub warmup: Duration,
    /// Runs at a time, each in a session of its own
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub streams: usize,
    /// Leave out the copies from and to the host: inputs are on the GPU, outputs stay there
    #[arg(long)]
    pub no_transfers: bool,
    /// What a run reads: numbers, or pixels (u8), where the engine knows the preprocessing
    #[arg(long, value_enum, default_value = "f32")]
    pub input: InputName,
    /// Measure N batches in flight, from ordinary memory to scores on the host: copied, computed and copied back while
    /// others are. 3 keep a GPU busy; without it one run at a time is measured, whose inputs lie where the device reads them
    #[arg(long, value_name = "N", value_parser = positive, conflicts_with = "no_transfers")]
    pub in_flight: Option<usize>,
    /// The number of the GPU, for engines built for one
    #[arg(long, value_name = "N", default_value = "0")]
    pub gpu: usize,
    /// Measure the time of each layer too, beside what the device could do at most
    #[arg(long)]
    pub profile: bool,
    /// If the engine is for another machine, build it for this one first, from its configuration
    #[arg(long, value_name = "CONFIG")]
    pub rebuild: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a run reads.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputName {
    /// Numbers as the model reads them
    F32,
    /// Pixels of pictures
    U8,
}

/// How threads share a batch.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeName {
    /// All threads on one step after the other
    Latency,
    /// An image a thread
    Throughput,
    /// The faster of both, as the first runs measure it
    Auto,
}

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// The file; its content says what it is
    pub file: PathBuf,
    /// Of a model: list its nodes too, whose names `precision.rules` match
    #[arg(long)]
    pub nodes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub struct List {
    /// Which table; all of them without it
    pub table: Option<TableName>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The tables of `list`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum TableName {
    Operators,
    Methods,
    Rewrites,
    Tactics,
    Metrics,
    Codes,
}

/// What `doctor` shall find out.
#[derive(Args, Debug, Clone)]
pub struct Doctor {
    /// Also measure what the inner products of each instruction set reach; takes a second
    #[arg(long)]
    pub measure: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub json: Json,
}

/// Arguments of commands that have no others.
#[derive(Args, Debug, Clone)]
pub struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `schema`.
#[derive(Args, Debug)]
pub struct Schema {
    /// The reference of all keys as Markdown, instead of the JSON Schema
    #[arg(long)]
    pub markdown: bool,
    /// The JSON Schema of report.json, instead of that of configurations
    #[arg(long, conflicts_with = "markdown")]
    pub report: bool,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The code, such as Q0405 or R04
    pub code: String,
}

/// Arguments of `report`.
#[derive(Args, Debug)]
pub struct Report {
    /// A report.json of an earlier run
    pub file: PathBuf,
    /// What to make of it
    #[arg(long, value_parser = format(), default_value = "md")]
    pub format: &'static Format,
    /// Write a file instead of printing
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// The name of a rendering of the report.
fn format() -> impl TypedValueParser<Value = &'static Format> {
    PossibleValuesParser::new(FORMATS.iter().map(|f| PossibleValue::new(f.name).help(f.doc)))
        .try_map(|name| FORMATS.iter().find(|f| f.name == name).ok_or("no rendering has this name"))
}

/// A number of 1 and more.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1_000_000) => Ok(n),
        _ => Err("expected a whole number from 1 to 1000000".into()),
    }
}

/// A number of threads that the machine can make some use of.
fn thread_count(text: &str) -> Result<usize, String> {
    match positive(text)? {
        n if n > machine::most_threads() => Err(format!(
            "this machine has {}; at most {} can be asked for",
            machine::threads(),
            machine::most_threads()
        )),
        n => Ok(n),
    }
}

/// Seconds as people write them: `5`, `0.25`.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(s) if (0.0..=86_400.0).contains(&s) => Ok(Duration::from_secs_f64(s)),
        _ => Err("expected seconds, such as 5 or 0.25, at most a day".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declaration_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_chain_needs_a_configuration_and_a_command_none() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        assert_eq!(parse("quantize -c a.yaml -s a=1 --set b=2").unwrap().chain.unwrap().set, ["a=1", "b=2"]);
        assert!(parse("quantize --trust-cache").is_err());
        assert!(parse("quantize doctor -vv").unwrap().chain.is_none());
        assert_eq!(parse("quantize -v doctor").unwrap().verbosity.verbose, 1);
        for bad in [
            "x",
            "run e",
            "bench e --batch 0",
            "bench e --threads 99999",
            "bench e --duration -1",
            "bench e --duration NaN",
            "-q -v doctor",
        ] {
            assert!(parse(&format!("quantize {bad}")).is_err(), "{bad}");
        }
    }
}
