//! What a worker's runtime writes: the last lines of it.

use std::collections::VecDeque;
use std::io::{PipeReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines kept.
const LINES: usize = 100;
/// The longest line that is kept whole, in bytes.
const LONGEST: usize = 1000;
/// What a line begins with by which a worker says that it has written all there was.
const MARK: &str = "\u{1e}rkllm-worker-mark ";

/// The last lines of standard output and error together, in the order they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tail: Mutex<Tail>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    /// Lines there were in all.
    count: u64,
    /// A line that has not ended yet.
    open: Vec<u8>,
    mark: u64,
    ended: bool,
}

/// The line of a mark; of its own, whatever stands before it.
pub(super) fn mark(number: u64) -> String {
    format!("\n{MARK}{number}")
}

impl Log {
    /// Reads to the end, on a thread of its own, which ends when the last process that can write has.
    pub(super) fn follow(mut from: PipeReader) -> std::io::Result<Self> {
        let log = Self::default();
        let to = log.clone();
        std::thread::Builder::new().name("rkllm-worker-log".into()).spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => to.add(&buffer[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            to.end();
        })?;
        Ok(log)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.0.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: &[u8]) {
        let mut tail = self.tail();
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => tail.close(),
                // What is longer goes on unseen.
                _ if tail.open.len() < LONGEST => tail.open.push(*byte),
                _ => {}
            }
        }
        self.0.changed.notify_all();
    }

    fn end(&self) {
        let mut tail = self.tail();
        tail.close();
        tail.ended = true;
        self.0.changed.notify_all();
    }

    /// Where the log is now, for [`Log::since`].
    pub(super) fn position(&self) -> u64 {
        self.tail().count
    }

    /// The lines from `position` on, as far as they are kept.
    pub(super) fn since(&self, position: u64) -> Vec<String> {
        let tail = self.tail();
        let new = usize::try_from(tail.count.saturating_sub(position)).unwrap_or(usize::MAX);
        tail.lines.iter().skip(tail.lines.len().saturating_sub(new)).cloned().collect()
    }

    /// Waits until a mark has come or there is nothing more to come.
    pub(super) fn wait_for_mark(&self, mark: u64, most: Duration) {
        self.wait(most, |tail| tail.mark >= mark || tail.ended);
    }

    /// Waits until there is nothing more to come.
    pub(super) fn wait_for_end(&self, most: Duration) {
        self.wait(most, |tail| tail.ended);
    }

    fn wait(&self, most: Duration, done: impl Fn(&Tail) -> bool) {
        let until = Instant::now() + most;
        let mut tail = self.tail();
        while !done(&tail) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(tail, left);
            tail = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Tail {
    fn close(&mut self) {
        let bytes = std::mem::take(&mut self.open);
        let line = String::from_utf8_lossy(&bytes);
        if let Some(number) = line.strip_prefix(MARK).and_then(|rest| rest.parse().ok()) {
            self.mark = number;
            return;
        }
        // What a terminal would obey is not for messages.
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        self.count += 1;
        self.lines.push_back(line.to_owned());
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_stay_and_marks_do_not() {
        let log = Log::default();
        log.add(b"one\r\ntw");
        log.add(b"o\n\x1b[31mthree\n\xff\n");
        assert_eq!(log.since(0), ["one", "two", "[31mthree", "\u{fffd}"]);
        assert_eq!(log.since(3), ["\u{fffd}"]);
        log.add(format!("unfinished{}\n", mark(7)).as_bytes());
        log.wait_for_mark(7, Duration::ZERO);
        assert_eq!(log.tail().mark, 7);
        assert_eq!(log.since(4), ["unfinished"]);
        let position = log.position();
        for i in 0..3 * LINES {
            log.add(format!("{i}\n").as_bytes());
        }
        assert_eq!(log.since(position).len(), LINES);
        assert_eq!(log.since(0).last().unwrap(), &(3 * LINES - 1).to_string());
        log.add(&vec![b'x'; 1 << 20]);
        assert!(log.tail().open.len() <= LONGEST);
        log.end();
        log.wait_for_end(Duration::ZERO);
        assert_eq!(log.since(0).last().unwrap().len(), LONGEST);
    }
}
