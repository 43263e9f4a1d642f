//! `NpuModel`: a loaded `.rkllm` model.

use std::ops::Range;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::Arc;

use rkllm_sys::Abi;
use rkllm_sys::v1_3::RKLLMLoraAdapter;

use super::abort::AbortHandle;
use super::core::Core;
use super::cross_attention::{CrossAttention, CrossAttentionSize};
use super::hooks::Hooks;
use super::input::Input;
use super::memory::Earlier;
use super::options::NpuOptions;
use super::output::{Flow, Output, Report};
use super::param::{Init, LARGEST_BATCH};
use super::prepare::{Known, Prepared};
use super::run_options::{Mode, RunOptions};
use super::runtime::{Runtime, either, failed, file, int};
use super::stream::Stream;
use crate::{Error, ErrorKind, Result};

/// A `.rkllm` model on the NPU.
///
/// ```no_run
/// use rkllm::npu::{Flow, NpuOptions, RunOptions};
///
/// let mut model = NpuOptions::default().load("qwen3-0.6b.rkllm")?;
/// let report = model.run("A resistor is", &RunOptions::default(), |output| {
///     print!("{}", output.text);
///     Flow::Continue
/// })?;
/// println!("\n{:?}", report.performance);
/// # Ok::<(), rkllm::Error>(())
/// ```
///
/// It may go to another thread, and only one thread calls it at a time: every call takes `&mut self`, and a
/// lock inside holds where a [`Stream`] was leaked. Beside a run only an [`AbortHandle`] reaches the
/// runtime. Dropping a model aborts a run in flight, waits for it and frees the NPU's memory.
pub struct NpuModel {
    core: Arc<Core>,
    runtime: Runtime,
    known: Known,
    cross_attention: Option<CrossAttentionSize>,
}

impl NpuModel {
    pub(super) fn load(path: &Path, mut options: NpuOptions) -> Result<Self> {
        let runtime = options.runtime.take().map_or_else(Runtime::find, Ok)?;
        let init = Init::new(&runtime.api(), path, &options)?;
        let known = Known {
            abi: runtime.abi(),
            batch: init.batch,
            context: init.context,
            max_new_tokens: init.max_new_tokens,
            hidden_size: options.hidden_size.filter(|_| options.hidden_size_is_sure),
            vocab_size: None,
            image_tags: options.image_tags,
            sampling: init.sampling,
            loras: Vec::new(),
        };
        let hooks = |number| Hooks::new(number, options.tokenizer, options.embedding);
        let core = Core::load(runtime.api(), path, init, hooks)?;
        let cross_attention = options.cross_attention;
        let mut model = Self { core, runtime, known, cross_attention };
        if let Some(stated) = options.hidden_size.filter(|_| !options.hidden_size_is_sure) {
            let found = model.measure()?;
            if found != stated {
                let message = format!("stated is a hidden size of {stated}, the model has {found}");
                return Err(Error::new(ErrorKind::Shape, message).about(path.display().to_string()));
            }
            model.known.hidden_size = Some(found);
        }
        Ok(model)
    }

    /// Asks the model for its hidden size.
    fn measure(&mut self) -> Result<usize> {
        let mut width = None;
        let options = RunOptions::default().with_mode(Mode::LastHiddenLayer);
        self.run(Input::tokens([0]), &options, |output| {
            width = output.hidden_states.map(|rows| rows.width()).or(width);
            Flow::Continue
        })?;
        self.clear_kv_cache(false)?;
        width.ok_or_else(|| {
            Error::new(ErrorKind::Runtime, "the runtime gave no hidden states to see their size")
                .with_hint("NpuOptions::with_hidden_size_unchecked takes the caller's word")
        })
    }

