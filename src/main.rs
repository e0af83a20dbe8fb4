//! The program: parse, run, exit code.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let answer = serialshark::extcap::run(&args)
        .or_else(|| serialshark::ports::run(&args))
        .or_else(|| serialshark::cli::check(&args));
    if let Some(exit_code) = answer {
        return ExitCode::from(exit_code);
    }
    let request = serialshark::cli::parse();
    request.start_logging();
    match serialshark::capture::run(&request.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Should nobody hear it, the exit code still tells.
            let message = serialshark::systemd::message(log::Level::Error, &error.to_string());
            let _ = std::io::stderr().write_all(message.as_bytes());
            ExitCode::from(1)
        }
    }
}
