//! What is answered to each path.

use super::super::Stream;
use super::super::admission::{Admission, Place};
use super::super::board::{Board, Figures, Subject};
use super::body::{Content, Due, PairEnd};
use super::request::{Gatekeeper, Refusal, duration, query};
use crate::sys::{Sink, net};
use crossbeam_channel::Sender;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

/// How old figures may be that are shown.
const FRESH: Duration = Duration::from_secs(2);
/// How long new ones may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a page that is open is brought up to date.
const EVENT: Duration = Duration::from_secs(5);
/// Of `/capture.pcapng` without `last`.
const LAST: Duration = Duration::from_secs(600);
/// Pages that are kept up to date at once: beside them and the readers, others find a place.
const MAX_PAGES: usize = 128;
const PCAPNG: &str = "application/x-pcapng";

/// In every answer: a browser runs nothing and loads nothing but what is ours.
const SECURITY: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// What all connections share.
pub struct Site {
    name: String,
    gatekeeper: Gatekeeper,
    board: Arc<Board>,
    /// Where streams of packets are opened.
    streams: Sender<Stream>,
    admission: Admission,
    /// Streams that are written to.
    pub streams_open: Arc<AtomicUsize>,
    /// Places of pages that are kept up to date.
    pages: Arc<Semaphore>,
    /// Changes whenever there are new figures.
    news: watch::Sender<()>,
}

