//! A Unix stream socket as a listener: each client is a stream of its own, as with [`tcp`](super::tcp).

use super::admission::Admission;
use super::permissions::Permissions;
use super::unix_path::UnixPath;
use super::{Listener, Stream};
use crate::error::Error;
use crate::sys::net::is_the_clients;
use crate::sys::{Sink, shell};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A socket that clients connect to.
pub struct UnixSocket {
    name: String,
    how: String,
    /// Locked by `accept` alone, for as long as that takes.
    listening: Mutex<Listening>,
    admission: Admission,
}

/// Where clients come in.
struct Listening {
    fd: OwnedFd,
    path: UnixPath,
}

impl UnixSocket {
    /// Listens on a Unix socket. One that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// When something else is there, somebody listens on it, or it cannot be made.
    pub fn listen(path: &Path, permissions: Permissions) -> Result<Self, Error> {
        let name = path.display().to_string();
        let how = format!("wireshark -k -i {}", shell::word(&name));
        let (fd, path) = UnixPath::listen(path, permissions)?;
        let cannot = |error| Error::new(&name, "cannot listen").because(error);
        // A client that has gone by the time we take it in must not leave us blocked.
        rustix::io::ioctl_fionbio(&fd, true).map_err(|errno| cannot(errno.into()))?;
        let admission = Admission::new(&name, "clients").map_err(cannot)?;
        Ok(Self { name, how, listening: Mutex::new(Listening { fd, path }), admission })
    }

    /// Takes a client in, or turns it away where there are too many.
    fn admit(&self, fd: OwnedFd) -> Option<Stream> {
        let (fd, place) = self.admission.admit(fd)?;
        self.admission.keep_pace();
        Some(Stream::new(&self.name, Sink::socket(fd).ok()?, Some(Box::new(place))))
    }
}

impl Listener for UnixSocket {
    fn accept(&self) -> Result<Option<Stream>, Error> {
        let cannot =
            |what: &str, error: std::io::Error| Error::new(&self.name, what).because(error);
        // A panic elsewhere ends the program.
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Listening { fd, path } = &mut *listening;
            let stop = self.admission.stop_waker();
            let mut fds = vec![PollFd::new(stop, PollFlags::IN), PollFd::new(fd, PollFlags::IN)];
            fds.extend(path.watched().map(|watched| PollFd::new(watched, PollFlags::IN)));
            match poll(&mut fds, path.look_after().as_ref()) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(None),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(cannot("cannot wait", errno.into())),
            }
            let has_client = !fds[1].revents().is_empty();
            if !has_client && !path.is_there() {
                match path.restore() {
                    Ok(restored) => *fd = restored,
                    Err(errno) => self
                        .admission
                        .wait_out_shortage(errno.into())
                        .map_err(|error| cannot("was removed, and cannot be made again", error))?,
                }
                continue;
            }
            match accept_with(&*fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => {
                    if let Some(stream) = self.admit(client) {
                        return Ok(Some(stream));
                    }
                }
                Err(errno) if is_the_clients(errno) => {}
                Err(errno) => self
                    .admission
                    .wait_out_shortage(errno.into())
                    .map_err(|error| cannot("cannot accept", error))?,
            }
        }
    }

    fn watch_path(&self) {}

    fn stop(&self) {
        self.admission.stop_waker().wake();
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn how_to_read(&self) -> &str {
        &self.how
    }
}
