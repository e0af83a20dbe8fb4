//! HTTP as a listener: a page on the line, its figures, and captures to be fetched.
//!
//! | path | what |
//! |---|---|
//! | `/` | the page, kept up to date by `/events` (server-sent events) |
//! | `/live.pcapng` | packets without end: a reader as any other |
//! | `/capture.pcapng?last=10m` | the last minutes, as far as the history or the capture's files go |
//! | `/report.json`, `/report.html` | the report, to be kept |
//! | `/metrics` | Prometheus |
//! | `/lines/NAME/` and so on | the same of one line, where there are several; then `/` is on all |
//! | `/healthz` | 200 while ports are read, else 503 |
//!
//! The server is hyper on a runtime of one thread, the one that calls [`Listener::watch_path`]; no other
//! part of the program knows of it. A reader of packets has one end of a pair of sockets, and the
//! stream that [`Listener::accept`] yields the other: so its queue, its counts and what it misses are
//! those of any reader, and a client that does not read holds up nobody.
//!
//! After the end of the capture the runtime goes on until what the streams have written has gone out.

mod answer;
mod body;
mod client;
mod request;

use super::admission::{Admission, RESERVE, RETRY};
use super::board::Board;
use super::tcp::bind;
use super::{Listener, Stream};
use crate::error::{Error, words};
use crate::sys::Shortage;
use crate::sys::descriptors::{is_free_for_all, none_left};
use answer::Site;
use body::Due;
use client::Client;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use log::{Level, info, warn};
use request::Gatekeeper;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

/// Connections at once; of those that fetch packets [`super::admission::MAX_READERS`].
const MAX_CONNECTIONS: usize = 256;
/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// Octets of memory for what a client says.
const MAX_HEAD: usize = 16 << 10;
/// How long clients may take at the end for what is left.
const GRACE: Duration = Duration::from_millis(500);
/// A shortage that does not show for so long is over.
const OVER: Duration = Duration::from_secs(10);
/// Streams that wait to be opened.
const WAITING: usize = 16;

/// An address that browsers and other programs connect to.
pub struct Http {
    name: String,
    how: String,
    /// Taken by the server.
    listener: Mutex<Option<TcpListener>>,
    streams: Receiver<Stream>,
    /// Gone once the listener is to stop, which ends `accept`.
    running: Mutex<Option<Sender<()>>>,
    stopped: Receiver<()>,
    stop: watch::Sender<bool>,
    site: Arc<Site>,
}

impl Http {
    /// Listens on `[ADDR:]PORT`; without an address on 127.0.0.1. With a token only who knows it is
    /// answered.
    ///
    /// # Errors
    /// When the address is in use, not ours, or no address; when the token cannot be read.
    pub fn listen(address: &str, token: Option<&Path>, board: &Arc<Board>) -> Result<Self, Error> {
        let gatekeeper = Gatekeeper::new(token)?;
        let (name, listener, local) = bind("HTTP", address)?;
        let cannot = |error| Error::new(&name, "cannot listen").because(error);
        listener.set_nonblocking(true).map_err(cannot)?;
        if !local.ip().is_loopback() && token.is_none() {
            warn!(
                "{name}: anyone who can reach this address can read the bus; --http-token FILE asks \
                 for a token"
            );
        }
        let (sender, streams) = bounded(WAITING);
        let (running, stopped) = bounded(0);
        let admission = Admission::new(&name, "clients").map_err(cannot)?;
        let site = Site::new(&name, gatekeeper, Arc::clone(board), sender, admission);
        Ok(Self {
            how: format!("http://{local}/"),
            name,
            listener: Mutex::new(Some(listener)),
            streams,
            running: Mutex::new(Some(running)),
            stopped,
            stop: watch::Sender::new(false),
            site,
        })
    }

    /// Serves until the end, and then until all is sent that may be.
    async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut shortage = ToldShortage::default();
        let mut stop = self.stop.subscribe();
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                // Who is one too many is hung up on.
                Ok((client, _)) if !is_free_for_all(&client, RESERVE) => {
                    shortage.begin(&self.name, none_left());
                }
                Ok((client, _)) => {
                    shortage.end(&self.name);
                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        let (site, stop) = (Arc::clone(&self.site), self.stop.subscribe());
                        tokio::spawn(async move {
                            connection(client, site, stop).await;
                            drop(place);
                        });
                    }
                }
                Err(error) if Shortage::of(&error).is_some() => {
                    shortage.begin(&self.name, error);
                    sleep(RETRY).await;
                }
                // A client that has gone again.
                Err(_) => {}
            }
        }
        drop(listener);
        while self.site.streams_open.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        let all = places.acquire_many(MAX_CONNECTIONS as u32);
        let _ = timeout(GRACE, all).await;
        Ok(())
    }
}

/// When something was short last, as long as that is told.
#[derive(Default)]
struct ToldShortage(Option<Instant>);

impl ToldShortage {
    fn begin(&mut self, name: &str, error: io::Error) {
        if self.0.replace(Instant::now()).is_none() {
            warn!("{name}: cannot serve another client: {}", words(error));
        }
    }

    /// A client is served. Where they come and go, that alone is no end.
    fn end(&mut self, name: &str) {
        if self.0.take_if(|last| last.elapsed() >= OVER).is_some() {
            info!("{name}: clients are served again");
        }
    }
}

/// One client, from its first octet to its last.
async fn connection(client: TcpStream, site: Arc<Site>, mut stop: watch::Receiver<bool>) {
    let (client, due) = (Client::new(client), Due::new());
    let (ending, answered) = (stop.clone(), due.clone());
    let service = service_fn(move |request| {
        let (site, due, ending) = (Arc::clone(&site), answered.clone(), ending.clone());
        async move { Ok::<_, io::Error>(site.answer(&request, &due, ending).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Who has nothing more to say is answered all the same.
        .half_close(true)
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(client.clone()), service);
    let mut connection = std::pin::pin!(connection);
    let mut late = std::pin::pin!(due.passed());
    // An answer without end has one when nobody takes it; on a quiet line nothing else tells of that.
    let gone = async {
        due.never().await;
        client.closed().await;
    };
    let mut gone = std::pin::pin!(gone);
    let mut is_ending = false;
    loop {
        tokio::select! {
            // How it ended is the client's business.
            _ = connection.as_mut() => return,
            () = late.as_mut() => return,
            () = gone.as_mut() => return,
            _ = stop.wait_for(|stop| *stop), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

impl Listener for Http {
    fn accept(&self) -> Result<Option<Stream>, Error> {
        select! {
            recv(self.streams) -> stream => Ok(stream.ok()),
            recv(self.stopped) -> _ => Ok(None),
        }
    }

    fn watch_path(&self) {
        let Some(listener) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take()
        else {
            return;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Err(error) = runtime.and_then(|runtime| runtime.block_on(self.serve(listener))) {
            Error::new(&self.name, "cannot serve").because(error).log(Level::Error);
        }
    }

    fn stop(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.stop.send_replace(true);
        self.site.stop();
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn how_to_read(&self) -> &str {
        &self.how
    }
}
