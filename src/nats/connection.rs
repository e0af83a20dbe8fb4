//! A connection to a NATS server, and what its errors mean. Everything here runs on a runtime that
//! whoever calls it has made.

use super::address::{Account, Trunk};
use async_nats::jetstream::context::{
    GetStreamByNameErrorKind, GetStreamErrorKind, PublishErrorKind, RequestErrorKind,
};
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, message::StreamMessage};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError};
use futures_util::StreamExt as _;
use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long a server may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, until it is lost. Whoever goes on then makes a new one.
pub struct Connection {
    client: Client,
    /// The server's store.
    pub jetstream: jetstream::Context,
    lost: watch::Receiver<bool>,
    /// What the server has said that it refuses. It does not answer then.
    complaint: Arc<Mutex<Option<String>>>,
}

impl Connection {
    /// Connects once.
    ///
    /// # Errors
    /// Why not, and what to do where the user can.
    pub async fn open(account: &Account) -> Result<Self, String> {
        let (told, lost) = watch::channel(false);
        let complaint = Arc::<Mutex<Option<String>>>::default();
        let heard = Arc::clone(&complaint);
        let mut options = ConnectOptions::new()
            .name("serialshark")
            .connection_timeout(PATIENCE)
            .max_reconnects(1)
            .ping_interval(Duration::from_secs(15))
            .require_tls(account.tls)
            .event_callback(move |event| {
                match event {
                    Event::Disconnected | Event::Closed => drop(told.send_replace(true)),
                    Event::ServerError(ServerError::Other(said)) => {
                        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
                    }
                    _ => {}
                }
                std::future::ready(())
            });
        let server = &account.server;
        if let Some(user) = &server.user {
            let password = server.password.clone().unwrap_or_default();
            options = options.user_and_password(user.clone(), password);
        }
        if let Some(path) = &account.credentials {
            let unreadable = |error: std::io::Error| {
                format!("{}: cannot read: {}", path.display(), crate::error::words_of(&error))
            };
            options = options.credentials_file(path).await.map_err(unreadable)?;
        }
        if let Some(path) = &account.authorities {
            options = options.add_root_certificates(path.clone());
        }
        let scheme = if account.tls { "tls" } else { "nats" };
        let client = options
            .connect(format!("{scheme}://{}", server.place()))
            .await
            .map_err(|error| why_not(error.kind(), &error))?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(PATIENCE);
        Ok(Self { client, jetstream, lost, complaint })
    }

    /// Why something failed: what the server has said of it, if it has.
    pub fn explained(&self, why: String) -> String {
        let said = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take();
        said.map_or(why, |said| format!("the server says: {}", said.trim_start_matches("nats: ")))
    }

    /// Returns when the connection is lost.
    pub async fn lost(&self) {
        // The sender is gone with the connection.
        let _ = self.lost.clone().wait_for(|lost| *lost).await;
    }

    /// Octets of the largest message that the server takes.
    pub fn largest_message(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// The stream that keeps the packets of a trunk, if there is one.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub async fn stream_of(&self, trunk: &Trunk) -> Result<Option<Stream>, String> {
        let name = match self.jetstream.stream_by_subject(trunk.subject()).await {
            Ok(name) => name,
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => {
                // One that has them from another server has no subjects of its own.
                match self.jetstream.get_stream(trunk.stream()).await {
                    Ok(stream) => return Ok(Some(stream)),
                    Err(error) => return not_found(&error.kind(), &error),
                }
            }
            Err(error) => return Err(why(&error)),
        };
        match self.jetstream.get_stream(name).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => not_found(&error.kind(), &error),
        }
    }

    /// All trunks that fit a pattern and have a stream, in the order of their names.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub async fn trunks(&self, pattern: &Trunk) -> Result<Vec<Trunk>, String> {
        let mut trunks = BTreeSet::new();
        let mut streams = self.jetstream.streams();
        while let Some(stream) = streams.next().await {
            let config = stream.map_err(|error| why(&error))?.config;
            let mut found: Vec<_> =
                config.subjects.iter().filter_map(|subject| Trunk::of_subject(subject)).collect();
            found.extend(Trunk::of_stream(&config.name));
            // One stream for many trunks: which they are is what it holds.
            if config.subjects.iter().any(|subject| subject.contains(['*', '>'])) {
                found.extend(self.trunks_in(&config.name).await?);
            }
            trunks.extend(found);
        }
        trunks.retain(|trunk| pattern.has(trunk));
        Ok(trunks.into_iter().collect())
    }

    async fn trunks_in(&self, stream: &str) -> Result<Vec<Trunk>, String> {
        let stream = self.jetstream.get_stream_no_info(stream).await.map_err(|e| why(&e))?;
        let mut subjects =
            stream.info_with_subjects("serialshark.*.*.packets").await.map_err(|e| why(&e))?;
        let mut trunks = Vec::new();
        while let Some(subject) = subjects.next().await {
            let (subject, _) = subject.map_err(|error| why(&error))?;
            trunks.extend(Trunk::of_subject(&subject));
        }
        Ok(trunks)
    }
}

