//! What is known of a capture, for outputs that show it: made by one thread, and only when somebody
//! looks.

use crate::sys::Waker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

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
    newest: Mutex<Option<(Instant, Arc<Figures>)>>,
    is_wanted: AtomicBool,
    /// Wakes the thread that makes them.
    maker: OnceLock<Arc<Waker>>,
    watchers: Mutex<Vec<Watcher>>,
}

impl Board {
    /// The newest figures, if they are not older than this.
    pub fn newest(&self, most: Duration) -> Option<Arc<Figures>> {
        let newest = whole(&self.newest);
        newest.as_ref().filter(|(made, _)| made.elapsed() <= most).map(|it| Arc::clone(&it.1))
    }

    /// Asks for new ones; does not wait for them.
    pub fn want(&self) {
        if !self.is_wanted.swap(true, Ordering::SeqCst)
            && let Some(maker) = self.maker.get()
        {
            maker.wake();
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

    /// Whether somebody waits for new ones.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::SeqCst)
    }

    /// Shows new ones.
    pub fn show(&self, figures: Figures) {
        *whole(&self.newest) = Some((Instant::now(), Arc::new(figures)));
        self.is_wanted.store(false, Ordering::SeqCst);
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
        assert!(board.newest(Duration::MAX).is_none() && !board.is_wanted());
        board.want();
        assert!(board.is_wanted() && waker.wait(Duration::ZERO));
        board.show(figures("good"));
        assert!(!board.is_wanted());
        assert_eq!(heard.try_iter().count(), 1);
        assert_eq!(board.newest(Duration::MAX).expect("figures").grade, "good");
        assert!(board.newest(Duration::ZERO).is_none());
    }
}
