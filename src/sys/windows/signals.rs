//! What the console tells: Ctrl-C, Ctrl-Break, and that it is closed or the machine shut down.

use super::ffi::handle_console;
use super::service;
use crate::sys::Signal;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, Once, PoisonError};
use windows_sys::Win32::System::Console::CTRL_BREAK_EVENT;
use windows_sys::Win32::System::Console::CTRL_C_EVENT;

/// What a program exits with that Ctrl-C has ended.
const CONTROL_C_EXIT: u32 = 0xc000_013a;

/// All that hear what the console tells. Told `None`, they are closed.
static INBOXES: Mutex<Vec<Sender<Option<Signal>>>> = Mutex::new(Vec::new());

/// Signals that were asked for.
pub struct Inbox {
    wanted: Vec<Signal>,
    told: Receiver<Option<Signal>>,
    sender: Sender<Option<Signal>>,
}

/// Ends the listening to an [`Inbox`].
pub struct Closer(Sender<Option<Signal>>);

impl Inbox {
    /// Asks for these signals.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn new(wanted: &[Signal]) -> io::Result<Self> {
        static HANDLED: Once = Once::new();
        let (sender, told) = channel();
        INBOXES.lock().unwrap_or_else(PoisonError::into_inner).push(sender.clone());
        let mut handled = Ok(());
        HANDLED.call_once(|| handled = handle_console(hear));
        handled.map(|()| Self { wanted: wanted.to_vec(), told, sender })
    }

    /// What ends [`listen`](Self::listen).
    pub fn closer(&self) -> Closer {
        Closer(self.sender.clone())
    }

    /// Hears the signals until it is closed. Blocks.
    pub fn listen(self, mut hear: impl FnMut(Signal)) {
        let signals = self.told.iter().map_while(|told| told);
        signals.filter(|signal| self.wanted.contains(signal)).for_each(&mut hear);
    }
}

impl Closer {
    /// Ends the listening.
    pub fn close(&self) {
        let _ = self.0.send(None); // nobody listens any more
    }
}

/// Tells all that listen of a signal, whoever has sent it.
pub(super) fn tell(signal: Signal) {
    let mut inboxes = INBOXES.lock().unwrap_or_else(PoisonError::into_inner);
    inboxes.retain(|inbox| inbox.send(Some(signal)).is_ok());
}

/// Called by the system, on a thread of its own. A console that is closed ends the program when
/// this returns, and in any case five seconds later.
extern "system" fn hear(event: u32) -> i32 {
    // A service is told of the end by its manager, and goes on when somebody logs off.
    if service::is_manager() {
        return 1;
    }
    let signal = if event == CTRL_C_EVENT { Signal::Interrupt } else { Signal::Terminate };
    tell(signal);
    while ![CTRL_C_EVENT, CTRL_BREAK_EVENT].contains(&event) {
        std::thread::park();
    }
    1
}

/// There are no limits that end a program.
///
/// # Errors
/// None.
pub fn survive_file_limits() -> io::Result<()> {
    Ok(())
}

/// Ends the program as if it had never heard of this signal.
pub fn die_by(_signal: Signal) {
    std::process::exit(CONTROL_C_EXIT.cast_signed());
}

/// Whether there is a console whose closing is told by a signal that could mean something else.
pub fn has_terminal() -> bool {
    false
}
