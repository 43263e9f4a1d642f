//! A worker's process, as its parent has it.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::log::Log;
use super::message::Request;
use super::options::WorkerOptions;
use super::sys;
use crate::npu::wire::{self, Wire};
use crate::{Error, ErrorKind, Result};

/// The variable that asks a program to be a worker: the number of the process that asks.
pub(super) const ASKED: &str = "RKLLM_WORKER_OF";
/// The variable that lets cores be dumped.
pub(super) const CORES: &str = "RKLLM_WORKER_CORES";
/// How long a process that was killed may take to be gone; one in the middle of a driver's call may not go
/// at all.
const GONE: Duration = Duration::from_secs(5);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process and the ends of ours. Dropping it kills and reaps.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) socket: UnixStream,
    pub(super) log: Log,
    writing: Mutex<()>,
    child: Mutex<Child>,
    /// The run in flight, 0 for none.
    run: AtomicU64,
    /// The last run that was told to stop, and when.
    aborted: Mutex<(u64, Option<Instant>)>,
}

impl Process {
    pub(super) fn start(options: &WorkerOptions) -> Result<Self> {
        if std::env::var_os(ASKED).is_some() {
            let message = "this process was itself started as a worker";
            return Err(Error::new(ErrorKind::Input, message).with_hint(
                "call rkllm::npu::worker::serve_if_asked() first in main: it serves and does not return",
            ));
        }
        let program = match &options.program {
            Some(program) => program.clone(),
            None => own_program(),
        };
        let about = |error| Error::io(&program, "start a worker", error);
        let (socket, theirs) = UnixStream::pair().map_err(about)?;
        let (log, output) = io::pipe().map_err(about)?;
        let mut command = Command::new(&program);
        command
            .args(&options.arguments)
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .env(ASKED, std::process::id().to_string())
            .stdin(OwnedFd::from(theirs))
            .stdout(output.try_clone().map_err(about)?)
            .stderr(output)
            // A terminal's signals are for the parent, who decides.
            .process_group(0);
        if options.core_dumps {
            command.env(CORES, "1");
        }
        socket
            .set_write_timeout(Some(options.call.max(Duration::from_millis(1))))
            .map_err(about)?;
        let mut child = spawn(command).map_err(about)?;
        let log = match Log::follow(log) {
            Ok(log) => log,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(about(error));
            }
        };
        Ok(Self {
            pid: child.id(),
            socket,
            log,
            writing: Mutex::new(()),
            child: Mutex::new(child),
            run: AtomicU64::new(0),
            aborted: Mutex::new((0, None)),
        })
    }

    pub(super) fn send(&self, request: &Request) -> io::Result<()> {
        let frame = wire::frame(|out| request.put(out))?;
        let _writing = lock(&self.writing);
        Quiet(&self.socket).write_all(&frame)
    }

    /// A run begins, which an abort from now on means.
    pub(super) fn begin(&self, number: u64) {
        self.run.store(number, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.run.store(0, Ordering::SeqCst);
    }

    pub(super) fn is_running(&self) -> bool {
        self.run.load(Ordering::SeqCst) != 0
    }

    /// Tells the run in flight to stop; false if there is none.
    pub(super) fn abort(&self) -> bool {
        let number = self.run.load(Ordering::SeqCst);
        if number == 0 {
            return false;
        }
        {
            let mut aborted = lock(&self.aborted);
            if aborted.0 >= number {
                return true;
            }
            *aborted = (number, Some(Instant::now()));
        }
        // A worker that cannot be told is found dead by whoever waits for it.
        let _ = self.send(&Request::Abort { number });
        true
    }

    /// When the run in flight was told to stop.
    pub(super) fn aborted_at(&self) -> Option<Instant> {
        let aborted = lock(&self.aborted);
        aborted.1.filter(|_| aborted.0 == self.run.load(Ordering::SeqCst))
    }

    /// Waits until it has ended by itself.
    pub(super) fn reap(&self, within: Duration) -> Option<ExitStatus> {
        // None is the end of time.
        let until = Instant::now().checked_add(within);
        let mut pause = Duration::from_millis(1);
        loop {
            if let Ok(Some(status)) = lock(&self.child).try_wait() {
                return Some(status);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// Ends it whatever it does.
    pub(super) fn kill(&self) -> Option<ExitStatus> {
        // Does nothing to one that was reaped.
        let _ = lock(&self.child).kill();
        self.reap(GONE)
    }

    /// Asks it to free the model and end, and sees to it.
    pub(super) fn quit(&self, grace: Duration) {
        if self.send(&Request::Quit {}).is_err() || self.reap(grace).is_none() {
            self.kill();
        }
        self.log.wait_for_end(Duration::from_millis(100));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes that never raise SIGPIPE, which would end a host program that is not Rust's.
pub(super) struct Quiet<'a>(pub(super) &'a UnixStream);

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sys::send(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// This program; by the kernel's own name for it where its file was replaced.
fn own_program() -> PathBuf {
    let found = std::env::current_exe().ok().filter(|path| path.exists());
    found.unwrap_or_else(|| "/proc/self/exe".into())
}

type Job = (Command, Sender<io::Result<Child>>);

/// Starts processes from one thread that never ends: the kernel takes the thread that started a process
/// for its parent, and a worker is to outlive the thread of whoever asked for it.
fn spawn(command: Command) -> io::Result<Child> {
    /// With the process it is a thread of: a fork has none of its parent's threads.
    static SPAWNER: Mutex<Option<(u32, Sender<Job>)>> = Mutex::new(None);
    let (sender, child) = channel();
    {
        let mut spawner = lock(&SPAWNER);
        let ours = std::process::id();
        if spawner.as_ref().is_none_or(|(process, _)| *process != ours) {
            let (jobs, incoming) = channel::<Job>();
            let work = move || {
                while let Ok((mut command, done)) = incoming.recv() {
                    let child = command.spawn();
                    // With our copies of its ends of pipe and socket.
                    drop(command);
                    let _ = done.send(child);
                }
            };
            std::thread::Builder::new().name("rkllm-spawn".into()).spawn(work)?;
            *spawner = Some((ours, jobs));
        }
        let (_, jobs) = spawner.as_ref().expect("made above");
        jobs.send((command, sender)).map_err(|_| io::Error::other("the starting thread ended"))?;
    }
    child.recv().map_err(|_| io::Error::other("the starting thread ended"))?
}
