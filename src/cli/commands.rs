//! What may be typed, a command at a time. No I/O; clap reads it.

use super::args::Args;
use super::service::ServiceCommand;
#[cfg(all(target_os = "linux", feature = "nats"))]
use super::store::{KeyArgs, StoreArgs, Usual, Wanted};
#[cfg(all(target_os = "linux", feature = "nats"))]
use super::usage;
use super::{settings, values};
use crate::analysis::findings::Severity;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::{address::is_one, query::Query};
use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  serialshark ports                               the ports of this machine, what to type next
  serialshark sim:mstp                            a simulated trunk, one line per packet
  serialshark sim:mstp --wireshark                the same in Wireshark
  serialshark /dev/ttyUSB0 --fifo /tmp/sharkfin   then: wireshark -k -i /tmp/sharkfin
  serialshark /dev/ttyUSB0 -b 76800 -w trunk.pcapng
  serialshark /dev/ttyUSB0 --record trunk.rec     later: serialshark trunk.rec -w trunk.pcapng
  serialshark /dev/ttyACM0 -p riot --channel 26 -w - | tshark -r -
  serialshark report trunk.pcapng                 what is wrong with the trunk, and what to do
  serialshark top /dev/ttyUSB0                    the same live in the terminal
  serialshark protocols                           all protocols
  serialshark extcap --install                    ports in Wireshark's interface list
  serialshark check-config trunk.toml             check a file for --config

Signals: SIGINT, SIGTERM and a closed terminal (SIGHUP) end it cleanly; with -C or -G, and as a
service, SIGHUP sent by kill starts new files; SIGUSR1 logs all counters.

Exit status: 0 ended as asked, 1 failed while running, 2 wrong usage.";

/// The same with the names that ports have here.
fn examples() -> String {
    if !cfg!(windows) {
        return EXAMPLES.to_owned();
    }
    let (examples, _) = EXAMPLES.split_once("\n\nSignals:").unwrap_or((EXAMPLES, ""));
    let examples = examples
        .replace("/dev/ttyUSB0 --fifo /tmp/sharkfin ", "COM5 --pipe sharkfin            ")
        .replace("-i /tmp/sharkfin", r"-i \\.\pipe\sharkfin")
        .replace("/dev/ttyUSB0", "COM5")
        .replace("/dev/ttyACM0", "COM7");
    format!(
        "{examples}\n\nCtrl-C, Ctrl-Break and a closed window end it cleanly.\n\n\
         Exit status: 0 ended as asked, 1 failed while running, 2 wrong usage."
    )
}

/// All that can be typed.
#[derive(Debug, Parser)]
#[command(name = "serialshark", version, about = "Capture a serial line, live in Wireshark",
          after_help = examples(), max_term_width = 100, args_conflicts_with_subcommands = true,
          subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub(super) struct Typed {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    #[command(flatten)]
    pub(super) capture: Args,
}

