//! The command line: arguments in, a validated [`Config`] out. The only module that knows clap.
//!
//! A configuration file becomes arguments before those that were typed.

mod check;
mod config;

pub use check::check;

use crate::capture::{Config, Output, Port};
use crate::encode::text::{Style, TimeStyle};
use crate::encode::{Direction, Format};
use crate::error::Error;
use crate::framing::{
    Channel, PROTOCOLS, Protocol, REMOTE_SILENCE_NS, SILENCE_NS, Setup, protocol,
};
use crate::logger::Logging;
use crate::output::ring::Limits;
use crate::source::serial::ModemLine;
use crate::source::{file, record, sim::Simulator};
use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches as _, Parser, ValueEnum};
use log::LevelFilter;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::ops::RangeInclusive;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  serialshark ports                               the ports of this machine, what to type next
  serialshark sim:mstp                            a line per packet of a simulated trunk
  serialshark /dev/ttyUSB0 --fifo /tmp/sharkfin   then: wireshark -k -i /tmp/sharkfin
  serialshark /dev/ttyUSB0 -b 76800 -w trunk.pcapng
  serialshark /dev/ttyUSB0 --record trunk.rec     later: serialshark trunk.rec -w trunk.pcapng
  serialshark /dev/ttyACM0 -p riot --channel 26 -w - | tshark -r -
  serialshark extcap --install                    ports in Wireshark's interface list
  serialshark check-config trunk.toml             what a file for --config says

Signals: SIGINT, SIGTERM and a closed terminal (SIGHUP) end it cleanly; with -C or -G, and as a
service, a SIGHUP that somebody sends begins the next files; SIGUSR1 logs all counters.

Exit status: 0 ended as asked, 1 failed while running, 2 wrong usage.";

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "serialshark", version, about = "Capture a serial line, live in Wireshark",
          after_help = EXAMPLES, max_term_width = 100)]
struct Args {
    /// Serial port (/dev/ttyUSB0, any tty, a link to one), tcp:HOST:PORT (ser2net in raw mode),
    /// rfc2217:HOST:PORT or telnet:HOST:PORT (ser2net with telnet), unix:PATH,
    /// a file (octets, or what --record made), octets on standard input with -, or sim:mstp,
    /// sim:riot. Of several, each may have its protocol before it (mstp:/dev/ttyUSB0), and after it
    /// =in or =out where it is one direction of a full-duplex line
    #[arg(required_unless_present = "config", value_name = "PORT")]
    ports: Vec<String>,

