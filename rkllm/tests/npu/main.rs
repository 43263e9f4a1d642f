//! `rkllm::npu` on the fake runtimes of rkllm-sys, really loaded, both ABIs.
#![cfg(feature = "npu")]
#![allow(clippy::single_range_in_vec_init)] // a range for each place of a batch of one

mod backend;
#[allow(unreachable_pub)] // shared by the files here
mod board;
mod callbacks;
#[cfg(feature = "chat")]
mod chat;
mod ending;
mod every_field;
mod fields;
mod hostile;
mod reentrant;
mod refusals;
mod sequences;
