//! Sessions as an app uses them, on tiny random models with a tokenizer made for them.

#[path = "../common/mod.rs"]
mod common;

mod cancel;
mod chat;
#[cfg(feature = "constrain")]
mod constrain;
mod counter;
mod embeddings;
mod generate;
mod lora;
#[path = "../lora/made.rs"]
#[allow(dead_code)] // the tests of adapters use the rest
mod made;
mod reuse;
mod small;
mod state;
#[cfg(feature = "tokio")]
mod stream;
mod text;
