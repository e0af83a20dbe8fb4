//! The console that `serialshark top` shows itself on, and that it gives back as it was.
//!
//! It is opened anew, so that standard input and output stay free. A console in which text is being
//! selected takes nothing meanwhile: so a thread writes to it, and no newer screen is drawn until it
//! has taken the one before.

use super::console::heed_sequences;
use super::copier::{Copier, Inlet, WHOLE_WRITE};
use super::ffi::console::{self, Press};
use super::ffi::wait_any;
use crate::error::Error;
use crate::sys::Waker;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::io::AsHandle as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use windows_sys::Win32::System::Console::{
    ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT,
};
use windows_sys::Win32::UI::Input::KeyboardAndMouse::{
    VK_DOWN, VK_END, VK_HOME, VK_LEFT, VK_NEXT, VK_PRIOR, VK_RIGHT, VK_UP,
};

/// The other screen, without a cursor: as xterm has it, and consoles since Windows 10.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[H";
/// Back to the first one, with everything as it was.
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
/// How long a console may take at the end for what gives it back.
const MOMENT: Duration = Duration::from_millis(300);
/// When to try again whether a console takes more, which nothing tells.
const AGAIN: Duration = Duration::from_millis(50);
/// What a console has that does not say.
const USUAL: (u16, u16) = (80, 24);

/// A console that can show something.
pub struct Terminal {
    console: Arc<Console>,
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
struct Console {
    input: File,
    output: File,
    /// What both did before.
    before: [u32; 2],
    /// While it is ours.
    writing: Mutex<Option<(Inlet, Copier)>>,
}

/// The console of the program, for a panic in any thread.
static ENTERED: Mutex<Option<Arc<Console>>> = Mutex::new(None);

impl Terminal {
    /// The console that this program was started in.
    ///
    /// # Errors
    /// When there is none, or none that can show more than lines.
    pub fn open() -> Result<Self, Error> {
        let open = |name: &str| OpenOptions::new().read(true).write(true).open(name);
        let none = |error: io::Error| {
            Error::new("top", "needs a console, and there is none")
                .because(error)
                .hint("start it in one; without one, --report-every writes a report to a file")
        };
        let (input, output) = (open("CONIN$").map_err(none)?, open("CONOUT$").map_err(none)?);
        let (Some(of_input), Some(of_output)) = (console::mode(&input), console::mode(&output))
        else {
            return Err(none(io::ErrorKind::Unsupported.into()));
        };
        let before = [of_input, of_output];
        let console = Console { input, output, before, writing: Mutex::new(None) };
        Ok(Self { console: Arc::new(console) })
    }

    /// Takes the whole screen, and keys instead of lines. It is given back when this is dropped,
    /// and by any panic.
    ///
    /// # Errors
    /// When the console does not let us.
    pub fn enter(&self) -> io::Result<()> {
        let console = &self.console;
        if !heed_sequences(&console.output) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let lines = ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT | ENABLE_PROCESSED_INPUT;
        console::set_mode(&console.input, console.before[0] & !lines)?;
        let (inlet, copier) = Copier::start("screen", console.output.try_clone()?)?;
        let _ = inlet.write(ENTER.as_bytes()); // the queue is empty
        *console.writing() = Some((inlet, copier));
        *ENTERED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(console));
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if let Ok(entered) = ENTERED.try_lock()
                    && let Some(console) = &*entered
                {
                    console.leave();
                }
                before(panic);
            }));
        });
        Ok(())
    }

    /// Whether it is ours.
    pub fn is_entered(&self) -> bool {
        self.console.writing().is_some()
    }

    /// Waits for keys, for room if that is wanted, until `leave` is woken, or so long.
    pub fn wait(&self, leave: &Waker, wants_room: bool, timeout: Duration) -> Ready {
        let timeout = if wants_room { timeout.min(AGAIN) } else { timeout };
        let handles = [leave.as_handle(), self.console.input.as_handle()];
        let woken = wait_any(&handles, Some(timeout));
        Ready {
            leaves: !matches!(woken, Ok(Some(1) | None)),
            has_room: wants_room,
            has_keys: matches!(woken, Ok(Some(1))),
        }
    }

    /// Octets from its keys, as other terminals send them; `None` if it is gone.
    pub fn read(&self) -> Option<Vec<u8>> {
        let presses = console::presses(&self.console.input).ok()?;
        let mut octets = Vec::new();
        presses.into_iter().for_each(|press| type_in(press, &mut octets));
        Some(octets)
    }

    /// Writes as much as it takes at once, and takes that out of `pending`.
    pub fn write(&self, pending: &mut Vec<u8>) {
        let writing = self.console.writing();
        let Some((inlet, _)) = &*writing else { return };
        while !pending.is_empty() {
            let len = pending.len().min(WHOLE_WRITE);
            // A console that is gone is noticed when keys are read.
            if inlet.write(&pending[..len]).is_err() {
                return;
            }
            pending.drain(..len);
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        console::size(&self.console.output).unwrap_or(USUAL)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.console.leave();
    }
}

impl Console {
    fn writing(&self) -> std::sync::MutexGuard<'_, Option<(Inlet, Copier)>> {
        // Whole at every point.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it back, once. Not by a thread that dies while it writes: then what is shown stays.
    fn leave(&self) {
        let Ok(mut writing) = self.writing.try_lock() else { return };
        let Some((inlet, copier)) = writing.take() else { return };
        let _ = inlet.write(LEAVE.as_bytes());
        drop(inlet);
        copier.finish(MOMENT);
        let [of_input, of_output] = self.before;
        let _ = console::set_mode(&self.input, of_input);
        let _ = console::set_mode(&self.output, of_output);
    }
}

/// What xterm would send for this key.
fn type_in(press: Press, octets: &mut Vec<u8>) {
    let sequence: &[u8] = match press.key {
        VK_UP => b"\x1b[A",
        VK_DOWN => b"\x1b[B",
        VK_RIGHT => b"\x1b[C",
        VK_LEFT => b"\x1b[D",
        VK_HOME => b"\x1b[H",
        VK_END => b"\x1b[F",
        VK_PRIOR => b"\x1b[5~",
        VK_NEXT => b"\x1b[6~",
        _ => {
            // No key that means something is outside ASCII.
            octets.extend(u8::try_from(press.unit).ok().filter(|octet| (1..0x80).contains(octet)));
            return;
        }
    };
    octets.extend_from_slice(sequence);
}