    /// Read options from this TOML file: port, or ports = [...], and the long options' names. An
    /// option on the command line comes in place of the file's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// What is spoken on the line [default: mstp]
    #[arg(short, long, value_name = "NAME",
          value_parser = PossibleValuesParser::new(PROTOCOLS.each_ref().map(|row| {
              clap::builder::PossibleValue::new(row.name).help(row.help)
          })))]
    protocol: Option<String>,

    /// Bits per second, any rate [default: mstp 38400, riot 115200, pinoccio 115200]
    #[arg(short, long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..))]
    baud: Option<u32>,

    /// Feed the readers of this FIFO; made if missing. May be repeated
    #[arg(long, value_name = "PATH")]
    fifo: Vec<PathBuf>,

    /// Serve readers of this TCP address; without ADDR only those of this machine. May be repeated
    #[arg(long, value_name = "[ADDR:]PORT")]
    tcp: Vec<String>,

    /// Serve readers of this Unix socket. May be repeated
    #[arg(long, value_name = "PATH")]
    unix: Vec<PathBuf>,

    /// Write to this file, or to standard output with -. May be repeated
    #[arg(short, long, value_name = "FILE")]
    write: Vec<PathBuf>,

    /// Begin the next file before this one exceeds SIZE millions of octets; 500k, 10M and 1G
    /// are thousands, millions and thousand millions. Adds number and time to the name:
    /// name_00001_20261123190000.pcapng
    #[arg(short = 'C', long, value_name = "SIZE", value_parser = file_size)]
    rotate_size: Option<u64>,

    /// Begin the next file with the first packet after this many seconds. Names as with -C
    #[arg(short = 'G', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rotate_seconds: Option<u64>,

    /// Keep this many files, delete older ones, those of earlier runs too (with -C or -G); fewer
    /// if the disk is full. When none is left to delete packets are dropped until there is room
    #[arg(short = 'W', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rotate_files: Option<u64>,

    /// Capture format; pcapng shows damage, drops and comments in Wireshark, pcap cannot
    /// [default: by file extension, else pcap, or pcapng with several ports]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<FileFormat>,

    /// Give each new reader the last seconds first: what happened just before you looked
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
    history: u64,

    /// Memory that --history may take, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    history_size: u16,

    /// Memory that packets may take while they wait for a slow reader, in MiB for each reader
    #[arg(short = 'B', long, value_name = "MIB", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    buffer_size: u16,

    /// Overwrite capture files and recordings that exist
    #[arg(long)]
    force: bool,

    /// Radio channel: 11 to 26 (riot, pinoccio), 0 to 10 below 1 GHz (riot)
    #[arg(long, value_name = "CHANNEL", value_parser = clap::value_parser!(u8).range(0..=26))]
    channel: Option<u8>,

    /// Number of the sniffer's network interface that is its radio, as its ifconfig lists them
    /// (riot) [default: the first IEEE 802.15.4 radio]
    #[arg(long, value_name = "N")]
    interface: Option<u16>,

    /// Set DTR of the port: keep it as the kernel has it, which raises it [default: off for mstp,
    /// else keep]
    #[arg(long, value_enum, value_name = "STATE")]
    dtr: Option<LineState>,

    /// Set RTS of the port, as --dtr. With off an RS-485 adapter never drives the bus
    #[arg(long, value_enum, value_name = "STATE")]
    rts: Option<LineState>,

    /// Text that starts the sniffer, in place of the protocol's own (pinoccio); \r and \n are known
    #[arg(long, value_name = "STRING")]
    init: Option<String>,

    /// Store the octets and their times in this file, which as PORT gives the same packets again
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Replay a file in real time; without, as fast as possible
    #[arg(long)]
    replay_paced: bool,

    /// Times of printed packets, as tcpdump has them: -t none, -tt seconds since 1970, -ttt since the
    /// line before, -tttt date and time, -ttttt since the first line
    #[arg(short, long, action = ArgAction::Count)]
    time: u8,

    /// Print the bytes of each packet in hex
    #[arg(short = 'x', long)]
    hex: bool,

    /// Print no packets that only keep the network going: tokens and polls for masters of MS/TP
    #[arg(long)]
    no_tokens: bool,

    /// End after this many packets
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Wait for a port that is missing at the start, or in use; without, that is an error. One
    /// that vanishes later is waited for anyway
    #[arg(long)]
    wait: bool,

    /// When a port vanishes, wait for the same adapter (by serial number, or where it is plugged in)
    /// and do not go on with another one of that name
    #[arg(long)]
    same_adapter: bool,

    /// End when a port vanishes, with exit status 1 as tcpdump has it, and all streams complete
    #[arg(long)]
    once: bool,

    /// Add log lines to this file as well, with their times
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,

    /// Say more on stderr; twice: still more. RUST_LOG is heard too
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,

    /// Say less on stderr: warnings only; twice: errors only
    #[arg(short, long, action = ArgAction::Count)]
    quiet: u8,
}

/// What becomes of a modem line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LineState {
    /// Raised
    On,
    /// Dropped
    Off,
    /// Left alone
    Keep,
}

