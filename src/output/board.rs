//! What is known of a capture, for outputs that show it: made by one thread, and only when somebody
//! looks.

use crate::sys::Waker;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What figures are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// All lines together.
    All,
    /// The line of the port with this number.
    Line(usize),
}

/// What is known at one moment.
#[derive(Debug)]
pub struct Figures {
    /// The report, as `serialshark report --json` prints it.
    pub report: String,
    /// The same as a page for a browser, which asks for `live.js`.
    pub page: String,
    /// The same as a page that asks for nothing, to be kept.
    pub saved_page: String,
    /// Figures in Prometheus' text format.
    pub metrics: String,
    /// In one word how the line is: its grade, or nothing of a protocol that has none.
    pub grade: String,
    /// What is wrong with ports, if something is.
    pub troubles: Vec<String>,
}

/// Told when there are new figures.
type Watcher = Box<dyn Fn() + Send>;

/// Where the newest figures are.
#[derive(Default)]
pub struct Board {
    newest: Mutex<BTreeMap<Subject, (Instant, Arc<Figures>)>>,
    wanted: Mutex<BTreeSet<Subject>>,
    /// What the lines are called in paths, once it is known.
    lines: OnceLock<Vec<String>>,
    /// Wakes the thread that makes them.
    maker: OnceLock<Arc<Waker>>,
    watchers: Mutex<Vec<Watcher>>,
}

impl Board {
    /// The newest figures on this, if they are not older than so.
    pub fn newest(&self, subject: Subject, most: Duration) -> Option<Arc<Figures>> {
        let newest = whole(&self.newest);
        newest.get(&subject).filter(|(made, _)| made.elapsed() <= most).map(|it| Arc::clone(&it.1))
    }

    /// Asks for new ones; does not wait for them.
    pub fn want(&self, subject: Subject) {
        if whole(&self.wanted).insert(subject)
            && let Some(maker) = self.maker.get()
        {
            maker.wake();
        }
    }

    /// What the lines of the ports are called in paths, in their order.
    pub fn set_lines(&self, names: Vec<String>) {
        let _ = self.lines.set(names);
    }

    /// The line of this name.
    pub fn line(&self, name: &str) -> Option<Subject> {
        self.lines.get()?.iter().position(|line| line == name).map(Subject::Line)
    }

    /// What is shown first: the line, or all if there are several.
    pub fn first(&self) -> Subject {
        if self.lines.get().is_some_and(|lines| lines.len() > 1) {
            Subject::All
        } else {
            Subject::Line(0)
        }
    }

    /// Calls this whenever there are new ones, from the thread that makes them: it must not wait.
    pub fn watch(&self, watcher: Watcher) {
        whole(&self.watchers).push(watcher);
    }

    /// Who makes them is woken by this when they are wanted.
    pub fn set_maker(&self, maker: Arc<Waker>) {
        // There is one maker in a capture.
        let _ = self.maker.set(maker);
    }

    /// What somebody waits for.
    pub fn wanted(&self) -> BTreeSet<Subject> {
        whole(&self.wanted).clone()
    }

    /// Shows new ones.
    pub fn show(&self, subject: Subject, figures: Figures) {
        whole(&self.newest).insert(subject, (Instant::now(), Arc::new(figures)));
        whole(&self.wanted).remove(&subject);
        whole(&self.watchers).iter().for_each(|watcher| watcher());
    }
}

/// What is behind these locks is whole at every point.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(grade: &str) -> Figures {
        Figures {
            report: String::new(),
            page: String::new(),
            saved_page: String::new(),
            metrics: String::new(),
            grade: grade.to_owned(),
            troubles: Vec::new(),
        }
    }

    #[test]
    fn what_is_wanted_is_made_once_and_told() {
        let board = Board::default();
        let waker = Arc::new(Waker::new().expect("a waker"));
        board.set_maker(Arc::clone(&waker));
        let (told, heard) = crossbeam_channel::unbounded();
        board.watch(Box::new(move || told.send(()).expect("a listener")));
        let line = Subject::Line(0);
        assert!(board.newest(line, Duration::MAX).is_none() && board.wanted().is_empty());
        board.want(line);
        assert!(board.wanted().contains(&line) && waker.wait(Duration::ZERO));
        board.show(line, figures("good"));
        assert!(board.wanted().is_empty());
        assert_eq!(heard.try_iter().count(), 1);
        assert_eq!(board.newest(line, Duration::MAX).expect("figures").grade, "good");
        assert!(board.newest(line, Duration::ZERO).is_none());
        assert!(board.newest(Subject::All, Duration::MAX).is_none());
    }
}
