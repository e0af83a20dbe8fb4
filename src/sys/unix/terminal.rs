//! The terminal that `serialshark top` shows itself on, and that it gives back as it was.
//!
//! It is opened anew, as `/dev/tty`: so its descriptor may be one that never blocks, standard input
//! and output stay free, and a terminal that is stopped or slow holds up nothing but itself. What a
//! screen takes that it has not taken yet is kept, and no newer one is drawn until it has.

use crate::error::Error;
use crate::sys::Waker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The other screen, without a cursor: as xterm has it, and all that came after it.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[H";
/// Back to the first one, with everything as it was.
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
/// How long a terminal may take at the end for what gives it back.
const MOMENT: Duration = Duration::from_millis(300);
/// What a terminal has that does not say.
const USUAL: (u16, u16) = (80, 24);

/// A terminal that can show something.
pub struct Terminal {
    tty: Arc<Tty>,
}

/// What was waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ready {
    /// The end has come.
    pub leaves: bool,
    /// It takes octets.
    pub has_room: bool,
    /// Something is to be read.
    pub has_keys: bool,
}

/// What it takes to give it back, for whoever comes first: the end, or a panic.
struct Tty {
    fd: OwnedFd,
    before: Termios,
    is_entered: AtomicBool,
}

/// The terminal of the program, for a panic in any thread.
static ENTERED: Mutex<Option<Arc<Tty>>> = Mutex::new(None);

impl Terminal {
    /// The terminal that this program was started in.
    ///
    /// # Errors
    /// When there is none, or none that can show more than lines.
    pub fn open() -> Result<Self, Error> {
        let term = std::env::var_os("TERM").unwrap_or_default();
        if term.is_empty() || term == "dumb" {
            let what = format!("can only show lines (TERM={})", term.display());
            return Err(Error::new("the terminal", what).hint(
                "try another terminal; without top there is a line per packet, and report --json",
            ));
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::open("/dev/tty", flags, Mode::empty())
            .and_then(|fd| Ok((tcgetattr(&fd)?, fd)));
        let (before, fd) = opened.map_err(|errno| {
            Error::new("top", "needs a terminal, and there is none").because(errno).hint(
                "start it in one (with ssh -t); without one, --report-every writes a report to a file",
            )
        })?;
        Ok(Self { tty: Arc::new(Tty { fd, before, is_entered: AtomicBool::new(false) }) })
    }

    /// Takes the whole screen, and keys instead of lines. It is given back when this is dropped,
    /// and by any panic.
    ///
    /// # Errors
    /// When the terminal does not let us.
    pub fn enter(&self) -> io::Result<()> {
        let mut raw = self.tty.before.clone();
        raw.make_raw();
        tcsetattr(&self.tty.fd, OptionalActions::Now, &raw)?;
        self.tty.is_entered.store(true, Ordering::SeqCst);
        *ENTERED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&self.tty));
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if let Ok(entered) = ENTERED.try_lock()
                    && let Some(tty) = &*entered
                {
                    tty.leave();
                }
                before(panic);
            }));
        });
        self.tty.write_all(ENTER);
        Ok(())
    }

    /// Whether it is ours.
    pub fn is_entered(&self) -> bool {
        self.tty.is_entered.load(Ordering::SeqCst)
    }

    /// Waits for keys, for room if that is wanted, until `leave` is woken, or so long.
    pub fn wait(&self, leave: &Waker, wants_room: bool, timeout: Duration) -> Ready {
        let wanted = if wants_room { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = [PollFd::new(&self.tty.fd, wanted), PollFd::new(leave, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(timeout).ok().as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ready::default(),
            Err(_) => return Ready { leaves: true, ..Ready::default() },
        }
        let [tty, leave] = fds.map(|fd| fd.revents());
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        Ready {
            leaves: !leave.is_empty(),
            has_room: tty.contains(PollFlags::OUT),
            // That it is gone is read as well.
            has_keys: tty.intersects(PollFlags::IN | gone),
        }
    }

    /// Octets from its keys; `None` if it is gone.
    pub fn read(&self) -> Option<Vec<u8>> {
        let mut octets = vec![0; 256];
        match rustix::io::read(&self.tty.fd, &mut octets) {
            Ok(0) => None,
            Ok(len) => {
                octets.truncate(len);
                Some(octets)
            }
            Err(Errno::AGAIN | Errno::INTR) => Some(Vec::new()),
            Err(_) => None,
        }
    }

    /// Writes as much as it takes at once, and takes that out of `pending`.
    pub fn write(&self, pending: &mut Vec<u8>) {
        while !pending.is_empty() && self.is_entered() {
            match rustix::io::write(&self.tty.fd, pending) {
                Ok(len) => drop(pending.drain(..len)),
                Err(Errno::INTR) => {}
                // A terminal that is gone is noticed when keys are read.
                Err(_) => return,
            }
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        match tcgetwinsize(&self.tty.fd) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => USUAL,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tty.leave();
    }
}

impl Tty {
    /// Gives it back, once.
    fn leave(&self) {
        if self.is_entered.swap(false, Ordering::SeqCst) {
            self.write_all(LEAVE);
            let _ = tcsetattr(&self.fd, OptionalActions::Now, &self.before);
        }
    }

    /// Writes all, or what it takes within a moment.
    fn write_all(&self, text: &str) {
        let mut left = text.as_bytes();
        while !left.is_empty() {
            match rustix::io::write(&self.fd, left) {
                Ok(len) => left = left.get(len..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let timeout = Timespec::try_from(MOMENT).ok();
                    let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
                    if poll(&mut fds, timeout.as_ref()) == Ok(0) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}
