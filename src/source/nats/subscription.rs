//! The connection that trunks are read by: one thread for all of a query, with a runtime of its own
//! that nobody else sees.
//!
//! Each trunk has a socket, into which its messages go as one stream; what all of them begin with goes
//! in once. While nobody reads it, nothing more is asked of the server. A connection that is lost is
//! made anew, and each trunk goes on behind its last message. What is wrong with one trunk is wrong with
//! that one alone: the others are read all the same.

use crate::decode;
use crate::decode::pieces::Pieces;
use crate::error::Error;
use crate::nats::address::Trunk;
use crate::nats::batch::header_len;
use crate::nats::connection::{Connection, first_of, last_of, why};
use crate::nats::query::{Place, Query, Range};
use crate::outage::Outage;
use crate::sys::Waker;
use crate::time::Timestamp;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::message::Message;
use chrono::DateTime;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use log::{Level, info, warn};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Octets that are asked of a server at once, of each trunk.
const AHEAD: i64 = 1 << 20;
/// How often it is looked whether the program is to end, while a server is asked for its trunks.
const LOOK: Duration = Duration::from_millis(50);

/// How far the clock of a machine that stores packets may be ahead of the server's, in nanoseconds:
/// what the server got so long before a time may have been heard after it.
const AHEAD_NS: u64 = 600 * 1_000_000_000;
/// How often it is looked whether there are other trunks.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(15);
/// How long a connection that fails a trunk may take to show that it is lost: then all of them fail.
const A_MOMENT: Duration = Duration::from_secs(1);
/// More trunks than this are not read: each has a thread.
const MOST: usize = 1000;

