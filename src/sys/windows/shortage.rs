//! Which errors are shortages here.

use crate::sys::Shortage;
use std::io;
use windows_sys::Win32::Foundation::{
    ERROR_BAD_NETPATH, ERROR_CRC, ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED,
    ERROR_HANDLE_DISK_FULL, ERROR_IO_DEVICE, ERROR_NETNAME_DELETED, ERROR_NO_SYSTEM_RESOURCES,
    ERROR_NOT_ENOUGH_MEMORY, ERROR_NOT_READY, ERROR_OUTOFMEMORY, ERROR_SEM_TIMEOUT,
    ERROR_TOO_MANY_OPEN_FILES,
};
use windows_sys::Win32::Networking::WinSock::{WSAEMFILE, WSAENOBUFS};

const SYSTEM: [u32; 6] = [
    ERROR_TOO_MANY_OPEN_FILES,
    ERROR_NOT_ENOUGH_MEMORY,
    ERROR_OUTOFMEMORY,
    ERROR_NO_SYSTEM_RESOURCES,
    WSAEMFILE.cast_unsigned(),
    WSAENOBUFS.cast_unsigned(),
];
const DISK: [u32; 9] = [
    ERROR_DISK_FULL,
    ERROR_HANDLE_DISK_FULL,
    ERROR_DISK_QUOTA_EXCEEDED,
    ERROR_IO_DEVICE,
    ERROR_CRC,
    ERROR_NOT_READY,
    ERROR_NETNAME_DELETED,
    ERROR_BAD_NETPATH,
    ERROR_SEM_TIMEOUT,
];

impl Shortage {
    /// Whether this error is one.
    pub fn of(error: &io::Error) -> Option<Self> {
        let code = error.raw_os_error()?.cast_unsigned();
        if SYSTEM.contains(&code) {
            return Some(Self::System);
        }
        DISK.contains(&code).then_some(Self::Disk)
    }
}