/// One of the streams that are written to, until it is dropped.
struct Open(Arc<AtomicUsize>, #[expect(dead_code, reason = "held until the end")] Place);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An answer.
type Answer = Response<Content>;

impl Site {
    /// With nothing open yet.
    pub fn new(
        name: &str,
        gatekeeper: Gatekeeper,
        board: Arc<Board>,
        streams: Sender<Stream>,
        admission: Admission,
    ) -> Arc<Self> {
        let news = watch::Sender::new(());
        let told = news.clone();
        board.watch(Box::new(move || {
            told.send_replace(());
        }));
        let (name, streams_open) = (name.to_owned(), Arc::default());
        let pages = Arc::new(Semaphore::new(MAX_PAGES));
        Arc::new(Self { name, gatekeeper, board, streams, admission, streams_open, pages, news })
    }

    /// No more streams are wanted.
    pub fn stop(&self) {
        self.admission.stop_waker().wake();
    }

    /// Answers one request, and says until when the answer is `due`.
    pub async fn answer(
        &self,
        request: &Request<Incoming>,
        due: &Due,
        stop: watch::Receiver<bool>,
    ) -> Answer {
        due.renew();
        let mut answer = self.found(request, due, stop).await;
        for (name, value) in SECURITY {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    async fn found(
        &self,
        request: &Request<Incoming>,
        due: &Due,
        stop: watch::Receiver<bool>,
    ) -> Answer {
        let (uri, path) = (request.uri(), request.uri().path());
        match self.gatekeeper.admit(uri, request.headers(), path == "/healthz") {
            Ok(()) => {}
            Err(refusal) => return refused(refusal),
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let is_head = *request.method() == Method::HEAD;
        let Some((subject, path)) = self.subject(path) else {
            return text(StatusCode::NOT_FOUND, "not here; see /\n");
        };
        match path {
            "/" => self.shown(subject, "text/html; charset=utf-8", |it| it.page.clone()).await,
            "/report.html" => {
                self.shown(subject, "text/html; charset=utf-8", |it| it.saved_page.clone()).await
            }
            "/report.json" => self.shown(subject, "application/json", |it| it.report.clone()).await,
            "/metrics" => {
                let kind = "text/plain; version=0.0.4";
                self.shown(subject, kind, |it| it.metrics.clone()).await
            }
            "/live.js" => whole(
                "text/javascript; charset=utf-8",
                Bytes::from_static(include_bytes!("live.js")),
            ),
            "/healthz" => self.health(subject).await,
            "/events" if is_head => whole("text/event-stream", Bytes::new()),
            "/events" => self.events(subject, due, stop),
            "/live.pcapng" if is_head => whole(PCAPNG, Bytes::new()),
            "/live.pcapng" => self.packets("live.pcapng", None, due).await,
            "/capture.pcapng" => match query(uri, "last").map_or(Some(LAST), duration) {
                None => {
                    text(StatusCode::BAD_REQUEST, "last: takes a time such as 90s, 10m or 2h\n")
                }
                Some(_) if is_head => whole(PCAPNG, Bytes::new()),
                Some(last) => self.packets("capture.pcapng", Some(last), due).await,
            },
            _ => text(StatusCode::NOT_FOUND, "not here; see /\n"),
        }
    }

    /// Which line a path is on, and the rest of the path.
    fn subject<'a>(&self, path: &'a str) -> Option<(Subject, &'a str)> {
        let Some(of_line) = path.strip_prefix("/lines/") else {
            return Some((self.board.first(), path));
        };
        let (name, _) = of_line.split_once('/')?;
        Some((self.board.line(name)?, &of_line[name.len()..]))
    }

    /// Figures that are new enough, if they come in time.
    async fn figures(&self, subject: Subject) -> Option<Arc<Figures>> {
        let mut news = self.news.subscribe();
        let fresh = async {
            loop {
                if let Some(figures) = self.board.newest(subject, FRESH) {
                    return Some(figures);
                }
                self.board.want(subject);
                news.changed().await.ok()?;
            }
        };
        timeout(PATIENCE, fresh).await.ok().flatten()
    }

    async fn shown(
        &self,
        subject: Subject,
        kind: &'static str,
        what: impl Fn(&Figures) -> String,
    ) -> Answer {
        match self.figures(subject).await {
            Some(figures) => whole(kind, what(&figures).into()),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "no figures yet: try again\n"),
        }
    }

    async fn health(&self, subject: Subject) -> Answer {
        match self.figures(subject).await {
            None => text(StatusCode::SERVICE_UNAVAILABLE, "no figures\n"),
            Some(figures) if figures.troubles.is_empty() => text(StatusCode::OK, "ok\n"),
            Some(figures) => {
                let troubles = figures.troubles.join("\n") + "\n";
                text(StatusCode::SERVICE_UNAVAILABLE, &troubles)
            }
        }
    }

    /// An event whenever there are new figures: the grade.
    fn events(&self, subject: Subject, due: &Due, mut stop: watch::Receiver<bool>) -> Answer {
        let Ok(place) = Arc::clone(&self.pages).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many pages: try again later\n");
        };
        let (sender, events) = mpsc::channel(2);
        let (board, mut news) = (Arc::clone(&self.board), self.news.subscribe());
        tokio::spawn(async move {
            let _place = place;
            loop {
                board.want(subject);
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = sender.closed() => return,
                    () = sleep(EVENT) => {}
                }
                let _ = timeout(PATIENCE, news.changed()).await;
                let grade =
                    board.newest(subject, PATIENCE).map_or_else(String::new, |it| it.grade.clone());
                // Whoever does not take two of them has left, or might as well have.
                if sender.try_send(Bytes::from(format!("data: {grade}\n\n"))).is_err() {
                    return;
                }
            }
        });
        let mut answer = Response::new(Content::Events(events, due.suspend(true)));
        let kind = HeaderValue::from_static("text/event-stream");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }

    /// A stream of packets, as any reader gets one.
    async fn packets(&self, file: &'static str, last: Option<Duration>, due: &Due) -> Answer {
        let pair = net::pair().and_then(|(ours, theirs)| Ok((PairEnd::from_std(ours)?, theirs)));
        let Ok((ours, theirs)) = pair else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no descriptors left: try again later\n");
        };
        let admitted = self.admission.admit(theirs);
        let Some((theirs, place)) = admitted else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many readers: try again later\n");
        };
        sleep(self.admission.pause()).await;
        self.streams_open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.streams_open), place);
        let Ok(sink) = Sink::paired(theirs) else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "cannot be served\n");
        };
        let stream = Stream::new(&self.name, sink, Some(Box::new(open)));
        let stream = match last {
            Some(last) => stream.of_last(last),
            None => stream,
        };
        if self.streams.try_send(stream).is_err() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many at once: try again\n");
        }
        let mut answer = Response::new(Content::Packets(ours, due.suspend(last.is_none())));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PCAPNG));
        if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{file}\""))
        {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
        answer
    }
}

fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::NoHost => text(StatusCode::BAD_REQUEST, "the request names no host\n"),
        Refusal::StrangeHost => text(
            StatusCode::MISDIRECTED_REQUEST,
            "use the address, localhost or this machine's name; other names need a token \
             (--http-token)\n",
        ),
        Refusal::NoToken => {
            let mut answer = text(StatusCode::UNAUTHORIZED, "the token is missing or wrong\n");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
    }
}

fn text(status: StatusCode, words: &str) -> Answer {
    let mut answer = whole("text/plain; charset=utf-8", Bytes::copy_from_slice(words.as_bytes()));
    *answer.status_mut() = status;
    answer
}

fn whole(kind: &'static str, octets: Bytes) -> Answer {
    let mut answer = Response::new(Content::Whole(Some(octets)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
