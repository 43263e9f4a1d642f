//! `Worker`: a model in a process of its own.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::link::Link;
use super::message::{Facts, Load, Reply, Request};
use super::options::WorkerOptions;
use crate::npu::llm::{
    Abi, AbortHandle, CrossAttention, Flow, Input, NpuOptions, NpuRun, Output, Report, RunOptions,
    Settings, Stream,
};
use crate::{Error, ErrorKind, Result};

/// A `.rkllm` model in a process of its own, so that what the closed runtime does to its process it does not
/// do to this one. Its calls are those of [`NpuModel`](crate::npu::NpuModel).
///
/// ```no_run
/// use rkllm::npu::{NpuOptions, RunOptions};
/// use rkllm::npu::worker::{WorkerOptions, serve_if_asked};
///
/// fn main() -> rkllm::Result<()> {
///     serve_if_asked();
///     let mut worker =
///         WorkerOptions::default().load("qwen3-0.6b.rkllm", NpuOptions::default())?;
///     let (text, report) = worker.generate("A resistor is", &RunOptions::default())?;
///     println!("{text}\n{:?}", report.performance);
///     Ok(())
/// }
/// ```
///
/// After an error of kind [`Crashed`](ErrorKind::Crashed), and most of kind [`Timeout`](ErrorKind::Timeout)
/// and [`Memory`](ErrorKind::Memory), there is no process any more ([`Worker::is_alive`]); every call says so
/// until [`Worker::restart`]. Nothing restarts by itself: what was in the KV cache is gone, which the caller
/// has to know. Dropping it ends the process, by asking first.
pub struct Worker {
    link: Arc<Link>,
    facts: Facts,
}

impl Worker {
    pub(super) fn load(worker: WorkerOptions, path: &Path, options: NpuOptions) -> Result<Self> {
        let (settings, runtime) = Settings::new(options)?;
        let of_runtime = runtime.map(|runtime| runtime.path().to_owned());
        let load = Load {
            model: absolute(path)?,
            settings,
            library: worker.library.clone().or(of_runtime),
            assume_abi: worker.open.assume_abi,
            require_abi: worker.open.require_abi,
            allow_sve: worker.open.allow_sve,
            lock: worker.lock,
        };
        let (link, facts) = Link::start(worker, load)?;
        Ok(Self { link, facts })
    }

    /// Ends the process if it is there, starts another and loads the model again, with what it was told
    /// besides: LoRAs, prompt cache, chat template, tools and vocabulary. What was in the KV cache is gone,
    /// and cross attention is to be set anew.
    ///
    /// # Errors
    /// As [`WorkerOptions::load`]; there is no process then.
    pub fn restart(&mut self) -> Result<()> {
        self.facts = self.link.restart()?;
        Ok(())
    }

    /// Whether the process is there.
    pub fn is_alive(&self) -> bool {
        self.link.alive().is_some()
    }

    /// The process, if it is there.
    pub fn pid(&self) -> Option<u32> {
        self.link.alive().map(|process| process.pid)
    }

    /// What the runtime wrote last, at most 100 lines; empty where there is no process.
    pub fn last_lines(&self) -> Vec<String> {
        self.link.alive().map(|process| process.log.since(0)).unwrap_or_default()
    }