    /// Runs one input to its end and calls `on_output` for every output, on whatever thread the runtime
    /// uses; it decides what comes next. Blocks meanwhile.
    ///
    /// After a pause the next run goes on after what is cached, with its own input alone.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`], [`ErrorKind::Input`], [`ErrorKind::Context`] and [`ErrorKind::Tokenizer`] for
    /// an input that does not fit the model, [`ErrorKind::Unsupported`] for what the ABI lacks,
    /// [`ErrorKind::Runtime`] if the runtime fails. A closure's error is its own to keep.
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
    /// As [`NpuModel::run`].
    pub fn run_batch(
        &mut self,
        inputs: Vec<Input>,
        options: &RunOptions,
        mut on_output: impl FnMut(Output<'_>) -> Flow + Send,
    ) -> Result<Report> {
        let prepared = Prepared::new(inputs, options, &self.known)?;
        self.core.run(prepared, &mut on_output)
    }

    /// The whole text of a run, and what it took.
    ///
    /// # Errors
    /// As [`NpuModel::run`].
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

    /// Runs on a thread of its own and gives the text as it comes. Dropping the stream aborts the run
    /// and waits for it.
    ///
    /// # Errors
    /// As [`NpuModel::run`]; what goes wrong later is an item of the stream.
    pub fn stream(&mut self, input: impl Into<Input>, options: &RunOptions) -> Result<Stream<'_>> {
        if options.mode != Mode::Generate {
            return Err(Error::new(ErrorKind::Input, "a stream is of text")
                .with_hint("NpuModel::run lends logits and hidden states to a closure"));
        }
        let prepared = Prepared::new(vec![input.into()], options, &self.known)?;
        Stream::start(&self.core, prepared)
    }

