//! What no safe crate offers for a serial port. The only unsafe code for Linux.
#![allow(unsafe_code)]

use rustix::ioctl::{Getter, Setter, ioctl};
use serialport::TTYPort;
use std::ffi::{c_int, c_uint, c_ulong, c_ushort, c_void};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

/// `struct serial_struct` of linux/serial.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct SerialStruct {
    kind: c_int,
    line: c_int,
    port: c_uint,
    irq: c_int,
    flags: c_int,
    xmit_fifo_size: c_int,
    custom_divisor: c_int,
    baud_base: c_int,
    close_delay: c_ushort,
    io_type: u8,
    reserved: u8,
    hub6: c_int,
    closing_wait: c_ushort,
    closing_wait2: c_ushort,
    iomem_base: *mut c_void,
    iomem_reg_shift: c_ushort,
    port_high: c_uint,
    iomap_base: c_ulong,
}

const TIOCGSERIAL: u32 = 0x541e;
const TIOCSSERIAL: u32 = 0x541f;
const ASYNC_LOW_LATENCY: c_int = 1 << 13;

/// Asks the driver to hand received octets over at once: FTDI's takes 1 ms in place of 16.
///
/// # Errors
/// Where the driver has no such thing, a PTY for one.
pub(super) fn set_low_latency(port: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both calls take a pointer to a serial_struct, laid out as above since Linux 2.6,
    // and keep nothing of it.
    unsafe {
        let mut settings = ioctl(port, Getter::<{ TIOCGSERIAL as _ }, SerialStruct>::new())?;
        settings.flags |= ASYNC_LOW_LATENCY;
        ioctl(port, Setter::<{ TIOCSSERIAL as _ }, SerialStruct>::new(settings))?;
    }
    Ok(())
}

/// `struct serial_icounter_struct` of linux/serial.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct SerialCounters {
    modem_lines: [c_int; 4],
    received: c_int,
    sent: c_int,
    framing: c_int,
    overrun: c_int,
    parity: c_int,
    breaks: c_int,
    buffer_overrun: c_int,
    reserved: [c_int; 9],
}

/// What a driver has counted, round and round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Octets with a wrong stop bit or parity.
    pub(super) symbols: u32,
    /// How often octets were lost in the adapter or its driver.
    pub(super) overruns: u32,
}

/// What the driver has counted.
///
/// # Errors
/// Where the driver has no such counters.
pub(super) fn counters(port: BorrowedFd<'_>) -> io::Result<Counters> {
    const TIOCGICOUNT: u32 = 0x545d;
    // SAFETY: the call writes a serial_icounter_struct, laid out as above since Linux 2.2, and keeps
    // nothing of it.
    let counters = unsafe { ioctl(port, Getter::<{ TIOCGICOUNT as _ }, SerialCounters>::new())? };
    let sum = |one: c_int, other: c_int| one.wrapping_add(other).cast_unsigned();
    Ok(Counters {
        symbols: sum(counters.framing, counters.parity),
        overruns: sum(counters.overrun, counters.buffer_overrun),
    })
}

/// Whether somebody has asked to be alone with this terminal (`TIOCEXCL`). The superuser may open
/// it all the same.
pub(super) fn is_exclusive(port: BorrowedFd<'_>) -> bool {
    const TIOCGEXCL: u32 = 0x8004_5440;
    // SAFETY: the call writes an int, and keeps nothing of it.
    let exclusive = unsafe { ioctl(port, Getter::<{ TIOCGEXCL as _ }, c_int>::new()) };
    exclusive.is_ok_and(|exclusive| exclusive != 0)
}

/// Hands an open port to serialport, which also claims it for us alone (TIOCEXCL, flock).
///
/// serialport's own `open` does other things before it sets raw mode, and until then the kernel
/// echoes what it receives back onto the bus.
pub(super) fn adopt(port: OwnedFd) -> TTYPort {
    // SAFETY: the descriptor is open and ours, and from here on TTYPort's.
    unsafe { TTYPort::from_raw_fd(port.into_raw_fd()) }
}
