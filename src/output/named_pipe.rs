//! A named pipe of Windows as a listener: each reader is a stream of its own, from an instance of
//! the pipe of its own.

use super::admission::Admission;
use super::{Listener, Stream};
use crate::error::Error;
use crate::sys::Sink;
use crate::sys::named_pipe::{PipeAcceptor, is_taken};
use std::path::Path;

/// What the names of all pipes begin with.
const PREFIX: &str = r"\\.\pipe\";
/// The longest name, all of it, that Windows takes.
const LONGEST: usize = 256;

/// A named pipe that readers open.
pub struct NamedPipe {
    name: String,
    how: String,
    acceptor: PipeAcceptor,
    admission: Admission,
}

impl NamedPipe {
    /// Makes a pipe of this name.
    ///
    /// # Errors
    /// When it is no name for a pipe, or another program has it.
    pub fn listen(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let is_prefixed =
            name.get(..PREFIX.len()).is_some_and(|at| at.eq_ignore_ascii_case(PREFIX));
        let own = if is_prefixed { &name[PREFIX.len()..] } else { "" };
        if own.is_empty() || own.contains(['\\', '/']) || name.len() > LONGEST {
            return Err(Error::new(&name, "is not the name of a pipe")
                .hint(r"such as \\.\pipe\sharkfin, without further slashes"));
        }
        let acceptor = PipeAcceptor::new(path.as_os_str()).map_err(|error| {
            let is_taken = is_taken(&error);
            let error = Error::new(&name, "cannot make the pipe").because(error);
            if is_taken {
                error.hint("another program has a pipe of this name; choose another name")
            } else {
                error
            }
        })?;
        let admission = Admission::new(&name, "readers")
            .map_err(|error| Error::new(&name, "cannot listen").because(error))?;
        Ok(Self { how: format!("Wireshark -k -i {name}"), name, acceptor, admission })
    }
}

impl Listener for NamedPipe {
    fn accept(&self) -> Result<Option<Stream>, Error> {
        self.admission.next(|stop| self.acceptor.accept(stop), Sink::pipe)
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
