//! What an answer carries: all at once, packets as they come, or events.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
#[cfg(windows)]
pub use tokio::net::TcpStream as PairEnd;
#[cfg(unix)]
pub use tokio::net::UnixStream as PairEnd;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::Instant;

/// Octets of packets that are sent in one piece.
const PIECE: usize = 16 << 10;
/// How long a client may take for an answer that ends, and for the rest of one that has ended.
const ANSWER: Duration = Duration::from_secs(30);

/// Until when the client of a connection must have taken what it was answered.
#[derive(Clone)]
pub struct Due(Arc<watch::Sender<When>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// By then.
    At(Instant),
    /// When it has all of it, however long that takes.
    Later,
    /// What it is answered has no end.
    Never,
}

impl Due {
    /// Of a client that has said nothing yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(When::At(Instant::now() + ANSWER))))
    }

    /// It is answered now.
    pub fn renew(&self) {
        self.0.send_replace(When::At(Instant::now() + ANSWER));
    }

    /// It may take its time for what it is answered, until this is dropped; `endless` if that has no end
    /// of its own.
    pub fn suspend(&self, endless: bool) -> Suspended {
        self.0.send_replace(if endless { When::Never } else { When::Later });
        Suspended(self.clone())
    }

    /// Returns when it is answered something without end.
    pub async fn never(&self) {
        // We hold the sender.
        let _ = self.0.subscribe().wait_for(|when| *when == When::Never).await;
    }

    /// Returns when it has taken too long.
    pub async fn passed(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let due = *changes.borrow_and_update();
            let passed = async {
                match due {
                    When::At(due) => tokio::time::sleep_until(due).await,
                    When::Later | When::Never => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                _ = changes.changed() => {}
            }
        }
    }
}

/// An answer without end, which is not due before this is dropped.
pub struct Suspended(Due);

impl Drop for Suspended {
    fn drop(&mut self) {
        self.0.renew();
    }
}

/// The body of an answer.
pub enum Content {
    /// All of it.
    Whole(Option<Bytes>),
    /// Packets, from the other end of a pair of sockets.
    Packets(PairEnd, #[expect(dead_code, reason = "held until the end")] Suspended),
    /// Events, as they happen.
    Events(Receiver<Bytes>, #[expect(dead_code, reason = "held until the end")] Suspended),
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
            Self::Events(events, _) => {
                ready!(events.poll_recv(context)).map(|event| Ok(Frame::data(event)))
            }
            Self::Packets(stream, _) => {
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
