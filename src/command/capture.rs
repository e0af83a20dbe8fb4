//! `serialshark PORT`, or `serialshark capture PORT`: reads and writes until it is to end.

use crate::cli::Request;
use std::io::Write as _;

/// Captures, and returns the exit code.
pub(super) fn run(request: &Request) -> u8 {
    let logging = match request.start_logging() {
        Ok(logging) => logging,
        Err(error) => {
            // Should nobody hear it, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "serialshark: {error}");
            return 1;
        }
    };
    match crate::capture::run(&request.config) {
        Ok(()) => {
            logging.end();
            0
        }
        Err(error) => {
            logging.fail(&error);
            1
        }
    }
}
