//! The worker's side: a model, and a parent that asks.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::link::never_begun;
use super::lock::NpuLock;
use super::log;
use super::message::{Facts, Failed, Load, OUTPUT, PROTOCOL, Reply, Request};
use super::process::{ASKED, CORES, Quiet, lock};
use super::sys;
use crate::npu::llm::{
    AbortHandle, Flow, Input, NpuModel, OpenOptions, Output, RunOptions, Runtime, Search,
    put_output,
};
use crate::npu::wire::{self, Arriving, Part, Wire};
use crate::{Error, ErrorKind, Result};

/// The code of a worker that was sent what is no message.
const CONFUSED: i32 = 70;
/// Between two attempts to end a run, at first and at most.
const PATIENCE: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// Serves a parent and does not return, if this process was started as a worker; else returns at once.
///
/// The first line of `main` of a program that starts workers of itself:
///
/// ```no_run
/// fn main() -> rkllm::Result<()> {
///     rkllm::npu::worker::serve_if_asked();
///     // The program itself.
///     Ok(())
/// }
/// ```
///
/// It has to come before threads are started and files are opened: a worker closes what it has inherited
/// besides its standard streams, and is not to begin what the program is for.
pub fn serve_if_asked() {
    let Some(asked) = std::env::var_os(ASKED) else { return };
    // A variable that has got here by way of some other program.
    let Some(socket) = standard_input() else { return };
    let parent = asked.to_str().and_then(|pid| pid.parse::<u32>().ok());
    sys::die_with_parent();
    // A parent that was gone before that has left us to another.
    if parent != Some(std::os::unix::process::parent_id()) {
        sys::exit(0);
    }
    sys::ignore_interrupts();
    sys::close_inherited(socket.as_raw_fd());
    sys::write_lines_at_once();
    if std::env::var_os(CORES).is_none() {
        sys::no_core_dumps();
    }
    if let Err(error) = sys::close_stdin() {
        sys::say(&format!("cannot close standard input: {error}"));
        sys::exit(1);
    }
    serve(socket)
}

/// The socket that standard input is, if it is one.
fn standard_input() -> Option<UnixStream> {
    let fd = io::stdin().as_fd().try_clone_to_owned().ok()?;
    let file = File::from(fd);
    let is_socket = file.metadata().ok()?.file_type().is_socket();
    is_socket.then(|| UnixStream::from(std::os::fd::OwnedFd::from(file)))
}

/// What the thread that listens and the one that computes share.
struct Side {
    socket: UnixStream,
    writing: Mutex<()>,
    handle: Mutex<Option<AbortHandle>>,
    /// The latest run that was told to stop.
    aborted: AtomicU64,
    /// The run in flight, or else 0, and the latest that has ended. Held while a run is told to end, so that it is
    /// not the next one that hears it.
    run: Mutex<(u64, u64)>,
}

impl Side {
    fn write(&self, frame: &[u8]) {
        let _writing = lock(&self.writing);
        if Quiet(&self.socket).write_all(frame).is_err() {
            // The parent has gone.
            sys::exit(0);
        }
    }

    fn reply(&self, reply: &Reply) {
        match wire::frame(|out| reply.put(out)) {
            Ok(frame) => self.write(&frame),
            Err(error) => self.fail(&too_long(&error)),
        }
    }

    /// Tells of an error, after all that the runtime has written about it.
    fn fail(&self, error: &Error) {
        static MARK: AtomicU64 = AtomicU64::new(0);
        let mark = MARK.fetch_add(1, Ordering::SeqCst) + 1;
        sys::flush();
        sys::say(&log::mark(mark));
        self.reply(&Reply::Failed { failure: Failed::new(error), mark });
    }
}

fn too_long(error: &io::Error) -> Error {
    Error::new(ErrorKind::Memory, error.to_string())
        .with_hint("run fewer tokens at a time where logits or hidden states are wanted")
}

