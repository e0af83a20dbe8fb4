//! The return of a port, told by the directories that its name is in.

use rustix::fs::inotify;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Tells when something changes on the way to a path.
pub struct Watch(OwnedFd);

/// As many links as a path may lead through.
const MOST_LINKS: usize = 8;

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Watch {
    /// Of nothing yet; `None` where there are no more inotify instances.
    pub fn new() -> Option<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        inotify::init(flags).ok().map(Self)
    }

    /// Watches the directory that the path is in, or the nearest one that exists, and the same
    /// for each link that it leads through.
    pub fn follow(&self, path: &Path) {
        // That somebody closes it shows at the file itself, if it is there.
        let closed = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::CLOSE_NOWRITE;
        let _ = inotify::add_watch(&self.0, path, closed);
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            self.watch_nearest(&path);
            let Ok(target) = std::fs::read_link(&path) else { return };
            path.pop();
            path.push(target);
        }
    }

    /// Watches a folder for what goes from it.
    pub fn folder(&self, path: &Path) {
        let flags = inotify::WatchFlags::DELETE | inotify::WatchFlags::MASK_ADD;
        let _ = inotify::add_watch(&self.0, path, flags);
    }

    fn watch_nearest(&self, path: &Path) {
        let dirs: Vec<_> = path.ancestors().skip(1).collect();
        let Some(nearest) = dirs.iter().position(|dir| self.add(dir)) else { return };
        // One that was made since we found it missing is not missed: now that its parent is
        // watched, we look once more.
        let _ = dirs[..nearest].iter().rev().all(|dir| self.add(dir));
    }

    /// Watches a directory; `false` if there is none.
    fn add(&self, dir: &Path) -> bool {
        let changes = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::ATTRIB
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::MOVE_SELF
            | inotify::WatchFlags::ONLYDIR;
        inotify::add_watch(&self.0, dir, changes).is_ok()
    }

    /// Forgets what was told.
    pub fn clear(&self) {
        let mut events = [0; 4096];
        while rustix::io::read(&self.0, &mut events).is_ok_and(|len| len > 0) {}
    }
}