impl From<LineState> for ModemLine {
    fn from(state: LineState) -> Self {
        match state {
            LineState::On => Self::On,
            LineState::Off => Self::Off,
            LineState::Keep => Self::Keep,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileFormat {
    /// Classic pcap 2.4, microseconds
    Pcap,
    /// pcapng, nanoseconds
    Pcapng,
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

/// All options: what the manual page and the completions are made from.
pub fn command() -> clap::Command {
    Args::command()
}

/// Parses the command line, and the configuration file that it names; if something is wrong,
/// prints what, and ends with exit code 2.
pub fn parse() -> Request {
    let typed: Vec<_> = std::env::args_os().collect();
    let given = command().try_get_matches_from(&typed).unwrap_or_else(|error| error.exit());
    let args = Args::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    let Some(path) = &args.config else {
        return validate(args).unwrap_or_else(|error| error.exit());
    };
    with_file(path, &typed, &given).unwrap_or_else(|error| {
        // Should nobody hear it, the exit code still tells.
        let _ = writeln!(std::io::stderr(), "serialshark: {error}");
        std::process::exit(2)
    })
}

/// What the file and the typed arguments ask for together.
fn with_file(path: &Path, typed: &[OsString], given: &ArgMatches) -> Result<Request, Error> {
    let (args, remarks) = config::File::read(path)?.merge(typed, given);
    let request = parse_from(args).map_err(|wrong| Error::new(path.display(), wrong))?;
    Ok(Request { remarks, ..request })
}

/// The same for arguments that nobody typed; what is wrong is said in one line.
///
/// # Errors
/// On wrong usage.
pub fn parse_from<S: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = S>,
) -> Result<Request, String> {
    Args::try_parse_from(args).and_then(validate).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        line.strip_prefix("error: ").unwrap_or(line).to_owned()
    })
}

impl Request {
    /// Takes log records from now on.
    ///
    /// # Errors
    /// When the log file cannot be opened.
    pub fn start_logging(&self) -> Result<Logging, Error> {
        let logging = Logging::start(self.level, self.warnings_of, self.log_file.as_deref())?;
        for remark in &self.remarks {
            log::info!("{remark}");
        }
        Ok(logging)
    }
}

fn usage(message: impl std::fmt::Display) -> clap::Error {
    Args::command().error(ErrorKind::ValueValidation, message)
}

fn validate(args: Args) -> Result<Request, clap::Error> {
    let level = match (args.verbose, args.quiet) {
        (0, 0) => LevelFilter::Info,
        (0, 1) => LevelFilter::Warn,
        (0, _) => LevelFilter::Error,
        (1, _) => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    if args.ports.is_empty() {
        return Err(usage("no port is named: port = \"/dev/ttyUSB0\""));
    }
    let ports =
        args.ports.iter().map(|port_arg| port(port_arg, &args)).collect::<Result<Vec<_>, _>>()?;
    for (i, port) in ports.iter().enumerate() {
        if ports[..i].iter().any(|other| other.name == port.name) && !port.name.starts_with("sim:")
        {
            return Err(usage(format!("the port {} is named twice", port.name)));
        }
    }
    let mut outputs = Vec::new();
    for path in &args.fifo {
        if path == Path::new("-") {
            return Err(usage("--fifo takes a path; for standard output use -w -"));
        }
        outputs.push((Output::Fifo(path.clone()), format(&args, path)));
    }
    for address in &args.tcp {
        let port = address.rsplit_once(':').map_or(address.as_str(), |(_, port)| port);
        if port.parse::<u16>().is_err() {
            return Err(usage(format!(
                "--tcp {address}: takes a port such as 19000, or ADDR:PORT"
            )));
        }
        outputs.push((Output::Tcp(address.clone()), format(&args, Path::new(""))));
    }
    for path in &args.unix {
        outputs.push((Output::Unix(path.clone()), format(&args, path)));
    }
    for path in &args.write {
        let output = match path {
            path if is_stdout(path) => Output::Stdout,
            path if is_given_pipe(path) => Output::Pipe(path.clone()),
            path => Output::File(path.clone()),
        };
        outputs.push((output, format(&args, path)));
    }
    for (i, (output, _)) in outputs.iter().enumerate() {
        if let Some((other, _)) =
            outputs[..i].iter().find(|(other, _)| is_same_output(output, other))
        {
            let (one, two) = (in_words(other), in_words(output));
            return Err(usage(format!("the same output is named twice: {one} and {two}")));
        }
    }
    for path in args.write.iter().chain(&args.record).filter(|path| *path != Path::new("-")) {
        if let Some(port) = ports.iter().find(|port| is_same_file(Path::new(&port.name), path)) {
            return Err(usage(format!("{}: is the port itself", port.name)));
        }
    }
    let kinds = |port: &Port| port.protocol.link_type;
    if outputs.iter().any(|(_, format)| *format == Format::Pcap)
        && ports.iter().any(|port| kinds(port) != kinds(&ports[0]))
    {
        return Err(usage(
            "pcap holds one kind of packets; for ports of different kinds use --format pcapng",
        ));
    }
    if let Some(path) = &args.record {
        if path == Path::new("-") {
            return Err(usage("--record takes a file"));
        }
        let is_it = |other: &Path| is_same_file(path, other);
        if args.ports.len() > 1 {
            return Err(usage("--record takes one port"));
        }
        if args.write.iter().any(|other| is_it(other)) {
            return Err(usage("--record needs a file of its own"));
        }
    }
    if outputs.is_empty() {
        if args.format.is_some() {
            return Err(usage("--format needs an output: --fifo PATH or -w FILE"));
        }
        outputs.push((Output::Stdout, Format::Text(style(&args))));
    } else if args.time > 0 || args.hex || args.no_tokens {
        return Err(usage(
            "-t, -x and --no-tokens are for printed packets: leave out --fifo, -w and the like",
        ));
    }
    let config = Config {
        ports,
        outputs,
        force: args.force,
        history_s: args.history,
        history_memory: mebibytes(args.history_size),
        queue_memory: mebibytes(args.buffer_size),
        rotation: rotation(&args)?,
        count: args.count,
        wait: args.wait,
        once: args.once,
        same_adapter: args.same_adapter,
    };
    Ok(Request { config, level, log_file: args.log_file, warnings_of: None, remarks: Vec::new() })
}

/// What printed packets look like.
fn style(args: &Args) -> Style {
    let time = match args.time {
        0 => TimeStyle::TimeOfDay,
        1 => TimeStyle::None,
        2 => TimeStyle::Epoch,
        3 => TimeStyle::SincePrevious,
        4 => TimeStyle::Date,
        _ => TimeStyle::SinceFirst,
    };
    // https://no-color.org: any value but an empty one.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let colour = std::io::stdout().is_terminal() && !refused && !dumb;
    Style { time, hex: args.hex, colour, hide_routine: args.no_tokens }
}

/// The limits of `-C`, `-G` and `-W`, if there are files for them.
fn rotation(args: &Args) -> Result<Option<Limits>, clap::Error> {
    let limits =
        Limits { size: args.rotate_size, seconds: args.rotate_seconds, files: args.rotate_files };
    if limits == Limits::default() {
        return Ok(None);
    }
    if args.write.iter().all(|path| path == Path::new("-")) {
        return Err(usage("-C, -G and -W need a file: -w FILE"));
    }
    if limits.size.is_none() && limits.seconds.is_none() {
        return Err(usage(
            "-W says how many files to keep; -C SIZE or -G SECONDS says when the next one begins",
        ));
    }
    Ok(Some(limits))
}

/// tcpdump's unit, millions of octets, unless a letter names another one.
fn file_size(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1_000_000),
    };
    let number = number.parse::<u64>().ok().filter(|_| !number.starts_with('+'));
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|octets| *octets > 0)
        .ok_or("takes millions of octets, 1 or more, or such as 500k, 10M, 1G")
}

