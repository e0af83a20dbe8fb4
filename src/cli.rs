//! The command line: arguments in, a validated [`Config`] out. The only module that knows clap.
//!
//! First what was typed, without I/O: [`commands`] for the first word, [`args`] and [`settings`] for the
//! options of a capture and of each port, [`values`] for single values. Then what it means:
//! [`mod@validate`] for all together, [`port`] and [`outputs`] for the two ends. A configuration file
//! ([`config`]) becomes arguments before those that were typed.
//!
//! A new option is a field of [`args::Args`], and a line where its meaning is: in [`mod@validate`], or
//! in [`outputs`] if it names an output.

mod address;
mod args;
mod channels;
mod commands;
mod config;
mod outputs;
mod port;
mod service;
mod settings;
#[cfg(all(target_os = "linux", feature = "nats"))]
mod store;
mod typed_port;
mod validate;
mod values;

#[cfg(all(target_os = "linux", feature = "nats", feature = "http"))]
use crate::config::Output;
use crate::config::{Config, Port};
#[cfg(feature = "top")]
use crate::decode;
#[cfg(feature = "top")]
use crate::encode::Format;
use crate::error::Error;
use crate::logger::Logging;
#[cfg(feature = "top")]
use crate::logger::Pane;
#[cfg(all(target_os = "linux", feature = "nats", feature = "http"))]
use crate::nats::address::{Account, is_one, shown as without_password};
use args::Args;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser as _};
use commands::{Command, Typed};
pub use commands::{ExtcapArgs, FailOn, ReportArgs};
use log::LevelFilter;
pub use service::{ServiceCommand, of_service};
pub use settings::AUTO;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
#[cfg(all(target_os = "linux", feature = "nats"))]
pub use store::Wanted;
use validate::validate;

/// What the user asks for, a command at a time.
#[derive(Debug)]
pub enum Asked {
    /// To capture.
    Capture(Box<Request>),
    /// The list of ports.
    Ports {
        /// As JSON.
        json: bool,
    },
    /// Nothing yet.
    Nothing,
    /// The list of protocols, or one of them.
    Protocols {
        /// Which one.
        name: Option<String>,
        /// As JSON.
        json: bool,
    },
    /// What is spoken on these ports.
    Detect {
        /// The ports.
        ports: Vec<Port>,
        /// How long to listen to each.
        seconds: u64,
        /// As JSON.
        json: bool,
    },
    /// What is heard on each channel.
    Survey {
        /// The port of the sniffer, and its channels.
        port: Box<Port>,
        /// As JSON.
        json: bool,
    },
    /// What these files say.
    CheckConfig(Vec<PathBuf>),
    /// What is wrong with a captured line.
    Report(ReportArgs),
    /// The same on the screen.
    #[cfg(feature = "top")]
    Browse(ReportArgs),
    /// To be listed by Wireshark, or not any more.
    Extcap(ExtcapArgs),
    /// A capture as a service of Windows.
    Service(ServiceCommand),
}

/// What the user asks for.
#[derive(Debug)]
pub struct Request {
    /// The capture.
    pub config: Config,
    level: LevelFilter,
    log_file: Option<PathBuf>,
    /// The target of log records whose warnings are wanted at any level.
    pub warnings_of: Option<&'static str>,
    /// What the user should know about how it came about.
    remarks: Vec<String>,
}

/// All commands and options: what the manual page and the completions are made from.
pub fn command() -> clap::Command {
    Typed::command()
}

/// The options of a capture alone.
pub fn capture_options() -> clap::Command {
    Args::command()
}

