//! `NpuRun`: a model on the NPU, in this process or another.

use std::ops::Range;

use super::input::Input;
use super::model::NpuModel;
use super::output::{Flow, Output, Report};
use super::run_options::RunOptions;
use super::stream::Stream;
use crate::Result;

/// What conversations and backends need of a model on the NPU: an [`NpuModel`] in this process, or a
/// [`Worker`](crate::npu::worker::Worker) in one of its own. Each method is that of the same name there.
pub trait NpuRun: Send {
    /// Positions of the KV cache.
    fn context(&self) -> usize;

    /// New tokens of a run with these options at most.
    fn max_new_tokens(&self, options: &RunOptions) -> usize;

    /// Token ids from here on are refused.
    ///
    /// # Errors
    /// None of a model in this process; a worker's as
    /// [`Worker::run`](crate::npu::worker::Worker::run).
    fn set_vocab_size(&mut self, tokens: usize) -> Result<()>;

    /// Runs one input to its end and calls `on_output` for every output.
    ///
    /// # Errors
    /// As [`NpuModel::run`]; a worker's also as
    /// [`Worker::run`](crate::npu::worker::Worker::run).
    fn run_input(
        &mut self,
        input: Input,
        options: &RunOptions,
        on_output: &mut (dyn FnMut(Output<'_>) -> Flow + Send),
    ) -> Result<Report>;

    /// Runs on a thread of its own and gives the text as it comes.
    ///
    /// # Errors
    /// As [`NpuRun::run_input`].
    fn stream_input(&mut self, input: Input, options: &RunOptions) -> Result<Stream<'_>>;

    /// Positions in the KV cache, for each place of the batch.
    ///
    /// # Errors
    /// As [`NpuModel::kv_cache_sizes`].
    fn kv_cache_sizes(&mut self) -> Result<Vec<usize>>;

    /// Forgets the whole KV cache, but for the system prompt if it is to stay.
    ///
    /// # Errors
    /// As [`NpuModel::clear_kv_cache`].
    fn clear_kv_cache(&mut self, keep_system_prompt: bool) -> Result<()>;

    /// Forgets positions of the KV cache.
    ///
    /// # Errors
    /// As [`NpuModel::clear_kv_ranges`].
    fn clear_kv_ranges(&mut self, ranges: &[Range<usize>]) -> Result<()>;
}

impl NpuRun for NpuModel {
    fn context(&self) -> usize {
        self.context()
    }

    fn max_new_tokens(&self, options: &RunOptions) -> usize {
        self.max_new_tokens(options)
    }

    fn set_vocab_size(&mut self, tokens: usize) -> Result<()> {
        self.set_vocab_size(tokens);
        Ok(())
    }

    fn run_input(
        &mut self,
        input: Input,
        options: &RunOptions,
        on_output: &mut (dyn FnMut(Output<'_>) -> Flow + Send),
    ) -> Result<Report> {
        self.run(input, options, on_output)
    }

    fn stream_input(&mut self, input: Input, options: &RunOptions) -> Result<Stream<'_>> {
        self.stream(input, options)
    }

    fn kv_cache_sizes(&mut self) -> Result<Vec<usize>> {
        self.kv_cache_sizes()
    }

    fn clear_kv_cache(&mut self, keep_system_prompt: bool) -> Result<()> {
        self.clear_kv_cache(keep_system_prompt)
    }

    fn clear_kv_ranges(&mut self, ranges: &[Range<usize>]) -> Result<()> {
        self.clear_kv_ranges(ranges)
    }
}
