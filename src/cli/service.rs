//! `serialshark service`, and what such a service captures.

use super::args::Args;
use super::{Request, with_file};
use crate::config::Output;
use crate::encode::Format;
use crate::error::Error;
use clap::{CommandFactory as _, Subcommand, ValueHint};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Of `serialshark service`.
#[derive(Clone, Debug, Subcommand)]
pub enum ServiceCommand {
    /// Install a service that starts with the machine
    Install {
        /// What it captures: a file for --config
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: PathBuf,

        /// Its name [default: that of FILE without .toml]
        #[arg(long, value_name = "NAME", value_parser = name)]
        name: Option<String>,
    },
    /// Start it now
    Start {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
    },
    /// Stop it; its files are complete then
    Stop {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
    },
    /// Stop and remove it; files stay
    Remove {
        /// Its name
        #[arg(value_parser = name)]
        name: String,
    },
    /// What Windows calls to start it
    #[command(hide = true)]
    Run {
        /// Its name
        #[arg(long, value_parser = name)]
        name: String,

        /// What it captures
        #[arg(long)]
        config: PathBuf,

        /// Where its log is, and files without a folder
        #[arg(long)]
        folder: PathBuf,
    },
}

/// A name that is one for a service, a pipe and a file as well.
pub(super) fn name(typed: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if typed.is_empty() || typed.len() > 64 || !typed.chars().all(allowed) {
        return Err("letters, digits, dot, _ and - alone, at most 64");
    }
    Ok(typed.to_owned())
}

impl ServiceCommand {
    /// The name for a service of this configuration.
    ///
    /// # Errors
    /// When the file's name is none.
    pub fn name_of(config: &Path) -> Result<String, Error> {
        let stem = config.file_stem().unwrap_or_default().to_string_lossy();
        name(&stem).map_err(|allowed| {
            Error::new(config.display(), "cannot be the name of a service")
                .hint(format!("add --name NAME; it has {allowed}"))
        })
    }
}

/// What a service with this configuration captures: as `--config FILE --wait` does, with a log and, where
/// no output is named, a named pipe.
///
/// # Errors
/// What is wrong with the file.
pub fn of_service(config: &Path, name: &str, log: &Path) -> Result<Request, Error> {
    let typed: [OsString; 4] =
        ["serialshark".into(), "--wait".into(), "--config".into(), config.into()];
    let given = Args::command().try_get_matches_from(&typed);
    let given = given.map_err(|error| Error::new(config.display(), error.kind()))?;
    let mut request = with_file(config, &typed, &given)?;
    request.log_file.get_or_insert_with(|| log.to_owned());
    for (output, format) in &mut request.config.outputs {
        // Nobody sees what is printed.
        if let Format::Text(_) = format {
            *output = Output::Fifo(format!(r"\\.\pipe\{name}").into());
            *format = Format::Pcap;
        }
    }
    Ok(request)
}
