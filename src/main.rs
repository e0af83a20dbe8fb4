//! The program: what was asked for, and the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let answer = serialshark::extcap::run(&args);
    ExitCode::from(answer.unwrap_or_else(|| serialshark::command::run(serialshark::cli::parse())))
}