/// The last message of a trunk, if there is one.
///
/// # Errors
/// Why that cannot be told.
pub async fn last_of(stream: &Stream, trunk: &Trunk) -> Result<Option<StreamMessage>, String> {
    found(stream.get_last_raw_message_by_subject(&trunk.subject()).await)
}

/// The oldest message of a trunk, if there is one.
///
/// # Errors
/// Why that cannot be told.
pub async fn first_of(stream: &Stream, trunk: &Trunk) -> Result<Option<StreamMessage>, String> {
    found(stream.get_next_raw_message_by_subject(trunk.subject()).await)
}

fn found(
    message: Result<StreamMessage, LastRawMessageError>,
) -> Result<Option<StreamMessage>, String> {
    match message {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(why(&error)),
    }
}

fn not_found(
    kind: &GetStreamErrorKind,
    error: &(dyn StdError + 'static),
) -> Result<Option<Stream>, String> {
    match kind {
        GetStreamErrorKind::JetStream(error)
            if error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND =>
        {
            Ok(None)
        }
        _ => Err(why(error)),
    }
}

fn why_not(kind: ConnectErrorKind, error: &(dyn StdError + 'static)) -> String {
    if let Some(why) = crate::tls::why(error, "--nats-ca") {
        return why;
    }
    match kind {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            "it refuses this user, password or credentials file: see --nats-password-file and \
             --nats-creds"
                .to_owned()
        }
        ConnectErrorKind::TimedOut => "it does not answer".to_owned(),
        ConnectErrorKind::Tls => format!("no TLS: {}", source_of(error)),
        // Its first words are none of the protocol.
        ConnectErrorKind::Io if io_kind(error) == Some(ErrorKind::InvalidInput) => {
            "it is no NATS server".to_owned()
        }
        _ => why(error),
    }
}

/// What an error says, and what to do where the user can.
pub fn why(error: &(dyn StdError + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(this) = cause {
        let request = this.downcast_ref::<jetstream::context::RequestError>();
        if request.is_some_and(|it| it.kind() == RequestErrorKind::NoResponders) {
            return "the server has no JetStream, which keeps the packets: start it with -js, or \
                    with jetstream {} in its configuration"
                .to_owned();
        }
        let publish = this.downcast_ref::<jetstream::context::PublishError>();
        if request.is_some_and(|it| it.kind() == RequestErrorKind::TimedOut)
            || publish.is_some_and(|it| it.kind() == PublishErrorKind::TimedOut)
        {
            return "it does not answer".to_owned();
        }
        cause = this.source();
    }
    source_of(error)
}

/// Of which kind the I/O error is that is the innermost cause.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    innermost(error).downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}

fn innermost<'e>(error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// The innermost cause, which has the words.
fn source_of(error: &(dyn StdError + 'static)) -> String {
    let innermost = innermost(error);
    match innermost.downcast_ref::<std::io::Error>() {
        Some(error) => crate::error::words_of(error),
        None => innermost.to_string(),
    }
}
