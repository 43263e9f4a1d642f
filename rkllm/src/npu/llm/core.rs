//! The handle of a loaded model, and what goes with it.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::panic::resume_unwind;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use rkllm_sys::RkllmApi;

use super::arena::Arena;
use super::frames;
use super::hooks::Hooks;
use super::memory::{Earlier, Memory};
use super::output::{End, Report};
use super::param::Init;
use super::prepare::Prepared;
use super::registry::{self, Entry, lock};
use super::run::Run;
use super::runtime::{check, either, failed, file};
use super::sink::{OnOutput, Sink};
use super::start::{Handle, start};
use crate::{Error, ErrorKind, Result};

/// How long is waited between two attempts to end a run or to ask about one.
const PATIENCE: Duration = Duration::from_millis(2);

/// What only one call at a time may touch.
pub(super) struct Slot {
    handle: Option<Handle>,
    /// The last run was paused and had no history: its cache is there and can be cleared by range.
    pub(super) paused: bool,
    /// The last run left a cache behind that could not be cleared.
    pub(super) stale: bool,
    memory: Memory,
}

/// A loaded model.
pub(super) struct Core {
    api: RkllmApi,
    hooks: Arc<Hooks>,
    number: u64,
    calls: Mutex<Slot>,
    running: Mutex<Option<(Handle, Arc<Run>)>>,
    /// What `rkllm_is_running` answers while nothing runs.
    idle: c_int,
}

impl Core {
    pub(super) fn load(
        api: RkllmApi,
        path: &Path,
        init: Init,
        hooks: impl FnOnce(u64) -> Hooks,
    ) -> Result<Arc<Self>> {
        // The runtime's own error for this is a line in its log, and in old releases none.
        file(path)?;
        let number = registry::number();
        let hooks = Arc::new(hooks(number));
        registry::insert(number, Entry::Model(Arc::clone(&hooks)));
        let loaded = start(&api, init, number).inspect_err(|_| registry::remove(number));
        let loaded = loaded.map(|(handle, memory)| {
            // SAFETY: a handle that has just been made, and nothing else runs on it.
            let answer = unsafe { either!(api, f => (f.rkllm_is_running)(handle.0)) };
            let slot = Slot { handle: Some(handle), paused: false, stale: false, memory };
            Arc::new(Self {
                api,
                hooks: Arc::clone(&hooks),
                number,
                calls: Mutex::new(slot),
                running: Mutex::new(None),
                idle: if (0..=1).contains(&answer) { answer } else { documented_idle(&api) },
            })
        });
        settle(&hooks, None, loaded).map_err(|error| match error.subject() {
            Some(_) => error,
            None => error.about(path.display().to_string()),
        })
    }

    /// True in a closure of this model: there, waiting for a run would be waiting for oneself.
    pub(super) fn is_inside(&self) -> bool {
        frames::of_model(self.number)
    }

    /// An error from within a closure of its own run: what waits for the run's end would wait for ever.
    pub(super) fn outside(&self) -> Result<()> {
        match self.is_inside() {
            false => Ok(()),
            true => {
                Err(Error::new(ErrorKind::Input, "a call from within a closure of its own run")
                    .with_hint("call once the run has ended"))
            }
        }
    }

    /// The handle, once no other call has it.
    fn enter(&self) -> Result<(MutexGuard<'_, Slot>, Handle)> {
        self.outside()?;
        let slot = lock(&self.calls);
        let handle = slot.handle.ok_or_else(closed)?;
        Ok((slot, handle))
    }

    /// Runs to the end, with `on_output` called for every output.
    pub(super) fn run(
        self: &Arc<Self>,
        prepared: Prepared,
        on_output: &mut OnOutput<'_>,
    ) -> Result<Report> {
        let (mut slot, handle) = self.enter()?;
        if slot.stale {
            check("rkllm_clear_kv_cache", self.clear(handle))?;
            slot.stale = false;
        }
        let on_output: *mut OnOutput<'_> = on_output;
        // SAFETY: only the lifetime changes. The closure is called through the run's sink, which `Open`
        // takes away before this function is left in any way; until then it is borrowed here.
        let on_output =
            unsafe { std::mem::transmute::<*mut OnOutput<'_>, *mut OnOutput<'static>>(on_output) };
        // SAFETY: as above.
        let sink = unsafe { Sink::new(on_output, prepared.expected) };
        let core = Arc::downgrade(self);
        let run = Arc::new(Run::new(registry::number(), self.number, sink, core));
        let keep_history = prepared.keep_history;
        let open = Open::new(self, handle, &run);
        slot.paused = false;
        // A run that goes on after a pause may still look at what the paused one was handed.
        let before = slot.memory.last.take();
        let (input, infer) = slot.memory.last.insert(prepared).arguments();
        let userdata = registry::userdata(run.number());
        // SAFETY: structs of this ABI by `Prepared`, whose pointers hold until the next run has ended.
        let code = unsafe {
            either!(self.api, f => (f.rkllm_run)(handle.0, input.cast(), infer.cast(), userdata))
        };
        let sink = open.close();
        drop(before);
        let panic = run.take_panic();
        let ended = match sink {
            Some(sink) => sink.end(code, run.is_stopped()),
            None => Err(failed("rkllm_run", code)),
        };
        let end = ended.as_ref().ok().map(|report| report.end);
        match end.filter(|_| panic.is_none()) {
            Some(End::Finished) => {}
            Some(End::Paused) => slot.paused = !keep_history,
            // A callback that returned 1 leaves a cache the next run would go on after. The system
            // prompt too: a run that stands alone brings it again.
            _ if !keep_history => slot.stale = self.clear(handle) != 0,
            _ => {}
        }
        drop(slot);
        settle(&self.hooks, panic, ended)
    }

