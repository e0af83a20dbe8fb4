//! Packets for a store: a stream of pcapng, cut into messages that JetStream keeps.
//!
//! The stream is one like any other: its writer fills a socket, whose other end is here. So its queue,
//! its counts and what it misses are those of any reader: while the server is away the socket fills,
//! then the queue, and what is dropped after that is counted in the stream itself. One thread talks to
//! the server, with a runtime of its own that nobody else sees.
//!
//! Each message is stored once, and in order. There is one on its way at a time, and the server takes
//! it only behind the one that we know to be the last (`Nats-Expected-Last-Subject-Sequence`). After any
//! doubt, such as a lost acknowledgement, the server is asked what it has: the message's id tells
//! whether ours has arrived. So nothing hangs on how long a server remembers ids, and another serialshark
//! that stores packets under the same name is noticed: it is left alone, and ours go to a name beside it.
//!
//! With a [`spool`] the stream goes into files first, and nothing is lost while the disk has room.

mod pipe;
mod spool;

use super::Stream;
use super::permissions::Permissions;
use crate::decode::Problem;
use crate::error::Error;
use crate::nats::address::{Account, Address, Trunk};
use crate::nats::batch::Message;
use crate::nats::connection::{Connection, PATIENCE, last_of, why};
use crate::outage::Outage;
use crate::time::Timestamp;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream;
use chrono::DateTime;
use log::{info, warn};
use pipe::Pipe;
use spool::Spool;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long the end of the program waits for the server.
const GRACE: Duration = Duration::from_millis(400);
/// Octets of the largest message.
const LARGEST: usize = 64 << 10;
/// What a message's headers may take of what a server allows.
const HEADERS: usize = 512;
/// How long a server must remember ids of messages, at most.
const DUPLICATES: Duration = Duration::from_secs(120);

/// How much of a trunk is kept where no stream for it exists yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// For how long.
    pub age: Duration,
    /// Octets.
    pub octets: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { age: Duration::from_secs(7 * 86_400), octets: 1_000_000_000 }
    }
}

/// Where packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server, and the trunk there.
    pub address: Address,
    /// The port that it is, where each is a trunk of its own.
    pub port: Option<usize>,
    /// What is kept of it.
    pub keep: Keep,
    /// Where packets wait for the server, if not in memory.
    pub spool: Option<PathBuf>,
}

/// Where the messages come from.
enum Intake {
    Pipe(Pipe),
    Spool(Box<Spool>),
}

/// Puts one stream into a store.
pub struct Publisher {
    name: String,
    account: Account,
    keep: Keep,
    typed: Trunk,
    intake: Mutex<Option<Intake>>,
    /// What ids of messages begin with.
    run: String,
    closing: Notify,
    /// Whether the stream has come to its end.
    is_written: AtomicBool,
}

/// A message on its way.
struct Pending {
    id: String,
    message: Message,
}

/// What is known of the store, and what is on its way there.
struct Session {
    trunk: Trunk,
    intake: Intake,
    next: u64,
    pending: Option<Pending>,
    /// The sequence number of our last message, if there is one.
    stored: Option<u64>,
    /// Octets of the largest message that it takes, without headers.
    longest: usize,
    /// Packets that the server takes in no message.
    too_large: u64,
    outage: Outage,
}

/// Publishes a message behind the `expected` one of its trunk; it is stored once that is acknowledged.
fn publish(
    connection: &Connection,
    trunk: &Trunk,
    pending: &Pending,
    expected: u64,
) -> impl Future<Output = Result<PublishAck, PublishError>> + use<> {
    let message = PublishMessage::build()
        .payload(pending.message.octets.clone().into())
        .message_id(&pending.id)
        .expected_last_subject_sequence(expected);
    let (jetstream, subject) = (connection.jetstream.clone(), trunk.subject());
    async move {
        let sent = jetstream.send_publish(subject, message).await?;
        let acknowledged = tokio::time::timeout(PATIENCE, sent).await;
        acknowledged.unwrap_or_else(|_| Err(PublishErrorKind::TimedOut.into()))
    }
}

