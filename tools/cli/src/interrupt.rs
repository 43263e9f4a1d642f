//! Ctrl-C: at once where nothing can be left half-written, politely where something can.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rkllm::session::CancelHandle;

/// What a shell expects of a program that SIGINT ended.
pub(crate) const EXIT_CODE: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static WRITING: AtomicUsize = AtomicUsize::new(0);
static ANSWER: Mutex<Option<CancelHandle>> = Mutex::new(None);

/// Sets the handler, also for SIGTERM and SIGHUP.
pub(crate) fn install() {
    // Without a handler Ctrl-C still ends the process; only the clean-up of a conversion is lost.
    let _ = ctrlc::set_handler(|| {
        if let Some(answer) = answer().take() {
            return answer.cancel();
        }
        let again = REQUESTED.swap(true, Ordering::SeqCst);
        if again || WRITING.load(Ordering::SeqCst) == 0 {
            process::exit(EXIT_CODE.into());
        }
    });
}

/// True once the user wants the program to end.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// While one of these lives, Ctrl-C only makes [`requested`] true; a second one ends the process anyway.
pub(crate) struct Writing(());

impl Writing {
    pub(crate) fn begin() -> Self {
        WRITING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// While one of these lives, the first Ctrl-C stops the answer and not the program.
pub(crate) struct Answering(());

impl Answering {
    pub(crate) fn begin(handle: CancelHandle) -> Self {
        *answer() = Some(handle);
        Self(())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        *answer() = None;
    }
}

fn answer() -> std::sync::MutexGuard<'static, Option<CancelHandle>> {
    ANSWER.lock().unwrap_or_else(PoisonError::into_inner)
}