fn mebibytes(number: u16) -> usize {
    usize::from(number) << 20
}

/// An output as it was typed.
fn in_words(output: &Output) -> String {
    match output {
        Output::Fifo(path) => format!("--fifo {}", path.display()),
        Output::Unix(path) => format!("--unix {}", path.display()),
        Output::Tcp(address) => format!("--tcp {address}"),
        Output::Pipe(path) | Output::File(path) => format!("-w {}", path.display()),
        Output::Stdout => "-w -".to_owned(),
    }
}

/// Standard output by any of its names.
fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// Whether a path is a pipe that this process was given: `>(program)` of a shell.
fn is_given_pipe(path: &Path) -> bool {
    ["/dev/fd", "/proc/self/fd"].iter().any(|dir| path.starts_with(dir))
        && path.metadata().is_ok_and(|file| file.file_type().is_fifo())
}

/// Whether both would write to the same place.
fn is_same_output(one: &Output, other: &Output) -> bool {
    let path = |output: &Output| match output {
        Output::Fifo(path) | Output::Unix(path) | Output::Pipe(path) | Output::File(path) => {
            Some(path.clone())
        }
        Output::Tcp(_) | Output::Stdout => None,
    };
    match (path(one), path(other)) {
        (Some(one), Some(other)) => is_same_file(&one, &other),
        _ => one == other,
    }
}

