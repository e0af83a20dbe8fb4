//! A capture that is under way already: its packets instead of a port that is in use.
//!
//! Where a serialshark has the port, as a service has, and offers its packets as pcapng on a Unix
//! socket in one of the usual folders, Wireshark is given those. That one has also seen what
//! happened before Start: its history comes first, as much of it as is wanted.

use crate::error::Error;
use crate::output::Stream;
use pcap_file::pcapng::blocks::Block;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{PcapNgParseError, PcapNgParser};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The folder of the services.
const OF_SERVICES: &str = "/run/serialshark";
/// How long one may take to send its header, which it does at once; one that is stopped, or whose
/// header comes octet by octet, does not.
const HEADER: Duration = Duration::from_millis(500);
/// None of our blocks is nearly as large.
const LARGEST_BLOCK: usize = 1 << 20;

/// A connection to a serialshark that has the port.
pub struct Relay {
    /// What to call it in a message.
    name: String,
    socket: UnixStream,
    blocks: Blocks,
    /// What is to be passed on: whole blocks.
    wanted: Vec<u8>,
    /// The port's number in the stream.
    interface: u32,
}

impl Relay {
    /// Connects to one that has this port, by whatever name; blocks half a second at most for each
    /// that does not answer.
    pub fn find(port: &str) -> Option<Self> {
        let of_user =
            std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("serialshark"));
        let folders = [Some(PathBuf::from(OF_SERVICES)), of_user].into_iter().flatten();
        let files = folders.filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
        let sockets = files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|e| e == "sock"));
        sockets.filter_map(|path| Self::connect(&path, port)).next()
    }

    /// `None` if nobody listens there, or has another port.
    fn connect(path: &Path, port: &str) -> Option<Self> {
        let deadline = Instant::now() + HEADER;
        let mut socket = connect(path).ok()?;
        let mut blocks = Blocks::default();
        let mut wanted = Vec::new();
        let mut interface = 0;
        loop {
            match blocks.next().ok()? {
                Some(Piece { block: None, octets }) => wanted.extend_from_slice(octets),
                Some(Piece { block: Some(Block::InterfaceDescription(description)), octets }) => {
                    wanted.extend_from_slice(octets);
                    if is_of(&description, port) {
                        break;
                    }
                    interface += 1;
                }
                // Its header is over.
                Some(_) => return None,
                None if !is_readable(&socket, deadline) => return None,
                None => match blocks.receive(&mut socket) {
                    Ok(0) => return None,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return None,
                    _ => {}
                },
            }
        }
        Some(Self { name: path.display().to_string(), socket, blocks, wanted, interface })
    }

    /// Passes on what comes, until Wireshark has enough, the other one ends, or a signal says so;
    /// of what was before now the last `history` only, if that is given.
    ///
    /// # Errors
    /// When something else comes than packets.
    pub fn run(mut self, mut stream: Stream, history: Option<Duration>) -> Result<(), Error> {
        let name = self.name.clone();
        let failed = |error: io::Error| Error::new(&name, "cannot be read").because(error);
        let (stop, stopper) = UnixStream::pair().map_err(failed)?;
        for signal in [SIGINT, SIGTERM] {
            let stopper = stopper.try_clone().map_err(failed)?;
            signal_hook::low_level::pipe::register(signal, stopper).map_err(failed)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = history.map_or(Duration::ZERO, |history| now.saturating_sub(history));
        loop {
            self.choose(since)?;
            let Some(fifo) = stream.sink().map(AsFd::as_fd) else { return Ok(()) };
            // Nothing more is taken before Wireshark has taken this.
            let full = !self.wanted.is_empty();
            let mut fds = [
                PollFd::new(&stop, PollFlags::IN),
                PollFd::from_borrowed_fd(
                    fifo,
                    if full { PollFlags::OUT } else { PollFlags::empty() },
                ),
                PollFd::new(&self.socket, if full { PollFlags::empty() } else { PollFlags::IN }),
            ];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                polled => polled.map_err(|errno| failed(errno.into()))?,
            };
            let [stopped, fifo, socket] = fds.map(|fd| fd.revents());
            if !stopped.is_empty() || fifo.intersects(PollFlags::ERR | PollFlags::HUP) {
                return Ok(());
            }
            if full && !fifo.is_empty() {
                match stream.write(&self.wanted) {
                    Ok(len) => drop(self.wanted.drain(..len)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) => return Err(failed(error)),
                }
            } else if !full && !socket.is_empty() {
                match self.blocks.receive(&mut self.socket) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
    }

    /// Looks through what has come for what is to be passed on.
    fn choose(&mut self, since: Duration) -> Result<(), Error> {
        loop {
            match self.blocks.next() {
                Ok(None) => return Ok(()),
                Ok(Some(Piece { block: Some(Block::EnhancedPacket(packet)), .. }))
                    if packet.interface_id != self.interface || packet.timestamp < since => {}
                Ok(Some(Piece { octets, .. })) => self.wanted.extend_from_slice(octets),
                Err(error) => {
                    let error = io::Error::other(error);
                    return Err(Error::new(&self.name, "sends no packets").because(error));
                }
            }
        }
    }
}

/// A connection, at once or not at all: where nobody takes them and many wait already, a blocking
/// `connect` waits too, for ever.
fn connect(path: &Path) -> Result<UnixStream, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

/// Waits until it is, or `deadline` has passed.
fn is_readable(socket: &UnixStream, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).ok();
    let polled = poll(&mut [PollFd::new(socket, PollFlags::IN)], timeout.as_ref());
    // Woken early by a signal, the caller comes back the sooner.
    !left.is_zero() && (polled == Err(Errno::INTR) || polled.is_ok_and(|ready| ready > 0))
}

