//! What a capture needs to know: ports, outputs, limits. Nouns alone, without I/O: the command line and
//! extcap make them, `capture` does what they say.

use crate::encode::{Direction, Format};
use crate::framing::{Protocol, Setup};
use crate::line::ModemLine;
use crate::logger::Pane;
use crate::nats::query::Query;
use crate::output::file_set;
#[cfg(feature = "mqtt")]
use crate::output::mqtt::address::Broker;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::output::nats::Target;
use crate::output::permissions::Permissions;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A port to read and what is spoken on it.
#[derive(Clone, Debug)]
pub struct Port {
    /// What to call it in messages and captures.
    pub name: String,
    /// The path of a tty or a file, `-`, `sim:NAME`, or `tcp:HOST:PORT`.
    pub address: OsString,
    /// What is spoken.
    pub protocol: &'static Protocol,
    /// Rate, channel and so on.
    pub setup: Setup,
    /// Whether the sniffer may be sent commands.
    pub transmit: bool,
    /// What is done with DTR.
    pub dtr: ModemLine,
    /// What is done with RTS.
    pub rts: ModemLine,
    /// Which direction of a full-duplex line it is.
    pub direction: Direction,
    /// What is found out by listening.
    pub auto: Auto,
    /// Whether it is a recording, or in a store.
    pub recorded: bool,
    /// What the capture that its packets come from calls it, if they come from one.
    pub described: Option<Described>,
    /// What is asked of a NATS server, if its packets are there.
    pub query: Option<Query>,
    /// Whether a file is replayed in real time, and not as fast as possible.
    pub paced: bool,
    /// Where its octets are recorded.
    pub record: Option<PathBuf>,
}

/// What a capture says of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its protocol and rate, in words.
    pub description: String,
}

/// What of a port is not set but found out by listening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auto {
    /// Nothing.
    #[default]
    Nothing,
    /// Its rate and format, while it is captured: begins with what is set.
    LineLater,
    /// Its rate and format, before the capture begins.
    Line,
    /// Its protocol, before the capture begins.
    Protocol {
        /// Its rate and format as well.
        line: bool,
    },
}

/// Where packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To each reader of this FIFO.
    Fifo(PathBuf),
    /// To each client of this TCP address, `[ADDR:]PORT`.
    Tcp(String),
    /// A page, figures and packets to each client of this TCP address.
    Http {
        /// `[ADDR:]PORT`.
        address: String,
        /// The file with the token that clients have to know, if they have to.
        token: Option<PathBuf>,
    },
    /// To each client of this Unix socket.
    Unix(PathBuf),
    /// Into this FIFO, which its one reader made and holds.
    Pipe(PathBuf),
    /// Into this file, or a file set with such names.
    File(PathBuf),
    /// To standard output.
    Stdout,
    /// Into the store of a NATS server.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    Nats(Target),
    /// To this program, such as Wireshark, which is started for it.
    Viewer(OsString),
}

/// Reports on the line, while it is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporting {
    /// How often, and on how long.
    pub every: Duration,
    /// What is replaced by each of them.
    pub file: PathBuf,
}

/// All that a capture needs to know, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ports; at least one.
    pub ports: Vec<Port>,
    /// The outputs, each with its format; at least one.
    pub outputs: Vec<(Output, Format)>,
    /// Whether capture files that exist may be overwritten.
    pub force: bool,
    /// Who may open what is made.
    pub permissions: Permissions,
    /// How many of the last seconds a new reader gets first.
    pub history_s: u64,
    /// Octets of memory that these may take.
    pub history_memory: usize,
    /// Octets of memory that packets may take while they wait for a slow reader, for each.
    pub queue_memory: usize,
    /// When files are complete and the next one begins, if ever.
    pub rotation: Option<file_set::Options>,
    /// Ends after this many packets.
    pub count: Option<u64>,
    /// Whether ports that are missing or in use at the start are waited for.
    pub wait: bool,
    /// Whether a port that vanishes is the end.
    pub once: bool,
    /// Whether only the adapter that went may come back.
    pub same_adapter: bool,
    /// Whether it begins anew when the trunks of its servers are other ones.
    pub follows: bool,
    /// Reports on the line of the first port.
    pub reporting: Option<Reporting>,
    /// The brokers that are told of the lines of ports, one for a port at most.
    #[cfg(feature = "mqtt")]
    pub mqtt: Vec<Broker>,
    /// Whether the line of the first port is shown on the terminal, and where log lines go then.
    pub screen: Option<Pane>,
}
