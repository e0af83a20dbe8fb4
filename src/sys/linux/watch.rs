//! The return of a port, told by the directories that its name is in.

use super::holder::{Holder, lock_folders};
use crate::sys::Waker;
use crate::sys::wait::Woken;
use crate::sys::wait::{Waitable, wait};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Tells when something changes on the way to a path. `None` where there are no more inotify
/// instances.
pub struct Watch(Option<OwnedFd>);

/// As many links as a path may lead through.
const MOST_LINKS: usize = 8;

/// What can be waited for of a [`Watch`].
struct Changes<'a>(BorrowedFd<'a>);

impl Waitable for Changes<'_> {
    fn awaited(&self) -> (BorrowedFd<'_>, PollFlags) {
        (self.0, PollFlags::IN)
    }
}

impl Watch {
    /// Begins, with nothing yet.
    pub fn start() -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        Self(inotify::init(flags).ok())
    }

    /// Watches the directory that the path is in, or the nearest one that exists, and the same
    /// for each link that it leads through; and the folders of lock files for what goes from them.
    /// Returns whether they tell when the path comes to be there.
    pub fn follow(&self, path: &Path) -> bool {
        let Some(inotify) = &self.0 else { return false };
        for folder in lock_folders() {
            let flags = inotify::WatchFlags::DELETE | inotify::WatchFlags::MASK_ADD;
            let _ = inotify::add_watch(inotify, folder, flags);
        }
        // That somebody closes it shows at the file itself, if it is there.
        let closed = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::CLOSE_NOWRITE;
        let _ = inotify::add_watch(inotify, path, closed);
        let mut path = path.to_owned();
        let mut tells = true;
        for _ in 0..MOST_LINKS {
            tells &= watch_nearest(inotify, &path);
            let Ok(target) = std::fs::read_link(&path) else { return tells };
            path.pop();
            path.push(target);
        }
        false
    }

    /// Waits until something changes on the way to the port, until its holder ends or closes it,
    /// or for so long; `false` when the stop waker was woken.
    pub fn wait(&self, holder: Option<&Holder>, at_most_ns: u64, stop: &Waker) -> bool {
        let pid = holder.and_then(|holder| Pid::from_raw(holder.pid.try_into().ok()?));
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        match (&self.0, &pidfd) {
            (Some(watch), Some(pidfd)) => loop {
                let mut fds = [
                    PollFd::new(stop, PollFlags::IN),
                    PollFd::new(watch, PollFlags::IN),
                    PollFd::new(pidfd, PollFlags::IN),
                ];
                if poll(&mut fds, None).is_ok() {
                    return fds[0].revents().is_empty();
                }
            },
            (watch, _) => {
                let changes = watch.as_ref().map(|watch| Changes(watch.as_fd()));
                let changes = changes.as_ref().map(|changes| changes as &dyn Waitable);
                // After a signal the caller looks the sooner.
                wait(changes, Some(at_most_ns), stop) != Woken::Stop
            }
        }
    }

    /// Forgets what was told.
    pub fn clear(&self) {
        let mut events = [0; 4096];
        let Some(inotify) = &self.0 else { return };
        while rustix::io::read(inotify, &mut events).is_ok_and(|len| len > 0) {}
    }
}

/// `false` if a nearer one exists and cannot be watched: not ours to read, or one too many.
fn watch_nearest(inotify: &OwnedFd, path: &Path) -> bool {
    let dirs: Vec<_> = path.ancestors().skip(1).collect();
    let mut tells = true;
    let nearest = dirs.iter().position(|dir| match add(inotify, dir) {
        Ok(()) => true,
        Err(errno) => {
            tells &= matches!(errno, Errno::NOENT | Errno::NOTDIR);
            false
        }
    });
    let Some(nearest) = nearest else { return false };
    // One that was made since we found it missing is not missed: now that its parent is
    // watched, we look once more.
    let _ = dirs[..nearest].iter().rev().all(|dir| add(inotify, dir).is_ok());
    tells
}

/// Watches a directory.
fn add(inotify: &OwnedFd, dir: &Path) -> Result<(), Errno> {
    let changes = inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::ATTRIB
        | inotify::WatchFlags::DELETE_SELF
        | inotify::WatchFlags::MOVE_SELF
        | inotify::WatchFlags::ONLYDIR;
    inotify::add_watch(inotify, dir, changes).map(drop)
}
