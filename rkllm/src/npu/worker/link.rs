//! Requests to a worker and what comes of them, each within its time.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use super::failure::{Cause, Failure, STARTS};
use super::lock::{self, LockPolicy};
use super::message::{Facts, Load, PROTOCOL, Reply, Request};
use super::options::WorkerOptions;
use super::process::{Process, lock};
use crate::npu::llm::{End, Flow, Input, Output, Remote, Report, RunOptions};
use crate::npu::wire::{self, Arriving, Part};
use crate::{Error, ErrorKind, Result};

/// Between two looks at whether a run was told to stop.
const SLICE: Duration = Duration::from_millis(20);
/// How long the last lines of a worker that has failed may take to come.
const LINES: Duration = Duration::from_millis(500);
/// How long a worker whose end of the socket is closed may take to be gone.
const DYING: Duration = Duration::from_secs(2);

/// Called for every output of a run.
pub(super) type OnOutput<'a> = dyn FnMut(Output<'_>) -> Flow + Send + 'a;

/// The worker of a model, over its restarts.
pub(super) struct Link {
    calls: Mutex<Calls>,
    /// Beside the lock above for those who do not wait: abort and drop.
    process: Mutex<Option<Arc<Process>>>,
    number: AtomicU64,
}

/// What only one call at a time may touch.
struct Calls {
    options: WorkerOptions,
    load: Load,
    arriving: Arriving,
    /// What to tell a new process besides what to load.
    setup: Vec<Request>,
    /// Why there is no process.
    gone: String,
}

/// Why no reply came.
enum Trouble {
    Closed,
    Silent(Duration),
    Garbage(String),
}

/// One exchange: which process, what for, and where its log was then.
struct Call<'a> {
    process: &'a Process,
    during: &'static str,
    position: u64,
}

impl<'a> Call<'a> {
    fn new(process: &'a Process, during: &'static str) -> Self {
        Self { process, during, position: process.log.position() }
    }

    fn failure(&self, cause: Cause, is_alive: bool) -> Failure {
        Failure {
            cause,
            during: self.during,
            pid: self.process.pid,
            is_alive,
            last_lines: self.process.log.since(self.position),
        }
    }
}

impl Link {
    /// Starts a process and loads the model.
    pub(super) fn start(options: WorkerOptions, load: Load) -> Result<(Arc<Self>, Facts)> {
        let calls = Calls {
            options,
            load,
            arriving: Arriving::default(),
            setup: Vec::new(),
            gone: "it was not started".into(),
        };
        let link =
            Self { calls: Mutex::new(calls), process: Mutex::new(None), number: AtomicU64::new(1) };
        let facts = link.begin(&mut lock(&link.calls))?;
        Ok((Arc::new(link), facts))
    }

    /// Ends the process if it is there, starts another and tells it what the one before knew.
    pub(super) fn restart(&self) -> Result<Facts> {
        let mut calls = lock(&self.calls);
        if let Some(process) = self.take() {
            process.quit(calls.options.grace);
        }
        self.begin(&mut calls)
    }

    fn begin(&self, calls: &mut Calls) -> Result<Facts> {
        let process = Process::start(&calls.options);
        let process = Arc::new(process.inspect_err(|error| calls.gone = error.to_string())?);
        calls.arriving = Arriving::default();
        *lock(&self.process) = Some(Arc::clone(&process));
        let begun = self.introduce(calls, &process).and_then(|facts| {
            for request in calls.setup.clone() {
                self.ask(calls, &process, &request, "the calls before a restart")?;
            }
            Ok(facts)
        });
        begun.inspect_err(|error| {
            calls.gone = error.to_string();
            // What did not load is of no use, and has the NPU.
            if let Some(process) = self.take() {
                process.quit(calls.options.grace);
            }
        })
    }

    fn introduce(&self, calls: &mut Calls, process: &Process) -> Result<Facts> {
        let options = calls.options.clone();
        let call = Call::new(process, STARTS[0]);
        match self.reply(calls, &call, options.start)? {
            Reply::Hello { protocol } if protocol == PROTOCOL => {}
            Reply::Hello { protocol } => {
                let message = format!("the worker speaks {protocol}, this program {PROTOCOL}");
                return Err(Error::new(ErrorKind::Abi, message)
                    .with_hint("let both be of one release: WorkerOptions::with_program"));
            }
            _ => return Err(self.garbled(calls, &call)),
        }
        let call = Call { during: STARTS[1], ..call };
        let load = Request::Load { load: Box::new(calls.load.clone()) };
        self.send(calls, &call, &load)?;
        let waiting = match options.lock {
            LockPolicy::Wait(most) => most.saturating_add(options.call),
            _ => options.call,
        };
        match self.reply(calls, &call, waiting).map_err(lock::own)? {
            Reply::Locked {} => {}
            _ => return Err(self.garbled(calls, &call)),
        }
        match self.reply(calls, &call, options.load)? {
            Reply::Loaded { facts } => Ok(facts),
            _ => Err(self.garbled(calls, &call)),
        }
    }

