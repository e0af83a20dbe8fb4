//! Waits for a sink and a waker in `poll`, where there is no `epoll`.

use crate::sys::{Readiness, Sink, Waker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

/// Waits for a waker, for room in a sink, or for its reader's going, without ticking.
pub struct SinkWaiter {
    waker: OwnedFd,
    sink: Option<OwnedFd>,
    close_watch: Option<OwnedFd>,
    /// What the sink may tell at any time, beside its reader's going.
    talk: Cell<PollFlags>,
    room: Cell<bool>,
}

impl SinkWaiter {
    /// Waits for this waker, and for this sink if there is one.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(waker: &Waker, sink: Option<&Sink>) -> io::Result<Self> {
        let may_talk = sink.is_some_and(Sink::may_talk);
        let talk = if may_talk { PollFlags::IN } else { PollFlags::empty() };
        Ok(Self {
            waker: waker.as_fd().try_clone_to_owned()?,
            sink: sink.map(|sink| sink.as_fd().try_clone_to_owned()).transpose()?,
            close_watch: sink
                .and_then(Sink::close_watch)
                .map(|fd| fd.try_clone_to_owned())
                .transpose()?,
            talk: Cell::new(talk),
            room: Cell::new(false),
        })
    }

    /// Whether there is a sink that may have no room.
    pub fn may_be_full(&self) -> bool {
        self.sink.is_some()
    }

    /// Whether it is waited for to have room, from now on.
    ///
    /// # Errors
    /// None here.
    pub fn want_room(&self, is_wanted: bool) -> io::Result<()> {
        self.room.set(is_wanted);
        Ok(())
    }

    /// Waits for anything; returns at once with nothing when a signal comes.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Readiness> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let room = if self.room.get() { PollFlags::OUT } else { PollFlags::empty() };
        let sink = self.sink.as_ref().map(|sink| PollFd::new(sink, self.talk.get() | room));
        let mut fds = vec![PollFd::new(&self.waker, PollFlags::IN)];
        fds.extend(sink);
        fds.extend(self.close_watch.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(Readiness::default()),
            polled => polled?,
        };
        let told: Vec<_> = fds.iter().map(PollFd::revents).collect();
        if told.first().is_some_and(|told| !told.is_empty()) {
            let mut octets = [0; 512];
            while rustix::io::read(&self.waker, &mut octets).is_ok_and(|len| len > 0) {}
        }
        let is_closed = told.get(2).is_some_and(|told| !told.is_empty());
        let told = told.get(1).copied().unwrap_or(PollFlags::empty());
        if let Some(sink) = &self.sink
            && told.contains(PollFlags::IN)
            && rustix::io::read(sink, &mut [0; 4096]) == Ok(0)
        {
            // It will say no more, and may still read.
            self.talk.set(PollFlags::empty());
        }
        Ok(Readiness {
            has_room: told.contains(PollFlags::OUT),
            is_gone: is_closed
                || told.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL),
        })
    }
}
