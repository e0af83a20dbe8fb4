//! The registry.

use std::ffi::{OsStr, OsString};
use std::os::windows::ffi::{OsStrExt as _, OsStringExt as _};
use std::ptr::{null, null_mut};
use windows_sys::Win32::System::Registry::{
    HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RegGetValueW,
};

/// Whose registry.
#[derive(Clone, Copy, Debug)]
pub enum Hive {
    /// This user's.
    User,
    /// The machine's.
    Machine,
}

/// The default text of a key, if there is one. A longer one than paths are is none.
pub fn text(hive: Hive, key: &str) -> Option<OsString> {
    let root = match hive {
        Hive::User => HKEY_CURRENT_USER,
        Hive::Machine => HKEY_LOCAL_MACHINE,
    };
    let key: Vec<u16> = OsStr::new(key).encode_wide().chain([0]).collect();
    let mut buffer = vec![0_u16; 1 << 15];
    let mut octets = (2 * buffer.len()) as u32;
    // SAFETY: the key ends with a zero; the call fills at most so many octets of the buffer, and
    // tells how many.
    let result = unsafe {
        let data = buffer.as_mut_ptr().cast();
        RegGetValueW(root, key.as_ptr(), null(), RRF_RT_REG_SZ, null_mut(), data, &mut octets)
    };
    let len = octets as usize / 2;
    // It ends with a zero.
    (result == 0 && len > 1).then(|| OsString::from_wide(&buffer[..len - 1]))
}