/// What the first word may be, if it is no port. A port of such a name is ./ports.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Capture ports; the default without a command
    Capture(Box<Args>),
    /// List the serial ports of this machine without opening them
    ///
    /// One line for each port: its name, its profile (see hardware/README.md), its serial number,
    /// the program that has it open (as far as you may see that), and its product. Below it: its
    /// stable names, which stay when it is plugged in elsewhere, and what to type next. Only the
    /// ports: serialshark ports | grep ^/
    Ports {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the protocols that serialshark reads, or describe one
    ///
    /// Columns: its name; rate and format of its line unless told otherwise; what it needs; the link
    /// type of its packets; whether it can be recognised by what is on a line; whether
    /// commands are sent to a sniffer, which happens only when you name the protocol with -p.
    Protocols {
        /// The protocol to describe, with its settings
        #[arg(value_name = "NAME", value_parser = settings::protocol_names())]
        name: Option<String>,

        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Find out which protocol is spoken on a port, and at which rate
    ///
    /// Only listens: tries the usual rates and formats of a serial port, or takes a file or standard
    /// input as it is. Prints the protocol, its evidence and the command to type. Exit status: 0 all
    /// ports were recognised, 1 one was not.
    Detect {
        /// Serial ports, files of raw bytes, recordings, tcp:HOST:PORT, -
        #[arg(required = true, value_name = "PORT")]
        ports: Vec<OsString>,

        /// Give up on a port after SECONDS
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout: u64,

        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Listen on one radio channel after the other, and say what is on each
    ///
    /// For sniffers of IEEE 802.15.4 that are told their channel; name the protocol with -p. Prints
    /// for each channel the frames, how strong they are, and the PAN ids. Each has 2 seconds, or
    /// --dwell. Exit status: 0 all channels were listened on, 1 the port or the sniffer failed.
    Survey {
        /// Serial port of the sniffer
        #[arg(value_name = "PORT")]
        port: OsString,

        #[command(flatten)]
        settings: Box<settings::Settings>,

        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check configuration files and print what they ask for
    ///
    /// Opens only these files, and writes nothing. Exit status: 0 all files are right, 1 one is
    /// wrong, 2 wrong usage.
    CheckConfig {
        /// Files for --config
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Say what is wrong with a captured line, and what to do
    ///
    /// Reads captures (pcap, pcapng, also packed by gzip), recordings made by --record, or bytes of
    /// a line, and prints a grade, what to do, findings and tables. MS/TP trunks are judged; for
    /// other protocols it prints figures alone. Exit status: 0 all was read, 1 a file could not be
    /// read to its end, 2 a file is not a capture, or wrong usage, 3 there is a finding that --fail-on
    /// asks for.
    Report(ReportArgs),
    /// Show the state of a line live in the terminal, while it is captured
    ///
    /// Shows a grade, the ring with the node that has the token, the nodes with the most trouble first,
    /// and findings as they appear. Arrows and Enter open the page of a node or a finding, ? lists the
    /// keys, q quits. Takes the options of a capture and writes to its outputs as well. Files (bytes or
    /// a recording) are read to their end, and can be browsed then; so can a capture, if it is the only
    /// argument. With --replay-paced a recording is shown as if it were live.
    #[cfg(feature = "top")]
    Top(Box<Args>),
    /// Serve one page on all lines that a NATS server keeps, those with trouble first
    ///
    /// Reads nats://HOST/SITE.* (all trunks of a site), or of nats://HOST all there are, from an hour ago
    /// on, and serves the page at http://127.0.0.1:8080/, each line with a page of its own; --http names
    /// another address, --since another time. Takes the options of a capture. Trunks that are stored for
    /// the first time later are told in the log, and are read after a restart.
    #[cfg(all(target_os = "linux", feature = "nats", feature = "http"))]
    Fleet(Box<Args>),
    /// Add the ports to the interface list of Wireshark and tshark, or remove them
    ///
    /// After a restart or F5 Wireshark lists each serial port, and simulated ones; their options
    /// are behind the gear icon. With tshark: tshark -D; tshark -i serialshark-sim-mstp
    Extcap(ExtcapArgs),
    /// On Windows: capture for as long as the machine runs, as a service
    ///
    /// Without an output in its configuration, the service serves the named pipe \\.\pipe\NAME. Its log
    /// is NAME.log in C:\ProgramData\serialshark, where files without a folder are too. Elsewhere there
    /// are units of systemd: see docs/service.md.
    #[command(subcommand, verbatim_doc_comment)]
    Service(ServiceCommand),
}

/// Of `serialshark report`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// Captures of one line, in any order; - is standard input; nats://HOST/SITE.TRUNK is what a NATS
    /// server keeps, of the last hour unless told otherwise
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,

    /// Print JSON (see docs/report.md)
    #[arg(long)]
    pub json: bool,

    /// Also write the report as a page for a browser, all in one file
    #[arg(long, value_name = "OUT.html", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,

    /// Also say what has changed since this earlier report, made with --json
    #[arg(long, value_name = "OLD.json", value_hint = ValueHint::FilePath)]
    pub baseline: Option<PathBuf>,

    /// Exit with status 3 when there is a finding of this severity or a graver one
    #[arg(long, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,

    /// Rate of the line, where the files do not say it
    #[arg(short, long, value_name = "BAUD", value_parser = clap::value_parser!(u32).range(1..))]
    pub baud: Option<u32>,

    /// Latency timer of the adapter that captured, in milliseconds [default: as the times show]
    #[arg(long, value_name = "MS", value_parser = values::latency)]
    pub latency: Option<f64>,

    /// Protocol of plain bytes, or of a capture whose link type several have [default: mstp]
    #[arg(short, long, value_name = "NAME")]
    pub protocol: Option<String>,

    /// What is asked of NATS servers, which `files` do not have any more.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[arg(skip)]
    pub queries: Vec<Query>,

    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[command(flatten)]
    store: StoreArgs,
}

impl ReportArgs {
    /// Takes what is asked of NATS servers out of the files.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    pub(super) fn resolve(mut self) -> Result<Self, clap::Error> {
        let mut files = Vec::new();
        for file in std::mem::take(&mut self.files) {
            match file.to_str().filter(|text| is_one(text)) {
                Some(url) => self.queries.push(self.store.query(url, Usual::HourAgo)?),
                None => files.push(file),
            }
        }
        self.files = files;
        self.store.check(!self.queries.is_empty(), !self.queries.is_empty())?;
        Ok(self)
    }
}

/// How grave a finding must be to be a failure.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FailOn {
    /// Any finding
    Advice,
    /// Something that costs time
    Warning,
    /// A node or a function that does not work
    Fault,
    /// A trunk that does not work, or may stop
    Critical,
}

impl From<FailOn> for Severity {
    fn from(limit: FailOn) -> Self {
        match limit {
            FailOn::Advice => Self::Advice,
            FailOn::Warning => Self::Warning,
            FailOn::Fault => Self::Fault,
            FailOn::Critical => Self::Critical,
        }
    }
}

/// Of `serialshark extcap`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExtcapArgs {
    /// Link this program into your extcap folders
    #[arg(long, conflicts_with = "uninstall")]
    pub install: bool,

    /// Remove these links, and what --nats has written
    #[arg(long)]
    pub uninstall: bool,

    /// The server whose trunks are listed.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[arg(
        long,
        value_name = "URL",
        requires = "install",
        conflicts_with = "uninstall",
        help = "List the trunks of this NATS server too: nats://[USER@]HOST[:PORT], all of them, or with \
                /SITE.* those of a site. Kept in ~/.config/serialshark/extcap.toml, which only you can read"
    )]
    nats: Option<String>,

    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[command(flatten)]
    keys: KeyArgs,

    /// The server that these ask for.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[arg(skip)]
    pub wanted: Option<Wanted>,
}

impl ExtcapArgs {
    /// Sees whether the server's address is one.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    pub(super) fn resolve(mut self) -> Result<Self, clap::Error> {
        self.keys.check(self.nats.is_some())?;
        if let Some(url) = &self.nats {
            let wanted = Wanted::new(url, &self.keys);
            wanted.resolve().map_err(|why| usage(format!("--nats: {why}")))?;
            self.wanted = Some(wanted);
        }
        Ok(self)
    }
}
