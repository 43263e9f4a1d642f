//! Streams, under an executor of a dozen lines: any one must do.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use futures_core::Stream;
use rkllm::ErrorKind;
use rkllm::session::{AnswerStream, Chat, Stop};

use crate::counter::counting;
use crate::small::{long, model};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn next(stream: &mut AnswerStream) -> Option<rkllm::Result<String>> {
    block_on(std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)))
}

fn chat(tokens: usize) -> Chat {
    model().chat().with_options(long(tokens)).start().unwrap()
}

#[test]
fn a_stream_says_what_the_iterator_says_and_gives_the_chat_back() {
    let mut plain = chat(30);
    let expected = [plain.ask("the one").unwrap().text(), plain.ask("why").unwrap().text()];
    let mut streaming = chat(30);
    for (question, expected) in ["the one", "why"].into_iter().zip(expected) {
        let mut stream = streaming.into_stream(question).unwrap();
        let mut text = String::new();
        while let Some(piece) = next(&mut stream) {
            text += &piece.unwrap();
        }
        assert_eq!(text, expected.unwrap());
        let (chat, statistics) = block_on(stream.finish());
        assert_eq!(statistics.unwrap().stop, Some(Stop::MaxTokens));
        streaming = chat;
    }
    assert_eq!(streaming.messages(), plain.messages());
}

#[test]
fn stopping_and_dropping_end_the_thread() {
    let mut stream = chat(100_000).into_stream("the one").unwrap();
    let first = next(&mut stream).unwrap().unwrap();
    let (chat, statistics) = stream.stop();
    assert_eq!(statistics.unwrap().stop, Some(Stop::Cancelled));
    assert!(chat.messages()[1].text().unwrap().starts_with(&first));

    // A cancellation reaches an answer whose thread may not have begun: a prompt is not computed.
    let (model, log) = counting(4096);
    let chat = model.chat().with_options(long(10)).start().unwrap();
    log.lock().unwrap().before = Some(Box::new(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        Ok(())
    }));
    let (chat, _) = chat.into_stream("x".repeat(4000)).unwrap().stop();
    assert!(chat.messages().is_empty());
    assert!(log.lock().unwrap().fed.len() < 900, "the prompt has a thousand chunks");
    drop(chat.into_stream("one").unwrap());
}

#[test]
fn what_ask_refuses_is_the_first_and_only_item() {
    let mut refused = chat(4);
    refused.push(rkllm::model::Message::user("one"));
    let mut stream = refused.into_stream("two").unwrap();
    assert_eq!(next(&mut stream).unwrap().unwrap_err().kind(), ErrorKind::Input);
    assert!(next(&mut stream).is_none());
    let (chat, statistics) = block_on(stream.finish());
    assert!(statistics.is_err());
    assert_eq!(chat.messages().len(), 1);
    let (_, statistics) = block_on(chat.into_stream("two").unwrap().finish());
    assert_eq!(statistics.unwrap_err().kind(), ErrorKind::Input);
}
