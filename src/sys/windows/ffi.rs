//! Calls of Windows that no safe crate offers. The only unsafe code for Windows; each block says
//! why it is sound, and what is built of them elsewhere is safe.
#![allow(unsafe_code)]

pub mod console;
pub mod registry;
pub mod services;

use std::cell::UnsafeCell;
use std::ffi::OsStr;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::io::{
    AsHandle, AsRawHandle as _, AsRawSocket, BorrowedHandle, FromRawHandle as _, OwnedHandle,
};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Duration;
use windows_sys::Win32::Devices::Communication::{
    CE_FRAME, CE_OVERRUN, CE_RXOVER, CE_RXPARITY, CLRDTR, CLRRTS, COMMTIMEOUTS, COMSTAT,
    ClearCommError, DCB, EscapeCommFunction, GetCommState, PURGE_RXCLEAR, PurgeComm, SETDTR,
    SETRTS, SetCommState, SetCommTimeouts, SetupComm,
};
use windows_sys::Win32::Foundation::{
    ERROR_IO_INCOMPLETE, ERROR_IO_PENDING, ERROR_PIPE_CONNECTED, HANDLE, INVALID_HANDLE_VALUE,
    WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::Networking::WinSock::{
    FD_ACCEPT, FD_CLOSE, FD_CLOSE_BIT, FD_READ, FD_WRITE, SOCKET, SOCKET_ERROR,
    WSAEnumNetworkEvents, WSAEventSelect, WSANETWORKEVENTS,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX, ReadFile, WriteFile,
};
use windows_sys::Win32::System::Console::SetConsoleCtrlHandler;
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, PeekNamedPipe,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForMultipleObjects,
};

/// Octets that a pipe holds for its reader.
const PIPE_CAPACITY: u32 = 1 << 16;