    /// Runs one input to its end and calls `on_output` for every output, here, on this thread; it decides
    /// what comes next. Blocks meanwhile.
    ///
    /// # Errors
    /// As [`NpuModel::run`](crate::npu::NpuModel::run); [`ErrorKind::Crashed`] for a process that died, was
    /// not there or sent what is no message; [`ErrorKind::Timeout`] for one that was silent for longer than
    /// [`WorkerOptions`] allows; where the runtime's lines say more, of the kind they say, such as
    /// [`ErrorKind::Memory`]. [`Failure::of`](super::Failure::of) has the lines.
    ///
    /// # Panics
    /// As `on_output` does, after the run has ended.
    pub fn run(
        &mut self,
        input: impl Into<Input>,
        options: &RunOptions,
        on_output: impl FnMut(Output<'_>) -> Flow + Send,
    ) -> Result<Report> {
        self.run_batch(vec![input.into()], options, on_output)
    }

    /// Runs as many inputs at once as the model was loaded for.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub fn run_batch(
        &mut self,
        inputs: Vec<Input>,
        options: &RunOptions,
        mut on_output: impl FnMut(Output<'_>) -> Flow + Send,
    ) -> Result<Report> {
        self.link.run(inputs, options.clone(), &mut on_output)
    }

    /// The whole text of a run, and what it took.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub fn generate(
        &mut self,
        input: impl Into<Input>,
        options: &RunOptions,
    ) -> Result<(String, Report)> {
        let mut text = String::new();
        let report = self.run(input, options, |output| {
            text += output.text;
            Flow::Continue
        })?;
        Ok((text, report))
    }