/// Whether both paths lead to the same file, one that exists or one to be made.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        path.canonicalize().or_else(|_| {
            let directory = path.parent().filter(|parent| *parent != Path::new(""));
            let directory = directory.unwrap_or(Path::new(".")).canonicalize()?;
            Ok::<_, std::io::Error>(directory.join(path.file_name().unwrap_or_default()))
        })
    };
    one == other || matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

/// A port as it was typed: `[PROTOCOL:]PORT[=in|=out]`.
fn port(typed: &str, args: &Args) -> Result<Port, clap::Error> {
    // The whole name first: a port may be called anything.
    let is_there = std::fs::exists(typed.strip_prefix("unix:").unwrap_or(typed)).unwrap_or(false);
    let (name, direction) = match typed.rsplit_once('=').filter(|_| !is_there) {
        Some((name, "in")) => (name, Direction::Inbound),
        Some((name, "out")) => (name, Direction::Outbound),
        _ => (typed, Direction::Unknown),
    };
    let prefixed = name.split_once(':').filter(|_| !std::fs::exists(name).unwrap_or(false));
    let (own, name) = match prefixed.map(|(own, rest)| (protocol(own), rest)) {
        Some((Some(own), rest)) => (Some(own), rest),
        _ => (None, name),
    };
    let simulated = name.strip_prefix("sim:");
    if let Some(sim) = simulated
        && !Simulator::NAMES.contains(&sim)
    {
        let names = Simulator::NAMES.map(|name| format!("sim:{name}")).join(", ");
        return Err(usage(format!("no simulated port {name}; there are {names}")));
    }
    let network = ["tcp", "telnet", "rfc2217"];
    if let Some((scheme, host)) = name.split_once(':')
        && network.contains(&scheme)
        && host
            .rsplit_once(':')
            .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().unwrap_or(0) == 0)
    {
        return Err(usage(format!("{name}: the form is {scheme}:HOST:PORT")));
    }
    if name == "unix:" {
        return Err(usage("unix: the form is unix:PATH"));
    }
    let octets = file::kind(name);
    if args.replay_paced && octets != file::Kind::Stored {
        return Err(usage("--replay-paced needs a file as the port"));
    }
    // Nobody listens at the other end.
    let is_two_way = matches!(octets, file::Kind::Other | file::Kind::Socket);
    let one_way = simulated.is_some() || !is_two_way;
    // What is wrong with a file is said when it is opened.
    let recorded = record::header(name).ok().flatten();
    let timed = octets != file::Kind::Stored || recorded.is_some();
    let recorded_name = recorded.as_ref().map(|header| header.protocol.as_str());
    let named = own.or(args.protocol.as_deref().and_then(protocol));
    if let (None, Some(recorded)) = (named, recorded_name)
        && protocol(recorded).is_none()
    {
        return Err(usage(format!("{name}: recorded as {recorded}; choose one with -p")));
    }
    let protocol: &'static Protocol =
        named.or(simulated.or(recorded_name).and_then(protocol)).unwrap_or(&PROTOCOLS[0]);
    if let Some(sim) = simulated
        && protocol.name != sim
    {
        return Err(usage(format!("sim:{sim} speaks {sim}, not {}", protocol.name)));
    }
    // With several ports an option is for those that take it.
    let alone = args.ports.len() == 1;
    match (protocol.channel, args.channel) {
        (Channel::None, Some(_)) if alone => {
            return Err(usage(format!("--channel: {} has no channels", protocol.name)));
        }
        // A sniffer that is simulated or stored is not told anything.
        (Channel::Required, None) if !one_way => {
            return Err(usage(format!(
                "{} needs --channel, {}: its sniffer is told to tune to it",
                protocol.name,
                channels_in_words(&protocol.channels)
            )));
        }
        (Channel::Optional | Channel::Required, Some(channel))
            if !protocol.channels.contains(&channel) =>
        {
            return Err(usage(format!(
                "--channel {channel}: {} has {}",
                protocol.name,
                channels_in_words(&protocol.channels)
            )));
        }
        _ => {}
    }
    if args.init.is_some() && !protocol.takes_init && alone {
        return Err(usage(format!("--init: {} does not take one", protocol.name)));
    }
    if args.interface.is_some() && !protocol.takes_interface && alone {
        return Err(usage(format!("--interface: {} has none to choose from", protocol.name)));
    }
    let line = if protocol.drop_lines { ModemLine::Off } else { ModemLine::Keep };
    Ok(Port {
        name: name.to_owned(),
        protocol,
        setup: Setup {
            baud: args
                .baud
                .or(recorded.as_ref().map(|header| header.baud))
                .unwrap_or(protocol.baud),
            channel: args
                .channel
                .or(recorded.as_ref().and_then(|header| header.channel))
                .filter(|_| protocol.channel != Channel::None),
            init: args.init.clone().filter(|_| protocol.takes_init),
            interface: args.interface.filter(|_| protocol.takes_interface),
            silence_ns: match &recorded {
                Some(header) => header.silence_ns,
                None if is_remote(name) => REMOTE_SILENCE_NS,
                None => SILENCE_NS,
            },
            timed,
        },
        transmit: named.is_some() && !one_way,
        dtr: args.dtr.map_or(line, ModemLine::from),
        rts: args.rts.map_or(line, ModemLine::from),
        direction,
        recorded: recorded.is_some(),
        paced: args.replay_paced,
        record: args.record.clone(),
    })
}