/// What a call that returned zero has failed with.
fn checked(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A handle that a call has made for us.
fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is valid, and was made for us a moment ago: nobody else closes it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Something that threads can wait for: set, or not.
#[derive(Debug)]
pub struct Event(OwnedHandle);

impl Event {
    /// One that is not set.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed. It is reset by us alone (1), and not set (0).
        owned(unsafe { CreateEventW(null(), 1, 0, null()) }).map(Self)
    }

    /// The same event, by another handle.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sets it.
    pub fn set(&self) {
        // SAFETY: the handle is open as long as `self` is. It cannot fail with an event.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }

    /// Takes that back.
    pub fn reset(&self) {
        // SAFETY: as above.
        unsafe { ResetEvent(self.0.as_raw_handle()) };
    }
}

impl AsHandle for Event {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

/// Waits until one of these is set, at most 64, or has ended, and tells which, the first of them;
/// `None` when `timeout` has passed.
pub fn wait_any(
    handles: &[BorrowedHandle<'_>],
    timeout: Option<Duration>,
) -> io::Result<Option<usize>> {
    // Rounded up, since whoever waits for a deadline would find that it is not yet over.
    let ms =
        |timeout: Duration| timeout.as_nanos().div_ceil(1_000_000).min(u128::from(INFINITE - 1));
    let ms = timeout.map_or(INFINITE, |timeout| ms(timeout) as u32);
    let count = handles.len() as u32;
    // SAFETY: a `BorrowedHandle` is laid out as a handle, and all are open as long as they are
    // borrowed; the call reads `count` of them.
    let woken = unsafe { WaitForMultipleObjects(count, handles.as_ptr().cast(), 0, ms) };
    match woken {
        WAIT_TIMEOUT => Ok(None),
        WAIT_FAILED => Err(io::Error::last_os_error()),
        woken => Ok(Some((woken - WAIT_OBJECT_0) as usize)),
    }
}

/// One read, write or connection at a time that goes on while we wait for it, on a handle that was
/// opened with `FILE_FLAG_OVERLAPPED`.
pub struct Transfer {
    file: Arc<OwnedHandle>,
    /// Set when it is done.
    done: Event,
    /// The kernel's as long as `is_pending`.
    overlapped: Box<UnsafeCell<OVERLAPPED>>,
    /// The same.
    buffer: Vec<u8>,
    is_pending: bool,
}

// SAFETY: what the pointers in OVERLAPPED lead to belongs to this object alone, and the calls may be
// made from any thread.
unsafe impl Send for Transfer {}
// SAFETY: without `&mut` nothing of it changes, and of the buffer nothing is read that is pending.
unsafe impl Sync for Transfer {}

impl Transfer {
    /// Nothing yet.
    pub fn new(file: Arc<OwnedHandle>) -> io::Result<Self> {
        let overlapped = Box::new(UnsafeCell::new(OVERLAPPED::default()));
        let done = Event::new()?;
        Ok(Self { file, done, overlapped, buffer: Vec::new(), is_pending: false })
    }

    /// Set when what was started is done.
    pub fn done(&self) -> BorrowedHandle<'_> {
        self.done.as_handle()
    }

    /// Whether something was started and its result not taken yet.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Starts to read up to `len` octets. Nothing may be pending.
    pub fn read(&mut self, len: usize) -> io::Result<()> {
        self.buffer.resize(len, 0);
        let buffer = self.buffer.as_mut_ptr();
        // SAFETY: `start` sees to it that buffer and OVERLAPPED stay where they are until the
        // kernel is done with them.
        self.start(|file, overlapped| unsafe {
            ReadFile(file, buffer, len as u32, null_mut(), overlapped)
        })
    }

    /// Starts to write a copy of these octets. Nothing may be pending.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(octets);
        let (buffer, len) = (self.buffer.as_ptr(), octets.len() as u32);
        // SAFETY: as above.
        self.start(|file, overlapped| unsafe {
            WriteFile(file, buffer, len, null_mut(), overlapped)
        })
    }

    /// Starts to wait for a client of this pipe. Nothing may be pending.
    pub fn connect(&mut self) -> io::Result<()> {
        // SAFETY: as above.
        let started = self.start(|file, overlapped| unsafe { ConnectNamedPipe(file, overlapped) });
        match started {
            // It came before we asked. No octets have been moved, and nothing is pending.
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_CONNECTED as i32) => {
                self.buffer.clear();
                self.done.set();
                Ok(())
            }
            started => started,
        }
    }

    fn start(&mut self, call: impl FnOnce(HANDLE, *mut OVERLAPPED) -> i32) -> io::Result<()> {
        assert!(!self.is_pending, "one at a time");
        let overlapped = self.overlapped.get();
        // SAFETY: nothing is pending, so that it is ours alone.
        unsafe {
            *overlapped =
                OVERLAPPED { hEvent: self.done.0.as_raw_handle(), ..OVERLAPPED::default() };
        }
        // Also if it is done at once, its result is fetched as if it were not.
        let started = checked(call(self.file.as_raw_handle(), overlapped));
        match started {
            Err(error) if error.raw_os_error() != Some(ERROR_IO_PENDING as i32) => Err(error),
            _ => {
                self.is_pending = true;
                Ok(())
            }
        }
    }

    /// Waits until it is done, and returns how many octets were moved.
    pub fn finish(&mut self) -> io::Result<usize> {
        if !std::mem::take(&mut self.is_pending) {
            return Ok(0);
        }
        self.fetch(true)
    }

    /// How many octets were moved, if it is done; `None` if it is not.
    pub fn result(&mut self) -> Option<io::Result<usize>> {
        if !self.is_pending {
            return Some(Ok(0));
        }
        match self.fetch(false) {
            Err(error) if error.raw_os_error() == Some(ERROR_IO_INCOMPLETE as i32) => None,
            result => {
                self.is_pending = false;
                Some(result)
            }
        }
    }

    /// What the last read has brought, if it brought `len` octets.
    pub fn octets(&self, len: usize) -> &[u8] {
        if self.is_pending { &[] } else { self.buffer.get(..len).unwrap_or_default() }
    }

    fn fetch(&mut self, wait: bool) -> io::Result<usize> {
        let mut len = 0;
        // SAFETY: the OVERLAPPED is that of a call on this handle, and stays until it is done.
        let done = unsafe {
            GetOverlappedResult(
                self.file.as_raw_handle(),
                self.overlapped.get(),
                &mut len,
                i32::from(wait),
            )
        };
        checked(done).map(|()| len as usize)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.is_pending {
            // SAFETY: as above. Fails if it is done already.
            unsafe { CancelIoEx(self.file.as_raw_handle(), self.overlapped.get()) };
            // Until the kernel is done with the buffer.
            let _ = self.fetch(true);
        }
    }
}

/// Another instance of a named pipe, for the next client: duplex, so that the client's going can be
/// seen, octets in both directions, local. As the `first` one it fails if another program has the name.
pub fn create_pipe(name: &OsStr, first: bool) -> io::Result<OwnedHandle> {
    let name: Vec<u16> = name.encode_wide().chain([0]).collect();
    let first = if first { FILE_FLAG_FIRST_PIPE_INSTANCE } else { 0 };
    // SAFETY: the name ends with a zero; no other pointer is passed.
    owned(unsafe {
        CreateNamedPipeW(
            name.as_ptr(),
            PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            PIPE_UNLIMITED_INSTANCES,
            PIPE_CAPACITY,
            4096,
            0,
            null(),
        )
    })
}

/// Whether the other end of a duplex pipe has been closed.
pub fn is_pipe_broken(pipe: &OwnedHandle) -> bool {
    // SAFETY: the handle is open, and nothing is asked for but whether it can be asked.
    let peeked = unsafe {
        PeekNamedPipe(pipe.as_raw_handle(), null_mut(), 0, null_mut(), null_mut(), null_mut())
    };
    peeked == 0
}

/// What a socket tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketNews {
    /// It may have room again.
    pub has_room: bool,
    /// It may have something to read.
    pub has_octets: bool,
    /// The other end has closed its half.
    pub has_ended: bool,
    /// The connection is no more.
    pub is_broken: bool,
}

fn raw(socket: &impl AsRawSocket) -> SOCKET {
    socket.as_raw_socket() as SOCKET
}