fn serve(socket: UnixStream) -> ! {
    let side = Arc::new(Side {
        socket,
        writing: Mutex::new(()),
        handle: Mutex::new(None),
        aborted: AtomicU64::new(0),
        run: Mutex::default(),
    });
    let (requests, incoming) = channel();
    let (flows, answers) = channel();
    let listener = Arc::clone(&side);
    let listening = std::thread::Builder::new()
        .name("rkllm-worker".into())
        .spawn(move || listen(&listener, &requests, &flows));
    if let Err(error) = listening {
        sys::say(&format!("cannot start a thread: {error}"));
        sys::exit(1);
    }
    side.reply(&Reply::Hello { protocol: PROTOCOL.into() });
    let mut worker = Serving { side, answers: Mutex::new(answers), model: None, _lock: None };
    // The listener ends the process when the parent has gone, so there is always a next one.
    while let Ok(request) = incoming.recv() {
        if matches!(request, Request::Quit {}) {
            break;
        }
        worker.serve(request);
    }
    // The NPU's memory first, then the right to it.
    drop(worker.model.take());
    drop(worker);
    sys::exit(0)
}

/// Reads what the parent sends, also while the runtime computes or hangs.
fn listen(side: &Arc<Side>, requests: &Sender<Request>, flows: &Sender<Flow>) {
    let mut arriving = Arriving::default();
    loop {
        let bytes = match arriving.read(&mut &side.socket) {
            Ok(Part::More) => continue,
            Ok(Part::Whole(bytes)) => bytes,
            Ok(Part::Closed) => sys::exit(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                sys::say(&format!("the parent sent what is no message: {error}"));
                sys::exit(CONFUSED)
            }
            Err(_) => sys::exit(0),
        };
        match wire::message(&bytes) {
            Ok(Request::Abort { number }) => abort(side, number),
            Ok(Request::Flow { flow }) => {
                let _ = flows.send(flow);
            }
            Ok(request) => {
                let _ = requests.send(request);
            }
            Err(error) => {
                sys::say(&format!("the parent sent what is no message: {}", error.0));
                sys::exit(CONFUSED)
            }
        }
    }
}

