//! What the program does for each command: one file each.

mod capture;
mod check_config;
mod detect;
mod ports;
mod protocols;
mod report;
mod service;
mod survey;

use crate::cli::Asked;
use crate::extcap;

/// Does what was asked for, and returns the exit code.
pub fn run(asked: Asked) -> u8 {
    match asked {
        Asked::Capture(request) => capture::run(&request),
        Asked::Ports { json } => ports::run(json),
        Asked::Nothing => ports::invite(),
        Asked::Protocols { name, json } => protocols::run(name.as_deref(), json),
        Asked::Detect { ports, seconds, json } => detect::run(&ports, seconds, json),
        Asked::Survey { port, json } => survey::run(&port, json),
        Asked::CheckConfig(files) => check_config::run(&files),
        Asked::Report(args) => report::run(&args),
        #[cfg(feature = "top")]
        Asked::Browse(args) => report::browse::run(&args),
        Asked::Extcap(args) => extcap::manage(&args),
        Asked::Service(command) => service::run(command),
    }
}
