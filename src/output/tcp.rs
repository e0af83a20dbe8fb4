//! A TCP socket as a listener: each client is a stream of its own.
//!
//! A client has nothing to say. What it sends is read and thrown away, since it may show
//! that it leaves; its receive buffer is small, so that a client which sends and sends costs
//! next to nothing.

use super::admission::Admission;
use super::{Listener, Stream};
use crate::error::Error;
use crate::sys::Sink;
use crate::sys::net::TcpAcceptor;
use log::warn;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

/// A TCP address that clients connect to.
pub struct Tcp {
    name: String,
    how: String,
    acceptor: TcpAcceptor,
    admission: Admission,
}

/// `ADDR:PORT` for `[ADDR:]PORT`.
pub fn with_host(address: &str) -> String {
    if address.contains(':') { address.to_owned() } else { format!("127.0.0.1:{address}") }
}

/// Listens on `[ADDR:]PORT`, without an address on 127.0.0.1. Also returns what to call it, of this
/// `kind`, and where it listens.
///
/// # Errors
/// When the address is in use, not ours, or no address.
pub(super) fn bind(kind: &str, address: &str) -> Result<(String, TcpListener, SocketAddr), Error> {
    let with_host = with_host(address);
    let addresses: Vec<SocketAddr> = with_host
        .to_socket_addrs()
        .map_err(|error| Error::new(address, "is not a TCP address").because(error))?
        .collect();
    let name = format!("{kind} {with_host}");
    let cannot = |error: io::Error| {
        let kind = error.kind();
        let error = Error::new(&name, "cannot listen").because(error);
        match kind {
            io::ErrorKind::AddrInUse => {
                error.hint("another program listens there; choose another port")
            }
            io::ErrorKind::AddrNotAvailable => {
                error.hint("no address of this machine; 0.0.0.0:PORT is all that it has")
            }
            _ => error,
        }
    };
    let listener = TcpListener::bind(&addresses[..]).map_err(cannot)?;
    let local = listener.local_addr().map_err(cannot)?;
    Ok((name, listener, local))
}

impl Tcp {
    /// Listens on a TCP address, `[ADDR:]PORT`; without an address on 127.0.0.1.
    ///
    /// # Errors
    /// When the address is in use, not ours, or no address.
    pub fn listen(address: &str) -> Result<Self, Error> {
        let (name, listener, local) = bind("TCP", address)?;
        if !local.ip().is_loopback() {
            warn!("{name}: anyone who can reach this address can read the bus");
        }
        let how = format!("wireshark -k -i TCP@{local}");
        let cannot = |error| Error::new(&name, "cannot listen").because(error);
        let acceptor = TcpAcceptor::new(listener).map_err(cannot)?;
        let admission = Admission::new(&name, "clients").map_err(cannot)?;
        Ok(Self { name, how, acceptor, admission })
    }
}

impl Listener for Tcp {
    fn accept(&self) -> Result<Option<Stream>, Error> {
        self.admission.next(|stop| self.acceptor.accept(stop), Sink::socket)
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