/// Whether an interface is this port, which may have several names.
fn is_of(description: &InterfaceDescriptionBlock<'_>, port: &str) -> bool {
    description.options.iter().any(|option| match option {
        InterfaceDescriptionOption::IfName(name) => {
            let real = |name: &str| Path::new(name).canonicalize().ok();
            name == port || real(name).is_some_and(|real_name| Some(real_name) == real(port))
        }
        _ => false,
    })
}

/// A whole block of a stream.
struct Piece<'a> {
    /// What it says; not told of the first one, the header of the section.
    block: Option<Block<'a>>,
    octets: &'a [u8],
}

/// Octets on their way to blocks.
#[derive(Default)]
struct Blocks {
    parser: Option<PcapNgParser>,
    received: Vec<u8>,
    /// How much of that is looked through.
    done: usize,
}

impl Blocks {
    /// Reads once, and returns how much came; 0 at the end.
    fn receive(&mut self, socket: &mut UnixStream) -> io::Result<usize> {
        self.received.drain(..std::mem::take(&mut self.done));
        if self.received.len() > LARGEST_BLOCK {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut chunk = [0; 16 * 1024];
        let len = socket.read(&mut chunk)?;
        self.received.extend_from_slice(&chunk[..len]);
        Ok(len)
    }

    /// The next block; `None` until it has come entirely.
    fn next(&mut self) -> Result<Option<Piece<'_>>, PcapNgParseError> {
        let waiting = &self.received[self.done..];
        let parsed = match &mut self.parser {
            Some(parser) => parser.next_block(waiting).map(|(rest, block)| (rest, Some(block))),
            none => PcapNgParser::new(waiting).map(|(rest, parser)| {
                *none = Some(parser);
                (rest, None)
            }),
        };
        match parsed {
            Ok((rest, block)) => {
                let len = waiting.len() - rest.len();
                self.done += len;
                Ok(Some(Piece { block, octets: &waiting[..len] }))
            }
            Err(PcapNgParseError::IncompleteBuffer(..)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
