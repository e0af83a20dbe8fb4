//! Where the messages come from: a stream that comes through a socket.

use crate::decode::Problem;
use crate::nats::batch::{Cutter, Message};
use crate::sys::Sink;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until};

/// How long packets wait for others to share a message with.
pub const GATHER: Duration = Duration::from_millis(100);
/// A read of fewer octets is one of a slow line, where the next may wait for a while.
const FEW: usize = 1024;
/// Octets that are read at once.
const READ: usize = 64 << 10;

/// A stream that comes through a socket.
pub struct Pipe {
    given: Option<StdStream>,
    socket: Option<UnixStream>,
    cutter: Cutter,
    /// Until when what waits may wait for more.
    due: Option<Instant>,
    has_ended: bool,
}

impl Pipe {
    /// A pair: what is written to the sink comes here.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<(Self, Sink)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let pipe = Self {
            given: Some(ours),
            socket: None,
            cutter: Cutter::default(),
            due: None,
            has_ended: false,
        };
        Ok((pipe, Sink::socket(OwnedFd::from(theirs))?))
    }

    /// To be called on the runtime, before anything else.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn begin(&mut self) -> io::Result<()> {
        self.socket = self.given.take().map(UnixStream::from_std).transpose()?;
        Ok(())
    }

    /// The next message, of at most so many octets unless a packet is larger; `None` at the end. May
    /// be given up at any time, and loses nothing then.
    ///
    /// # Errors
    /// When the stream is no pcapng.
    pub async fn next(&mut self, longest: usize) -> Result<Option<Message>, Problem> {
        loop {
            let is_due = self.due.is_some_and(|due| due <= Instant::now());
            if is_due {
                self.read(longest)?;
            }
            if self.has_ended || is_due || self.cutter.waiting() >= longest {
                if let Some(message) = self.cutter.message(longest)? {
                    self.due = (self.cutter.waiting() > 0).then(|| Instant::now() + GATHER);
                    return Ok(Some(message));
                }
                self.due = None;
                if self.has_ended {
                    return Ok(None);
                }
            }
            self.wait(longest).await?;
        }
    }

    /// Waits for octets and takes them, or until what is there is due.
    async fn wait(&mut self, longest: usize) -> Result<(), Problem> {
        let Some(socket) = &self.socket else {
            self.has_ended = true;
            return Ok(());
        };
        match self.due {
            None => socket.readable().await?,
            // Not woken for each packet of a slow line: the socket keeps them.
            Some(due) if self.cutter.waiting() < FEW => {
                sleep_until(due).await;
                return Ok(());
            }
            Some(due) => tokio::select! {
                () = sleep_until(due) => return Ok(()),
                ready = socket.readable() => ready?,
            },
        }
        self.read(longest)
    }

    /// Takes what is there, until it is enough for a message.
    fn read(&mut self, longest: usize) -> Result<(), Problem> {
        let Some(socket) = &self.socket else { return Ok(()) };
        while self.cutter.waiting() < longest {
            let mut octets = Vec::with_capacity(READ);
            match socket.try_read_buf(&mut octets) {
                Ok(0) => {
                    self.has_ended = true;
                    return Ok(());
                }
                Ok(_) => {
                    self.cutter.push(&octets);
                    self.due.get_or_insert_with(|| Instant::now() + GATHER);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Packets that came and are in no message; for the end.
    pub fn rest(&mut self) -> u64 {
        let mut packets = 0;
        loop {
            while let Ok(Some(message)) = self.cutter.message(usize::MAX) {
                packets += message.packets;
            }
            let mut octets = Vec::with_capacity(READ);
            match self.socket.as_ref().map(|socket| socket.try_read_buf(&mut octets)) {
                Some(Ok(len)) if len > 0 => self.cutter.push(&octets),
                _ => return packets,
            }
        }
    }
}
