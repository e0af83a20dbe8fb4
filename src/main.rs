//! The program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(exit_code) = serialshark::extcap::run(&args) {
        return ExitCode::from(exit_code);
    }
    let request = serialshark::cli::parse();
    request.start_logging();
    match serialshark::capture::run(&request.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serialshark: {error}");
            ExitCode::from(1)
        }
    }
}
