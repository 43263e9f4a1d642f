//! Text generation over any backend.

mod generate;
#[cfg(test)]
mod tests;

pub use generate::{GenerateOptions, Generation, Stop, generate, greedy};
