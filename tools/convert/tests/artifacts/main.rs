//! Artifacts of small made checkpoints: what is written, what is left after a failure, what inspection and
//! verification say, and how much memory it takes.

mod conversion;
mod inspection;
mod made;
mod memory;
