//! A COM port: opened for us alone, set up, and read without ticking.
//!
//! One octet is always awaited. When it has come, the driver is asked how many more there are, and
//! these are read, which does not wait. So a silent line costs nothing, and the end of the program
//! is not waited for. (A read of more octets than there are waits for the last of them, or with a
//! time-out for that time.)

use super::ffi::{self, Transfer, wait_any};
use crate::error::{Error, words};
use crate::line::{Line, ModemLine, Parity, Settings, StopBits};
use crate::line_errors::LineError;
use crate::sys::Waker;
use crate::sys::refused::{Refused, known_ports};
use crate::sys::tty::Identity;
use crate::sys::wait::Woken;
use log::{debug, warn};
use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::{AsHandle as _, OwnedHandle};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use windows_sys::Win32::Devices::Communication::{
    DCB, EVENPARITY, NOPARITY, ODDPARITY, ONESTOPBIT, TWOSTOPBITS,
};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_NO_SUCH_DEVICE, ERROR_PATH_NOT_FOUND,
    ERROR_SHARING_VIOLATION,
};
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OVERLAPPED;

/// Bits of `DCB`: it is binary, and parity is checked; what the lines do.
const BINARY: u32 = 1;
const PARITY: u32 = 1 << 1;
const DTR: u32 = 0b11 << 4;
const DTR_ON: u32 = 1 << 4;
const RTS: u32 = 0b11 << 12;
const RTS_ON: u32 = 1 << 12;

/// An open port.
pub struct Port {
    name: String,
    handle: Arc<OwnedHandle>,
    stop: OwnedHandle,
    /// The octet that is awaited.
    first: Transfer,
    /// Those that have come with it.
    rest: Transfer,
    is_overrun_told: bool,
}

/// What a port is, without opening it. Whether somebody has it shows only then.
///
/// # Errors
/// When it is no port, or missing.
pub fn examine(path: &Path) -> Result<Identity, Refused> {
    if !crate::sys::files::is_device(path.as_os_str()) {
        if let Err(error) = path.metadata() {
            return Err(Refused::Missing(error));
        }
        let error = Error::new(path.display(), "is not a serial port").hint(known_ports());
        return Err(Refused::Wrong(error));
    }
    Ok(Identity::of(path))
}

impl Port {
    /// Opens it by its name, for us alone, and sets it up.
    ///
    /// # Errors
    /// When it is missing, no port, or used by another program.
    pub fn open(path: &Path, settings: &Settings, stop: &Waker) -> Result<Self, Refused> {
        let name = path.display().to_string();
        let cannot = |what: &str| {
            let (name, what) = (name.clone(), what.to_owned());
            move |error: io::Error| Refused::Wrong(Error::new(name, what).because(error))
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).share_mode(0).custom_flags(FILE_FLAG_OVERLAPPED);
        // COM10 and above have no other name.
        let name_of_device = name.strip_prefix(r"\\.\").unwrap_or(&name);
        let opened = options.open(format!(r"\\.\{name_of_device}")).map_err(|error| match error
            .raw_os_error()
            .map(i32::cast_unsigned)
        {
            Some(ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND | ERROR_NO_SUCH_DEVICE) => {
                Refused::Missing(error)
            }
            Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION) => Refused::Busy(None),
            _ => Refused::Wrong(Error::new(&name, "cannot open").because(error)),
        })?;
        let handle = Arc::new(OwnedHandle::from(opened));
        set_up(&handle, &name, settings).map_err(Refused::Wrong)?;
        let waits = "cannot be waited for";
        let mut port = Self {
            first: Transfer::new(Arc::clone(&handle)).map_err(cannot(waits))?,
            rest: Transfer::new(Arc::clone(&handle)).map_err(cannot(waits))?,
            stop: stop.as_handle().try_clone_to_owned().map_err(cannot(waits))?,
            handle,
            is_overrun_told: false,
            name: name.clone(),
        };
        port.first.read(1).map_err(cannot("cannot read"))?;
        Ok(port)
    }

    /// Waits for octets of the port, for so many nanoseconds (for ever if `None`), or for the waker
    /// given at the opening.
    pub fn wait(&self, timeout_ns: Option<u64>) -> Woken {
        let handles = [self.stop.as_handle(), self.first.done()];
        match wait_any(&handles, timeout_ns.map(Duration::from_nanos)) {
            Ok(Some(0)) => Woken::Stop,
            Ok(None) => Woken::Timeout,
            // Not enough memory for the call: what waits is still there afterwards.
            Ok(Some(_)) | Err(_) => Woken::Ready,
        }
    }

