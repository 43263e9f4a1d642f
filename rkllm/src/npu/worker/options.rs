//! `WorkerOptions`: how a worker is started, and how long it may be silent.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rkllm_sys::OpenOptions;

use super::lock::LockPolicy;
use super::model::Worker;
use crate::Result;
use crate::npu::NpuOptions;

/// How a worker is started, and how long it may be silent before it is given up.
///
/// | limit | default | of |
/// |---|---|---|
/// | start | 20 s | the process until it says hello |
/// | load | 300 s | `rkllm_init`, with the NPU already its own |
/// | first token | 300 s | a run until its first output: the prompt |
/// | token | 60 s | each output after that |
/// | call | 60 s | every other call |
/// | grace | 3 s | a run that was told to stop, and a worker that was told to end |
///
/// A run that is silent for too long is aborted. If it ends within the grace, the worker lives on; else it
/// is killed. Either way the error is of kind [`Timeout`](crate::ErrorKind::Timeout). The caller's own time
/// in a closure does not count.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    pub(super) program: Option<PathBuf>,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) library: Option<PathBuf>,
    pub(super) open: OpenOptions,
    pub(super) lock: LockPolicy,
    pub(super) core_dumps: bool,
    pub(super) start: Duration,
    pub(super) load: Duration,
    pub(super) first_token: Duration,
    pub(super) token: Duration,
    pub(super) call: Duration,
    pub(super) grace: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            program: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            library: None,
            open: OpenOptions::default(),
            lock: LockPolicy::default(),
            core_dumps: false,
            start: Duration::from_secs(20),
            load: Duration::from_secs(300),
            first_token: Duration::from_secs(300),
            token: Duration::from_secs(60),
            call: Duration::from_secs(60),
            grace: Duration::from_secs(3),
        }
    }
}

impl WorkerOptions {
    /// The program that serves, which calls [`serve_if_asked`](super::serve_if_asked) first in its `main`,
    /// as `rkllm worker` does. Without it this program itself.
    #[must_use]
    pub fn with_program<A: Into<OsString>>(
        mut self,
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        self.program = Some(program.into());
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of the worker's environment, which is otherwise that of this program at each start.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The library to load. Without it that of [`NpuOptions::with_runtime`], else as
    /// [`Runtime::find`](crate::npu::Runtime::find) in the worker; so nothing of it need be loaded here.
    #[must_use]
    pub fn with_library(mut self, path: impl Into<PathBuf>) -> Self {
        self.library = Some(path.into());
        self
    }

    /// What is accepted of a library.
    #[must_use]
    pub fn with_open_options(mut self, options: OpenOptions) -> Self {
        self.open = options;
        self
    }

    /// What to do while another process has the NPU; without it, wait for ten seconds.
    #[must_use]
    pub fn with_lock(mut self, policy: LockPolicy) -> Self {
        self.lock = policy;
        self
    }

    /// Lets the kernel write a core of a worker that dies: as large as the model, and the caller waits.
    #[must_use]
    pub fn with_core_dumps(mut self, dump: bool) -> Self {
        self.core_dumps = dump;
        self
    }

    /// How long a process may take until it says hello.
    #[must_use]
    pub fn with_start_limit(mut self, most: Duration) -> Self {
        self.start = most;
        self
    }

    /// How long loading may take, once the NPU is free.
    #[must_use]
    pub fn with_load_limit(mut self, most: Duration) -> Self {
        self.load = most;
        self
    }

    /// How long a run may take until its first output.
    #[must_use]
    pub fn with_first_token_limit(mut self, most: Duration) -> Self {
        self.first_token = most;
        self
    }

    /// How long a run may be silent after that.
    #[must_use]
    pub fn with_token_limit(mut self, most: Duration) -> Self {
        self.token = most;
        self
    }

    /// How long any other call may take.
    #[must_use]
    pub fn with_call_limit(mut self, most: Duration) -> Self {
        self.call = most;
        self
    }

    /// How long a run may take to stop, and a worker to end, before it is killed.
    #[must_use]
    pub fn with_grace(mut self, most: Duration) -> Self {
        self.grace = most;
        self
    }

    /// Starts a worker and loads a model in it.
    ///
    /// # Errors
    /// As [`NpuOptions::load`]; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for closures,
    /// which cannot go to another process; [`ErrorKind::Busy`](crate::ErrorKind::Busy) where another
    /// process has the NPU; [`ErrorKind::Io`](crate::ErrorKind::Io) for a program that cannot be started;
    /// [`ErrorKind::Crashed`](crate::ErrorKind::Crashed), [`ErrorKind::Timeout`](crate::ErrorKind::Timeout)
    /// and what is known from the runtime's lines, such as [`ErrorKind::Memory`](crate::ErrorKind::Memory).
    pub fn load(self, path: impl AsRef<Path>, options: NpuOptions) -> Result<Worker> {
        Worker::load(self, path.as_ref(), options)
    }
}
