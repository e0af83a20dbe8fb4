//! Waits for a sink and a waker.
//!
//! The going of a pipe's reader ends a read that is pending for that alone: no octet is written to
//! find it out, and nothing ticks. A TCP client that closes looks like one that has only said all it has
//! to say, so it is served until a write fails. Of what stands behind standard output nothing tells
//! but the next write.

use super::ffi::{Event, socket_news, wait_any};
use super::sink::{Awaited, Sink};
use crate::sys::{Readiness, Waker};
use std::cell::{Cell, RefCell};
use std::io::{self, Read as _};
use std::os::windows::io::AsHandle as _;
use std::time::Duration;

/// Waits for a waker, for room in a sink, or for its reader's going, without ticking.
pub struct SinkWaiter {
    waker: Event,
    awaited: RefCell<Option<Awaited>>,
    /// Whether it is waited for to have room.
    room: Cell<bool>,
}

impl SinkWaiter {
    /// Waits for this waker, and for this sink if there is one.
    ///
    /// # Errors
    /// When there is no memory left for it.
    pub fn new(waker: &Waker, sink: Option<&Sink>) -> io::Result<Self> {
        Ok(Self {
            waker: waker.event()?,
            awaited: RefCell::new(sink.map(Sink::awaited).transpose()?),
            room: Cell::new(false),
        })
    }

    /// Whether there is a sink that may have no room.
    pub fn may_be_full(&self) -> bool {
        self.awaited.borrow().is_some()
    }

    /// Whether it is waited for to have room, from now on.
    ///
    /// # Errors
    /// None here.
    pub fn want_room(&self, is_wanted: bool) -> io::Result<()> {
        self.room.set(is_wanted);
        Ok(())
    }

    /// Waits for anything.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Readiness> {
        let mut awaited = self.awaited.borrow_mut();
        // The reader's going comes first, since a waker may be woken all the time.
        let mut handles = Vec::with_capacity(3);
        match &*awaited {
            Some(Awaited::Pipe { room, talk }) => {
                handles.push(talk.done());
                if self.room.get() {
                    handles.push(room.as_handle());
                }
            }
            Some(Awaited::Socket(end)) => handles.push(end.event.as_handle()),
            Some(Awaited::Pump(pumped)) if self.room.get() => {
                handles.push(pumped.done.as_handle());
            }
            Some(Awaited::Pump(_)) | None => {}
        }
        handles.push(self.waker.as_handle());
        let waker = handles.len() - 1;
        let woken = wait_any(&handles, timeout)?;
        drop(handles);
        match (woken, &mut *awaited) {
            (None, _) => Ok(Readiness::default()),
            (Some(woken), _) if woken == waker => {
                self.waker.reset();
                Ok(Readiness::default())
            }
            (Some(0), Some(Awaited::Pipe { talk, .. })) => {
                // What it says is of no interest.
                let heard = talk.result().unwrap_or(Ok(0)).and_then(|_| talk.read(1));
                Ok(Readiness { is_gone: heard.is_err(), ..Readiness::default() })
            }
            (Some(_), Some(Awaited::Socket(end))) => {
                let news = socket_news(&end.stream, &end.event)?;
                if news.has_octets {
                    let _ = (&end.stream).read(&mut [0; 4096]);
                }
                Ok(Readiness { has_room: news.has_room, is_gone: end.is_gone(news) })
            }
            (Some(_), _) => Ok(Readiness { has_room: true, ..Readiness::default() }),
        }
    }
}
