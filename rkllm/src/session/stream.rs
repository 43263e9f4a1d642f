//! An answer for asynchronous programs.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Instant;

use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::cancel::{CancelHandle, Ticket};
use super::chat::Chat;
use super::statistics::Statistics;
use crate::model::Message;
use crate::{Error, ErrorKind, Result};

/// Pieces computed ahead of the reader.
const AHEAD: usize = 16;

/// An answer as a [`Stream`] of pieces of text, computed on a thread of its own; from
/// [`Chat::into_stream`].
///
/// ```no_run
/// # use rkllm::session::{Chat, AnswerStream};
/// # async fn next(stream: &mut AnswerStream) -> Option<rkllm::Result<String>> { None }
/// async fn reply(chat: Chat) -> rkllm::Result<Chat> {
///     let mut answer = chat.into_stream("¿Qué es la ley de Ohm?")?;
///     while let Some(piece) = next(&mut answer).await {
///         print!("{}", piece?);
///     }
///     let (chat, statistics) = answer.finish().await;
///     println!("\n{} tokens", statistics?.new_tokens);
///     Ok(chat)
/// }
/// ```
///
/// It runs under any executor. Dropping it cancels the answer and waits for the thread, which ends
/// after the token or the chunk of the prompt under way; the chat is lost then, and
/// [`AnswerStream::finish`] or [`AnswerStream::stop`] gives it back. Some pieces are computed ahead of the
/// reader; after [`AnswerStream::stop`] they are part of the history though nobody read them.
#[derive(Debug)]
pub struct AnswerStream {
    pieces: Receiver<Result<String>>,
    cancel: CancelHandle,
    thread: Option<JoinHandle<(Chat, Option<Statistics>)>>,
}

impl Chat {
    /// Asks as [`Chat::ask`] does, on a thread that ends with the stream. What `ask` would refuse is the
    /// stream's first and only item.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if there is no thread to be had.
    pub fn into_stream(self, question: impl Into<String>) -> Result<AnswerStream> {
        let question = Message::user(question.into());
        let (sender, pieces) = channel(AHEAD);
        // Numbered here, so that a cancellation reaches an answer whose thread has not begun.
        let ticket = self.ticket();
        let cancel = ticket.handle();
        let work = move || run(self, ticket, question, &sender);
        let thread = std::thread::Builder::new().name("rkllm-answer".into()).spawn(work);
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Memory, format!("no thread for the answer: {error}"))
                .with_source(error)
        })?;
        Ok(AnswerStream { pieces, cancel, thread: Some(thread) })
    }
}

fn run(
    mut chat: Chat,
    ticket: Ticket,
    question: Message,
    sender: &Sender<Result<String>>,
) -> (Chat, Option<Statistics>) {
    let statistics = match chat.answer(ticket, Instant::now(), Some(question)) {
        Err(error) => {
            let _ = sender.blocking_send(Err(error));
            None
        }
        Ok(mut answer) => {
            while let Some(piece) = answer.next() {
                // A reader that has gone wants no more.
                if sender.blocking_send(piece).is_err() {
                    answer.cancel_handle().cancel();
                }
            }
            let statistics = *answer.statistics();
            statistics.stop.map(|_| statistics)
        }
    };
    (chat, statistics)
}

impl AnswerStream {
    /// Stops this answer, and no other, from anywhere.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Waits for the end, without reading on where the rest does not matter, and gives back the chat and
    /// what the answer took, or the error that ended it if that was not read before.
    pub async fn finish(mut self) -> (Chat, Result<Statistics>) {
        let mut failure = None;
        while let Some(piece) = std::future::poll_fn(|cx| self.pieces.poll_recv(cx)).await {
            failure = failure.or(piece.err());
        }
        self.join(failure)
    }

    /// Cancels the answer and gives back the chat; waits for the token or the chunk of the prompt under
    /// way.
    pub fn stop(mut self) -> (Chat, Result<Statistics>) {
        self.cancel.cancel();
        self.pieces.close();
        self.join(None)
    }

    fn join(&mut self, failure: Option<Error>) -> (Chat, Result<Statistics>) {
        // Taken here and in `drop` alone, and this is called once, by what consumes the stream.
        let thread = self.thread.take().expect("the thread of a stream not yet consumed");
        match thread.join() {
            Ok((chat, Some(statistics))) => (chat, Ok(statistics)),
            Ok((chat, None)) => {
                let failed = || Error::new(ErrorKind::Cancelled, "the answer had failed");
                (chat, Err(failure.unwrap_or_else(failed)))
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Stream for AnswerStream {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_recv(cx)
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.cancel.cancel();
        self.pieces.close();
        // A panic of the thread was reported by it; panicking while dropping would end the process.
        let _ = thread.join();
    }
}