impl Publisher {
    /// For this target; also the stream whose packets go there.
    ///
    /// # Errors
    /// When there are no descriptors left, or there cannot be files in the spool.
    pub fn new(
        target: &Target,
        permissions: Permissions,
        now: Timestamp,
    ) -> Result<(Self, Stream), Error> {
        let name = target.address.to_string();
        let cannot = |error| Error::new(&name, "cannot be written to").because(error);
        if now.is_of_unset_clock() {
            let date = DateTime::from_timestamp_nanos(now.as_ns().cast_signed()).date_naive();
            warn!(
                "{name}: this machine's clock says {date}: packets have such times until it is set"
            );
        }
        let (intake, stream, run) = if let Some(directory) = &target.spool {
            let (spool, stream, run) =
                Spool::open(directory, &target.address.trunk, permissions, now)?;
            (Intake::Spool(Box::new(spool)), stream, run)
        } else {
            let (pipe, sink) = Pipe::new().map_err(cannot)?;
            (Intake::Pipe(pipe), Stream::new(&name, sink, None), run_id())
        };
        let publisher = Self {
            account: target.address.account.clone(),
            keep: target.keep,
            typed: target.address.trunk.clone(),
            intake: Mutex::new(Some(intake)),
            run,
            closing: Notify::new(),
            is_written: AtomicBool::new(false),
            name,
        };
        Ok((publisher, stream.of_port(target.port)))
    }

    /// The stream is at its end: [`run`](Self::run) returns in less than half a second.
    pub fn close(&self) {
        self.is_written.store(true, Ordering::Release);
        self.closing.notify_one();
    }

    /// Stores what comes, until the stream is at its end and all of it is stored, or until shortly
    /// after [`close`](Self::close).
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn run(&self) -> io::Result<()> {
        let intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(intake) = intake else { return Ok(()) };
        let mut session = Session {
            trunk: self.typed.clone(),
            intake,
            next: 0,
            pending: None,
            stored: None,
            longest: LARGEST,
            too_large: 0,
            outage: Outage::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            if let Intake::Pipe(pipe) = &mut session.intake {
                pipe.begin()?;
            }
            let late = async {
                self.closing.notified().await;
                sleep(GRACE).await;
            };
            tokio::select! {
                () = self.work(&mut session) => {}
                () = late => {}
            }
            session.tell_unstored(&self.name);
            io::Result::Ok(())
        })?;
        // A name that is looked up is not waited for.
        runtime.shutdown_background();
        Ok(())
    }

    /// One connection after another.
    async fn work(&self, session: &mut Session) {
        while let Err(error) = self.connection(session).await {
            let why = format!("packets cannot be stored: {error}");
            let patience = session.outage.begin(&self.name, &why);
            sleep(patience).await;
        }
    }

    /// Until it is lost, or all is stored and the stream at its end.
    async fn connection(&self, session: &mut Session) -> Result<(), String> {
        let connection = Connection::open(&self.account).await?;
        self.store(&connection, session).await.map_err(|why| connection.explained(why))
    }

    async fn store(&self, connection: &Connection, session: &mut Session) -> Result<(), String> {
        let mut expected = self.expected(connection, session).await?;
        // One that does not take what waits is not there yet.
        let mut is_there = session.pending.is_none();
        if is_there {
            session.outage.end(&self.name);
        }
        let mut surprises = 0;
        loop {
            let longest = session.longest;
            let pending = match session.pending.take() {
                Some(pending) => pending,
                None => {
                    let message = tokio::select! {
                        message = session.intake.next(longest, &self.is_written) => message,
                        () = connection.lost() => return Err("the connection is lost".to_owned()),
                    };
                    match message.map_err(|problem| problem.to_string())? {
                        Some(message) => session.pending(&self.run, message),
                        None => return Ok(()),
                    }
                }
            };
            if pending.message.octets.len() > longest {
                session.skip(&self.name, pending.message.packets);
                continue;
            }
            let published = publish(connection, &session.trunk, &pending, expected);
            // It stays pending until we know that it has arrived.
            session.pending = Some(pending);
            let acknowledged = tokio::select! {
                acknowledged = published => acknowledged,
                () = connection.lost() => return Err("the connection is lost".to_owned()),
            };
            match acknowledged {
                Ok(acknowledgement) => {
                    surprises = 0;
                    if !std::mem::replace(&mut is_there, true) {
                        session.outage.end(&self.name);
                    }
                    expected = acknowledgement.sequence;
                    session.is_stored(expected);
                }
                // Something else was stored behind our last one, or the oldest were deleted.
                Err(error)
                    if error.kind() == PublishErrorKind::WrongLastSequence && surprises < 3 =>
                {
                    surprises += 1;
                    expected = self.expected(connection, session).await?;
                }
                Err(error) if error.kind() == PublishErrorKind::StreamNotFound => {
                    return Err(format!("no stream takes {}", session.trunk.subject()));
                }
                Err(error) => return Err(why(&error)),
            }
        }
    }

    /// Behind which message of the trunk the next one is to be stored. Sees to it that there is a
    /// stream for it, and finds out whether the pending one has arrived.
    async fn expected(
        &self,
        connection: &Connection,
        session: &mut Session,
    ) -> Result<u64, String> {
        loop {
            let stream = match connection.stream_of(&session.trunk).await? {
                Some(stream) => stream,
                None => self.make_stream(connection, &session.trunk).await?,
            };
            // Below zero it has no limit.
            let limit = usize::try_from(stream.cached_info().config.max_message_size);
            let limit = limit.ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
            let limit = limit.min(connection.largest_message());
            session.longest = limit.saturating_sub(HEADERS).min(LARGEST);
            let Some(last) = last_of(&stream, &session.trunk).await? else { return Ok(0) };
            let id = last.headers.get(NATS_MESSAGE_ID).map_or("", |id| id.as_str());
            let is_ours = id.starts_with(&self.run);
            if session.pending.as_ref().is_some_and(|pending| pending.id == id) {
                session.is_stored(last.sequence);
            } else if let Some(tag) = id.strip_prefix(&self.run).filter(|_| session.is_new())
                && let Intake::Spool(spool) = &mut session.intake
            {
                let tag = tag.trim_start_matches('-');
                spool.resume(tag).map_err(|problem| problem.to_string())?;
            }
            if is_ours || session.stored.is_none_or(|stored| last.sequence <= stored) {
                return Ok(last.sequence);
            }
            let beside = self.beside();
            warn!(
                "{}: another serialshark stores packets under this name too; those of this one go to \
                 {beside} from now on; give each a name of its own",
                self.name
            );
            (session.trunk, session.stored) = (beside, None);
        }
    }

    /// A name beside that of the trunk, which another one has too.
    fn beside(&self) -> Trunk {
        let tail = self.run.get(self.run.len().saturating_sub(4)..).unwrap_or_default();
        // Names have a longest length.
        let name = self.typed.name.get(..self.typed.name.len().min(59)).unwrap_or_default();
        Trunk { site: self.typed.site.clone(), name: format!("{name}-{tail}") }
    }

    async fn make_stream(
        &self,
        connection: &Connection,
        trunk: &Trunk,
    ) -> Result<stream::Stream, String> {
        let config = stream::Config {
            name: trunk.stream(),
            subjects: vec![trunk.subject()],
            description: Some("serialshark: packets of a serial line, pcapng".to_owned()),
            max_age: self.keep.age,
            max_bytes: i64::try_from(self.keep.octets).unwrap_or(i64::MAX),
            duplicate_window: DUPLICATES.min(self.keep.age),
            ..stream::Config::default()
        };
        let stream = connection
            .jetstream
            .create_stream(config)
            .await
            .map_err(|error| format!("cannot make a stream for {trunk}: {}", why(&error)))?;
        info!("{}: made the stream {}", self.name, trunk.stream());
        Ok(stream)
    }
}

