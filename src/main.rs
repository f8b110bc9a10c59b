//! The command line program: see [`quantize::cli`].

fn main() -> std::process::ExitCode {
    quantize::cli::main()
}