    /// Forgets everything.
    fn clear(&self, handle: Handle) -> c_int {
        // SAFETY: a handle that is alive, by the lock that the caller holds; null and null mean all.
        unsafe {
            either!(self.api, f => (f.rkllm_clear_kv_cache)(handle.0, 0, null_mut(), null_mut()))
        }
    }

    /// Any other call: alone, with a handle that is alive.
    ///
    /// # Errors
    /// As `act`, and if it does not return 0.
    pub(super) fn call(
        &self,
        name: &str,
        act: impl FnOnce(&RkllmApi, *mut c_void, &mut Slot) -> Result<c_int>,
    ) -> Result<()> {
        let (mut slot, handle) = self.enter()?;
        self.hooks.forget();
        let code = act(&self.api, handle.0, &mut slot);
        drop(slot);
        settle(&self.hooks, None, code.and_then(|code| check(name, code)))
    }

    /// A call with memory of ours, which the runtime may not copy.
    ///
    /// # Errors
    /// As [`Core::call`].
    pub(super) fn lend(
        &self,
        name: &'static str,
        earlier: Earlier,
        act: impl FnOnce(&RkllmApi, *mut c_void, &mut Arena) -> Result<c_int>,
    ) -> Result<()> {
        self.call(name, |api, handle, slot| {
            let mut arena = Arena::default();
            let code = act(api, handle, &mut arena)?;
            slot.memory.keep(name, arena, earlier, code);
            Ok(code)
        })
    }

    /// Asks the run in flight to end, or this one alone; false if there is none.
    pub(super) fn abort(&self, only: Option<u64>) -> bool {
        // Held during the call: so the run cannot return and the handle cannot go.
        let running = lock(&self.running);
        let Some((handle, run)) = &*running else { return false };
        if only.is_some_and(|number| number != run.number()) {
            return false;
        }
        run.stop();
        // SAFETY: a handle in a run, and the function is made for another thread. What it returns says
        // only whether the runtime had begun; the run's own flag ends it at its next callback if not.
        unsafe { either!(self.api, f => (f.rkllm_abort)(handle.0)) };
        true
    }

    /// For closures of a run: the run in flight is to end at its next callback. Nothing is called, and
    /// nothing is waited for: who holds `running` may be an abort that waits for this callback.
    pub(super) fn stop(&self) -> bool {
        self.hooks.current().inspect(|run| run.stop()).is_some()
    }

    /// The same for the question whether there is a run.
    pub(super) fn has_run(&self) -> bool {
        self.hooks.current().is_some()
    }

    /// What the runtime says of itself.
    pub(super) fn is_running(&self) -> Result<bool> {
        let ask = |handle: Handle| {
            // SAFETY: a handle that is alive by the lock that is held.
            unsafe { either!(self.api, f => (f.rkllm_is_running)(handle.0)) }
        };
        let answer = loop {
            if let Some((handle, _)) = &*lock(&self.running) {
                break ask(*handle);
            }
            // Not waited for: a run that takes it now would be waited for to its end.
            if let Some(slot) = try_lock(&self.calls) {
                break ask(slot.handle.ok_or_else(closed)?);
            }
            std::thread::sleep(PATIENCE);
        };
        match answer {
            0 | 1 => Ok(answer != self.idle),
            other => Err(failed("rkllm_is_running", other)),
        }
    }

    /// Ends a run in flight, waits for it and frees the model.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] if the runtime does not free it; what it was handed stays for ever then.
    pub(super) fn close(&self) -> Result<()> {
        let mut slot = loop {
            if let Some(slot) = try_lock(&self.calls) {
                break slot;
            }
            // Again and again: the first may have come before the runtime had begun.
            self.abort(None);
            std::thread::sleep(PATIENCE);
        };
        let Some(handle) = slot.handle.take() else { return Ok(()) };
        // SAFETY: alive, with no run and no other call, and gone from the slot.
        let code = unsafe { either!(self.api, f => (f.rkllm_destroy)(handle.0)) };
        registry::remove(self.number);
        let memory = std::mem::take(&mut slot.memory);
        check("rkllm_destroy", code).inspect_err(|_| std::mem::forget(memory))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // `NpuModel::close` is for those who want to know.
        let _ = self.close();
    }
}

/// The run in flight, until it is closed or left.
struct Open<'a> {
    core: &'a Core,
    run: &'a Arc<Run>,
}

impl<'a> Open<'a> {
    fn new(core: &'a Core, handle: Handle, run: &'a Arc<Run>) -> Self {
        let open = Self { core, run };
        registry::insert(run.number(), Entry::Run(Arc::clone(run)));
        core.hooks.begin(run);
        *lock(&core.running) = Some((handle, Arc::clone(run)));
        open
    }

    fn close(self) -> Option<Sink> {
        self.end()
    }

    fn end(&self) -> Option<Sink> {
        registry::remove(self.run.number());
        self.core.hooks.end();
        // Waits for an abort that is being called.
        let running = lock(&self.core.running).take();
        drop(running);
        self.run.close()
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// What became of a call, once what its closures did is known: panics go on, errors are the cause.
fn settle<T>(hooks: &Hooks, panic: Option<Box<dyn Any + Send>>, result: Result<T>) -> Result<T> {
    let (error, of_hooks) = (hooks.take_error(), hooks.take_panic());
    if let Some(panic) = panic.or(of_hooks) {
        drop(result);
        resume_unwind(panic);
    }
    match error {
        Some(error) => Err(error),
        None => result,
    }
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// What `rkllm_is_running` is documented to answer while nothing runs.
fn documented_idle(api: &RkllmApi) -> c_int {
    match api {
        RkllmApi::V1_2(_) => 1,
        RkllmApi::V1_3(_) => 0,
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Runtime, "the model is closed")
}