/// Parses the command line, and the configuration file that it names; if something is wrong,
/// prints what, and ends with exit code 2.
pub fn parse() -> Asked {
    let mut typed: Vec<_> = std::env::args_os().collect();
    if typed.len() <= 1 {
        return Asked::Nothing;
    }
    match Typed::try_parse_from(&typed).unwrap_or_else(|error| explained(error).exit()) {
        Typed { command: None, capture: Args { list_interfaces: true, .. } } => {
            return Asked::Ports { json: false };
        }
        Typed { command: Some(Command::Ports { json }), .. } => return Asked::Ports { json },
        Typed { command: Some(Command::Protocols { name, json }), .. } => {
            return Asked::Protocols { name, json };
        }
        Typed { command: Some(Command::Detect { ports, timeout, json }), .. } => {
            let ports = port::unknown(&ports).unwrap_or_else(|error| error.exit());
            return Asked::Detect { ports, seconds: timeout, json };
        }
        Typed { command: Some(Command::Survey { port, settings, json }), .. } => {
            let port = port::surveyed(&port, *settings).unwrap_or_else(|error| error.exit());
            return Asked::Survey { port: Box::new(port), json };
        }
        Typed { command: Some(Command::CheckConfig { files }), .. } => {
            return Asked::CheckConfig(files);
        }
        Typed { command: Some(Command::Report(args)), .. } => {
            #[cfg(all(target_os = "linux", feature = "nats"))]
            let args = args.resolve().unwrap_or_else(|error| error.exit());
            return Asked::Report(args);
        }
        Typed { command: Some(Command::Extcap(args)), .. } => {
            if !args.install && !args.uninstall {
                Typed::parse_from(["serialshark", "extcap", "--help"]); // prints it and ends
            }
            #[cfg(all(target_os = "linux", feature = "nats"))]
            let args = args.resolve().unwrap_or_else(|error| error.exit());
            return Asked::Extcap(args);
        }
        Typed { command: Some(Command::Service(command)), .. } => return Asked::Service(command),
        Typed { command: Some(Command::Capture(_)), .. } => {
            typed.remove(1);
        }
        #[cfg(feature = "top")]
        Typed { command: Some(Command::Top(_)), .. } => {
            if let Some(args) = browsed(&typed) {
                return Asked::Browse(args);
            }
            typed.remove(1);
            return Asked::Capture(Box::new(shown(requested(&typed))));
        }
        #[cfg(all(target_os = "linux", feature = "nats", feature = "http"))]
        Typed { command: Some(Command::Fleet(args)), .. } => {
            let typed = fleet(typed, &args).unwrap_or_else(|error| error.exit());
            return Asked::Capture(Box::new(following(requested(&typed))));
        }
        Typed { command: None, .. } => {}
    }
    Asked::Capture(Box::new(requested(&typed)))
}

/// Options that not each build has: how they begin, whether this one has them, and why not.
const OPTIONS_OF_SOME: [(&str, bool, &str); 3] = [
    (
        "--nats",
        cfg!(all(target_os = "linux", feature = "nats")),
        "it takes Linux, and the feature nats",
    ),
    (
        "--mqtt-ca",
        cfg!(all(target_os = "linux", feature = "mqtt")),
        "it takes Linux, and the feature mqtt",
    ),
    ("--mqtt", cfg!(feature = "mqtt"), "it takes the feature mqtt"),
];

/// Says of an option that other builds have what it is.
fn explained(error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let is_it = |(name, is_here, _): &&(&str, bool, &str)| option.starts_with(name) && !is_here;
    match OPTIONS_OF_SOME.iter().find(is_it) {
        Some((.., why)) if error.kind() == ErrorKind::UnknownArgument => {
            usage(format!("{option} is not part of this serialshark: {why}"))
        }
        _ => error,
    }
}

/// What `top FILE` asks of a capture: what `report FILE` does.
#[cfg(feature = "top")]
fn browsed(typed: &[OsString]) -> Option<ReportArgs> {
    let [program, _, file] = typed else { return None };
    let is_one = is_capture_file(Path::new(file));
    match is_one.then(|| Typed::parse_from([program, &"report".into(), file]).command)? {
        Some(Command::Report(args)) => Some(args),
        _ => None,
    }
}

