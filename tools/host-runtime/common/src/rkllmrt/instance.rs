//! `Instance`: a loaded model behind a handle.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, ThreadId};
use std::time::Duration;

use rkllm::model::{Load, Lora};
use rkllm::{Error, ErrorKind, Result};
use rkllm_sys::v1_3::LLMCallState;

use super::callback::{Callbacks, UserData, inside, is_inside, is_inside_any};
use super::conversation::{Composer, Frame, Settings};
use super::events::{Listener, Told};
use super::fault::Faults;
use super::generate::{Failure, Run};
use super::lane::Lane;
use super::loaded::Loaded;
use super::log::{self, error, info, warning};
use super::params::{InitParams, RunInput, RunParams};
use super::prompt_cache::PromptCache;
use super::queue::{Queue, Ticket};
use super::sequence::Sequence;

/// How long `rkllm_destroy` waits for a run that does not end, such as one whose callback waits for
/// whoever destroys. Nothing is freed under it then; the last to go frees.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same in a callback of another handle: two that destroy each other's would wait for each other.
const PATIENCE_INSIDE: Duration = Duration::from_secs(1);
/// How long a call waits for a run to return whose end has been told, or which the callback has paused.
const PATIENCE_TOLD: Duration = Duration::from_secs(3);

/// A model, its sequences and who is told of them.
#[derive(Debug)]
pub struct Instance {
    number: u64,
    /// The process that loaded it. A fork has none of its threads.
    process: u32,
    loaded: Loaded,
    params: InitParams,
    callbacks: Callbacks,
    queue: Queue,
    state: Mutex<State>,
    /// Positions of each place, for whoever asks during a run.
    sizes: Vec<AtomicUsize>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct State {
    lanes: Vec<Lane>,
    settings: Settings,
    cache: Option<PromptCache>,
}

impl Instance {
    /// Loads a model.
    ///
    /// # Errors
    /// What is wrong with the parameters or the model.
    pub(super) fn load(params: InitParams, callbacks: Callbacks, version: &str) -> Result<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        if params.use_cross_attn != 0 {
            return Err(unsupported("cross attention"));
        }
        let loaded = Loaded::open(&params, version)?;
        let batch = usize::from(params.n_batch).max(1);
        let lanes: Result<Vec<Lane>> =
            (0..batch).map(|_| Ok(Lane::new(Sequence::new(loaded.engine()?)))).collect();
        if log::level() > 1 {
            describe(&params, loaded.threads());
        }
        Ok(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            process: std::process::id(),
            loaded,
            params,
            callbacks,
            queue: Queue::default(),
            state: Mutex::new(State { lanes: lanes?, settings: Settings::default(), cache: None }),
            sizes: (0..batch).map(|_| AtomicUsize::new(0)).collect(),
            threads: Mutex::default(),
        })
    }

    /// Inputs per run.
    pub fn batch(&self) -> usize {
        self.sizes.len()
    }

    /// Values per embedding.
    pub fn hidden(&self) -> usize {
        self.loaded.hidden()
    }

    /// The texts around images that 1.2 takes when a model is loaded.
    pub fn params(&self) -> &InitParams {
        &self.params
    }

    /// Runs and returns when it has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] from a callback of its own or once destroyed. What goes wrong later is told.
    pub(super) fn run(
        &self,
        inputs: Vec<RunInput>,
        params: RunParams,
        to: UserData,
    ) -> Result<bool> {
        let ticket = self.join()?;
        Ok(inside(self.number, || self.run_with(ticket, inputs, params, to)))
    }

    /// Runs on a thread of its own.
    ///
    /// # Errors
    /// As [`Instance::run`], and [`ErrorKind::Memory`] without a thread.
    pub(super) fn run_async(
        self: &Arc<Self>,
        inputs: Vec<RunInput>,
        params: RunParams,
        to: UserData,
    ) -> Result<()> {
        let ticket = self.join()?;
        let own = Arc::clone(self);
        let run = move || {
            let to = to;
            inside(own.number, || own.run_with(ticket, inputs, params, to));
        };
        let thread = Builder::new().name("rkllm-host-run".into()).spawn(run).map_err(|error| {
            drop(self.queue.wait(ticket));
            Error::new(ErrorKind::Memory, format!("cannot start a thread: {error}"))
        })?;
        let mut threads = lock(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    fn join(&self) -> Result<Ticket> {
        if is_inside(self.number) {
            let message = "a run was asked for in a run of the same handle, by its callback or a signal handler";
            return Err(Error::new(ErrorKind::Input, message));
        }
        self.queue.join().ok_or_else(|| Error::new(ErrorKind::Input, "the handle is destroyed"))
    }

    /// True if it ended well.
    fn run_with(
        &self,
        ticket: Ticket,
        inputs: Vec<RunInput>,
        params: RunParams,
        to: UserData,
    ) -> bool {
        let turn = self.queue.wait(ticket);
        let mut state = lock(&self.state);
        let State { lanes, settings, cache } = &mut *state;
        let listener = Listener {
            callbacks: &self.callbacks,
            userdata: to,
            number: self.number,
            hidden: self.loaded.hidden(),
            vocab: self.loaded.vocab(),
        };
        let limit = match params.max_new_tokens {
            own if own > 0 => own,
            _ => self.params.max_new_tokens,
        };
        let run = Run {
            loaded: &self.loaded,
            composer: self.composer(settings),
            listener,
            sampling: params.sampling.unwrap_or(self.params.sampling),
            limit: usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX),
            n_keep: self.params.n_keep,
            skip_special: self.params.skip_special_token,
            ignore_eos: self.params.ignore_eos_token,
            cache: cache.as_ref(),
            faults: Faults::from_env(),
            is_aborted: &|| turn.is_aborted(),
            ends: &|| turn.tells_its_end(),
            count: &|place, positions| self.sizes[place].store(positions, Ordering::SeqCst),
            params,
        };
        // A panic would leave a sequence of which nobody knows what it holds.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.run(lanes, inputs)));
        let done = ran.unwrap_or_else(|_| {
            lanes.iter_mut().for_each(Lane::forget);
            self.sizes.iter().for_each(|size| size.store(0, Ordering::SeqCst));
            Err(Failure::Error(Error::new(ErrorKind::Runtime, "the stand-in contradicts itself")))
        });
        match done {
            Ok(()) => true,
            Err(Failure::Silent) => false,
            Err(Failure::Error(error)) => {
                error!("{error}");
                let told: Vec<_> = lanes.iter().map(|_| Told::nothing()).collect();
                turn.tells_its_end();
                listener.tell(&told, LLMCallState::RKLLM_RUN_ERROR);
                false
            }
        }
    }

    fn composer<'a>(&'a self, settings: &'a Settings) -> Composer<'a> {
        Composer { loaded: &self.loaded, callbacks: &self.callbacks, settings, number: self.number }
    }

    /// Ends the run under way; false if there is none.
    pub(super) fn abort(&self) -> bool {
        self.queue.abort()
    }

    /// Whether a run is under way.
    pub(super) fn is_running(&self) -> bool {
        self.queue.is_running()
    }

    /// The state, for calls that are not for during a run: waiting for one could be waiting for oneself.
    fn idle(&self) -> Result<MutexGuard<'_, State>> {
        let busy = || Error::new(ErrorKind::Input, "not during a run");
        // Another thread knows of the end or the pause by its callback before the run has returned.
        let ends = || !is_inside(self.number) && self.queue.is_ending();
        if self.queue.is_running() && !(ends() && self.queue.wait_idle(PATIENCE_TOLD)) {
            return Err(busy());
        }
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(std::sync::TryLockError::Poisoned(state)) => Ok(state.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => Err(busy()),
        }
    }

    /// Positions of each place of the batch.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.sizes.iter().map(|size| size.load(Ordering::SeqCst)).collect()
    }

    fn recount(&self, state: &State) {
        for (size, lane) in self.sizes.iter().zip(&state.lanes) {
            size.store(lane.sequence.items().len(), Ordering::SeqCst);
        }
    }

    /// Forgets everything, but perhaps the system prompt.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] during a run.
    pub(super) fn clear(&self, keep_system_prompt: bool) -> Result<()> {
        let mut state = self.idle()?;
        let State { lanes, settings, .. } = &mut *state;
        let composer = self.composer(settings);
        let done = lanes.iter_mut().try_for_each(|lane| lane.clear(keep_system_prompt, &composer));
        self.recount(&state);
        done
    }

    /// Forgets positions, a range for each place; an empty one forgets nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] during a run, or if none is paused, or for a range below zero.
    pub(super) fn clear_ranges(&self, ranges: &[(i32, i32)]) -> Result<()> {
        let mut state = self.idle()?;
        if !state.lanes.iter().all(|lane| lane.paused) {
            let message = "a range can be cleared only while a run without history is paused";
            return Err(Error::new(ErrorKind::Input, message));
        }
        if let Some((start, _)) = ranges.iter().find(|(start, end)| start < end && *start < 0) {
            return Err(Error::new(ErrorKind::Input, format!("a range begins at {start}")));
        }
        for (lane, (start, end)) in state.lanes.iter_mut().zip(ranges) {
            if start < end {
                lane.sequence.remove(*start as usize..*end as usize)?;
            }
        }
        self.recount(&state);
        Ok(())
    }

    /// Puts a template in the place of the model's.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] during a run.
    pub(super) fn set_chat_template(&self, frame: Frame) -> Result<()> {
        self.idle()?.settings.frame = Some(frame);
        Ok(())
    }

    /// Declares tools.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] during a run and for what is no JSON array.
    pub(super) fn set_tools(&self, system: String, tools: &str, tag: String) -> Result<()> {
        let tools = serde_json::from_str(tools).map_err(|error| {
            Error::new(ErrorKind::Input, format!("the tools are not a JSON array: {error}"))
        })?;
        let mut state = self.idle()?;
        state.settings.system = system;
        state.settings.tools = tools;
        state.settings.tool_tag = tag;
        Ok(())
    }

    /// Loads a prompt cache.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] during a run, and as [`PromptCache::load`].
    pub(super) fn load_prompt_cache(&self, path: &Path) -> Result<()> {
        let mut state = self.idle()?;
        let cache = PromptCache::load(path, &mut state.lanes[0].sequence)?;
        state.cache = Some(cache);
        Ok(())
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] during a run.
    pub(super) fn release_prompt_cache(&self) -> Result<()> {
        self.idle()?.cache = None;
        Ok(())
    }

    /// Loads a LoRA of PEFT's format, to be chosen by its name.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] during a run and for a name that is taken, and as [`Lora::open`].
    pub(super) fn load_lora(&self, path: &Path, name: &str, scale: f32) -> Result<()> {
        let mut state = self.idle()?;
        let lora = Arc::new(Lora::open(path, &self.loaded.weights.config, Load::Copy)?);
        let mut lanes = state.lanes.iter_mut();
        lanes.try_for_each(|lane| lane.sequence.engine.add_lora(name, Arc::clone(&lora), scale))
    }

    /// Ends its runs and waits for them, unless one of them asks. In a fork nothing is freed: that would
    /// be waiting for threads which only the parent has.
    pub(super) fn close(self: &Arc<Self>) {
        self.queue.close();
        if std::process::id() != self.process {
            std::mem::forget(Arc::clone(self));
            return;
        }
        if is_inside(self.number) {
            return;
        }
        let patience = if is_inside_any() { PATIENCE_INSIDE } else { PATIENCE };
        if !self.queue.wait_idle(patience) {
            warning!("rkllm_destroy: a run does not end; its callback may wait for this");
            return;
        }
        let own: ThreadId = std::thread::current().id();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.thread().id() != own {
                // Its panics are caught; there is nothing in a join's error.
                let _ = thread.join();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported here"))
}

/// What was decoded from the parameters: a caller of another layout sees it here.
fn describe(params: &InitParams, threads: usize) {
    let sampling = &params.sampling;
    info!("Max Context Len: {}", params.max_context_len);
    info!("Max New Tokens: {}", params.max_new_tokens);
    info!("Top-K: {}", sampling.top_k);
    info!("Top-P: {:.2}", sampling.top_p);
    info!("Temperature: {:.2}", sampling.temperature);
    info!("Repeat Penalty: {:.2}", sampling.repeat_penalty);
    info!("Frequency Penalty: {:.2}", sampling.frequency_penalty);
    info!("Presence Penalty: {:.2}", sampling.presence_penalty);
    info!("Mirostat: {} {} {}", sampling.mirostat, sampling.mirostat_tau, sampling.mirostat_eta);
    info!("N Keep: {}", params.n_keep);
    info!("Skip Special Token: {}", params.skip_special_token);
    info!("Ignore EOS: {}", params.ignore_eos_token);
    info!("Is Async: {} (taken note of)", params.is_async);
    info!("Base Domain ID: {} (taken note of)", params.base_domain_id);
    info!("Embed Flash: {} (taken note of)", params.embed_flash);
    info!("Enabled CPUs: {threads} threads (mask {:#x} taken note of)", params.enabled_cpus_mask);
    info!("N Batch: {}", params.n_batch);
}
