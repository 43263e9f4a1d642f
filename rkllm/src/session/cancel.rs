//! Stopping an answer from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stops answers from another thread, such as a Ctrl-C handler; cheap to clone.
///
/// A cancelled answer ends before its next token, or after the chunk of the prompt that is being
/// computed. The handle of an [`Answer`](super::Answer) stops that answer and no other. The handle of a
/// session or chat stops the answer that is under way when [`CancelHandle::cancel`] is called: from the
/// call that asks for it until it has ended. Between answers it does nothing; it never reaches an answer
/// that is asked for later.
#[derive(Debug, Clone)]
pub struct CancelHandle {
    signal: Arc<Signal>,
    /// The one answer it stops.
    answer: Option<u64>,
}

impl CancelHandle {
    /// Stops the answer. From any thread; safe to call any number of times.
    pub fn cancel(&self) {
        let answer = self.answer.unwrap_or_else(|| self.signal.begun.load(Ordering::SeqCst));
        // Answers count up and each looks for its own number or a later one. A number read before the
        // next answer began is smaller than that one's, however late it is stored.
        self.signal.cancelled.fetch_max(answer, Ordering::SeqCst);
    }
}

/// Numbers the answers of a session and knows the last one cancelled.
#[derive(Debug, Default)]
pub(super) struct Signal {
    begun: AtomicU64,
    cancelled: AtomicU64,
}

impl Signal {
    /// Begins an answer.
    pub(super) fn begin(self: &Arc<Self>) -> Ticket {
        let answer = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        Ticket { signal: Arc::clone(self), answer }
    }

    /// A handle for whatever answer is under way.
    pub(super) fn handle(self: &Arc<Self>) -> CancelHandle {
        CancelHandle { signal: Arc::clone(self), answer: None }
    }
}

/// One answer's place in the count.
#[derive(Debug)]
pub(super) struct Ticket {
    signal: Arc<Signal>,
    answer: u64,
}

impl Ticket {
    pub(super) fn is_cancelled(&self) -> bool {
        self.signal.cancelled.load(Ordering::SeqCst) >= self.answer
    }

    pub(super) fn handle(&self) -> CancelHandle {
        CancelHandle { signal: Arc::clone(&self.signal), answer: Some(self.answer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reaches_the_answer_under_way_and_no_later_one() {
        let signal = Arc::new(Signal::default());
        let any = signal.handle();
        any.cancel();
        let first = signal.begin();
        assert!(!first.is_cancelled(), "a cancellation before the answer");
        any.cancel();
        assert!(first.is_cancelled());
        let second = signal.begin();
        assert!(!second.is_cancelled(), "a cancellation of the answer before");
        first.handle().cancel();
        assert!(!second.is_cancelled(), "a late handle of the answer before");
        second.handle().cancel();
        assert!(second.is_cancelled());
    }

    /// A handler that is interrupted between reading and storing must not stop the next answer.
    #[test]
    fn cancelling_without_end_never_reaches_an_answer_that_begins_later() {
        let signal = Arc::new(Signal::default());
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let first = signal.begin();
            let handles: Vec<_> = (0..3).map(|_| first.handle()).collect();
            for handle in handles {
                let stop = &stop;
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        handle.cancel();
                    }
                });
            }
            for _ in 0..2_000 {
                assert!(!signal.begin().is_cancelled());
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
