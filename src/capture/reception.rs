//! Where readers come in, from the moment that outputs are open: a thread for each listener accepts
//! them. Whoever comes while it is still being found out what is spoken on a port waits here, with
//! the section of pcapng, as far as the format has one, and is served when that is known.

use super::opening::Listening;
use crate::encode::Format;
use crate::error::Error;
use crate::output::Stream;
use crossbeam_channel::{Receiver, Sender, bounded};
use log::{debug, info};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Scope;

/// What an accept thread tells.
pub enum Arrival {
    /// A reader has come to the listener of this number.
    Reader(usize, Stream),
    /// No reader can come there any more.
    Closed(Error),
    /// The thread has died.
    Died,
}

/// The accept threads, which end with it.
pub struct Reception<'env> {
    listeners: &'env [Listening],
    /// All that they tell; it ends when the last of them has ended.
    arrivals: Receiver<Arrival>,
    /// Who has come, and is not served yet.
    waiting: Vec<Arrival>,
    /// Whether the user knows where to come in.
    is_told: bool,
}

impl<'env> Reception<'env> {
    /// Starts an accept thread for each listener.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        listeners: &'env [Listening],
    ) -> Result<Self, Error> {
        // Without room: who has not been heard of is not accepted.
        let (tell, arrivals) = bounded(0);
        let reception = Self { listeners, arrivals, waiting: Vec::new(), is_told: false };
        for (index, Listening { listener, .. }) in listeners.iter().enumerate() {
            let tell = tell.clone();
            let accept = move || {
                let accepted =
                    catch_unwind(AssertUnwindSafe(|| accept(index, listener.as_ref(), &tell)));
                if accepted.is_err() {
                    let _ = tell.send(Arrival::Died);
                }
            };
            std::thread::Builder::new()
                .name("accept".to_owned())
                .spawn_scoped(scope, accept)
                .map_err(|error| Error::new("the accept thread", "cannot start").because(error))?;
        }
        Ok(reception)
    }

    /// Tells the user where readers come in.
    fn tell(&mut self) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        for Listening { listener, is_viewers, .. } in self.listeners {
            if !is_viewers {
                info!("{}: waiting for a reader: {}", listener.name(), listener.how_to_read());
            }
        }
    }

    /// Lets readers come, and wait, until `done` ends. Blocks.
    pub fn receive_until<T>(&mut self, done: &Receiver<T>) {
        self.tell();
        loop {
            crossbeam_channel::select! {
                recv(done) -> _ => return,
                recv(self.arrivals) -> arrival => match arrival {
                    Ok(arrival) => self.let_wait(arrival),
                    // All listeners have failed, or there is none.
                    Err(_) => {
                        let _ = done.recv();
                        return;
                    }
                },
            }
        }
    }

    fn let_wait(&mut self, mut arrival: Arrival) {
        self.waiting.retain(|arrival| !has_left(arrival));
        if let Arrival::Reader(index, stream) = &mut arrival {
            info!("{}: a reader has come, and waits for its header", stream.name());
            begin(stream, self.listeners[*index].format);
        }
        self.waiting.push(arrival);
    }

    /// Those who wait here. They are to be served before the first packet leaves.
    pub fn take_waiting(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.waiting)
    }

    /// Gives each reader that comes to `serve`, until the listeners are stopped. Blocks.
    pub fn serve(mut self, mut serve: impl FnMut(Arrival)) {
        self.tell();
        while let Ok(arrival) = self.arrivals.recv() {
            serve(arrival);
        }
    }
}

impl Drop for Reception<'_> {
    fn drop(&mut self) {
        self.listeners.iter().for_each(|it| it.listener.stop());
        // One may be about to tell.
        while self.arrivals.recv().is_ok() {}
    }
}

/// Writes what does not depend on what is spoken.
pub fn begin(stream: &mut Stream, format: Format) {
    if let Err(error) = format.section().and_then(|section| stream.write(&section)) {
        // Whether its reader has gone is asked elsewhere, and what is lacking is written later.
        debug!("{}: {error}", stream.name());
    }
}

fn has_left(arrival: &Arrival) -> bool {
    let Arrival::Reader(_, stream) = arrival else { return false };
    let has_left = stream.sink().is_some_and(crate::sys::Sink::is_left);
    if has_left {
        info!("{}: the reader has left again", stream.name());
    }
    has_left
}

/// Tells of each reader that comes, until the listener is stopped or nobody listens.
fn accept(index: usize, listener: &dyn crate::output::Listener, tell: &Sender<Arrival>) {
    loop {
        let arrival = match listener.accept() {
            Ok(Some(stream)) => Arrival::Reader(index, stream),
            Ok(None) => return,
            Err(error) => Arrival::Closed(error),
        };
        let is_last = matches!(arrival, Arrival::Closed(_));
        if tell.send(arrival).is_err() || is_last {
            return;
        }
    }
}
