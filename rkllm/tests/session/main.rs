//! Sessions as an app uses them, on tiny random models with a tokenizer made for them.

#[path = "../common/mod.rs"]
mod common;

mod cancel;
mod chat;
#[cfg(feature = "constrain")]
mod constrain;
mod counter;
mod generate;
mod reuse;
mod small;
mod state;
#[cfg(feature = "tokio")]
mod stream;
