//! Greedy answers to many questions, as many at once as there are backends.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::eval::softmax::check_finite;
use crate::logits::first_maximum;
use crate::{Backend, Error, ErrorKind, Result, Want};

/// When an answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerOptions {
    /// New tokens at most.
    pub max_tokens: usize,
    /// Tokens that end an answer. They are not part of it.
    pub eos: Vec<u32>,
}

impl Default for AnswerOptions {
    /// 96 tokens, and nothing else that ends an answer.
    fn default() -> Self {
        Self { max_tokens: 96, eos: Vec::new() }
    }
}

/// The most likely continuation of each of `prompts`, token by token. Every backend runs in a thread of its
/// own and takes the next prompt when it has finished one; backends of the same model give the same
/// answers whatever their number, if each gives the same bits for the same tokens, as the CPU engine does.
/// `progress` is told how many answers are done, and stops all by [`ControlFlow::Break`].
///
/// # Errors
/// [`ErrorKind::Input`] for an empty prompt or no backend, [`ErrorKind::Context`] for a prompt that does not
/// fit (an answer that fills the context ends there), [`ErrorKind::NonFinite`], [`ErrorKind::Cancelled`],
/// and what the backends report.
pub fn answers<B: Backend + Send>(
    backends: &mut [B],
    prompts: &[Vec<u32>],
    options: &AnswerOptions,
    progress: &(dyn Fn(usize) -> ControlFlow<()> + Sync),
) -> Result<Vec<Vec<u32>>> {
    let queue = Queue {
        prompts,
        options,
        next: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        progress,
        found: Mutex::new(prompts.iter().map(|_| None).collect()),
        failure: Mutex::new(None),
    };
    match backends {
        [] => return Err(Error::new(ErrorKind::Input, "no backend to answer with")),
        [one] => queue.work(one),
        several => thread::scope(|scope| {
            for backend in several {
                scope.spawn(|| queue.work(backend));
            }
        }),
    }
    if let Some(error) = into_inner(queue.failure) {
        return Err(error);
    }
    let found: Option<Vec<Vec<u32>>> = into_inner(queue.found).into_iter().collect();
    found.ok_or_else(|| Error::new(ErrorKind::Cancelled, "not all questions were answered"))
}

/// What the threads share.
struct Queue<'a> {
    prompts: &'a [Vec<u32>],
    options: &'a AnswerOptions,
    next: AtomicUsize,
    done: AtomicUsize,
    stop: AtomicBool,
    progress: &'a (dyn Fn(usize) -> ControlFlow<()> + Sync),
    found: Mutex<Vec<Option<Vec<u32>>>>,
    failure: Mutex<Option<Error>>,
}

impl Queue<'_> {
    /// Answers what is left.
    fn work(&self, backend: &mut dyn Backend) {
        while !self.stop.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(prompt) = self.prompts.get(index) else { break };
            let answer = answer(backend, prompt, self.options)
                .map_err(|error| error.about(format!("question {}", index + 1)));
            match answer {
                Ok(answer) => self.keep(index, answer),
                Err(error) => self.fail(error),
            }
        }
    }

    fn keep(&self, index: usize, answer: Vec<u32>) {
        if let Some(place) = lock(&self.found).get_mut(index) {
            *place = Some(answer);
        }
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if (self.progress)(done).is_break() {
            self.fail(Error::new(ErrorKind::Cancelled, "evaluation cancelled"));
        }
    }

    /// The first failure counts.
    fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A panic of one thread ends the scope; what the lock guards is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The most likely tokens after `prompt`.
fn answer(backend: &mut dyn Backend, prompt: &[u32], options: &AnswerOptions) -> Result<Vec<u32>> {
    if prompt.is_empty() {
        return Err(Error::new(ErrorKind::Input, "the question has no tokens"));
    }
    backend.reset();
    let mut tokens = Vec::new();
    let mut next = most_likely(backend, prompt, options.max_tokens)?;
    while let Some(token) = next.filter(|token| !options.eos.contains(token)) {
        tokens.push(token);
        let room = backend.context() > backend.position();
        if tokens.len() >= options.max_tokens || !room {
            break;
        }
        next = most_likely(backend, &[token], options.max_tokens)?;
    }
    Ok(tokens)
}

/// Feeds `tokens`; the most likely next one, of equal ones the first.
fn most_likely(backend: &mut dyn Backend, tokens: &[u32], wanted: usize) -> Result<Option<u32>> {
    let mut next = None;
    let want = if wanted == 0 { Want::Nothing } else { Want::Last };
    backend.forward(tokens, want, &mut |position, logits| {
        check_finite(logits, position)?;
        next = Some(first_maximum(logits) as u32);
        Ok(())
    })?;
    Ok(next)
}