/// The thread that reads; ends when this is dropped.
pub struct Subscription {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// A trunk, for who reads it.
pub struct Feed {
    pub trunk: Trunk,
    /// What its packets say of their line.
    pub interface: decode::Interface,
    pub socket: OwnedFd,
    pub is_caught_up: Arc<AtomicBool>,
    /// Whether more comes than was stored.
    pub goes_on: bool,
}

/// A trunk, as far as it was read.
struct Reading {
    trunk: Trunk,
    socket: UnixStream,
    next: DeliverPolicy,
    /// What is asked for.
    range: Range,
    /// What its messages begin with.
    header: Vec<u8>,
    /// What has come, of which `sent` octets are in the socket.
    octets: Vec<u8>,
    sent: usize,
    /// Whether all that was asked for is in the socket, or nobody wants it any more.
    is_over: bool,
    /// Whether it was told that there are messages of somebody else.
    is_warned: bool,
    outage: Outage,
    is_caught_up: Arc<AtomicBool>,
    goes_on: bool,
}

/// What becomes of a connection that was given up.
enum Next {
    /// All trunks are over, or another connection is to go on.
    Go,
    /// There are other trunks to follow.
    Others,
}

/// A trunk that the server has: what its last message says of its line, and that message's number.
type Known = (Trunk, decode::Interface, u64);

/// What a server that is asked for a trunk has.
enum Asked {
    Packets(Known),
    /// A stream at most.
    Nothing,
    /// Messages of somebody else.
    Strange,
}

impl Subscription {
    /// Asks for the trunks of a query, and begins to read them; with `follows` until there are other ones,
    /// which is the end of all. `None` when `stop` was woken first.
    ///
    /// # Errors
    /// When the server cannot be asked, or has no such trunk.
    pub fn start(
        query: &Query,
        follows: bool,
        now: Timestamp,
        stop: &Waker,
    ) -> Result<Option<(Self, Vec<Feed>)>, Error> {
        let name = query.address.to_string();
        let cannot = |error: io::Error| Error::new(&name, "cannot read").because(error);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let found = runtime.block_on(async {
            tokio::select! {
                found = find(query) => Some(found),
                () = stopped(stop) => None,
            }
        });
        let Some(found) = found else { return Ok(None) };
        let (connection, trunks) = found?;
        let goes_on = query.range.goes_on && query.range.to.is_none_or(|to| to > now);
        let (mut feeds, mut readings) = (Vec::new(), Vec::new());
        for (trunk, interface, last) in trunks {
            let (ours, theirs) = StdStream::pair().map_err(cannot)?;
            ours.set_nonblocking(true).map_err(cannot)?;
            theirs.set_nonblocking(true).map_err(cannot)?;
            let _in_runtime = runtime.enter();
            let is_caught_up = Arc::<AtomicBool>::default();
            readings.push(Reading {
                trunk: trunk.clone(),
                socket: UnixStream::from_std(ours).map_err(cannot)?,
                next: first(query.range, last),
                range: query.range,
                header: Vec::new(),
                octets: Vec::new(),
                sent: 0,
                is_over: false,
                is_warned: false,
                outage: Outage::new(),
                is_caught_up: Arc::clone(&is_caught_up),
                goes_on,
            });
            feeds.push(Feed { trunk, interface, socket: theirs.into(), is_caught_up, goes_on });
        }
        let stop = Arc::new(Notify::new());
        let (stopped, query) = (Arc::clone(&stop), query.clone());
        let thread = std::thread::Builder::new()
            .name("nats".to_owned())
            .spawn(move || run(&runtime, connection, &query, follows, readings, &stopped))
            .map_err(cannot)?;
        Ok(Some((Self { stop, thread: Some(thread) }, feeds)))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where the server is to begin.
fn first(range: Range, last: u64) -> DeliverPolicy {
    match range.from {
        // No packet is stored before it was heard, as far as clocks agree.
        Some(from) => DeliverPolicy::ByStartTime {
            start_time: DateTime::from_timestamp_nanos(
                from.minus_ns(AHEAD_NS).as_ns().cast_signed(),
            ),
        },
        None => DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
    }
}

async fn stopped(stop: &Waker) {
    while !stop.wait(Duration::ZERO) {
        sleep(LOOK).await;
    }
}

/// Connects, and finds the trunks.
async fn find(query: &Query) -> Result<(Connection, Vec<Known>), Error> {
    let (account, pattern) = (&query.address.account, &query.address.trunk);
    let connection = Connection::open(account)
        .await
        .map_err(|why| Error::new(account, format!("cannot connect: {why}")))?;
    let cannot = |why: String| {
        Error::new(account, format!("cannot be asked: {}", connection.explained(why)))
    };
    let trunks = if pattern.is_pattern() {
        connection.trunks(pattern).await.map_err(cannot)?
    } else {
        vec![pattern.clone()]
    };
    let mut known = Vec::new();
    for trunk in &trunks {
        if known.len() == MOST {
            warn!("{account}: has more than {MOST} trunks: the others are not read");
            break;
        }
        match ask(&connection, trunk).await? {
            Asked::Packets(found) => known.push(found),
            Asked::Nothing => {}
            Asked::Strange => {
                let error = Error::new(trunk, "has messages that are not of serialshark");
                if !pattern.is_pattern() {
                    return Err(error);
                }
                error.log(Level::Warn);
            }
        }
    }
    if known.is_empty() {
        let all = Trunk { site: "*".to_owned(), name: "*".to_owned() };
        let all = connection.trunks(&all).await.map_err(cannot)?;
        let is_there = all.contains(pattern);
        let all: Vec<_> = all.iter().take(10).map(Trunk::to_string).collect();
        let hint = if is_there {
            "it has a stream for them, in which there are none (any more)".to_owned()
        } else if all.is_empty() {
            format!("it has none; to store one: serialshark PORT --nats {account}/SITE.TRUNK")
        } else {
            format!("it has {}", all.join(", "))
        };
        return Err(Error::new(account, format!("has no packets of {pattern}")).hint(hint));
    }
    Ok((connection, known))
}

/// What the server has of a trunk.
async fn ask(connection: &Connection, trunk: &Trunk) -> Result<Asked, Error> {
    let cannot = |why: String| {
        Error::new(trunk, format!("cannot be asked for: {}", connection.explained(why)))
    };
    let Some(stream) = connection.stream_of(trunk).await.map_err(cannot)? else {
        return Ok(Asked::Nothing);
    };
    let Some(last) = last_of(&stream, trunk).await.map_err(cannot)? else {
        return Ok(Asked::Nothing);
    };
    let mut interface = interface_of(&last.payload);
    if interface.is_none() {
        // Somebody else may have stored one message among ours.
        let first = first_of(&stream, trunk).await.map_err(cannot)?;
        interface = first.and_then(|first| interface_of(&first.payload));
    }
    Ok(match interface {
        Some(interface) => Asked::Packets((trunk.clone(), interface, last.sequence)),
        None => Asked::Strange,
    })
}

/// What a message says of the line; `None` if it is not of serialshark: one that is not whole, or no
/// pcapng, would spoil what comes behind it.
fn interface_of(message: &[u8]) -> Option<decode::Interface> {
    let mut pieces = Pieces::default();
    pieces.push(message, |_| {}).ok()?;
    pieces.interfaces().first().filter(|_| pieces.is_whole()).cloned()
}

/// The thread.
fn run(
    runtime: &Runtime,
    connection: Connection,
    query: &Query,
    follows: bool,
    mut readings: Vec<Reading>,
    stop: &Notify,
) {
    runtime.block_on(async {
        tokio::select! {
            () = read_all(connection, query, follows, &mut readings) => {}
            () = stop.notified() => {}
        }
    });
}

/// One connection after another, until all trunks are over, or there are other ones to follow.
async fn read_all(first: Connection, query: &Query, follows: bool, readings: &mut [Reading]) {
    let (mut connection, mut outage) = (Some(first), Outage::new());
    let name = query.address.to_string();
    while readings.iter().any(|reading| !reading.is_over) {
        let opened = match connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&query.address.account).await.inspect(|_| outage.end(&name)),
        };
        let result = match opened {
            Ok(connection) => read_by(&connection, &query.address.trunk, follows, readings).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(Next::Go) => {}
            Ok(Next::Others) => return,
            Err(error) => {
                // Meanwhile there may be more on the server.
                for reading in &*readings {
                    reading.is_caught_up.store(false, Ordering::Release);
                }
                let why = format!("packets cannot be read: {error}");
                sleep(outage.begin(&name, &why)).await;
            }
        }
    }
}

/// Until the connection is lost, or all trunks are over, or there are other ones to follow.
async fn read_by(
    connection: &Connection,
    pattern: &Trunk,
    follows: bool,
    readings: &mut [Reading],
) -> Result<Next, String> {
    let known: BTreeSet<Trunk> = readings.iter().map(|reading| reading.trunk.clone()).collect();
    // Where all trunks are gone nothing is read for long enough to look again.
    if follows && has_others(connection, pattern, &known).await {
        return Ok(Next::Others);
    }
    let all = join_all(readings.iter_mut().map(|reading| reading.keep_on(connection)));
    tokio::select! {
        _ = all => Ok(Next::Go),
        () = connection.lost() => Err("the connection is lost".to_owned()),
        () = look(connection, pattern, follows, known) => Ok(Next::Others),
    }
}

/// Looks for other trunks, and returns when there are some that are to be followed; of others it tells
/// once.
async fn look(connection: &Connection, pattern: &Trunk, follows: bool, mut known: BTreeSet<Trunk>) {
    loop {
        sleep(LOOK_FOR_OTHERS).await;
        if !pattern.is_pattern() {
            continue;
        }
        if follows {
            if has_others(connection, pattern, &known).await {
                return;
            }
            continue;
        }
        for trunk in connection.trunks(pattern).await.unwrap_or_default() {
            if known.insert(trunk.clone()) {
                info!("{trunk}: is new on the server: start again to read it too");
            }
        }
    }
}

/// Whether there are trunks that are not known, or fewer than are; which is told. As long as there is
/// none at all, those that were are as good as any.
async fn has_others(connection: &Connection, pattern: &Trunk, known: &BTreeSet<Trunk>) -> bool {
    let Ok(trunks) = connection.trunks(pattern).await else { return false };
    let mut new = Vec::new();
    for trunk in trunks.iter().filter(|trunk| !known.contains(trunk)) {
        // One without packets has nothing to be shown yet.
        if known.len() + new.len() < MOST
            && matches!(ask(connection, trunk).await, Ok(Asked::Packets(_)))
        {
            new.push(trunk);
        }
    }
    let is_left = !new.is_empty() || known.iter().any(|trunk| trunks.contains(trunk));
    let gone: Vec<_> = known.iter().filter(|trunk| is_left && !trunks.contains(trunk)).collect();
    new.iter().for_each(|trunk| info!("{trunk}: is new on the server"));
    gone.iter().for_each(|trunk| info!("{trunk}: is gone from the server"));
    !new.is_empty() || !gone.is_empty()
}

impl Reading {
    /// Reads one trunk until it is over, also where that fails for it alone.
    async fn keep_on(&mut self, connection: &Connection) {
        while let Err(error) = self.run(connection).await {
            self.is_caught_up.store(false, Ordering::Release);
            sleep(A_MOMENT).await;
            let why = format!("packets cannot be read: {}", connection.explained(error));
            sleep(self.outage.begin(&self.trunk.to_string(), &why)).await;
        }
    }