    /// Ends runs from other threads.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle::new(Arc::downgrade(&self.core))
    }

    /// The library it was loaded with.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The ABI of that library.
    pub fn abi(&self) -> Abi {
        self.known.abi
    }

    /// Positions of the KV cache; 0 if neither the caller nor the library says.
    pub fn context(&self) -> usize {
        self.known.context
    }

    /// New tokens of a run with these options at most; 0 if neither the caller nor the library says.
    pub fn max_new_tokens(&self, options: &RunOptions) -> usize {
        options.max_new_tokens.unwrap_or(self.known.max_new_tokens)
    }

    /// Inputs per run.
    pub fn batch(&self) -> usize {
        self.known.batch
    }

    /// Values per token, if the model was loaded with them.
    pub fn hidden_size(&self) -> Option<usize> {
        self.known.hidden_size
    }

    /// Token ids from here on are refused, before they leave. [`NpuBackend`](super::NpuBackend) finds
    /// this out by itself.
    pub fn set_vocab_size(&mut self, tokens: usize) {
        self.known.vocab_size = Some(tokens);
    }

    /// Loads a LoRA under `name`, by which runs choose it. Several may be loaded; `scale` 1 is as trained.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a name that is taken or a scale that is not finite, [`ErrorKind::Io`] for
    /// a file that cannot be read, [`ErrorKind::Runtime`] if the runtime refuses.
    pub fn load_lora(&mut self, path: impl AsRef<Path>, name: &str, scale: f32) -> Result<()> {
        let path = path.as_ref();
        // The host stand-in takes PEFT's directories.
        if !path.is_dir() {
            file(path)?;
        }
        if self.known.loras.iter().any(|loaded| loaded == name) {
            return Err(Error::new(ErrorKind::Input, format!("a LoRA is loaded as {name:?}")));
        }
        if !scale.is_finite() {
            return Err(Error::new(ErrorKind::Input, format!("a scale of {scale}")).about(name));
        }
        self.core.lend("rkllm_load_lora", Earlier::Stays, |api, handle, arena| {
            let mut adapter = vec![RKLLMLoraAdapter {
                lora_adapter_path: arena.path(path)?,
                lora_adapter_name: arena.text("LoRA name", name)?,
                scale,
            }];
            let adapter = adapter.as_mut_ptr();
            // SAFETY: a handle that is alive; the struct lives during the call, its strings longer.
            Ok(unsafe { either!(api, f => (f.rkllm_load_lora)(handle, adapter.cast())) })
        })?;
        self.known.loras.push(name.to_owned());
        Ok(())
    }

    /// Loads the cache that a run with [`RunOptions::with_prompt_cache`] wrote. A prompt that begins as
    /// that one did is computed from there on.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a file that cannot be read, [`ErrorKind::Runtime`] if the runtime refuses.
    pub fn load_prompt_cache(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        file(path)?;
        self.core.lend("rkllm_load_prompt_cache", Earlier::Goes, |api, handle, arena| {
            let path = arena.path(path)?;
            // SAFETY: a handle that is alive and a C string that lives as long.
            Ok(unsafe { either!(api, f => (f.rkllm_load_prompt_cache)(handle, path)) })
        })
    }

    /// Lets go of it; before another is loaded.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] if the runtime refuses.
    pub fn release_prompt_cache(&mut self) -> Result<()> {
        self.core.call("rkllm_release_prompt_cache", |api, handle, _| {
            // SAFETY: a handle that is alive.
            Ok(unsafe { either!(api, f => (f.rkllm_release_prompt_cache)(handle)) })
        })
    }

    /// Positions in the KV cache, for each place of the batch.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] if the runtime refuses or counts below zero.
    pub fn kv_cache_sizes(&mut self) -> Result<Vec<usize>> {
        const CALL: &str = "rkllm_get_kv_cache_size";
        // Room for the largest batch, whatever the library thinks this one is.
        let mut sizes = vec![0; LARGEST_BATCH + 1];
        self.core.call(CALL, |api, handle, _| {
            // SAFETY: a handle that is alive, and room for more counts than a batch can have.
            Ok(unsafe {
                either!(api, f => (f.rkllm_get_kv_cache_size)(handle, sizes.as_mut_ptr()))
            })
        })?;
        let sizes = sizes[..self.known.batch].iter().map(|size| {
            usize::try_from(*size).map_err(|_| failed(CALL, *size).about("a size below zero"))
        });
        sizes.collect()
    }

    /// Forgets the whole KV cache, but for the system prompt if it is to stay.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] if the runtime refuses.
    pub fn clear_kv_cache(&mut self, keep_system_prompt: bool) -> Result<()> {
        self.core.call("rkllm_clear_kv_cache", |api, handle, slot| {
            slot.paused = false;
            let keep = i32::from(keep_system_prompt);
            // SAFETY: a handle that is alive; null and null mean everything.
            let code = unsafe {
                either!(api, f => (f.rkllm_clear_kv_cache)(handle, keep, null_mut(), null_mut()))
            };
            slot.stale &= code != 0;
            Ok(code)
        })
    }

    /// Forgets positions of the KV cache, a range for each place of the batch; an empty one forgets
    /// nothing. Only after a run without history was paused: elsewhere the runtime refuses.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of ranges than the batch has, [`ErrorKind::Input`] for a
    /// range that is not in the cache or where no run is paused, [`ErrorKind::Runtime`] if the runtime
    /// refuses.
    pub fn clear_kv_ranges(&mut self, ranges: &[Range<usize>]) -> Result<()> {
        let sizes = self.kv_cache_sizes()?;
        if ranges.len() != sizes.len() {
            let message = format!("{} ranges for a batch of {}", ranges.len(), sizes.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for (range, size) in ranges.iter().zip(&sizes) {
            if range.start > range.end || range.end > *size {
                let message = format!("positions {range:?} of a cache of {size}");
                return Err(Error::new(ErrorKind::Input, message));
            }
            starts.push(int("start", range.start)?);
            ends.push(int("end", range.end)?);
        }
        self.core.call("rkllm_clear_kv_cache", |api, handle, slot| {
            if !slot.paused {
                return Err(Error::new(ErrorKind::Input, "no run without history is paused")
                    .with_hint(
                        "a range can be cleared only after a closure returned Flow::Pause",
                    ));
            }
            let (start, end) = (starts.as_mut_ptr(), ends.as_mut_ptr());
            // SAFETY: a handle that is alive and as many positions as the batch has places.
            Ok(unsafe { either!(api, f => (f.rkllm_clear_kv_cache)(handle, 0, start, end)) })
        })
    }

    /// Replaces the model's chat template. [`Input::with_thinking`] says nothing after it.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a NUL inside, [`ErrorKind::Runtime`] if the runtime refuses.
    pub fn set_chat_template(&mut self, system: &str, prefix: &str, postfix: &str) -> Result<()> {
        self.core.lend("rkllm_set_chat_template", Earlier::Goes, |api, handle, arena| {
            let system = arena.text("system prompt", system)?;
            let prefix = arena.text("prompt prefix", prefix)?;
            let postfix = arena.text("prompt postfix", postfix)?;
            // SAFETY: a handle that is alive and C strings that live as long.
            Ok(unsafe {
                either!(api, f => (f.rkllm_set_chat_template)(handle, system, prefix, postfix))
            })
        })
    }

    /// Declares the tools a model may call: a JSON array in OpenAI's form. `response_tag` marks results
    /// (Qwen: `tool_response`). Results come back by [`Role::Tool`](super::Role::Tool).
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for tools that are no JSON array and a NUL inside, [`ErrorKind::Runtime`] if
    /// the runtime refuses.
    pub fn set_function_tools(
        &mut self,
        system: &str,
        tools: &str,
        response_tag: &str,
    ) -> Result<()> {
        serde_json::from_str::<Vec<serde_json::Value>>(tools).map_err(|error| {
            Error::new(ErrorKind::Input, format!("the tools are not a JSON array: {error}"))
        })?;
        self.core.lend("rkllm_set_function_tools", Earlier::Goes, |api, handle, arena| {
            let system = arena.text("system prompt", system)?;
            let tools = arena.text("tools", tools)?;
            let tag = arena.text("tool response tag", response_tag)?;
            // SAFETY: a handle that is alive and C strings that live as long.
            Ok(unsafe {
                either!(api, f => (f.rkllm_set_function_tools)(handle, system, tools, tag))
            })
        })
    }

    /// Hands over what an encoder computed, for a model that was loaded
    /// [with cross attention](NpuOptions::with_cross_attention). It stays until the next.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a model loaded without, [`ErrorKind::Shape`] for an array of another
    /// length than the size says, [`ErrorKind::Runtime`] if the runtime refuses.
    pub fn set_cross_attention(&mut self, state: CrossAttention) -> Result<()> {
        let size = self.cross_attention.ok_or_else(|| {
            Error::new(ErrorKind::Input, "the model was loaded without cross attention")
                .with_hint("load it with NpuOptions::with_cross_attention")
        })?;
        self.core.lend("rkllm_set_cross_attn_params", Earlier::Goes, |api, handle, arena| {
            let mut params = vec![state.lend(size, arena)?];
            let params = params.as_mut_ptr();
            // SAFETY: a handle that is alive; the struct lives during the call, its arrays until others
            // take their place.
            Ok(unsafe { either!(api, f => (f.rkllm_set_cross_attn_params)(handle, params.cast())) })
        })
    }

    /// Frees the NPU's memory, as dropping does, and says whether the runtime did.
    ///
    /// # Errors
    /// [`ErrorKind::Runtime`] if it did not. What it was handed stays in memory then, because it may
    /// still look at it. [`ErrorKind::Input`] from within a closure of a run of its own, whose end frees it.
    pub fn close(self) -> Result<()> {
        self.core.outside().map_err(|error| error.with_hint("its end frees the model"))?;
        self.core.close()
    }
}

impl Drop for NpuModel {
    fn drop(&mut self) {
        if self.core.is_inside() {
            // The run of a leaked stream whose tokenizer drops its model: its end frees the model.
            self.core.stop();
            return;
        }
        // Not left to the last owner: an abort handle in use would free the NPU's memory late.
        // `close` is for those who want to know.
        let _ = self.core.close();
    }
}

impl std::fmt::Debug for NpuModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NpuModel")
            .field("runtime", &self.runtime.path())
            .field("abi", &self.known.abi)
            .field("context", &self.known.context)
            .field("batch", &self.known.batch)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    const fn is_send<T: Send>() {}
    is_send_and_sync::<AbortHandle>();
    is_send::<NpuModel>();
    is_send::<Stream<'static>>();
};
