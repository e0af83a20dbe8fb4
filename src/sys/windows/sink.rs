//! Where octets go that somebody reads: a named pipe, a socket, or what we were given as standard
//! output. A write never waits, and the reader's going can be waited for.

use super::console::Writer;
use super::copier::Copier;
use super::ffi::{Event, SocketNews, Transfer, is_pipe_broken, watch_stream};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OVERLAPPED;

/// A client's end of a connection, and the event that tells of it.
pub(super) struct SocketEnd {
    pub(super) stream: TcpStream,
    pub(super) event: Event,
    /// Whether a reader that says no more has gone.
    is_paired: bool,
}

impl SocketEnd {
    /// Whether these news are that the reader has gone. Of a TCP client this is only that it has said
    /// all it has to say: it may still read.
    pub(super) fn is_gone(&self, news: SocketNews) -> bool {
        news.is_broken || self.is_paired && news.has_ended
    }
}

/// A write that another thread does, since it may wait for ever.
pub(super) struct Pumped {
    /// Set when it is done.
    pub(super) done: Event,
    result: Mutex<Option<io::Result<()>>>,
}

enum End {
    Pipe { pipe: Arc<OwnedHandle>, write: Transfer },
    Socket(Arc<SocketEnd>),
    Pump { chunks: SyncSender<Vec<u8>>, pumped: Arc<Pumped> },
}

/// The writing end. One write may be under way: then it takes no other, and tells with the next
/// call, which has to be for the same octets and perhaps more, how much of them was taken.
pub struct Sink {
    end: End,
    /// How long the write is that is under way in another thread.
    pumping: Option<usize>,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.end {
            End::Pipe { .. } => "named pipe",
            End::Socket(_) => "socket",
            End::Pump { .. } => "handle",
        })
    }
}

impl Sink {
    /// A named pipe that was opened for overlapped reads and writes.
    ///
    /// # Errors
    /// When there is no memory left for it.
    pub fn pipe(pipe: Arc<OwnedHandle>) -> io::Result<Self> {
        let write = Transfer::new(Arc::clone(&pipe))?;
        Ok(Self { end: End::Pipe { pipe, write }, pumping: None })
    }

    /// The pipe of this name that its reader made.
    ///
    /// # Errors
    /// When it is missing.
    pub fn open_pipe(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let pipe = options.read(true).write(true).custom_flags(FILE_FLAG_OVERLAPPED).open(path)?;
        Self::pipe(Arc::new(pipe.into()))
    }

    /// A client's connected socket.
    ///
    /// # Errors
    /// When it has gone already.
    pub fn socket(stream: TcpStream) -> io::Result<Self> {
        Self::connected(stream, false)
    }

    /// The second end of a pair within this process.
    ///
    /// # Errors
    /// When there is no memory left for it.
    pub fn paired(stream: TcpStream) -> io::Result<Self> {
        Self::connected(stream, true)
    }

    fn connected(stream: TcpStream, is_paired: bool) -> io::Result<Self> {
        let event = Event::new()?;
        watch_stream(&stream, &event)?;
        let _ = stream.set_nodelay(true); // best effort
        let end = SocketEnd { stream, event, is_paired };
        Ok(Self { end: End::Socket(Arc::new(end)), pumping: None })
    }

    /// What we were given, and share with others: written by a thread of its own.
    ///
    /// # Errors
    /// When there is no room for another thread.
    pub fn shared(given: File) -> io::Result<(Self, Option<Copier>)> {
        let mut given = Writer::new(given);
        let pumped = Arc::new(Pumped { done: Event::new()?, result: Mutex::new(None) });
        let (chunks, waiting) = sync_channel::<Vec<u8>>(1);
        let told = Arc::clone(&pumped);
        let copier = Copier::run("stdout", move || {
            for octets in waiting {
                let written = given.write_all(&octets);
                *told.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
                told.done.set();
            }
        })?;
        Ok((Self { end: End::Pump { chunks, pumped }, pumping: None }, Some(copier)))
    }

    /// The largest run of whole records for one write.
    pub fn largest_write(&self) -> usize {
        match self.end {
            End::Pipe { .. } | End::Pump { .. } => 4096,
            End::Socket(_) => 8192,
        }
    }

    /// Whether [`write`](Self::write) may be called where nothing may wait, not even a little.
    pub fn is_nonblocking(&self) -> bool {
        !matches!(self.end, End::Pump { .. })
    }

    /// Whether its reader has gone, as far as it tells at this moment.
    pub fn is_left(&self) -> bool {
        match &self.end {
            End::Pipe { pipe, .. } => is_pipe_broken(pipe),
            End::Socket(_) | End::Pump { .. } => false,
        }
    }

    /// Writes what fits without waiting, and returns how much that is.
    ///
    /// # Errors
    /// `WouldBlock` when it is under way, `BrokenPipe` when the reader has gone.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match &mut self.end {
            End::Pipe { write, .. } => {
                if !write.is_pending() {
                    write.write(octets)?;
                }
                write.result().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
            }
            End::Socket(end) => (&end.stream).write(octets),
            End::Pump { chunks, pumped } => {
                if let Some(len) = self.pumping {
                    let result =
                        pumped.result.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let result = result.ok_or(io::ErrorKind::WouldBlock)?;
                    self.pumping = None;
                    return result.map(|()| len);
                }
                pumped.done.reset();
                chunks.send(octets.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
                self.pumping = Some(octets.len());
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// What there is to wait for.
    pub(super) fn awaited(&self) -> io::Result<Awaited> {
        Ok(match &self.end {
            End::Pipe { pipe, write } => {
                let mut talk = Transfer::new(Arc::clone(pipe))?;
                let room = write.done().try_clone_to_owned()?;
                // What is wrong with it, such as that its reader has gone already, shows at a write.
                let _ = talk.read(1);
                Awaited::Pipe { room, talk }
            }
            End::Socket(end) => Awaited::Socket(Arc::clone(end)),
            End::Pump { pumped, .. } => Awaited::Pump(Arc::clone(pumped)),
        })
    }
}

/// What a waiter needs of a sink, which others write to meanwhile.
pub(super) enum Awaited {
    /// A pipe: set when a write is done; and a read that ends when the reader goes.
    Pipe { room: OwnedHandle, talk: Transfer },
    /// A socket.
    Socket(Arc<SocketEnd>),
    /// A write in another thread.
    Pump(Arc<Pumped>),
}