/// A fleet as a capture: all trunks of a server, shown on a page.
#[cfg(all(target_os = "linux", feature = "nats", feature = "http"))]
fn fleet(mut typed: Vec<OsString>, args: &Args) -> Result<Vec<OsString>, clap::Error> {
    typed.remove(1);
    if let Some(other) = args.ports.iter().find(|port| !is_one(&port.to_string_lossy())) {
        return Err(usage(format!("fleet: {} is not nats://HOST", other.display())));
    }
    for word in typed.iter_mut().filter(|word| args.ports.contains(word)) {
        let url = word.to_string_lossy().into_owned();
        let (_, trunks) = Account::parse(&url)
            .map_err(|why| usage(format!("{}: {why}", without_password(&url))))?;
        if trunks.is_empty() {
            *word = format!("{}/*.*", url.trim_end_matches('/')).into();
        }
    }
    if args.http.is_none() {
        typed.extend(["--http", "8080"].map(OsString::from));
    }
    if !args.store.has_beginning() {
        typed.extend(["--since", "1h"].map(OsString::from));
    }
    Ok(typed)
}

/// The same, which finds trunks that are stored later. What is written by an output that begins only once
/// is not begun anew, and a time that is over has no later.
#[cfg(all(target_os = "linux", feature = "nats", feature = "http"))]
fn following(mut request: Request) -> Request {
    let config = &mut request.config;
    let goes_on = |port: &Port| port.query.as_ref().is_some_and(|query| query.range.to.is_none());
    let is_page = config.outputs.iter().all(|(output, _)| matches!(output, Output::Http { .. }));
    config.follows = config.ports.iter().all(goes_on) && is_page;
    request
}

/// Whether this is a file of packets, and not of bytes of a line.
#[cfg(feature = "top")]
fn is_capture_file(path: &Path) -> bool {
    let mut head = [0; 4];
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    let mut read = || std::io::Read::read_exact(&mut std::fs::File::open(path)?, &mut head);
    is_file && read().is_ok() && decode::looks_like_one(&head)
}

/// The same, shown on the terminal. What would be printed there is not.
#[cfg(feature = "top")]
fn shown(mut request: Request) -> Request {
    if request.config.ports.len() > 1 {
        usage("top takes one port").exit();
    }
    request.config.outputs.retain(|(_, format)| !matches!(format, Format::Text(_)));
    request.config.screen = Some(Pane::default());
    request
}

/// What is typed for a capture.
fn requested(typed: &[OsString]) -> Request {
    let given = Args::command().try_get_matches_from(typed).unwrap_or_else(|error| error.exit());
    let args = Args::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    let Some(path) = &args.config else {
        return validate(args).unwrap_or_else(|error| error.exit());
    };
    with_file(path, typed, &given).unwrap_or_else(|error| {
        // Should nobody hear it, the exit code still tells.
        let _ = writeln!(std::io::stderr(), "serialshark: {error}");
        std::process::exit(2)
    })
}

/// What `--config FILE` alone asks for.
///
/// # Errors
/// What is wrong with it.
pub fn of_file(path: &Path) -> Result<Request, Error> {
    let typed = [OsString::from("serialshark"), "--config".into(), path.into()];
    let given = Args::command().try_get_matches_from(&typed);
    let given = given.map_err(|error| Error::new(path.display(), error.kind()))?;
    with_file(path, &typed, &given)
}

/// What the file and the typed arguments ask for together.
fn with_file(path: &Path, typed: &[OsString], given: &ArgMatches) -> Result<Request, Error> {
    let (args, remarks) = config::File::read(path)?.merge(typed, given);
    let request = parse_from(args).map_err(|wrong| Error::new(path.display(), wrong))?;
    Ok(Request { remarks: [remarks, request.remarks].concat(), ..request })
}

/// The same for arguments that nobody typed; what is wrong is said in one line.
///
/// # Errors
/// On wrong usage.
pub fn parse_from<S: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = S>,
) -> Result<Request, String> {
    Args::try_parse_from(args).and_then(validate).map_err(line_of)
}

/// What is wrong, in one line.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn line_of(error: clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl Request {
    /// Takes log records from now on.
    ///
    /// # Errors
    /// When the log file cannot be opened.
    pub fn start_logging(&self) -> Result<Logging, Error> {
        let logging = Logging::start(self.level, self.warnings_of, self.log_file.as_deref())?;
        if let Some(pane) = &self.config.screen {
            logging.show_in(pane);
        }
        for remark in &self.remarks {
            log::info!("{remark}");
        }
        Ok(logging)
    }
}

fn usage(message: impl std::fmt::Display) -> clap::Error {
    Typed::command().error(ErrorKind::ValueValidation, message)
}
