//! Runs of one handle, one after another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The order of a handle's runs: first come, first served.
#[derive(Debug, Default)]
pub(super) struct Queue {
    line: Mutex<Line>,
    changed: Condvar,
    /// Runs up to this number are to end.
    aborted: AtomicU64,
    /// The latest run whose end is being told.
    told: AtomicU64,
}

#[derive(Debug, Default)]
struct Line {
    /// Runs that came.
    came: u64,
    /// Runs that ended.
    went: u64,
    closed: bool,
}

/// A run's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place at the end, or `None` once closed.
    pub(super) fn join(&self) -> Option<Ticket> {
        let mut line = self.lock();
        if line.closed {
            return None;
        }
        line.came += 1;
        Some(Ticket(line.came))
    }

    /// Waits for the runs before.
    pub(super) fn wait(&self, ticket: Ticket) -> Turn<'_> {
        let mut line = self.lock();
        while line.went + 1 < ticket.0 {
            line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { queue: self, ticket }
    }

    /// Whether a run is under way or waits.
    pub(super) fn is_running(&self) -> bool {
        let line = self.lock();
        line.came > line.went
    }

    /// Whether the only run there is has ended but for telling so.
    pub(super) fn is_ending(&self) -> bool {
        let line = self.lock();
        line.came == line.went + 1 && self.told.load(Ordering::SeqCst) == line.came
    }

    /// Ends the run under way; false if there is none. One whose end was told is over for who heard of it: where
    /// another waits behind it, that one ends.
    pub(super) fn abort(&self) -> bool {
        let line = self.lock();
        let running = line.came > line.went;
        if running {
            let first = line.went + 1;
            let is_over = self.told.load(Ordering::SeqCst) == first && line.came > first;
            self.aborted.fetch_max(first + u64::from(is_over), Ordering::SeqCst);
        }
        running
    }

    /// Ends all runs and lets none come. False if it was closed before.
    pub(super) fn close(&self) -> bool {
        self.aborted.store(u64::MAX, Ordering::SeqCst);
        !std::mem::replace(&mut self.lock().closed, true)
    }

    /// Waits until no run is left; false if that takes longer than `patience`.
    pub(super) fn wait_idle(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut line = self.lock();
        while line.came > line.went {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(line, left);
            line = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// A run under way. Dropping it lets the next one begin.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    queue: &'a Queue,
    ticket: Ticket,
}

impl Turn<'_> {
    /// The end is about to be told: who hears of it may call before the run has returned.
    pub(super) fn tells_its_end(&self) {
        self.queue.told.store(self.ticket.0, Ordering::SeqCst);
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.queue.aborted.load(Ordering::SeqCst) >= self.ticket.0
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue.lock().went += 1;
        self.queue.changed.notify_all();
    }
}
