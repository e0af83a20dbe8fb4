//! The program: parse, run, exit code.

use serialshark::error::Error;
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
    let logging = match request.start_logging() {
        Ok(logging) => logging,
        Err(error) => return refuse(&error),
    };
    match serialshark::capture::run(&request.config) {
        Ok(()) => {
            logging.end();
            ExitCode::SUCCESS
        }
        Err(error) => {
            logging.fail(&error);
            ExitCode::from(1)
        }
    }
}

/// Nothing has been started yet.
fn refuse(error: &Error) -> ExitCode {
    // Should nobody hear it, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "serialshark: {error}");
    ExitCode::from(1)
}
