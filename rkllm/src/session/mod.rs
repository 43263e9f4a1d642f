//! What an app calls: open a model, talk to it, read the answer as it comes.
//!
//! ```no_run
//! use rkllm::session::Model;
//!
//! fn main() -> rkllm::Result<()> {
//!     let model = Model::open("models/tutor-nano")?;
//!     let mut chat = model.chat().with_system("Eres un tutor de ingeniería.").start()?;
//!     let mut answer = chat.ask("¿Qué es la ley de Ohm?")?;
//!     for piece in &mut answer {
//!         print!("{}", piece?);
//!     }
//!     println!("\n{:?}", answer.statistics());
//!     Ok(())
//! }
//! ```
//!
//! A [`Model`] is the weights, the tokenizer and the chat template; cloning it shares them. A [`Session`]
//! is one sequence of tokens: it completes text. A [`Chat`] is a conversation on top of a session. Both
//! give an [`Answer`], an iterator of text.
//!
//! # What an answer depends on
//! The prompt, the options and the seed, nothing else. What a session keeps from before, the keys and
//! values of the tokens that two prompts begin with, saves time and moves no bit; so do saving, loading
//! and cancelling.

mod answer;
mod cancel;
#[cfg(feature = "chat")]
mod chat;
#[cfg(feature = "constrain")]
mod constraint;
#[cfg(feature = "chat")]
mod context;
#[cfg(feature = "chat")]
mod converse;
mod degenerate;
mod matching;
mod model;
#[cfg(all(feature = "npu", feature = "chat"))]
mod npu;
mod options;
mod random;
mod sampling;
mod sequence;
#[allow(clippy::module_inception)] // the file of `Session`, among those of its parts
mod session;
mod state;
mod statistics;
mod stop;
#[cfg(feature = "tokio")]
mod stream;
#[cfg(test)]
mod tests;
mod text;

pub use answer::Answer;
pub use cancel::CancelHandle;
#[cfg(feature = "chat")]
pub use chat::{Chat, ChatBuilder};
#[cfg(feature = "constrain")]
pub use constraint::Constraint;
#[cfg(feature = "chat")]
pub use context::ContextPolicy;
#[cfg(feature = "chat")]
pub use converse::Converse;
pub use degenerate::Degenerate;
pub use model::{Model, ModelOptions};
#[cfg(all(feature = "npu", feature = "chat"))]
pub use npu::{NpuAnswer, NpuChat};
pub use options::GenerateOptions;
pub use sampling::Sampling;
pub use session::Session;
pub use statistics::Statistics;
pub use stop::Stop;
#[cfg(feature = "tokio")]
pub use stream::AnswerStream;
pub use text::TokenizerLoad;
