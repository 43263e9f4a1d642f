//! A model on the NPU in a process of its own.
//!
//! The vendor's runtime is closed and takes the process with it when it fails: it dereferences null after an
//! `rkllm_init` that ran out of memory, runs instructions the processor lacks, aborts on a file of another
//! release, hangs. A [`Worker`] is a process that does nothing but hold a model; its end is an
//! [`Error`](crate::Error) of kind [`Crashed`](crate::ErrorKind::Crashed),
//! [`Timeout`](crate::ErrorKind::Timeout) or what the runtime's last lines say, with what to do next, and
//! [`Worker::restart`] starts another.
//!
//! ```no_run
//! use rkllm::npu::NpuOptions;
//! use rkllm::npu::worker::{WorkerOptions, serve_if_asked};
//! use rkllm::session::NpuChat;
//!
//! fn main() -> rkllm::Result<()> {
//!     serve_if_asked();
//!     let worker = WorkerOptions::default().load("tutor.rkllm", NpuOptions::default())?;
//!     let mut chat = NpuChat::new(worker);
//!     println!("{}", chat.ask("¿Qué es la ley de Ohm?")?.text()?);
//!     Ok(())
//! }
//! ```
//!
//! # What is kept true
//! - The worker is this program ([`serve_if_asked`] first in its `main`) or another, such as
//!   `rkllm worker`, by [`WorkerOptions::with_program`]. Both must be of one release.
//! - They speak over a socket, which is the worker's standard input until it has moved it away. What the
//!   runtime writes to standard output and error goes to the parent, which keeps the last 100 lines.
//! - Every request has its time ([`WorkerOptions`]); no call waits without end.
//! - One worker at a time on the whole machine, by [`NpuLock`].
//! - A worker ends with its parent, however that ends: the kernel kills it
//!   (`PR_SET_PDEATHSIG`), and it ends by itself when the socket is closed. It ends with its [`Worker`] too,
//!   and leaves no zombie.
//! - It inherits nothing open besides its standard streams, is in a process group of its own and ignores
//!   Ctrl-C: what that means is the parent's to decide.
//! - Nothing it sends is believed: lengths, counts and texts are checked before they are used.
//!
//! # What cannot cross
//! Closures for a tokenizer or an embedding: an error says so.

mod child;
mod failure;
mod link;
mod lock;
mod log;
mod message;
mod model;
mod options;
mod process;
mod sys;

pub use child::serve_if_asked;
pub use failure::{Cause, Failure};
pub use lock::{LOCK_DIR, LockPolicy, NpuLock};
pub use model::Worker;
pub use options::WorkerOptions;
