//! A pcapng stream cut into messages, each of which is a capture by itself: section header and
//! interfaces, then whole blocks. Pure.

use crate::decode::Problem;
use crate::decode::pieces::Blocks;

/// Types of blocks (draft-ietf-opsawg-pcapng).
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// Blocks that are one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// A capture by itself.
    pub octets: Vec<u8>,
    /// Packets in it.
    pub packets: u64,
    /// Where in the stream its last block ends.
    pub end: u64,
}

/// Cuts one stream, whose octets come in pieces.
#[derive(Debug, Default)]
pub struct Cutter {
    /// Section header and interfaces, as far as they have come.
    header: Vec<u8>,
    /// What has come and is in no message yet; begins with a whole block, if it has as much.
    rest: Vec<u8>,
    blocks: Blocks,
    /// Where in the stream `rest` begins.
    position: u64,
}

impl Cutter {
    /// Adds what comes next in the stream.
    pub fn push(&mut self, octets: &[u8]) {
        self.rest.extend_from_slice(octets);
    }

    /// Octets that wait to be in a message.
    pub fn waiting(&self) -> usize {
        self.rest.len()
    }

    /// Forgets what waits: it comes once more, from [`position`](Self::position) on.
    pub fn forget_waiting(&mut self) {
        self.rest.clear();
    }

    /// Where in the stream what waits begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next message, of at most so many octets; `None` while no whole block waits. A block that
    /// does not fit is a message that is too long.
    ///
    /// # Errors
    /// When the stream is no pcapng.
    pub fn message(&mut self, longest: usize) -> Result<Option<Message>, Problem> {
        self.take_header()?;
        let mut message = Message { octets: self.header.clone(), ..Message::default() };
        let mut taken = 0;
        while let Some((kind, len)) = self.blocks.first(&self.rest[taken..])? {
            let is_first = taken == 0;
            if kind == SECTION || !is_first && message.octets.len() + len > longest {
                break;
            }
            message.octets.extend_from_slice(&self.rest[taken..][..len]);
            message.packets += u64::from(kind == PACKET);
            taken += len;
        }
        if taken == 0 {
            return Ok(None);
        }
        self.take(taken);
        message.end = self.position;
        Ok(Some(message))
    }

    /// Goes on behind this place of the stream, with the header that is at its beginning.
    ///
    /// # Errors
    /// When the stream is no pcapng.
    pub fn skip_to(&mut self, end: u64) -> Result<(), Problem> {
        self.take_header()?;
        while self.position < end
            && let Some((_, len)) = self.blocks.first(&self.rest)?
        {
            self.take(len);
            self.take_header()?;
        }
        Ok(())
    }

    /// Moves what a section begins with from what waits to the header.
    fn take_header(&mut self) -> Result<(), Problem> {
        while let Some((kind @ (SECTION | INTERFACE), len)) = self.blocks.first(&self.rest)? {
            if kind == SECTION {
                self.header.clear();
            }
            self.header.extend_from_slice(&self.rest[..len]);
            self.take(len);
        }
        Ok(())
    }

    fn take(&mut self, len: usize) {
        self.rest.drain(..len);
        self.position += len as u64;
    }
}

/// How many octets of a message are section header and interfaces.
///
/// # Errors
/// When it is no pcapng.
pub fn header_len(message: &[u8]) -> Result<usize, Problem> {
    let (mut blocks, mut len) = (Blocks::default(), 0);
    while let Some((SECTION | INTERFACE, block)) = blocks.first(&message[len..])? {
        len += block;
    }
    Ok(len)
}