    /// Reads what there is; 0 octets if there is nothing.
    ///
    /// # Errors
    /// Why there will be no more.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        let Some(first) = self.first.result() else { return Ok(0) };
        let mut len = first.map_err(words)?;
        buffer[..len].copy_from_slice(self.first.octets(len));
        let news = ffi::port_news(&self.handle).map_err(words)?;
        if news.overrun && !std::mem::replace(&mut self.is_overrun_told, true) {
            warn!("{}: the driver has lost bytes, since they were not taken in time", self.name);
        }
        if news.damaged {
            debug!("{}: bytes with wrong parity or stop bit, recorded as received", self.name);
        }
        let more = news.waiting.min(buffer.len() - len);
        if len > 0 && more > 0 {
            let read = self.rest.read(more).and_then(|()| self.rest.finish());
            let more = read.map_err(words)?;
            buffer[len..len + more].copy_from_slice(self.rest.octets(more));
            len += more;
        }
        self.first.read(1).map_err(words)?;
        Ok(len)
    }

    /// What the receiver found wrong with the octets of the last read. Where is not told here.
    pub fn errors(&self) -> &[LineError] {
        &[]
    }

    /// Sets it to another rate and format.
    ///
    /// # Errors
    /// When the driver refuses it.
    pub fn set_line(&mut self, line: Line) -> io::Result<()> {
        let mut state = ffi::port_state(&self.handle)?;
        set_line(&mut state, line);
        ffi::set_port_state(&self.handle, &state)
    }

    /// Writes all.
    ///
    /// # Errors
    /// When the driver does not take it.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.rest.write(octets)?;
        self.rest.finish()
    }
}

/// Binary, no flow control, its rate and format, DTR and RTS as they are wanted: in one call. What
/// came before that is thrown away.
fn set_up(port: &OwnedHandle, name: &str, settings: &Settings) -> Result<(), Error> {
    let cannot = |what: &str, error| Error::new(name, what).because(error);
    let mut state = ffi::port_state(port)
        .map_err(|error| cannot("is not a serial port", error).hint(known_ports()))?;
    let line = settings.line;
    let keep = |line: ModemLine, mask, on| match line {
        ModemLine::On => on,
        ModemLine::Off => 0,
        ModemLine::Keep => state._bitfield & mask,
    };
    let lines = keep(settings.dtr, DTR, DTR_ON) | keep(settings.rts, RTS, RTS_ON);
    state._bitfield = BINARY | lines;
    set_line(&mut state, line);
    ffi::set_port_state(port, &state).map_err(|error| {
        cannot(&format!("cannot set {line}"), error).hint(
            "the adapter or its driver does not support this rate or format; try another with \
             --baud, --line",
        )
    })?;
    // Drivers differ in what they make of that when a port is opened.
    for (line, set) in
        [(settings.rts, ffi::set_rts as fn(&_, _) -> _), (settings.dtr, ffi::set_dtr)]
    {
        if let Some(on) = line.state()
            && let Err(error) = set(port, on)
        {
            debug!("{name}: has not all modem lines: {error}");
        }
    }
    ffi::set_port_queue(port).map_err(|error| cannot("cannot set its time-outs", error))?;
    ffi::purge_port(port);
    match ffi::port_state(port) {
        Ok(now) if now.BaudRate.abs_diff(line.baud) > line.baud / 50 => {
            warn!("{name}: asked for {} baud, the driver took {}", line.baud, now.BaudRate);
        }
        _ => {}
    }
    Ok(())
}

fn set_line(state: &mut DCB, line: Line) {
    let parity = if line.format.parity == Parity::None { 0 } else { PARITY };
    state._bitfield = state._bitfield & !PARITY | parity;
    state.BaudRate = line.baud;
    state.ByteSize = line.format.data_bits();
    state.Parity = match line.format.parity {
        Parity::None => NOPARITY,
        Parity::Even => EVENPARITY,
        Parity::Odd => ODDPARITY,
    };
    state.StopBits = match line.format.stop_bits {
        StopBits::One => ONESTOPBIT,
        StopBits::Two => TWOSTOPBITS,
    };
}