/// Ends a run, again and again until it has: the first attempt may come before the runtime has begun.
fn abort(side: &Arc<Side>, number: u64) {
    if side.aborted.fetch_max(number, Ordering::SeqCst) >= number {
        return;
    }
    let side = Arc::clone(side);
    let insist = move || {
        let mut pause = PATIENCE[0];
        let handle = lock(&side.handle).clone();
        let Some(handle) = handle else { return };
        loop {
            {
                let run = lock(&side.run);
                match Insist::on(number, *run) {
                    Insist::End => return,
                    Insist::Abort => _ = handle.abort(),
                    Insist::Wait => {}
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PATIENCE[1]);
        }
    };
    // Without a thread the run ends at its next output.
    let _ = std::thread::Builder::new().name("rkllm-abort".into()).spawn(insist);
}

/// What is left to do for the abort of a run.
#[derive(Debug, PartialEq, Eq)]
enum Insist {
    /// It is in flight.
    Abort,
    /// It is on its way here, or was too long to be sent.
    Wait,
    /// It has ended, or never comes.
    End,
}

impl Insist {
    fn on(number: u64, (running, ended): (u64, u64)) -> Self {
        match running {
            _ if running > number || ended >= number => Self::End,
            _ if running == number => Self::Abort,
            _ => Self::Wait,
        }
    }
}

/// The thread that computes.
struct Serving {
    side: Arc<Side>,
    answers: Mutex<Receiver<Flow>>,
    model: Option<NpuModel>,
    _lock: Option<NpuLock>,
}

impl Serving {
    fn serve(&mut self, request: Request) {
        let side = Arc::clone(&self.side);
        let answered = match request {
            Request::Load { load } => self.load(*load),
            Request::Run { number, inputs, options } => self.run(number, inputs, &options),
            other => self.call(other),
        };
        match answered {
            Ok(reply) => side.reply(&reply),
            Err(error) => side.fail(&error),
        }
    }

    fn load(&mut self, load: Load) -> Result<Reply> {
        if self.model.is_some() {
            return Err(Error::new(ErrorKind::Input, "a model is loaded already"));
        }
        self._lock = NpuLock::acquire(load.lock)?;
        self.side.reply(&Reply::Locked {});
        let search = match load.library {
            Some(path) => Search::file(path),
            None => Search::from_env(),
        };
        let options = OpenOptions {
            assume_abi: load.assume_abi,
            require_abi: load.require_abi,
            allow_sve: load.allow_sve,
        };
        let runtime = Runtime::open_with(&search, &options)?;
        let model = load.settings.options(runtime).load(&load.model)?;
        let facts = Facts {
            abi: model.abi(),
            library: model.runtime().path().to_owned(),
            version: model.runtime().version().map(|version| version.to_string()),
            context: model.context(),
            max_new_tokens: model.max_new_tokens(&RunOptions::default()),
            batch: model.batch(),
            hidden_size: model.hidden_size(),
        };
        *lock(&self.side.handle) = Some(model.abort_handle());
        self.model = Some(model);
        Ok(Reply::Loaded { facts })
    }

    fn run(&mut self, number: u64, inputs: Vec<Input>, options: &RunOptions) -> Result<Reply> {
        let Self { side, answers, model, .. } = self;
        let model = model.as_mut().ok_or_else(not_loaded)?;
        let is_aborted = || side.aborted.load(Ordering::SeqCst) >= number;
        let mut failed = None;
        let mut on_output = |output: Output<'_>| {
            if is_aborted() {
                return Flow::Stop;
            }
            let frame = wire::frame(|out| {
                out.push(OUTPUT);
                put_output(&output, out);
            });
            match frame {
                Ok(frame) => side.write(&frame),
                Err(error) => {
                    failed = Some(too_long(&error));
                    return Flow::Stop;
                }
            }
            // The sender goes with the process alone.
            lock(answers).recv().unwrap_or(Flow::Stop)
        };
        let report = match is_aborted() {
            true => Ok(never_begun()),
            false => {
                lock(&side.run).0 = number;
                model.run_batch(inputs, options, &mut on_output)
            }
        };
        *lock(&side.run) = (0, number);
        match failed {
            Some(error) => Err(error),
            None => report.map(|report| Reply::Done { report }),
        }
    }

    fn call(&mut self, request: Request) -> Result<Reply> {
        let model = self.model.as_mut().ok_or_else(not_loaded)?;
        match request {
            Request::LoadLora { path, name, scale } => model.load_lora(path, &name, scale),
            Request::LoadPromptCache { path } => model.load_prompt_cache(path),
            Request::ReleasePromptCache {} => model.release_prompt_cache(),
            Request::KvCacheSizes {} => {
                return model.kv_cache_sizes().map(|sizes| Reply::Sizes { sizes });
            }
            Request::ClearKvCache { keep_system_prompt } => {
                model.clear_kv_cache(keep_system_prompt)
            }
            Request::ClearKvRanges { ranges } => model.clear_kv_ranges(&ranges),
            Request::SetChatTemplate { system, prefix, postfix } => {
                model.set_chat_template(&system, &prefix, &postfix)
            }
            Request::SetFunctionTools { system, tools, response_tag } => {
                model.set_function_tools(&system, &tools, &response_tag)
            }
            Request::SetCrossAttention { state } => model.set_cross_attention(state),
            Request::SetVocabSize { tokens } => {
                model.set_vocab_size(tokens);
                Ok(())
            }
            // Taken by whoever calls this, or by the listener.
            Request::Load { .. }
            | Request::Run { .. }
            | Request::Flow { .. }
            | Request::Abort { .. }
            | Request::Quit {} => Ok(()),
        }
        .map(|()| Reply::Ok {})
    }
}

fn not_loaded() -> Error {
    Error::new(ErrorKind::Input, "no model is loaded")
}

#[cfg(test)]
mod tests {
    use super::Insist;

    #[test]
    fn an_abort_ends_the_run_it_is_for_and_no_other() {
        assert_eq!(Insist::on(5, (0, 4)), Insist::Wait, "not here yet");
        assert_eq!(Insist::on(5, (5, 4)), Insist::Abort);
        assert_eq!(Insist::on(5, (0, 5)), Insist::End, "it has ended");
        assert_eq!(Insist::on(5, (6, 4)), Insist::End, "it was never sent");
        assert_eq!(Insist::on(5, (6, 5)), Insist::End);
    }
}