    /// Reads one trunk until it is over.
    async fn run(&mut self, connection: &Connection) -> Result<(), String> {
        if !self.flush().await {
            return Ok(());
        }
        let stream = connection.stream_of(&self.trunk).await?;
        let stream =
            stream.ok_or_else(|| format!("there is no stream of {} any more", self.trunk))?;
        let config = pull::OrderedConfig {
            filter_subject: self.trunk.subject(),
            deliver_policy: self.next,
            max_bytes: AHEAD,
            ..pull::OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| why(&error))?;
        let mut pending = consumer.cached_info().num_pending;
        let mut messages = consumer.messages().await.map_err(|error| why(&error))?;
        loop {
            if pending == 0 {
                self.is_caught_up.store(true, Ordering::Release);
                if !self.goes_on {
                    let _ = self.socket.shutdown().await;
                    self.is_over = true;
                    return Ok(());
                }
            }
            let Some(message) = messages.next().await else {
                return Err("the server sends no more".to_owned());
            };
            let message = message.map_err(|error| why(&error))?;
            let info = message.info().map_err(|error| error.to_string())?;
            pending = info.pending;
            let stored_ns = info.published.timestamp_nanos_opt().unwrap_or(i64::MAX);
            let stored = Timestamp::from_ns(u64::try_from(stored_ns).unwrap_or_default());
            self.next = DeliverPolicy::ByStartSequence { start_sequence: info.stream_sequence + 1 };
            if !self.is_outside(&message, stored) {
                self.take(&message)?;
            }
            if !self.flush().await {
                return Ok(());
            }
        }
    }

