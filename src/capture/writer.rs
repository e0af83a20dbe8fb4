//! One stream's stream: queued packets in, whole records out, until its reader leaves.
//!
//! Each stream has a thread that writes. Records are collected while queued packets wait, and sent when
//! none does, in runs of whole records that the stream takes entirely or not at all.
//!
//! On a slow line most of the cost of a packet would be to wake that thread for it. So where the
//! thread sleeps and the stream takes octets without waiting, a reader thread writes its few
//! frames itself: [`StreamWriter::offer`]. Whatever comes in its way there (a full pipe, an error)
//! it leaves to the thread, and never waits for it.
//!
//! A rotating file opens its next stream itself: the same thread ends one stream with its
//! trailer and starts the next with its header, between two records of the same queue. So
//! nothing can be lost or doubled there, and the rest of the program need not know.
//!
//! A file is not ended by a shortage, such as a full disk: what cannot be written is dropped and
//! counted, and the next packet is tried. What is read from files can be had again, so there a
//! shortage is the end and nothing is left out.

pub mod past;
mod records;
mod waiter;

use super::merge::FrameRange;
use super::queue::Queue;
use crate::encode::Encoder;
use crate::output::Stream;
use crate::time::Timestamp;
use crate::time::wall_clock::WallClock;
use past::Past;
use records::Writer;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use waiter::Waiter;

/// What a reader thread writes itself, at most: their records fit one write in any format. More is
/// left to the stream's thread, so that at full speed framing and writing go on side by side.
const FEW_FRAMES: usize = 4;
/// The same in octets of frames.
const FEW_OCTETS: usize = 1024;

/// How a stream ended.
#[derive(Debug)]
pub enum End {
    /// With its trailer.
    Finished,
    /// Its reader left.
    ReaderGone,
    /// The program ended, and its reader did not take the rest in time.
    OutOfTime,
    /// It could not be written.
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::ReaderGone,
            _ => Self::Failed(error),
        }
    }
}

/// A stream with its queue: what reader threads offer frames to.
pub struct StreamWriter {
    /// What waits for the stream's thread, and the account of all.
    pub queue: Queue,
    /// Since when it is open.
    pub opened: Timestamp,
    /// Whoever holds it may take queued packets and write. Gone with the stream.
    writer: Mutex<Option<Writer>>,
    /// Whether the stream takes octets without waiting.
    is_nonblocking: bool,
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "for --http"))]
    is_unwritten: bool,
    is_past: bool,
    /// The port whose packets alone it has, if there is one.
    port: Option<usize>,
}

impl StreamWriter {
    /// A stream into `stream`, with its header in `buffer`. With `may_drop` a shortage costs
    /// packets and is not the end.
    pub fn new(
        queue: Queue,
        stream: Stream,
        encoder: Encoder,
        buffer: Vec<u8>,
        wall: Arc<WallClock>,
        may_drop: bool,
    ) -> Self {
        let ports = queue.account.counts().len();
        let (is_nonblocking, opened) = (stream.is_nonblocking(), wall.clock().now());
        let (is_past, port) = (stream.last().is_some(), stream.port());
        let writer = Writer::new(stream, encoder, buffer, ports, wall, may_drop);
        Self {
            queue,
            opened,
            writer: Mutex::new(Some(writer)),
            is_nonblocking,
            is_unwritten: false,
            is_past,
            port,
        }
    }

    /// A stream that is not written: whoever reads it takes what is queued.
    pub fn unwritten(queue: Queue, opened: Timestamp) -> Self {
        let (writer, is_nonblocking) = (Mutex::new(None), false);
        Self {
            queue,
            opened,
            writer,
            is_nonblocking,
            is_unwritten: true,
            is_past: false,
            port: None,
        }
    }

    /// Whether it is the analysis that reads it, and no output.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "for --http"))]
    pub fn is_unwritten(&self) -> bool {
        self.is_unwritten
    }

    /// Whether it has packets of this port.
    pub fn takes(&self, port: usize) -> bool {
        self.port.is_none_or(|only| only == port)
    }

    /// Whether it wants what has come, and nothing that is to come.
    pub fn is_past(&self) -> bool {
        self.is_past
    }

    /// Offers frames; never blocks.
    pub fn offer(&self, range: &FrameRange) {
        if self.is_nonblocking
            && range.len() <= FEW_FRAMES
            && range.octets() <= FEW_OCTETS
            && let Ok(mut writer) = self.writer.try_lock()
            && let Some(writer) = &mut *writer
            && writer.is_idle()
            && !self.queue.has_parcel()
        {
            let missed = self.queue.account.pass(range);
            if writer.write_now(range, missed, &self.queue).is_err() || !writer.is_idle() {
                self.queue.leave_rest();
            }
        } else {
            self.queue.offer(range);
        }
    }

    /// The stream's thread: writes it to its end, and closes it. What is in files comes first, if it
    /// wants that; `copied` hears up to which packet they went. `feed` puts more into the queue, if
    /// there is more that comes before all that is new.
    pub fn run(
        &self,
        past: Option<Past>,
        copied: impl FnOnce(u64),
        feed: impl FnMut() -> bool,
    ) -> End {
        let end = self.write_all(past, copied, feed).err().unwrap_or(End::Finished);
        if let Some(mut writer) = self.lock().take() {
            writer.abandon_unsent(&self.queue.account);
        }
        end
    }

    fn write_all(
        &self,
        past: Option<Past>,
        copied: impl FnOnce(u64),
        mut feed: impl FnMut() -> bool,
    ) -> Result<(), End> {
        let waiter = match &*self.lock() {
            Some(writer) => Waiter::new(&self.queue, writer.stream())?,
            None => return Ok(()),
        };
        if let (Some(past), Some(writer)) = (past, &mut *self.lock()) {
            copied(past.copy(writer, &waiter)?);
        }
        let mut may_be_fed = true;
        loop {
            let mut writer = self.lock();
            let Some(open) = &mut *writer else { return Ok(()) };
            open.write_waiting(&waiter)?;
            may_be_fed = may_be_fed && feed();
            if may_be_fed {
                continue;
            }
            if self.queue.is_next_stream_wanted() {
                open.start_next(&waiter)?;
            }
            if self.queue.is_closing() && !self.queue.has_parcel() {
                return open.end(&waiter);
            }
            let sync_due = open.stream().sync_due();
            drop(writer);
            waiter.for_parcel(sync_due)?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        // A panic elsewhere ends the program.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