    /// Runs on a thread of its own and gives the text as it comes. Dropping the stream aborts the run and
    /// waits for it; a worker that does not obey within the grace is killed.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] for no thread; what goes wrong later is an item of the stream.
    pub fn stream(&mut self, input: impl Into<Input>, options: &RunOptions) -> Result<Stream<'_>> {
        let (link, inputs, options) = (Arc::clone(&self.link), vec![input.into()], options.clone());
        Stream::spawn(self.abort_handle(), move |on_output| link.run(inputs, options, on_output))
    }

    /// Ends runs from other threads.
    pub fn abort_handle(&self) -> AbortHandle {
        let link = Arc::downgrade(&self.link);
        AbortHandle::remote(link)
    }

    /// The library the model was loaded with.
    pub fn library(&self) -> &Path {
        &self.facts.library
    }

    /// The release it says it is; `None` only where an ABI was assumed.
    pub fn version(&self) -> Option<&str> {
        self.facts.version.as_deref()
    }

    /// The ABI of that library.
    pub fn abi(&self) -> Abi {
        self.facts.abi
    }

    /// Positions of the KV cache.
    pub fn context(&self) -> usize {
        self.facts.context
    }

    /// New tokens of a run with these options at most.
    pub fn max_new_tokens(&self, options: &RunOptions) -> usize {
        options.limit(self.facts.max_new_tokens)
    }

    /// Inputs per run.
    pub fn batch(&self) -> usize {
        self.facts.batch
    }

    /// Values per token, if the model was loaded with them.
    pub fn hidden_size(&self) -> Option<usize> {
        self.facts.hidden_size
    }

    /// Token ids from here on are refused, before they reach the runtime.
    ///
    /// # Errors
    /// As [`Worker::kv_cache_sizes`].
    pub fn set_vocab_size(&mut self, tokens: usize) -> Result<()> {
        let request = Request::SetVocabSize { tokens };
        self.link.set_up(request, "the size of the vocabulary", |before| {
            matches!(before, Request::SetVocabSize { .. })
        })
    }

    /// Loads a LoRA under `name`; as [`NpuModel::load_lora`](crate::npu::NpuModel::load_lora).
    ///
    /// # Errors
    /// As there, and as [`Worker::run`].
    pub fn load_lora(&mut self, path: impl AsRef<Path>, name: &str, scale: f32) -> Result<()> {
        let request =
            Request::LoadLora { path: absolute(path.as_ref())?, name: name.to_owned(), scale };
        self.link.set_up(request, "loading a LoRA", |_| false)
    }

    /// Loads the cache that a run with [`RunOptions::with_prompt_cache`] wrote.
    ///
    /// # Errors
    /// As [`NpuModel::load_prompt_cache`](crate::npu::NpuModel::load_prompt_cache), and as [`Worker::run`].
    pub fn load_prompt_cache(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let request = Request::LoadPromptCache { path: absolute(path.as_ref())? };
        self.link.set_up(request, "loading a prompt cache", is_prompt_cache)
    }

    /// Lets go of it; before another is loaded.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] if the runtime refuses, and as [`Worker::run`].
    pub fn release_prompt_cache(&mut self) -> Result<()> {
        let request = Request::ReleasePromptCache {};
        self.link.take_back(&request, "releasing a prompt cache", is_prompt_cache)
    }

    /// Positions in the KV cache, for each place of the batch.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] if the runtime refuses, and as [`Worker::run`].
    pub fn kv_cache_sizes(&mut self) -> Result<Vec<usize>> {
        match self.link.call(&Request::KvCacheSizes {}, "counting the KV cache")? {
            Reply::Sizes { sizes } if sizes.len() == self.facts.batch => Ok(sizes),
            _ => Err(Error::new(ErrorKind::Crashed, "the worker counted something else")
                .with_hint("restart it")),
        }
    }

    /// Forgets the whole KV cache, but for the system prompt if it is to stay.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] if the runtime refuses, and as [`Worker::run`].
    pub fn clear_kv_cache(&mut self, keep_system_prompt: bool) -> Result<()> {
        let request = Request::ClearKvCache { keep_system_prompt };
        self.link.call(&request, "clearing the KV cache").map(drop)
    }

    /// Forgets positions of the KV cache, a range for each place of the batch, after a run without history
    /// was paused.
    ///
    /// # Errors
    /// As [`NpuModel::clear_kv_ranges`](crate::npu::NpuModel::clear_kv_ranges), and as [`Worker::run`].
    pub fn clear_kv_ranges(&mut self, ranges: &[Range<usize>]) -> Result<()> {
        let request = Request::ClearKvRanges { ranges: ranges.to_vec() };
        self.link.call(&request, "clearing ranges of the KV cache").map(drop)
    }

    /// Replaces the model's chat template.
    ///
    /// # Errors
    /// As [`NpuModel::set_chat_template`](crate::npu::NpuModel::set_chat_template), and as [`Worker::run`].
    pub fn set_chat_template(&mut self, system: &str, prefix: &str, postfix: &str) -> Result<()> {
        let request = Request::SetChatTemplate {
            system: system.to_owned(),
            prefix: prefix.to_owned(),
            postfix: postfix.to_owned(),
        };
        self.link.set_up(request, "setting the chat template", |before| {
            matches!(before, Request::SetChatTemplate { .. })
        })
    }

    /// Declares the tools a model may call.
    ///
    /// # Errors
    /// As [`NpuModel::set_function_tools`](crate::npu::NpuModel::set_function_tools), and as
    /// [`Worker::run`].
    pub fn set_function_tools(
        &mut self,
        system: &str,
        tools: &str,
        response_tag: &str,
    ) -> Result<()> {
        let request = Request::SetFunctionTools {
            system: system.to_owned(),
            tools: tools.to_owned(),
            response_tag: response_tag.to_owned(),
        };
        self.link.set_up(request, "setting tools", |before| {
            matches!(before, Request::SetFunctionTools { .. })
        })
    }

    /// Hands over what an encoder computed, until the next or a restart.
    ///
    /// # Errors
    /// As [`NpuModel::set_cross_attention`](crate::npu::NpuModel::set_cross_attention), and as
    /// [`Worker::run`].
    pub fn set_cross_attention(&mut self, state: CrossAttention) -> Result<()> {
        let request = Request::SetCrossAttention { state };
        self.link.call(&request, "setting cross attention").map(drop)
    }
}

fn is_prompt_cache(request: &Request) -> bool {
    matches!(request, Request::LoadPromptCache { .. })
}

/// As this process means it; the worker may be elsewhere after a restart.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io(path, "make absolute", error))
}

impl NpuRun for Worker {
    fn context(&self) -> usize {
        self.context()
    }

    fn max_new_tokens(&self, options: &RunOptions) -> usize {
        self.max_new_tokens(options)
    }

    fn set_vocab_size(&mut self, tokens: usize) -> Result<()> {
        self.set_vocab_size(tokens)
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

impl Drop for Worker {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("pid", &self.pid())
            .field("library", &self.facts.library)
            .field("context", &self.facts.context)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Worker>();
};
