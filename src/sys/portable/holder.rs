//! Who has a port, where the system does not tell.

use std::fmt;
use std::path::Path;

/// Another process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its program; empty where that is hidden from us.
    pub program: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.program, self.pid)
    }
}

/// Who has it, as far as we may see: nothing tells.
pub fn holder(_path: &Path) -> Option<Holder> {
    None
}
