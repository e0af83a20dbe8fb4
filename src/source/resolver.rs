//! Looks up the name of a host, in a thread of its own: `getaddrinfo` may take seconds, and
//! nothing can call it off. There is one at a time; one that hangs is left to itself, and to the
//! end of the process.

use crate::sys::Waker;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};

/// What became of a look-up.
type Found = io::Result<Vec<SocketAddr>>;

/// A look-up that is under way.
#[derive(Debug)]
pub struct Lookup {
    /// Woken when it is done.
    done: Arc<Waker>,
    found: Arc<Mutex<Option<Found>>>,
}

impl Lookup {
    /// Starts to look up `HOST:PORT`.
    ///
    /// # Errors
    /// When there are no descriptors or threads left.
    pub fn start(host: &str) -> io::Result<Self> {
        let (done, found) = (Arc::new(Waker::new()?), Arc::new(Mutex::new(None)));
        let lookup = Self { done: Arc::clone(&done), found: Arc::clone(&found) };
        let host = host.to_owned();
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let addresses = host.to_socket_addrs().map(Iterator::collect);
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(addresses);
            done.wake();
        })?;
        Ok(lookup)
    }

    /// The addresses, once it is done.
    pub fn take(&self) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Woken once it is done.
    pub fn done(&self) -> &Waker {
        &self.done
    }
}
