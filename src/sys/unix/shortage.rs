//! Which errors are shortages here.

use crate::sys::Shortage;
use rustix::io::Errno;
use std::io;

impl Shortage {
    /// Whether this error is one.
    pub fn of_errno(errno: Errno) -> Option<Self> {
        match errno {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => Some(Self::System),
            Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::TIMEDOUT => Some(Self::Disk),
            _ => None,
        }
    }

    /// The same of an error that std tells of.
    pub fn of(error: &io::Error) -> Option<Self> {
        Errno::from_io_error(error).and_then(Self::of_errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_give_back_is_a_shortage_and_what_is_forbidden_is_none() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS] {
            assert_eq!(Shortage::of_errno(errno), Some(Shortage::System), "{errno}");
        }
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::TIMEDOUT] {
            assert_eq!(Shortage::of(&errno.into()), Some(Shortage::Disk), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::FBIG, Errno::PIPE] {
            assert_eq!(Shortage::of_errno(errno), None, "{errno}");
        }
        assert_eq!(Shortage::of(&io::ErrorKind::StorageFull.into()), None);
    }
}
