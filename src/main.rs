//! The program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
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
