//! What the system refuses now and may grant later: the one rule for all outputs and listeners.
//!
//! Descriptors, memory and room on a disk come back when others let go of them; an unattended
//! capture outlives that. So a [`Shortage`] never ends an output: listeners wait and try again,
//! files drop packets, count them and try again with the next one. All other errors stay errors.
//!
//! `EIO` and `ETIMEDOUT` are among them for files alone: a network file system whose server is away
//! says so, and a disk that was plugged in again. A terminal says `EIO` when it is gone for good.

use rustix::io::Errno;
use std::io;

/// What there is not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Descriptors or memory: anything may meet that.
    System,
    /// Room on a disk, inodes, a quota; or the disk itself.
    Disk,
}

impl Shortage {
    /// Whether this error is one.
    pub fn of(errno: Errno) -> Option<Self> {
        match errno {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => Some(Self::System),
            Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::TIMEDOUT => Some(Self::Disk),
            _ => None,
        }
    }

    /// The same of an error that std tells of.
    pub fn of_io(error: &io::Error) -> Option<Self> {
        Errno::from_io_error(error).and_then(Self::of)
    }
}

/// Whether a disk, or a quota on it, is full.
pub fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_give_back_is_a_shortage_and_what_is_forbidden_is_none() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS] {
            assert_eq!(Shortage::of(errno), Some(Shortage::System), "{errno}");
        }
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::TIMEDOUT] {
            assert_eq!(Shortage::of_io(&errno.into()), Some(Shortage::Disk), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::FBIG, Errno::PIPE] {
            assert_eq!(Shortage::of(errno), None, "{errno}");
        }
        assert_eq!(Shortage::of_io(&io::ErrorKind::StorageFull.into()), None);
    }
}