impl Intake {
    async fn next(
        &mut self,
        longest: usize,
        is_written: &AtomicBool,
    ) -> Result<Option<Message>, Problem> {
        match self {
            Self::Pipe(pipe) => pipe.next(longest).await,
            Self::Spool(spool) => spool.next(longest, is_written).await,
        }
    }
}

impl Session {
    fn pending(&mut self, run: &str, message: Message) -> Pending {
        let id = match &self.intake {
            Intake::Pipe(_) => format!("{run}-{}", self.next),
            Intake::Spool(spool) => format!("{run}-{}", spool.tag(&message)),
        };
        self.next += 1;
        Pending { id, message }
    }

    /// Whether nothing was stored yet, and nothing is on its way.
    fn is_new(&self) -> bool {
        self.stored.is_none() && self.pending.is_none()
    }

    /// The pending message is in the store.
    fn is_stored(&mut self, sequence: u64) {
        self.stored = Some(sequence);
        self.pending = None;
    }

    /// Leaves out packets that the server does not take; the first ones are told at once.
    fn skip(&mut self, name: &str, packets: u64) {
        if self.too_large == 0 && packets > 0 {
            warn!("{name}: some packets are not stored: the server takes no message so large");
        }
        self.too_large += packets;
    }

    /// Tells of packets that did not get into the store.
    fn tell_unstored(&mut self, name: &str) {
        if self.too_large > 0 {
            let packets = self.too_large;
            warn!(
                "{name}: {packets} packets were too large for the server; see its max_payload, and the stream's max_msg_size"
            );
        }
        let pending = self.pending.take().map_or(0, |pending| pending.message.packets);
        match &mut self.intake {
            Intake::Spool(spool) if pending > 0 || spool.has_some() => {
                info!("{name}: packets wait in the spool; they are stored at the next start");
            }
            Intake::Spool(_) => {}
            Intake::Pipe(pipe) => {
                let lost = pending + pipe.rest();
                if lost > 0 {
                    warn!("{name}: {lost} packets are not stored: the server did not take them");
                }
            }
        }
    }
}

/// What ids of messages of this run begin with: the boot id of the machine, and what no other run has.
fn run_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("{boot}-{:016x}", RandomState::new().hash_one(std::process::id()))
}