    /// A call that is answered at once.
    pub(super) fn call(&self, request: &Request, during: &'static str) -> Result<Reply> {
        let mut calls = lock(&self.calls);
        let process = self.process(&calls)?;
        self.ask(&mut calls, &process, request, during)
    }

    /// A call that a new process has to be told again, in the place of those that `replaces` finds.
    pub(super) fn set_up(
        &self,
        request: Request,
        during: &'static str,
        replaces: impl Fn(&Request) -> bool,
    ) -> Result<()> {
        let mut calls = lock(&self.calls);
        let process = self.process(&calls)?;
        self.ask(&mut calls, &process, &request, during)?;
        calls.setup.retain(|before| !replaces(before));
        calls.setup.push(request);
        Ok(())
    }

    /// A call after which a new process need not be told what `forgets` finds.
    pub(super) fn take_back(
        &self,
        request: &Request,
        during: &'static str,
        forgets: impl Fn(&Request) -> bool,
    ) -> Result<()> {
        let mut calls = lock(&self.calls);
        let process = self.process(&calls)?;
        calls.setup.retain(|before| !forgets(before));
        self.ask(&mut calls, &process, request, during).map(drop)
    }

    fn ask(
        &self,
        calls: &mut Calls,
        process: &Process,
        request: &Request,
        during: &'static str,
    ) -> Result<Reply> {
        let call = Call::new(process, during);
        self.send(calls, &call, request)?;
        let most = calls.options.call;
        self.reply(calls, &call, most)
    }

    /// A run to its end.
    pub(super) fn run(
        &self,
        inputs: Vec<Input>,
        options: RunOptions,
        on_output: &mut OnOutput<'_>,
    ) -> Result<Report> {
        let mut calls = lock(&self.calls);
        let process = self.process(&calls)?;
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let call = Call::new(&process, "a run");
        process.begin(number);
        let request = Request::Run { number, inputs, options };
        let sent = self.send(&mut calls, &call, &request);
        let ended = sent.and_then(|()| self.outputs(&mut calls, &call, on_output));
        process.end();
        drop(calls);
        match ended {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(error) => Err(error),
        }
    }

    /// Hands out what a run tells until it has ended; a panic of the closure ends it.
    fn outputs(
        &self,
        calls: &mut Calls,
        call: &Call<'_>,
        on_output: &mut OnOutput<'_>,
    ) -> Result<std::thread::Result<Report>> {
        let mut panic = None;
        let mut most = calls.options.first_token;
        loop {
            let reply = match self.receive(calls, call, most) {
                Err(Trouble::Silent(after)) if call.process.aborted_at().is_none() => {
                    return Err(self.give_up(calls, call, after));
                }
                other => self.judge(calls, call, other)?,
            };
            match reply {
                Reply::Output { told } => {
                    let flow = match &panic {
                        Some(_) => Flow::Stop,
                        None => catch_unwind(AssertUnwindSafe(|| on_output(told.lend())))
                            .unwrap_or_else(|caught| {
                                panic = Some(caught);
                                Flow::Stop
                            }),
                    };
                    self.send(calls, call, &Request::Flow { flow })?;
                }
                Reply::Done { report } => return Ok(panic.map_or(Ok(report), Err)),
                _ => return Err(self.garbled(calls, call)),
            }
            most = calls.options.token;
        }
    }

    /// Aborts a run that was silent for `after`, and kills the worker if that does not end it.
    fn give_up(&self, calls: &mut Calls, call: &Call<'_>, after: Duration) -> Error {
        call.process.abort();
        let grace = calls.options.grace;
        loop {
            match self.receive(calls, call, grace) {
                // What it computed meanwhile is not wanted any more.
                Ok(Reply::Output { .. }) => {
                    if let Err(error) = self.send(calls, call, &Request::Flow { flow: Flow::Stop })
                    {
                        return error;
                    }
                }
                Ok(Reply::Done { .. } | Reply::Failed { .. }) => {
                    return call.failure(Cause::Timeout(after), true).into_error(None);
                }
                Ok(_) => return self.garbled(calls, call),
                Err(Trouble::Silent(_)) => {
                    return self.broken(calls, call, Trouble::Silent(after));
                }
                Err(trouble) => return self.broken(calls, call, trouble),
            }
        }
    }

