//! `Stream`: a run on a thread of its own.

use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::abort::AbortHandle;
use super::core::Core;
use super::output::{Flow, Output, Report};
use super::prepare::Prepared;
use super::sink::OnOutput;
use crate::{Error, ErrorKind, Result};

/// How long drop waits between two attempts to end the run.
const PATIENCE: Duration = Duration::from_millis(5);

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// Whole characters.
    pub text: String,
    /// The token it came with.
    pub token: Option<u32>,
}

/// The text of a run as it comes, from
/// [`NpuModel::stream`](super::NpuModel::stream). The runtime does not wait for its reader.
#[derive(Debug)]
pub struct Stream<'a> {
    pieces: Option<Receiver<Piece>>,
    worker: Option<JoinHandle<Result<Report>>>,
    report: Option<Report>,
    abort: AbortHandle,
    model: PhantomData<&'a mut ()>,
}

impl Stream<'_> {
    pub(super) fn start(core: &Arc<Core>, prepared: Prepared) -> Result<Self> {
        let core = Arc::clone(core);
        let abort = AbortHandle::new(Arc::downgrade(&core));
        Self::spawn(abort, move |on_output| core.run(prepared, on_output))
    }

    /// `run` on a thread of its own, which `abort` ends.
    pub(in crate::npu) fn spawn(
        abort: AbortHandle,
        run: impl FnOnce(&mut OnOutput<'_>) -> Result<Report> + Send + 'static,
    ) -> Result<Self> {
        let (sender, pieces) = channel();
        let run = move || {
            run(&mut |output: Output<'_>| {
                let piece = Piece { text: output.text.to_owned(), token: output.token };
                // Without a reader the run is not wanted any more.
                sender.send(piece).map_or(Flow::Stop, |()| Flow::Continue)
            })
        };
        let worker = Builder::new().name("rkllm-run".into()).spawn(run).map_err(|error| {
            Error::new(ErrorKind::Memory, format!("cannot start a thread: {error}"))
        })?;
        let worker = Some(worker);
        Ok(Self { pieces: Some(pieces), worker, report: None, abort, model: PhantomData })
    }

    /// What became of the run; once there are no more pieces, and unless it failed.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Ends the run from another thread. Pieces that were told before still come.
    pub fn abort_handle(&self) -> AbortHandle {
        self.abort.clone()
    }

    /// Waits for the worker, which has nothing more to say.
    fn join(&mut self) -> Option<Result<Report>> {
        let worker = self.worker.take()?;
        // No closure of a caller's runs there but for a tokenizer's or an embedding's.
        Some(worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl Iterator for Stream<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.worker.is_some() && self.abort.is_inside() {
            // A closure of that very run, which cannot go on before the closure has ended.
            return Some(Err(Error::new(
                ErrorKind::Input,
                "read from within a closure of its run",
            )));
        }
        if let Some(piece) = self.pieces.as_ref().and_then(|pieces| pieces.recv().ok()) {
            return Some(Ok(piece));
        }
        self.pieces = None;
        match self.join()? {
            Ok(report) => {
                self.report = Some(report);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::iter::FusedIterator for Stream<'_> {}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.pieces = None;
        let Some(worker) = self.worker.take() else { return };
        if self.abort.is_inside() {
            // In a closure of that very run, which ends without being waited for.
            self.abort.abort();
            return;
        }
        // Again and again: the first may come before the runtime has begun.
        while !worker.is_finished() {
            self.abort.abort();
            std::thread::sleep(PATIENCE);
        }
        // A panic of a tokenizer's has nobody left to go to.
        let _ = worker.join();
    }
}