    /// Whether a message that was `stored` then is not of what is asked for although its packets do
    /// not say so: the clock by which they were heard was not set.
    fn is_outside(&self, message: &Message, stored: Timestamp) -> bool {
        if self.range.place(stored) == Place::Inside {
            return false;
        }
        let (mut has_unset, mut has_inside) = (false, false);
        let read = Pieces::default().push(&message.payload, |packet| {
            let time = packet.time.unwrap_or_default();
            has_unset |= time.is_of_unset_clock();
            has_inside |= !time.is_of_unset_clock() && self.range.place(time) == Place::Inside;
        });
        has_unset && !has_inside && read.is_ok()
    }

    /// Takes the octets of a message; what it begins with only where it is not that of the one before.
    fn take(&mut self, message: &Message) -> Result<(), String> {
        let payload = &message.payload;
        if interface_of(payload).is_none() {
            if !std::mem::replace(&mut self.is_warned, true) {
                warn!(
                    "{}: has messages that are not of serialshark: they are left out",
                    self.trunk
                );
            }
            return Ok(());
        }
        let len = header_len(payload).map_err(|problem| problem.to_string())?;
        let (header, blocks) = payload.split_at(len);
        if header != self.header {
            self.octets.extend_from_slice(header);
            self.header = header.to_vec();
        }
        self.octets.extend_from_slice(blocks);
        Ok(())
    }

    /// Writes what is left; `false` if nobody reads it any more. May be given up at any time.
    async fn flush(&mut self) -> bool {
        while self.sent < self.octets.len() {
            match self.socket.write(&self.octets[self.sent..]).await {
                Ok(len) if len > 0 => self.sent += len,
                _ => {
                    self.is_over = true;
                    return false;
                }
            }
        }
        self.octets.clear();
        self.sent = 0;
        !self.is_over
    }
}