    /// The next message within `most`, and within the grace once the run was told to stop.
    fn receive(
        &self,
        calls: &mut Calls,
        call: &Call<'_>,
        most: Duration,
    ) -> Result<Reply, Trouble> {
        let begun = Instant::now();
        loop {
            let mut until = begun.checked_add(most);
            if let Some(at) = call.process.aborted_at() {
                let stopped = at.max(begun).checked_add(calls.options.grace);
                until = until.into_iter().chain(stopped).min();
            }
            let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(Trouble::Silent(begun.elapsed()));
            }
            let mut socket = &call.process.socket;
            let slice = left.min(SLICE).max(Duration::from_millis(1));
            if socket.set_read_timeout(Some(slice)).is_err() {
                return Err(Trouble::Closed);
            }
            match calls.arriving.read(&mut socket) {
                Ok(Part::Whole(bytes)) => {
                    return wire::message(&bytes).map_err(|error| Trouble::Garbage(error.0));
                }
                Ok(Part::More) => {}
                Ok(Part::Closed) => return Err(Trouble::Closed),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted => {}
                    io::ErrorKind::InvalidData => return Err(Trouble::Garbage(error.to_string())),
                    _ => return Err(Trouble::Closed),
                },
            }
        }
    }

    fn reply(&self, calls: &mut Calls, call: &Call<'_>, most: Duration) -> Result<Reply> {
        let received = self.receive(calls, call, most);
        self.judge(calls, call, received)
    }

    /// A reply that is no failure.
    fn judge(
        &self,
        calls: &mut Calls,
        call: &Call<'_>,
        received: Result<Reply, Trouble>,
    ) -> Result<Reply> {
        match received {
            Ok(Reply::Failed { failure, mark }) => {
                let error = failure.into_error();
                let Some(cause) = Cause::of_refusal(&error) else { return Err(error) };
                call.process.log.wait_for_mark(mark, LINES);
                // A model that did not load is not kept.
                let is_alive = !STARTS.contains(&call.during);
                Err(call.failure(cause, is_alive).into_error(Some(error)))
            }
            Ok(reply) => Ok(reply),
            Err(trouble) => Err(self.broken(calls, call, trouble)),
        }
    }

    fn send(&self, calls: &mut Calls, call: &Call<'_>, request: &Request) -> Result<()> {
        let error = match call.process.send(request) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.kind() {
            // Nothing was written.
            io::ErrorKind::InvalidInput => {
                Err(Error::new(ErrorKind::Input, error.to_string()).about(call.during))
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let most = calls.options.call;
                Err(self.broken(calls, call, Trouble::Silent(most)))
            }
            _ => Err(self.broken(calls, call, Trouble::Closed)),
        }
    }

    /// A reply to something else.
    fn garbled(&self, calls: &mut Calls, call: &Call<'_>) -> Error {
        self.broken(calls, call, Trouble::Garbage("an answer to another question".into()))
    }

    /// The end of a process, whatever state it is in: nothing of it can be trusted any more.
    fn broken(&self, calls: &mut Calls, call: &Call<'_>, trouble: Trouble) -> Error {
        use std::os::unix::process::ExitStatusExt;
        self.take();
        let by_itself = match trouble {
            Trouble::Closed => call.process.reap(DYING),
            _ => None,
        };
        if by_itself.is_none() {
            call.process.kill();
        }
        call.process.log.wait_for_end(LINES);
        let cause = match (trouble, by_itself) {
            (Trouble::Silent(after), _) => Cause::Timeout(after),
            (Trouble::Garbage(what), _) => Cause::Protocol(what),
            (Trouble::Closed, Some(status)) => match (status.signal(), status.code()) {
                (Some(signal), _) => Cause::Signal(signal),
                (None, code) => Cause::Exit(code.unwrap_or(-1)),
            },
            (Trouble::Closed, None) => Cause::Protocol("its end of the connection closed".into()),
        };
        let error = call.failure(cause, false);
        calls.gone = error.to_string();
        error.into_error(None)
    }

    fn take(&self) -> Option<Arc<Process>> {
        lock(&self.process).take()
    }

    fn process(&self, calls: &Calls) -> Result<Arc<Process>> {
        lock(&self.process).clone().ok_or_else(|| {
            Error::new(ErrorKind::Crashed, format!("there is no worker: {}", calls.gone))
                .with_hint("Worker::restart starts another")
        })
    }

    /// The process, if there is one that has not ended.
    pub(super) fn alive(&self) -> Option<Arc<Process>> {
        let process = lock(&self.process).clone()?;
        process.reap(Duration::ZERO).is_none().then_some(process)
    }

    /// Ends it all.
    pub(super) fn close(&self) {
        match self.calls.try_lock() {
            Err(TryLockError::WouldBlock) => {
                // A run whose stream was leaked: it ends with its process.
                if let Some(process) = self.take() {
                    process.kill();
                }
            }
            Ok(calls) => self.quit(calls.options.grace),
            Err(TryLockError::Poisoned(calls)) => self.quit(calls.into_inner().options.grace),
        }
    }

    fn quit(&self, grace: Duration) {
        if let Some(process) = self.take() {
            process.quit(grace);
        }
    }
}

impl Remote for Link {
    fn abort(&self) -> bool {
        let process = lock(&self.process).clone();
        process.is_some_and(|process| process.abort())
    }

    fn is_running(&self) -> bool {
        lock(&self.process).as_ref().is_some_and(|process| process.is_running())
    }
}

/// The report of a run that was told to stop before it had begun.
pub(super) fn never_begun() -> Report {
    Report { end: End::Aborted, tokens: 0, performance: None }
}
