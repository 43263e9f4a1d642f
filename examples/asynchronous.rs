//! An answer in an asynchronous program: its pieces as they come, and no more time than given. The chat goes on
//! in either case.
//!
//! ```sh
//! cargo run --release -p rkllm-examples --example asynchronous -- models/tutor-nano "What is 6 A times 47 Ω?" 2000
//! ```

use std::error::Error;
use std::io::{Write, stdout};
use std::time::Duration;

use futures_util::StreamExt;
use rkllm::session::{AnswerStream, Model};
use tokio::runtime::Builder;
use tokio::time::timeout;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap_or_else(|| "models/tutor-nano".into());
    let question = args.next().unwrap_or_else(|| "¿Cuál es la unidad de la presión?".into());
    let limit = args.next().map_or(Ok(2000), |milliseconds| milliseconds.parse())?;
    Builder::new_current_thread().enable_time().build()?.block_on(tell(
        &dir,
        question,
        Duration::from_millis(limit),
    ))
}

async fn tell(dir: &str, question: String, limit: Duration) -> Outcome<()> {
    // Loading computes and reads: a server does it before its first request.
    let chat = Model::open(dir)?.chat().with_max_tokens(128).start()?;
    let mut answer = chat.into_stream(question)?;
    let (chat, statistics) = match timeout(limit, print(&mut answer)).await {
        Ok(printed) => {
            printed?;
            answer.finish().await
        }
        Err(_) => answer.stop(),
    };
    println!();
    let statistics = statistics?;
    eprintln!(
        "[{} tokens, {:?}; {} messages in the chat]",
        statistics.new_tokens,
        statistics.stop,
        chat.messages().len()
    );
    Ok(())
}

async fn print(answer: &mut AnswerStream) -> Outcome<()> {
    while let Some(piece) = answer.next().await {
        print!("{}", piece?);
        stdout().flush()?;
    }
    Ok(())
}
