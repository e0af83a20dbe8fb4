//! The options of a capture as they are typed. No I/O; clap reads them.

use super::settings::Settings;
#[cfg(all(target_os = "linux", feature = "nats"))]
use super::store;
use super::values;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::output::nats::Keep;
use crate::output::viewer;
use clap::{ArgAction, Parser, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Of a capture.
#[derive(Debug, Parser)]
#[command(name = "serialshark")]
pub(super) struct Args {
    /// Serial port (/dev/ttyUSB0, any tty, a link to one), tcp:HOST:PORT (ser2net in raw mode),
    /// rfc2217:HOST:PORT or telnet:HOST:PORT (ser2net with telnet), unix:PATH (a socket), a file
    /// (raw bytes, or a recording made by --record), - (standard input), or a simulated port:
    /// sim:mstp, sim:modbus, sim:riot. Each port may have its own settings
    /// (/dev/ttyUSB1,protocol=mstp,baud=76800,line=8N1), and =in or =out if it is one direction of
    /// a full-duplex line
    #[arg(required_unless_present_any = ["config", "list_interfaces"], value_name = "PORT")]
    pub(super) ports: Vec<OsString>,

    /// List the serial ports, like the command ports
    #[arg(short = 'D', long)]
    pub(super) list_interfaces: bool,

    /// Read options from this TOML file. Keys: port, or ports = [...], and the names of the long
    /// options. Options on the command line override the file
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) settings: Settings,

    /// Start Wireshark (or PROGRAM, as PROGRAM -k -i FIFO) and show the packets there; end when it
    /// ends. Without Wireshark or a screen, packets are printed instead
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true,
          default_missing_value = viewer::WIRESHARK)]
    pub(super) wireshark: Option<OsString>,

    /// Write to each reader of this FIFO, which is made if missing. May be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) fifo: Vec<PathBuf>,

    /// On Windows: write to each reader of this named pipe, \\.\pipe\NAME. May be repeated
    #[arg(long, value_name = "NAME")]
    pub(super) pipe: Vec<String>,

    /// Serve readers at this TCP address; without ADDR only from this machine. May be repeated
    #[arg(long, value_name = "[ADDR:]PORT")]
    pub(super) tcp: Vec<String>,

    /// Serve a page on the line, its figures and captures by HTTP at this address; without ADDR only from
    /// this machine
    #[arg(long, value_name = "[ADDR:]PORT")]
    pub(super) http: Option<String>,

    /// Ask HTTP clients for the token in this file (Authorization: Bearer, or ?token=)
    #[arg(long, value_name = "FILE", requires = "http")]
    pub(super) http_token: Option<PathBuf>,

    /// Serve readers at this Unix socket. May be repeated
    #[arg(long, value_name = "PATH")]
    pub(super) unix: Vec<PathBuf>,

    /// Write to this file, or to standard output with -. May be repeated
    #[arg(short, long, value_name = "FILE")]
    pub(super) write: Vec<PathBuf>,

    /// Start a new file before this one exceeds SIZE million bytes; with a suffix: 500k, 10M, 1G
    /// (powers of 1000). Adds number and time to the name: name_00001_20261123190000.pcapng
    #[arg(short = 'C', long, value_name = "SIZE", value_parser = values::file_size)]
    pub(super) rotate_size: Option<u64>,

    /// Start a new file with the first packet after N seconds. Names as with -C, or from
    /// strftime(3) conversions in FILE: trunk_%Y%m%d_%H.pcapng
    #[arg(short = 'G', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) rotate_seconds: Option<u64>,

    /// Keep N files and delete older ones, also from earlier runs (with -C or -G). When the disk is
    /// full, the oldest files are deleted; when none is left, packets are dropped until there is
    /// room
    #[arg(short = 'W', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) rotate_files: Option<u64>,

    /// Run COMMAND FILE, at the lowest priority, when the next file has begun (with -C or -G)
    #[arg(short = 'z', long, value_name = "COMMAND")]
    pub(super) postrotate_command: Option<OsString>,

    /// Compress each file with gzip when the next one has begun (with -C or -G); Wireshark reads them
    #[arg(long, conflicts_with = "postrotate_command")]
    pub(super) compress: bool,

    /// Capture format; pcapng shows damage, drops and comments in Wireshark, pcap cannot
    /// [default: by file extension, else pcap, or pcapng with several ports]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) format: Option<FileFormat>,

    /// Send each new reader the packets of the last SECONDS first
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
    pub(super) history: u64,

    /// Memory for --history, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) history_size: u16,

    /// Memory for packets that wait for a slow reader, in MiB for each reader; when it is full,
    /// packets are dropped for that reader
    #[arg(short = 'B', long, value_name = "MIB", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) buffer_size: u16,

    /// Overwrite capture files and recordings that exist
    #[arg(long)]
    pub(super) force: bool,

    /// Group of new FIFOs, sockets and files, by name or number [default: under sudo the group of
    /// the user who typed it]
    #[arg(long, value_name = "GROUP", value_parser = values::group)]
    pub(super) group: Option<u32>,

    /// Permissions of new FIFOs, sockets and files, in octal, such as 0660; the umask is ignored
    #[arg(long, value_name = "MODE", value_parser = values::mode)]
    pub(super) mode: Option<u32>,

    /// Store the raw bytes and their times in this file; read it later as PORT to get the same
    /// packets. If it exists, a number is added to the name
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// Replay a file in real time instead of as fast as possible
    #[arg(long)]
    pub(super) replay_paced: bool,

    /// Time style of printed packets, as in tcpdump: -t none, -tt seconds since 1970, -ttt since
    /// the previous line, -tttt date and time, -ttttt since the first line
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) time: u8,

    /// Print the bytes of each packet in hex
    #[arg(short = 'x', long)]
    pub(super) hex: bool,

    /// Do not print MS/TP tokens and polls for masters
    #[arg(long)]
    pub(super) no_tokens: bool,

    /// Every DURATION, such as 1h, 15m or 30s, write a report on that time, as JSON like that of
    /// report --json, and as a page beside it (.html). Log lines say when a finding appears and when it is over
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(super) report_every: Option<Duration>,

    /// The file that --report-every replaces [default: serialshark-report.json beside the first file
    /// of -w, else in the working directory]
    #[arg(long, value_name = "FILE.json", requires = "report_every")]
    pub(super) report: Option<PathBuf>,

    // No doc comment: its brackets would be links.
    #[cfg(feature = "mqtt")]
    #[arg(
        long,
        value_name = "URL",
        help = "Tell an MQTT broker of the line, mqtt://[USER@]HOST[:PORT]/PREFIX, or mqtts:// for TLS: the \
                  report and its chief figures at PREFIX/report, PREFIX/grade and so on, findings at \
                  PREFIX/findings. {port} in it is the port's short name, for several ports: SITE/{port}"
    )]
    pub(super) mqtt: Option<String>,

    /// The file with the password of USER in --mqtt
    #[cfg(feature = "mqtt")]
    #[arg(long, value_name = "FILE", requires = "mqtt")]
    pub(super) mqtt_password_file: Option<PathBuf>,

    /// Certificates (PEM) of the authorities that the broker's certificate is checked against, instead of
    /// those of the system
    #[cfg(all(target_os = "linux", feature = "mqtt"))]
    #[arg(long, value_name = "FILE", requires = "mqtt")]
    pub(super) mqtt_ca: Option<PathBuf>,

    /// Tell Home Assistant which figures there are, so that it shows them
    #[cfg(feature = "mqtt")]
    #[arg(long, requires = "mqtt")]
    pub(super) mqtt_discovery: bool,

    // No doc comment: its brackets would be links.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[arg(
        long,
        value_name = "URL",
        help = "Store the packets on a NATS server with JetStream, nats://[USER@]HOST[:PORT]/SITE.TRUNK; \
                  to read them anywhere: serialshark nats://HOST/SITE.TRUNK. {port} in it is the port's short name, \
                  so that each of several ports is a trunk: SITE.{port}"
    )]
    pub(super) nats: Option<String>,

    /// Where --nats makes a stream: keep packets for so long, and of so much size: 7d,10G
    /// [default: 7d,1G]
    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[arg(long, value_name = "LIMITS", value_parser = store::keep, requires = "nats")]
    pub(super) nats_keep: Option<Keep>,

    /// Keep packets for --nats in files in DIR until the server has stored them, so that none is lost
    /// while it is away
    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[arg(long, value_name = "DIR", requires = "nats")]
    pub(super) nats_spool: Option<PathBuf>,

    #[cfg(all(target_os = "linux", feature = "nats"))]
    #[command(flatten)]
    pub(super) store: store::StoreArgs,

    /// End after this many packets
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Wait for a port that is missing or in use at the start, instead of failing. A port that
    /// disappears later is always waited for, unless --once is given
    #[arg(long)]
    pub(super) wait: bool,

    /// When a port disappears, wait for the same adapter (same serial number, or same USB socket)
    /// and do not use a different one with the same port name
    #[arg(long)]
    pub(super) same_adapter: bool,

    /// Exit with status 1 when the port disappears, after closing all streams cleanly
    #[arg(long)]
    pub(super) once: bool,

    /// Also append log lines, with their times, to this file
    #[arg(long, value_name = "FILE")]
    pub(super) log_file: Option<PathBuf>,

    /// More log output (-vv for trace); RUST_LOG also works
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,

    /// Less log output: warnings only (-qq: errors only)
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) quiet: u8,
}

/// A format of files, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum FileFormat {
    /// Classic pcap 2.4, microseconds
    Pcap,
    /// pcapng, nanoseconds
    Pcapng,
}