fn select(socket: SOCKET, event: &Event, news: u32) -> io::Result<()> {
    // SAFETY: socket and event are open, and no pointer is passed.
    let result = unsafe { WSAEventSelect(socket, event.0.as_raw_handle() as isize, news as i32) };
    // What it fails with is found like that of any other call.
    if result == SOCKET_ERROR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// From now on a client that comes sets the event; the listener is non-blocking.
pub fn watch_listener(listener: &TcpListener, event: &Event) -> io::Result<()> {
    select(raw(listener), event, FD_ACCEPT)
}

/// From now on news of the connection set the event; it is non-blocking.
pub fn watch_stream(stream: &TcpStream, event: &Event) -> io::Result<()> {
    select(raw(stream), event, FD_READ | FD_WRITE | FD_CLOSE)
}

/// What is new since the last call. Resets the event.
pub fn socket_news(stream: &TcpStream, event: &Event) -> io::Result<SocketNews> {
    let mut events = WSANETWORKEVENTS::default();
    // SAFETY: socket and event are open, and the call fills the structure.
    let result =
        unsafe { WSAEnumNetworkEvents(raw(stream), event.0.as_raw_handle() as isize, &mut events) };
    if result == SOCKET_ERROR {
        return Err(io::Error::last_os_error());
    }
    let has = |news: u32| events.lNetworkEvents as u32 & news != 0;
    Ok(SocketNews {
        has_room: has(FD_WRITE),
        has_octets: has(FD_READ),
        has_ended: has(FD_CLOSE),
        is_broken: has(FD_CLOSE) && events.iErrorCode[FD_CLOSE_BIT as usize] != 0,
    })
}

/// Has this function called, on a thread of its own, with `CTRL_C_EVENT` and its like; returning
/// `true` it has dealt with it.
pub fn handle_console(handler: unsafe extern "system" fn(u32) -> i32) -> io::Result<()> {
    // SAFETY: a function may be called at any time and from any thread.
    checked(unsafe { SetConsoleCtrlHandler(Some(handler), 1) })
}

/// What a driver tells of a serial port.
#[derive(Clone, Copy, Debug, Default)]
pub struct PortNews {
    /// Octets that wait to be read.
    pub waiting: usize,
    /// Octets were lost, since nobody took them.
    pub overrun: bool,
    /// Octets had a wrong stop bit or parity; they were delivered all the same.
    pub damaged: bool,
}

/// The settings of a serial port: rate, and the rest as the structure has it.
pub fn port_state(port: &OwnedHandle) -> io::Result<DCB> {
    let mut state = DCB { DCBlength: size_of::<DCB>() as u32, ..DCB::default() };
    // SAFETY: the handle is open, and the call fills the structure.
    checked(unsafe { GetCommState(port.as_raw_handle(), &mut state) })?;
    Ok(state)
}

/// Sets them.
pub fn set_port_state(port: &OwnedHandle, state: &DCB) -> io::Result<()> {
    // SAFETY: the handle is open, and the call reads the structure.
    checked(unsafe { SetCommState(port.as_raw_handle(), state) })
}

/// A read returns with as many octets as were asked for, however long that takes; the driver has room
/// for 64 KiB of them, if it takes that wish.
pub fn set_port_queue(port: &OwnedHandle) -> io::Result<()> {
    let timeouts = COMMTIMEOUTS::default();
    // SAFETY: the handle is open, and the call reads the structure.
    checked(unsafe { SetCommTimeouts(port.as_raw_handle(), &timeouts) })?;
    // SAFETY: no pointer is passed. Best effort.
    unsafe { SetupComm(port.as_raw_handle(), 1 << 16, 4096) };
    Ok(())
}

/// Throws away what waits to be read.
pub fn purge_port(port: &OwnedHandle) {
    // SAFETY: no pointer is passed. Best effort.
    unsafe { PurgeComm(port.as_raw_handle(), PURGE_RXCLEAR) };
}

/// Raises or drops DTR.
pub fn set_dtr(port: &OwnedHandle, on: bool) -> io::Result<()> {
    // SAFETY: no pointer is passed.
    checked(unsafe { EscapeCommFunction(port.as_raw_handle(), if on { SETDTR } else { CLRDTR }) })
}

/// Raises or drops RTS.
pub fn set_rts(port: &OwnedHandle, on: bool) -> io::Result<()> {
    // SAFETY: no pointer is passed.
    checked(unsafe { EscapeCommFunction(port.as_raw_handle(), if on { SETRTS } else { CLRRTS }) })
}

/// What is new of a port since the last call.
pub fn port_news(port: &OwnedHandle) -> io::Result<PortNews> {
    let (mut errors, mut status) = (0, COMSTAT::default());
    // SAFETY: the handle is open, and the call fills both.
    checked(unsafe { ClearCommError(port.as_raw_handle(), &mut errors, &mut status) })?;
    Ok(PortNews {
        waiting: status.cbInQue as usize,
        overrun: errors & (CE_OVERRUN | CE_RXOVER) != 0,
        damaged: errors & (CE_FRAME | CE_RXPARITY) != 0,
    })
}
