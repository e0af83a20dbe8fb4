//! What an answer carries: all at once, packets as they come, or events.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
#[cfg(windows)]
pub use tokio::net::TcpStream as PairEnd;
#[cfg(unix)]
pub use tokio::net::UnixStream as PairEnd;
use tokio::sync::mpsc::Receiver;

/// Octets of packets that are sent in one piece.
const PIECE: usize = 16 << 10;

/// The body of an answer.
pub enum Content {
    /// All of it.
    Whole(Option<Bytes>),
    /// Packets, from the other end of a pair of sockets.
    Packets(PairEnd),
    /// Events, as they happen.
    Events(Receiver<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match &mut *self {
            Self::Whole(octets) => octets.take().map(|octets| Ok(Frame::data(octets))),
            Self::Events(events) => {
                ready!(events.poll_recv(context)).map(|event| Ok(Frame::data(event)))
            }
            Self::Packets(stream) => {
                let mut octets = [0; PIECE];
                let mut read = ReadBuf::new(&mut octets);
                match ready!(Pin::new(stream).poll_read(context, &mut read)) {
                    Err(error) => Some(Err(error)),
                    Ok(()) if read.filled().is_empty() => None,
                    Ok(()) => Some(Ok(Frame::data(Bytes::copy_from_slice(read.filled())))),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(octets) => {
                SizeHint::with_exact(octets.as_ref().map_or(0, |octets| octets.len() as u64))
            }
            _ => SizeHint::default(),
        }
    }
}
