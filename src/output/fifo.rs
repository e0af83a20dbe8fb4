//! A FIFO as a listener: Wireshark opens the path, closes it, opens it again.
//!
//! `open(O_WRONLY)` on a FIFO blocks until a reader opens it: that is `accept`. As soon as it
//! returns, the path is *rotated*: a new FIFO is renamed over it. The reader keeps its own,
//! now nameless pipe; the next one gets a fresh one. So no reader sees another's octets, a
//! quick close and reopen cannot be missed, and several can read at once, unless two open
//! within the time that the thread takes to wake up and rename: tenths of a millisecond, more
//! on a loaded machine. For readers that start together use a socket.
//!
//! Two that do share a pipe are told of when the first of them leaves: its close is seen (inotify),
//! and the pipe still has a reader. What the kernel offers does not tell sooner: a pipe's readers
//! cannot be counted; equal events of inotify that follow each other become one, so two opens look
//! like one, and of a blocking `open` there is none before ours has returned. (fanotify keeps those
//! of two processes apart, but needs Linux 5.13 and a file system with file handles, and is as blind
//! for blocking opens; and services are commonly kept from it, ours too.)
//!
//! The new FIFO is made in that moment and not beforehand, so that a crash leaves nothing
//! beside the path, but for one in that very moment. That costs less than the wake-up before it.
//!
//! Where the directory does not let us rename (read-only, or sticky and someone else's FIFO),
//! the FIFO is used in *plain* mode: one reader at a time, our end closed before the next is
//! accepted, and the reader's close latched by inotify, since POLLERR goes away when the next
//! reader comes.
//!
//! When the path is removed or replaced meanwhile, `open` would wait on the orphan for ever.
//! [`watch_path`](Listener::watch_path) notices by inotify on the inode, and wakes it by opening the orphan
//! for reading, through a descriptor kept for that: the path leads elsewhere by then. The end
//! opened so is held, so that an `open` which comes too late for the waking returns as well.
//!
//! Readers come in through an [`Admission`], as with every listener. Where descriptors, memory or
//! inodes are short, the reader that has come waits for its rotation and is served then: a shortage
//! never makes the FIFO a plain one. One that has left again by then costs no thread.
//!
//! The FIFO that takes the place of another has its mode, owner and access list ([`Ownership`]).
//!
//! One program per path, by a [`Claim`].

mod node;

use super::admission::{Admission, Place, RETRY};
use super::ownership::Ownership;
use super::permissions::Permissions;
use super::{Listener, Stream};
use crate::error::{Error, words};
use crate::sys::claim::Claim;
use crate::sys::{Shortage, Sink, shell};
use log::{debug, info, warn};
use node::{Node, make_beside, make_like, rotation_refused};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    Access, AtFlags, CWD, Mode, OFlags, Stat, fcntl_getfl, fcntl_setfl, inotify, mkfifoat, openat,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Mode of a FIFO that we make, before the umask.
const MODE: u32 = 0o660;
/// Pipe capacity to ask for: a second at 12 Mbit/s.
pub(super) const PIPE_CAPACITY: usize = 1 << 20;

/// A FIFO that readers open by its path.
pub struct Fifo {
    name: String,
    how: String,
    dir: OwnedFd,
    file: OsString,
    shared: Arc<Shared>,
    stopping: AtomicBool,
    admission: Admission,
    _claim: Claim,
}

