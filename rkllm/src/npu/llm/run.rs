//! One run, as its callbacks see it.

use std::any::Any;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, Weak};
use std::thread::JoinHandle;

use rkllm_sys::v1_3::{LLMCallState, RKLLMResult};

use super::core::Core;
use super::frames;
use super::registry::lock;
use super::sink::{Sink, Told};

/// What a callback returns.
pub(super) const GO_ON: c_int = 0;
pub(super) const PAUSE: c_int = 1;
pub(super) const RELEASE: c_int = 2;

/// A run in flight.
pub(super) struct Run {
    number: u64,
    model: u64,
    /// Gone when the run has ended; then no callback reaches the caller's closure.
    sink: Mutex<Option<Sink>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
    /// Callbacks since this side wanted the end.
    ignored: AtomicU32,
    core: Weak<Core>,
    aborting: Mutex<Option<JoinHandle<()>>>,
}

impl Run {
    pub(super) fn new(number: u64, model: u64, sink: Sink, core: Weak<Core>) -> Self {
        Self {
            number,
            model,
            sink: Mutex::new(Some(sink)),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
            ignored: AtomicU32::new(0),
            core,
            aborting: Mutex::new(None),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Ends the run at its next callback.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// A callback of the runtime, from whatever thread.
    ///
    /// # Safety
    /// `result` is null or what the runtime of this run hands to a callback: as many results as the
    /// batch has inputs, with pointers that hold during this call.
    pub(super) unsafe fn tell(&self, result: *const RKLLMResult, state: LLMCallState) -> c_int {
        if frames::of_run(self.number) {
            // A runtime that calls back from inside of what a callback called: this thread holds the sink.
            return GO_ON;
        }
        let mut sink = lock(&self.sink);
        let Some(open) = sink.as_mut() else { return PAUSE };
        let told = frames::within(self.model, self.number, || {
            // SAFETY: passed on from the caller.
            unsafe { open.tell(result, state, self.is_stopped()) }
        });
        let told = told.unwrap_or_else(|panic| {
            open.stop();
            lock(&self.panic).get_or_insert(panic);
            Told::End
        });
        drop(sink);
        match told {
            Told::GoOn => GO_ON,
            Told::Release => RELEASE,
            Told::Pause => PAUSE,
            Told::End => {
                self.insist();
                PAUSE
            }
        }
    }

    /// Returning 1 is documented for runs without history only. A runtime that calls on regardless is
    /// aborted, from a thread of its own as the documents have it.
    fn insist(&self) {
        if self.ignored.fetch_add(1, Ordering::SeqCst) != 1 {
            return;
        }
        let (core, number) = (Weak::clone(&self.core), self.number);
        let thread = std::thread::Builder::new().name("rkllm-abort".into());
        // This run and no other: by the time the thread starts the next may have begun.
        let spawned = thread.spawn(move || {
            if let Some(core) = core.upgrade() {
                core.abort(Some(number));
            }
        });
        // Without a thread the next callbacks go on saying 1.
        *lock(&self.aborting) = spawned.ok();
    }

    /// The end: waits for a callback that is under way, after which none reaches the caller.
    pub(super) fn close(&self) -> Option<Sink> {
        let sink = lock(&self.sink).take();
        let aborting = lock(&self.aborting).take();
        if let Some(thread) = aborting {
            // It cannot panic, and if it did there is nothing to do.
            let _ = thread.join();
        }
        sink
    }

    /// The panic of the caller's closure.
    pub(super) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        lock(&self.panic).take()
    }
}
