//! What framers do that keep their octets in a window: each says how to cut it.

use super::{Framer, Window};
use crate::line_errors::LineError;
use crate::packet::{Batch, Tally};
use crate::time::Timestamp;

/// A framer whose octets are in a window until they are judged.
pub(super) trait Windowed: Send {
    /// Where its octets are.
    fn window(&self) -> &Window;

    /// Where its octets are.
    fn window_mut(&mut self) -> &mut Window;

    /// Takes what can be told from the window; all of it if nothing follows (`closed`).
    fn cut(&mut self, closed: bool, out: &mut Batch);

    /// Hears how many octets come next, and when the last of them arrived.
    fn before(&mut self, _len: usize, _arrival: Timestamp) {}

    /// When silence would end what is still open, if anything is.
    fn due(&self) -> Option<Timestamp> {
        self.window().deadline()
    }

    /// Ends what is open, which was due at `now` or before.
    fn end(&mut self, _now: Timestamp, out: &mut Batch) {
        self.cut(true, out);
    }

    /// Forgets what was, since what follows has nothing to do with it; all octets were judged.
    fn forget(&mut self) {}

    /// As [`Framer::tune`].
    fn set_channel(&mut self, _channel: Option<u8>) {}

    /// As [`Framer::restarted`].
    fn has_restarted(&mut self) -> bool {
        false
    }
}

impl<T: Windowed> Framer for T {
    fn push(&mut self, octets: &[u8], arrival: Timestamp, out: &mut Batch) {
        if octets.is_empty() {
            return;
        }
        self.before(octets.len(), arrival);
        self.window_mut().push(octets, arrival);
        self.cut(false, out);
    }

    fn mark(&mut self, errors: &[LineError]) {
        self.window_mut().mark(errors);
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.due()
    }

    fn open_since(&self) -> Option<Timestamp> {
        self.due().map(|_| self.window().time_of(0))
    }

    fn expire(&mut self, now: Timestamp, out: &mut Batch) {
        if self.due().is_some_and(|due| due <= now) {
            self.end(now, out);
        }
    }

    fn finish(&mut self, out: &mut Batch) {
        self.cut(true, out);
        self.forget();
    }

    fn tally(&self) -> Tally {
        self.window().tally
    }

    fn tune(&mut self, channel: Option<u8>) {
        self.set_channel(channel);
    }

    fn restarted(&mut self) -> bool {
        self.has_restarted()
    }
}