/// What the threads of a FIFO share, and its streams with them.
struct Shared {
    inotify: OwnedFd,
    state: Mutex<State>,
    /// Told when `state` changes in a way that `accept` may wait for.
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere ends the program; the state is whole at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The FIFO that the path leads to, as far as we know.
struct State {
    node: Arc<Node>,
    watch: Option<i32>,
    /// Told that it is not watched.
    is_unwatched_told: bool,
    /// It is to be woken, and there was no descriptor for that.
    is_unwoken: bool,
    /// Whether we made the FIFO at the path and not the user.
    made: bool,
    /// The path does not lead to `node` any more.
    orphaned: bool,
    /// Plain mode, for this reason.
    plain: Option<String>,
    /// In plain mode: whether a stream is open.
    leased: bool,
    /// Nodes that the path leads to no more and that are read, with their watches.
    rotated: Vec<(i32, Arc<Node>)>,
    /// Read ends that let blocked opens return.
    wakers: Vec<OwnedFd>,
    /// Makes room for a waker at the end, should there be no descriptors left by then.
    spare: Option<OwnedFd>,
}

impl Fifo {
    /// Uses the FIFO at `path` as it is, or makes one with these permissions.
    ///
    /// # Errors
    /// When something else is there, the directory is missing or read-only, or another
    /// serialshark feeds it. Nothing on disk has changed then.
    pub fn listen(path: &Path, permissions: Permissions) -> Result<Self, Error> {
        let name = path.display().to_string();
        let (dir_path, file) = resolve(path)?;
        let dir = open_directory(&name, &dir_path)?;
        let claim = claim(&name, &dir, &file)?;
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|errno| Error::new(&name, "cannot watch it").because(errno))?;
        let admission = Admission::new(&name, "readers")
            .map_err(|error| Error::new(&name, "cannot watch it").because(error))?;
        let (node, made) = find_or_make(&name, &dir, &file, permissions)?;
        let spare = dir.try_clone().ok();
        let plain = if made { None } else { rotation_refused(&dir, &node) };
        if let Some(reason) = &plain {
            warn!("{name}: {reason}: only one reader at a time can use it");
        }
        let state = State {
            node: Arc::new(node),
            watch: None,
            is_unwatched_told: false,
            is_unwoken: false,
            made,
            orphaned: false,
            plain,
            leased: false,
            rotated: Vec::new(),
            wakers: Vec::new(),
            spare,
        };
        let fifo = Self {
            how: format!("wireshark -k -i {}", shell::word(&name)),
            name,
            dir,
            file,
            shared: Arc::new(Shared { inotify, state: Mutex::new(state), changed: Condvar::new() }),
            stopping: AtomicBool::new(false),
            admission,
            _claim: claim,
        };
        fifo.watch(&mut fifo.state());
        Ok(fifo)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// What the path leads to now.
    fn at_path(&self) -> rustix::io::Result<Stat> {
        statat(&self.dir, self.file.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Watches the node of `state` from now on, and sees whether it is still at the path.
    fn watch(&self, state: &mut State) {
        if let Some(old) = state.watch.take() {
            // Fails when the inode has gone, and its watch with it.
            let _ = inotify::remove_watch(&self.shared.inotify, old);
        }
        let changes = inotify::WatchFlags::ATTRIB | inotify::WatchFlags::MOVE_SELF;
        state.watch = inotify::add_watch(&self.shared.inotify, state.node.path(), changes).ok();
        if state.watch.is_none() && !std::mem::replace(&mut state.is_unwatched_told, true) {
            warn!(
                "{}: cannot be watched at the moment: its removal will not be noticed",
                self.name
            );
        }
        state.is_unwatched_told &= state.watch.is_none();
        self.look(state);
    }

    /// Sees whether the path still leads to our node; if not, wakes `accept`.
    fn look(&self, state: &mut State) {
        if !state.orphaned && !self.at_path().is_ok_and(|stat| state.node.is(&stat)) {
            state.orphaned = true;
            self.wake(state);
        }
    }

    /// A reader has closed the node with this watch: tells if another one still reads there.
    fn look_for_others(&self, watch: i32, state: &mut State) {
        let Some(index) = state.rotated.iter().position(|(other, _)| *other == watch) else {
            return;
        };
        if state.rotated[index].1.open(OFlags::WRONLY | OFlags::NONBLOCK).is_err() {
            return;
        }
        let name = &self.name;
        warn!(
            "{name}: two readers opened it in the same instant and share one stream: open it again"
        );
        state.rotated.swap_remove(index);
        let _ = inotify::remove_watch(&self.shared.inotify, watch);
    }

    /// Lets an `open` of the node return, one that blocks already or one to come.
    fn wake(&self, state: &mut State) {
        if state.leased {
            // `accept` waits for `changed`; a second reader would hide the first one's going.
            self.shared.changed.notify_all();
            return;
        }
        let waker = state.node.open(OFlags::RDONLY | OFlags::NONBLOCK);
        state.is_unwoken = waker.is_err();
        match waker {
            Ok(waker) => state.wakers.push(waker),
            Err(errno) => warn!("{}: cannot be woken: {}", self.name, words(errno)),
        }
        self.shared.changed.notify_all();
    }

    /// The path does not lead to our FIFO: makes or adopts the one that should be there. Where
    /// that cannot be now it is still orphaned, and the next call tries again.
    fn restore(&self) -> Result<(), Error> {
        let mut state = self.state();
        let cannot = |what, errno| Error::new(&self.name, what).because(errno);
        let made = Ownership::of(&state.node.fd)
            .and_then(|ownership| make_like(&self.dir, &self.file, &ownership));
        let (node, made) = match made {
            Ok(node) => (node, true),
            Err(Errno::EXIST) => match Node::at(&self.dir, &self.file) {
                Ok(node) => (node, false),
                // Removed again.
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => {
                    drop(state);
                    let waited = self.admission.wait_out_shortage(errno.into());
                    return waited.map_err(|errno| cannot("cannot open", errno));
                }
            },
            Err(Errno::NOENT) if rustix::fs::fstat(&self.dir).is_ok_and(|dir| dir.st_nlink > 0) => {
                return Ok(());
            }
            Err(errno) => {
                drop(state);
                let waited = self.admission.wait_out_shortage(errno.into());
                return waited
                    .map_err(|errno| cannot("was removed, and cannot be made again", errno));
            }
        };
        if !node.is_fifo() {
            return Err(Error::new(&self.name, "was replaced by something that is not a FIFO"));
        }
        if made {
            info!("{}: was removed; made again", self.name);
            state.plain = None;
        } else {
            info!("{}: was replaced by another FIFO; using that one", self.name);
            state.plain = rotation_refused(&self.dir, &node);
        }
        state.node = Arc::new(node);
        state.made = made;
        state.orphaned = false;
        state.leased = false;
        state.is_unwoken = false;
        state.wakers.clear();
        self.watch(&mut state);
        Ok(())
    }

    /// Puts a fresh FIFO at the path; the reader that has just come keeps the old one, `fd`.
    fn rotate(&self, fd: &OwnedFd) {
        loop {
            let mut state = self.state();
            let Err(errno) = self.try_rotate(&mut state) else { return };
            if Shortage::of_errno(errno).is_none() {
                let reason = format!("its directory does not let us replace it ({})", words(errno));
                warn!("{}: {reason}: only one reader at a time can use it", self.name);
                state.plain = Some(reason);
                return;
            }
            drop(state);
            if self.stopping.load(Ordering::Acquire) || has_left(fd) {
                return;
            }
            self.admission.wait_out(errno.into());
        }
    }

    fn try_rotate(&self, state: &mut State) -> rustix::io::Result<()> {
        let now = self.at_path()?;
        if !state.node.is(&now) {
            self.look(state);
            return Ok(());
        }
        let (next, node) = make_beside(&self.dir, &Ownership::of(&state.node.fd)?)?;
        let renamed = renameat(&self.dir, next.as_os_str(), &self.dir, self.file.as_os_str());
        if renamed.is_ok() {
            let old = std::mem::replace(&mut state.node, Arc::new(node));
            state.watch = None;
            // From now on only: who has left by now has had nothing of the stream, and whoever opens
            // and closes without pause would wake us each time. Best effort.
            let closes = inotify::WatchFlags::CLOSE_NOWRITE;
            if let Ok(watch) = inotify::add_watch(&self.shared.inotify, old.path(), closes) {
                state.rotated.push((watch, old));
            }
            self.watch(state);
        } else {
            let _ = unlinkat(&self.dir, next.as_os_str(), AtFlags::empty());
        }
        renamed
    }

    /// A close_watch that becomes readable when a reader of the node closes it.
    fn watch_close(node: &Node) -> rustix::io::Result<OwnedFd> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&fd, node.path(), inotify::WatchFlags::CLOSE_NOWRITE)?;
        Ok(fd)
    }
}

impl Listener for Fifo {
    fn accept(&self) -> Result<Option<Stream>, Error> {
        let cannot = |what, errno| Error::new(&self.name, what).because(errno);
        loop {
            self.admission.keep_pace();
            let mut state = self.state();
            while state.leased && !state.orphaned && !self.stopping.load(Ordering::Acquire) {
                state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if self.stopping.load(Ordering::Acquire) {
                return Ok(None);
            }
            if state.orphaned {
                drop(state);
                self.restore()?;
                continue;
            }
            let node = Arc::clone(&state.node);
            let close_watch = state.plain.as_ref().map(|_| Self::watch_close(&node)).transpose();
            drop(state);
            let opened =
                close_watch.and_then(|close_watch| Ok((node.open(OFlags::WRONLY)?, close_watch)));
            if self.stopping.load(Ordering::Acquire) {
                return Ok(None);
            }
            let (fd, close_watch) = match opened {
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    self.admission
                        .wait_out_shortage(errno.into())
                        .map_err(|errno| cannot("cannot open", errno))?;
                    continue;
                }
                Ok(opened) => opened,
            };
            if self.state().orphaned {
                drop(fd);
                self.restore()?;
                continue;
            }
            if self.state().plain.is_none() {
                self.rotate(&fd);
            }
            let lease = Lease { shared: Arc::clone(&self.shared), node };
            if has_left(&fd) {
                debug!("{}: a reader left as soon as it came", self.name);
                continue;
            }
            if let Some((fd, place)) = self.admission.admit(fd) {
                return Ok(Some(self.stream(fd, lease, close_watch, place)?));
            }
        }
    }