/// Whether octets come from a network or a pipe, which may stall for longer than a line.
fn is_remote(name: &str) -> bool {
    ["tcp:", "telnet:", "rfc2217:", "unix:"].iter().any(|scheme| name.starts_with(scheme))
        || matches!(file::kind(name), file::Kind::Piped | file::Kind::Socket)
}

fn channels_in_words(channels: &RangeInclusive<u8>) -> &'static str {
    if channels.contains(&0) { "11 to 26, or 0 to 10 below 1 GHz" } else { "11 to 26" }
}

/// The format that was asked for, else what the file's name says, else pcap.
fn format(args: &Args, path: &Path) -> Format {
    let has_extension =
        |name: &str| path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case(name));
    match args.format {
        Some(FileFormat::Pcap) => Format::Pcap,
        Some(FileFormat::Pcapng) => Format::Pcapng,
        None if has_extension("pcapng") => Format::Pcapng,
        // Only pcapng can tell which packet came from where.
        None if args.ports.len() > 1 && !has_extension("pcap") => Format::Pcapng,
        None => Format::Pcap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, clap::Error> {
        Args::try_parse_from(line.split(' ')).and_then(validate)
    }

    fn refused(line: &str) -> String {
        let error = parsed(line).expect_err("is wrong usage");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn clap_finds_no_contradiction() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_main_command_line() {
        let config = parsed("serialshark /dev/ttyUSB0 --fifo /tmp/sharkfin").unwrap().config;
        let port = &config.ports[0];
        assert_eq!((port.protocol.name, port.setup.baud), ("mstp", 38_400));
        assert_eq!(config.outputs, [(Output::Fifo("/tmp/sharkfin".into()), Format::Pcap)]);
    }

    #[test]
    fn formats_follow_the_option_then_the_extension() {
        let formats = |line| -> Vec<Format> {
            parsed(line).unwrap().config.outputs.iter().map(|(_, format)| *format).collect()
        };
        assert_eq!(formats("s sim:mstp"), [Format::Text(Style::default())]);
        assert_eq!(
            formats("s sim:mstp -w a.pcap -w b.pcapng -w -"),
            [Format::Pcap, Format::Pcapng, Format::Pcap]
        );
        assert_eq!(formats("s sim:mstp -w a.pcap --format pcapng"), [Format::Pcapng]);
    }

    #[test]
    fn nothing_is_transmitted_unless_the_protocol_was_named() {
        let transmits = |line| parsed(line).unwrap().config.ports[0].transmit;
        assert!(!transmits("s /dev/ttyUSB0"));
        assert!(transmits("s /dev/ttyUSB0 -p riot --channel 26"));
        assert!(!transmits("s sim:riot"));
    }

    #[test]
    fn several_ports_each_with_its_own() {
        let config =
            parsed("s mstp:/dev/a=in /dev/b=out riot:/dev/c sim:mstp --channel 15 --fifo f");
        let config = config.unwrap().config;
        let ports: Vec<_> = config
            .ports
            .iter()
            .map(|p| (p.name.as_str(), p.protocol.name, p.direction, p.setup.channel, p.transmit))
            .collect();
        assert_eq!(
            ports,
            [
                ("/dev/a", "mstp", Direction::Inbound, None, true),
                ("/dev/b", "mstp", Direction::Outbound, None, false),
                ("/dev/c", "riot", Direction::Unknown, Some(15), true),
                ("sim:mstp", "mstp", Direction::Unknown, None, false),
            ]
        );
        assert_eq!(config.outputs, [(Output::Fifo("f".into()), Format::Pcapng)]);
        assert!(refused("s sim:mstp sim:riot -w a.pcap").contains("--format pcapng"));
        assert!(refused("s /dev/a /dev/a").contains("named twice"));
    }

    #[test]
    fn wrong_usage_says_what_is_allowed() {
        assert!(refused("s x -p modbus").contains("mstp, riot, pinoccio"));
        assert!(refused("s x -b 0").contains("1.."));
        assert!(refused("s x -b fast").contains("invalid"));
        assert!(refused("s x -p riot --channel 27").contains("0..=26"));
        assert!(refused("s x -p pinoccio --channel 10").contains("pinoccio has 11 to 26"));
        assert!(
            refused("s x -p riot").contains("needs --channel, 11 to 26, or 0 to 10 below 1 GHz:")
        );
        assert!(refused("s x -p pinoccio --interface 6").contains("none to choose from"));
        assert!(refused("s x --interface 6").contains("none to choose from"));
        assert!(refused("s x -p riot --channel 26 --interface wlan0").contains("invalid"));
        assert!(refused("s x --channel 11").contains("mstp has no channels"));
        assert!(refused("s x --init X").contains("does not take one"));
        assert!(refused("s sim:modbus").contains("sim:mstp, sim:riot"));
        assert!(refused("s sim:riot -p mstp").contains("speaks riot"));
        assert!(refused("s x --fifo -").contains("-w -"));
        assert!(refused("s x -w a -w a").contains("twice"));
        assert!(refused("s x --format pcap").contains("needs an output"));
        for rotate in ["-C 1", "-G 1", "-W 1", "-C 1 -w -", "-C 1 --fifo f"] {
            assert!(refused(&format!("s x {rotate}")).contains("-w FILE"), "{rotate}");
        }
        assert!(refused("s x -w a -W 3").contains("-C SIZE or -G SECONDS"));
        for zero in ["-C 0", "-C 0k", "-C 1.5", "-C k", "-C 99999999999G", "-G 0", "-C 1 -W 0"] {
            refused(&format!("s x -w a {zero}"));
        }
    }

    #[test]
    fn sizes_are_in_millions_unless_they_say_otherwise() {
        let limits = |line| parsed(line).unwrap().config.rotation;
        assert_eq!(limits("s x -w a"), None);
        let size = |line| limits(line).unwrap().size;
        assert_eq!(size("s x -w a -C 3"), Some(3_000_000));
        assert_eq!(size("s x -w a --rotate-size 500k"), Some(500_000));
        assert_eq!(size("s x -w - -w a -C 2M"), Some(2_000_000));
        assert_eq!(size("s x -w a -C 1G"), Some(1_000_000_000));
        assert_eq!(
            limits("s x -w a -G 60 --rotate-files 7"),
            Some(Limits { size: None, seconds: Some(60), files: Some(7) })
        );
    }
}
