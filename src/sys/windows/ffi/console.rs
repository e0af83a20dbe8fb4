//! The console: what is shown, and keys.

use super::checked;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle as _};
use std::ptr::null;
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, GetConsoleMode, GetConsoleScreenBufferInfo,
    GetNumberOfConsoleInputEvents, INPUT_RECORD, KEY_EVENT, KEY_EVENT_RECORD, ReadConsoleInputW,
    SetConsoleMode, WriteConsoleW,
};

/// As many events are taken at once.
const EVENTS: u32 = 32;

/// A key that was pressed.
#[derive(Clone, Copy, Debug)]
pub struct Press {
    /// Which key, whatever is printed on it.
    pub key: u16,
    /// What it writes, in UTF-16; 0 if nothing.
    pub unit: u16,
}

/// What this console does with what is written or typed; `None` if it is no console.
pub fn mode(console: &impl AsHandle) -> Option<u32> {
    let mut mode = 0;
    // SAFETY: the handle is open, and the call fills the number.
    let got = unsafe { GetConsoleMode(console.as_handle().as_raw_handle(), &mut mode) };
    (got != 0).then_some(mode)
}

/// Sets that.
pub fn set_mode(console: &impl AsHandle, mode: u32) -> io::Result<()> {
    // SAFETY: the handle is open, and no pointer is passed.
    checked(unsafe { SetConsoleMode(console.as_handle().as_raw_handle(), mode) })
}

/// Columns and rows that are seen of this console.
pub fn size(console: &impl AsHandle) -> Option<(u16, u16)> {
    let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
    // SAFETY: the handle is open, and the call fills the structure.
    let got = unsafe { GetConsoleScreenBufferInfo(console.as_handle().as_raw_handle(), &mut info) };
    let window = info.srWindow;
    let extent = |from: i16, to: i16| u16::try_from(i32::from(to) - i32::from(from) + 1).ok();
    let size = (extent(window.Left, window.Right)?, extent(window.Top, window.Bottom)?);
    (got != 0 && size.0 > 0 && size.1 > 0).then_some(size)
}

/// Writes text, and returns how much of it was written.
pub fn write(console: &impl AsHandle, text: &[u16]) -> io::Result<usize> {
    let mut written = 0;
    let (handle, len) = (console.as_handle().as_raw_handle(), text.len() as u32);
    // SAFETY: the handle is open; the call reads `len` units of the text, and fills the number.
    checked(unsafe { WriteConsoleW(handle, text.as_ptr(), len, &mut written, null()) })?;
    Ok(written as usize)
}

/// The keys that were pressed since the last call. Never waits.
pub fn presses(console: &impl AsHandle) -> io::Result<Vec<Press>> {
    let handle = console.as_handle().as_raw_handle();
    let mut waiting = 0;
    // SAFETY: the handle is open, and the call fills the number.
    checked(unsafe { GetNumberOfConsoleInputEvents(handle, &mut waiting) })?;
    if waiting == 0 {
        return Ok(Vec::new());
    }
    let mut events = [INPUT_RECORD::default(); EVENTS as usize];
    let mut read = 0;
    // SAFETY: the handle is open; the call fills at most so many records, and tells how many.
    checked(unsafe { ReadConsoleInputW(handle, events.as_mut_ptr(), EVENTS, &mut read) })?;
    let events = events.iter().take(read as usize);
    Ok(events.filter(|event| u32::from(event.EventType) == KEY_EVENT).filter_map(press).collect())
}

/// The key of an event that is one of the keyboard.
fn press(event: &INPUT_RECORD) -> Option<Press> {
    // SAFETY: the type of the event says that it has a key; of any bits both are numbers.
    let (event, unit) = unsafe {
        let event: KEY_EVENT_RECORD = event.Event.KeyEvent;
        (event, event.uChar.UnicodeChar)
    };
    (event.bKeyDown != 0).then_some(Press { key: event.wVirtualKeyCode, unit })
}