    fn watch_path(&self) {
        loop {
            // What could not be done for want of something is tried again.
            let state = self.state();
            let is_short = state.watch.is_none() || state.is_unwoken;
            drop(state);
            let retry = Timespec::try_from(RETRY).ok().filter(|_| is_short);
            let mut fds = [
                PollFd::new(self.admission.stop_waker(), PollFlags::IN),
                PollFd::new(&self.shared.inotify, PollFlags::IN),
            ];
            match poll(&mut fds, retry.as_ref()) {
                Ok(_) if !fds[0].revents().is_empty() => return,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return warn!("{}: cannot be watched: {}", self.name, words(errno)),
            }
            let mut events = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(&self.shared.inotify, &mut events);
            let mut state = self.state();
            while let Ok(event) = events.next() {
                if event.events().contains(inotify::ReadFlags::CLOSE_NOWRITE) {
                    self.look_for_others(event.wd(), &mut state);
                }
            }
            if state.watch.is_none() {
                self.watch(&mut state);
            }
            if std::mem::take(&mut state.is_unwoken) {
                self.wake(&mut state);
            }
            self.look(&mut state);
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let mut state = self.state();
        state.spare = None;
        self.wake(&mut state);
        drop(state);
        self.admission.stop_waker().wake();
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn how_to_read(&self) -> &str {
        &self.how
    }
}

impl Fifo {
    /// The stream for a reader that has come.
    fn stream(
        &self,
        fd: OwnedFd,
        lease: Lease,
        close_watch: Option<OwnedFd>,
        place: Place,
    ) -> Result<Stream, Error> {
        let set_up = fcntl_getfl(&fd).and_then(|flags| fcntl_setfl(&fd, flags | OFlags::NONBLOCK));
        set_up.map_err(|errno| Error::new(&self.name, "cannot set up").because(errno))?;
        // Best effort: without it a slow reader is met a little earlier.
        let _ = rustix::pipe::fcntl_setpipe_size(&fd, PIPE_CAPACITY);
        let mut close_watch = close_watch;
        let mut state = self.state();
        if state.plain.is_some() {
            state.leased = true;
            // Best effort: `POLLERR` tells of its going too, unless another one comes at once.
            close_watch = close_watch.or_else(|| Self::watch_close(&lease.node).ok());
        }
        drop(state);
        let sink = Sink::pipe(fd, close_watch);
        Ok(Stream::new(&self.name, sink, Some(Box::new((place, lease)))))
    }
}

/// Held by a stream, or as long as a reader may become one.
struct Lease {
    shared: Arc<Shared>,
    node: Arc<Node>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let rotated = |(_, node): &(i32, Arc<Node>)| Arc::ptr_eq(node, &self.node);
        if let Some(index) = state.rotated.iter().position(rotated) {
            let (watch, _) = state.rotated.swap_remove(index);
            // Fails when the inode has gone, and its watch with it.
            let _ = inotify::remove_watch(&self.shared.inotify, watch);
        }
        if state.leased && Arc::ptr_eq(&state.node, &self.node) {
            state.leased = false;
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let state = self.state();
        if state.made && self.at_path().is_ok_and(|stat| state.node.is(&stat)) {
            let _ = unlinkat(&self.dir, self.file.as_os_str(), AtFlags::empty());
            // Whoever came meanwhile blocks in `open` for ever otherwise.
            let _ = state.node.open(OFlags::WRONLY | OFlags::NONBLOCK);
        }
    }
}

/// Whether the reader of this pipe has left.
fn has_left(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    polled.is_ok() && !fds[0].revents().is_empty()
}

/// The directory that a path leads to, all links followed, and the file's name in it.
fn resolve(path: &Path) -> Result<(PathBuf, OsString), Error> {
    let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    let path = if is_link {
        super::may_follow(path)?;
        path.canonicalize()
            .map_err(|error| Error::new(path.display(), "is a dangling symlink").because(error))?
    } else {
        path.to_owned()
    };
    let file = path
        .file_name()
        .ok_or_else(|| Error::new(path.display(), "exists and is not a FIFO"))?
        .to_owned();
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((dir, file))
}

/// The directory of the FIFO `name`.
fn open_directory(name: &str, path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_err(|errno| {
        let error = Error::new(name, "cannot open its directory").because(errno);
        match errno {
            Errno::NOENT => {
                error.hint(format!("mkdir -p {}", shell::word(&path.to_string_lossy())))
            }
            _ => error,
        }
    })
}

/// The FIFO that is there, or one that is made with these permissions; and whether it was made.
fn find_or_make(
    name: &str,
    dir: &OwnedFd,
    file: &OsString,
    permissions: Permissions,
) -> Result<(Node, bool), Error> {
    let fail = |what: &str, errno: Errno| Error::new(name, what).because(errno);
    let made = match mkfifoat(dir, file.as_os_str(), Mode::from_raw_mode(MODE)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => {
            return Err(fail("cannot make the FIFO", errno)
                .hint("choose a directory that you may write to, such as /tmp"));
        }
    };
    let node = Node::at(dir, file).map_err(|errno| fail("cannot open", errno))?;
    if !node.is_fifo() {
        return Err(Error::new(name, "exists and is not a FIFO")
            .hint("choose another path, or remove it; to write a file use -w"));
    }
    let access = Access::READ_OK | Access::WRITE_OK;
    rustix::fs::accessat(CWD, node.path(), access, AtFlags::EACCESS)
        .map_err(|errno| fail("cannot open for reading and writing", errno))?;
    if made && let Err(errno) = permissions.give(&node.fd) {
        let _ = unlinkat(dir, file.as_os_str(), AtFlags::empty());
        return Err(permissions.refused(name, errno));
    }
    permissions.tell_if_roots(name, &node.fd);
    Ok((node, made))
}

/// Sees to it that no other serialshark feeds this FIFO while the descriptor is open.
fn claim(name: &str, dir: &OwnedFd, file: &OsString) -> Result<Claim, Error> {
    let claimed = rustix::fs::fstat(dir)
        .map_err(io::Error::from)
        .and_then(|stat| Claim::new("fifo", (stat.st_dev, stat.st_ino), file));
    claimed.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::new(name, "another serialshark feeds this FIFO already")
            .hint("choose another path, or end the other one first"),
        _ => Error::new(name, "cannot lock").because(error),
    })
}
