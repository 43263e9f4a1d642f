//! Weights read while a thread waits.
//!
//! Decoding waits for memory, and memory must never wait: while a thread stands at the end of a fork, or the calling
//! one computes what cannot be split, the weights of the next layer come into its caches. Nothing is computed from
//! what is read here, and a prefetch may name any address: a stale one costs time and no more.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::kernels::prefetch;

/// Runs of weights that a decode kernel reads side by side.
pub(crate) const RUNS: usize = 8;
const LINE: usize = 64;

/// Where one thread's share of a layer begins: [`RUNS`] runs, `stride` bytes apart, of which the first `bytes` each
/// are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) start: usize,
    pub(crate) stride: usize,
    pub(crate) bytes: usize,
}

/// Tells a thread what to read next.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    start: AtomicUsize,
    stride: AtomicUsize,
    bytes: AtomicUsize,
    letters: AtomicUsize,
}

impl Mailbox {
    /// One that is read while it changes mixes two places: a needless prefetch.
    pub(crate) fn put(&self, ahead: Ahead) {
        self.start.store(ahead.start, Ordering::Relaxed);
        self.stride.store(ahead.stride, Ordering::Relaxed);
        self.bytes.store(ahead.bytes, Ordering::Relaxed);
        self.letters.fetch_add(1, Ordering::Release);
    }
}

/// How far a thread has come.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    letters: usize,
    ahead: Ahead,
    read: usize,
}

impl Reader {
    /// Asks for one more line of every run; false if there is none.
    #[inline]
    pub(crate) fn fetch(&mut self, mailbox: &Mailbox) -> bool {
        let letters = mailbox.letters.load(Ordering::Acquire);
        if letters != self.letters {
            self.letters = letters;
            self.read = 0;
            self.ahead = Ahead {
                start: mailbox.start.load(Ordering::Relaxed),
                stride: mailbox.stride.load(Ordering::Relaxed),
                bytes: mailbox.bytes.load(Ordering::Relaxed),
            };
        }
        if self.read >= self.ahead.bytes {
            return false;
        }
        for run in 0..RUNS {
            let offset = run.wrapping_mul(self.ahead.stride).wrapping_add(self.read);
            prefetch::second(self.ahead.start.wrapping_add(offset));
        }
        self.read += LINE;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line of a letter once, a new letter from its beginning, and nowhere a fault.
    #[test]
    fn letters_are_read_to_their_end() {
        let (mailbox, mut reader) = (Mailbox::default(), Reader::default());
        assert!(!reader.fetch(&mailbox));
        let weights = vec![0u8; 4096];
        for (start, bytes, lines) in
            [(weights.as_ptr().addr(), 512, 8), (0, 1, 1), (usize::MAX, 65, 2), (64, 0, 0)]
        {
            mailbox.put(Ahead { start, stride: usize::MAX / 3, bytes });
            let read = std::iter::repeat_with(|| reader.fetch(&mailbox)).take_while(|&more| more);
            assert_eq!(read.count(), lines);
        }
        mailbox.put(Ahead { start: 0, stride: 0, bytes: 640 });
        assert!(reader.fetch(&mailbox));
        mailbox.put(Ahead { start: 0, stride: 0, bytes: 0 });
        assert!(!reader.fetch(&mailbox), "the letter before is forgotten");
    }
}
