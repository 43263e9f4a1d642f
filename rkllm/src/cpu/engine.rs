//! `Engine`: weights, state and threads put together.

use std::io::{Read, Write};
use std::sync::Arc;

use super::attention::{AttentionScratch, Heads};
use super::cores::{Affinity, Cores, Placement};
use super::forward::{Buffers, Output};
use super::kv::LayerCache;
use super::linear::{CpuLinear, Device};
use super::lora::Loras;
use super::plan::MemoryPlan;
use super::pool::Pool;
use crate::by_rows::{expect_shape, shape};
use crate::kernels::Kernel;
use crate::kernels::fpenv::FpEnv;
use crate::model::{LinearWeights, ModelWeights, RopeTable};
use crate::{Backend, Dtype, Error, ErrorKind, Input, Linear, Result, Want};

/// Tokens of a prefill step, unless the caller chooses. The matrices of a layer are read from memory once
/// for each step, so more tokens let the multipliers work; at 512 what is left to gain is little, and the
/// activations of a 0.5B model are 38 MB.
const PREFILL_CHUNK: usize = 512;
/// Positions whose angles are computed at a time, at least.
const ROPE_STEP: usize = 64;

/// How an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Threads that compute, the calling one included. 0, the default, is no choice: the engine then takes the
    /// number of `RKLLM_THREADS`, else what suits the machine as [`cores`](super::cores) describes. Moves no bit.
    pub threads: usize,
    /// Tokens the sequence can hold. It also picks the branch of length-dependent RoPE.
    pub context: usize,
    /// Tokens a prefill step takes at most; more take more memory, fewer less speed. Moves no bit.
    pub prefill_chunk: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { threads: 0, context: 2048, prefill_chunk: PREFILL_CHUNK }
    }
}

impl EngineOptions {
    /// The same with a number of threads, if there was none.
    ///
    /// # Errors
    /// As [`Placement::from_environment`], which is not asked where the number is given.
    pub(super) fn resolved(mut self) -> Result<Self> {
        if self.threads == 0 {
            self.threads = Placement::from_environment()?.threads;
        }
        Ok(self)
    }
}

/// Which linear layer of a model: its number counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinearRole {
    /// Query, key and value projections of a layer, side by side.
    Qkv(usize),
    /// Output projection of a layer's attention.
    AttentionOutput(usize),
    /// Gate and up projections of a layer, side by side.
    GateUp(usize),
    /// Down projection of a layer.
    Down(usize),
    /// The output head.
    LmHead,
}

/// Gives the linear layer to compute with, in place of the CPU's own, which is handed over with the
/// weights it was made of.
pub type SupplyLinear<'a> =
    dyn FnMut(LinearRole, &[LinearWeights], Box<dyn Linear>) -> Result<Box<dyn Linear>> + 'a;

/// One layer, ready to compute.
pub(super) struct Layer {
    pub(super) qkv: Box<dyn Linear>,
    pub(super) o_proj: Box<dyn Linear>,
    pub(super) gate_up: Box<dyn Linear>,
    pub(super) down_proj: Box<dyn Linear>,
    pub(super) heads: Heads,
    pub(super) cache: LayerCache,
}

/// A model and one sequence on the CPU.
pub struct Engine {
    pub(super) weights: Arc<ModelWeights>,
    pub(super) layers: Vec<Layer>,
    pub(super) lm_head: Box<dyn Linear>,
    pub(super) rope: RopeTable,
    pub(super) device: Device,
    pub(super) options: EngineOptions,
    pub(super) position: usize,
    pub(super) buffers: Buffers,
    pub(super) loras: Loras,
    pub(super) attention: AttentionScratch,
}

impl Engine {
    /// An engine with an empty sequence.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`] if `RKLLM_KERNEL` cannot be honoured, [`ErrorKind::Input`] for a context
    /// or chunk of zero and, where the options give no threads, for an `RKLLM_THREADS` that is no number,
    /// [`ErrorKind::Memory`] if the cache would not fit the address space or threads cannot be started.
    pub fn new(weights: Arc<ModelWeights>, options: EngineOptions) -> Result<Self> {
        Self::with_kernel(weights, options, Kernel::active()?)
    }

    /// The same on a given kernel; [`Engine::new`] takes the process's.
    ///
    /// # Errors
    /// As [`Engine::new`], but for `RKLLM_KERNEL`, which is not asked.
    pub fn with_kernel(
        weights: Arc<ModelWeights>,
        options: EngineOptions,
        kernel: Kernel,
    ) -> Result<Self> {
        Self::with_linears(weights, options, kernel, &mut |_, _, cpu| Ok(cpu))
    }

    /// The same, with the linear layers that `supply` gives: another device's, or the CPU's for some inputs
    /// and another's for others ([`ByRows`](crate::ByRows)).
    ///
    /// # Errors
    /// As [`Engine::new`], those of `supply`, and [`ErrorKind::Shape`] if it gives a layer of another shape.
    pub fn with_linears(
        weights: Arc<ModelWeights>,
        options: EngineOptions,
        kernel: Kernel,
        supply: &mut SupplyLinear<'_>,
    ) -> Result<Self> {
        let options = options.resolved()?;
        let config = &weights.config;
        if options.context == 0 || options.prefill_chunk == 0 {
            return Err(Error::new(ErrorKind::Input, "a context or prefill chunk of 0 tokens"));
        }
        let cache_values = config
            .num_key_value_heads
            .checked_mul(config.head_dim)
            .and_then(|row| row.checked_mul(options.context))
            .filter(|&values| values < isize::MAX as usize / 4);
        if cache_values.is_none() {
            return Err(Error::new(
                ErrorKind::Memory,
                format!("a KV cache of {} tokens cannot be addressed", options.context),
            )
            .with_hint("ask for a smaller context"));
        }
        reserve(MemoryPlan::with_kernel(&weights, &options, Want::Nothing, None).kv_cache)?;
        let pool = Pool::new(options.threads).map_err(|e| {
            Error::new(ErrorKind::Memory, format!("cannot start {} threads: {e}", options.threads))
                .with_hint("ask for fewer threads")
        })?;
        pool.confine(Cores::system().placement(Some(options.threads)).confined);
        let device = Device::new(kernel, pool);
        let mut linear = |role, parts: &[LinearWeights]| -> Result<Box<dyn Linear>> {
            let cpu = Box::new(CpuLinear::new(parts.to_vec(), &device));
            let expected = shape(&*cpu);
            let supplied = supply(role, parts, cpu)?;
            expect_shape(expected, &*supplied)?;
            Ok(supplied)
        };
        let half = weights.kv_cache == Dtype::F16;
        let mut layers = Vec::with_capacity(weights.layers.len());
        for (index, layer) in weights.layers.iter().enumerate() {
            let one = std::slice::from_ref;
            layers.push(Layer {
                qkv: linear(LinearRole::Qkv(index), &layer.qkv)?,
                o_proj: linear(LinearRole::AttentionOutput(index), one(&layer.o_proj))?,
                gate_up: linear(LinearRole::GateUp(index), &layer.gate_up)?,
                down_proj: linear(LinearRole::Down(index), one(&layer.down_proj))?,
                heads: Heads {
                    query: config.num_attention_heads,
                    kv: config.num_key_value_heads,
                    dim: config.head_dim,
                    window: config.sliding_window.get(index).copied().flatten(),
                },
                cache: LayerCache::new(
                    half,
                    config.num_key_value_heads,
                    options.context,
                    config.head_dim,
                ),
            });
        }
        let lm_head = linear(LinearRole::LmHead, std::slice::from_ref(&weights.lm_head))?;
        let rope = config.rope.table(0, options.context);
        let attention = AttentionScratch::new(device.pool.threads());
        Ok(Self {
            layers,
            lm_head,
            rope,
            device,
            options,
            position: 0,
            buffers: Buffers::default(),
            loras: Loras::default(),
            attention,
            weights,
        })
    }

    /// The kernel that runs: `scalar`, `avx2`, `avxvnni`, `avx512vnni`, `amx`, `neon` or `neon-i8mm`.
    pub fn kernel_name(&self) -> &'static str {
        self.device.kernel.name()
    }

    /// The kernel that runs.
    pub fn kernel(&self) -> Kernel {
        self.device.kernel
    }

    /// The options it was made with, and the number of threads where they gave none.
    pub fn options(&self) -> EngineOptions {
        self.options
    }

    /// The model.
    pub fn weights(&self) -> &Arc<ModelWeights> {
        &self.weights
    }

    /// Whether threads are confined to the fast cores, from the next run on; they are unless told otherwise.
    /// [`cores`](super::cores) says where that is so and what becomes of the calling thread.
    pub fn set_affinity(&mut self, affinity: Affinity) {
        let confined = match affinity {
            Affinity::FastCores => Cores::system().placement(Some(self.options.threads)).confined,
            Affinity::Free => None,
        };
        self.device.pool.confine(confined);
    }

    /// How many threads compute, and where.
    pub fn placement(&self) -> Placement {
        let mut placement = Cores::system().placement(Some(self.options.threads));
        placement.confined = self.device.pool.confined();
        placement
    }

    /// What this engine takes of memory, at most, as long as only the last logits of an input are asked for.
    pub fn memory_plan(&self) -> MemoryPlan {
        let kernel = Some(self.device.kernel);
        MemoryPlan::with_kernel(&self.weights, &self.options, Want::Last, kernel)
    }

    /// Bytes of the KV cache for the whole context.
    pub fn kv_cache_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.cache.bytes()).sum()
    }

    /// The number of positions of `input`, if they can be appended.
    fn check(&self, input: Input<'_>) -> Result<usize> {
        let config = &self.weights.config;
        let (count, what) = match input {
            Input::Tokens(tokens) => {
                let vocab = config.vocab_size;
                if let Some(&id) = tokens.iter().find(|&&id| id as usize >= vocab) {
                    return Err(Error::new(
                        ErrorKind::Tokenizer,
                        format!("token id {id} is outside the vocabulary of {vocab}"),
                    )
                    .with_hint("use the tokenizer that belongs to this model"));
                }
                (tokens.len(), "tokens")
            }
            Input::Embeddings(values) => {
                (check_embeddings(values, config.hidden_size)?, "embeddings")
            }
        };
        if count > self.options.context - self.position {
            return Err(Error::new(
                ErrorKind::Context,
                format!(
                    "{count} {what} do not fit: {} of {} positions are taken",
                    self.position, self.options.context
                ),
            )
            .with_hint("reset the sequence or open the model with a larger context"));
        }
        Ok(count)
    }

    /// Angles of the first `positions` positions. Most sequences end long before their context does, and
    /// sines in f64 take a while.
    fn extend_rope(&mut self, positions: usize) {
        let rope = &self.weights.config.rope;
        let done = self.rope.positions(rope);
        if done < positions {
            let wanted = positions.max(done * 2).max(ROPE_STEP).min(self.options.context);
            rope.extend(&mut self.rope, wanted, self.options.context);
        }
    }

    /// Appends `input` in chunks.
    fn append(
        &mut self,
        input: Input<'_>,
        output: Output,
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let count = self.check(input)?;
        let _env = FpEnv::enter();
        let _confined = self.device.pool.confine_caller();
        self.extend_rope(self.position + count);
        let (chunk, hidden) = (self.options.prefill_chunk, self.weights.config.hidden_size);
        let mut first = 0;
        while first < count {
            let end = count.min(first.saturating_add(chunk));
            let part = match input {
                Input::Tokens(tokens) => Input::Tokens(&tokens[first..end]),
                Input::Embeddings(values) => {
                    Input::Embeddings(&values[first * hidden..end * hidden])
                }
            };
            let want = match want {
                Want::Last if end < count => Want::Nothing,
                want => want,
            };
            self.step(part, output, want, sink)?;
            first = end;
        }
        Ok(())
    }
}

/// Whether the system would give `bytes` for the KV cache: an allocation that fails later ends the process.
fn reserve(bytes: u64) -> Result<()> {
    let mut probe = Vec::<u8>::new();
    match usize::try_from(bytes).map(|bytes| probe.try_reserve_exact(bytes)) {
        Ok(Ok(())) => Ok(()),
        _ => {
            Err(Error::new(ErrorKind::Memory, format!("no memory for a KV cache of {bytes} bytes"))
                .with_hint("ask for a smaller context"))
        }
    }
}

/// The number of rows of `values`.
fn check_embeddings(values: &[f32], hidden: usize) -> Result<usize> {
    if !values.len().is_multiple_of(hidden) {
        let message = format!("{} values are not rows of {hidden}", values.len());
        return Err(Error::new(ErrorKind::Shape, message)
            .about("embeddings")
            .with_hint("give one row of the model's hidden size per position"));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values.len() / hidden),
        Some(index) => Err(Error::new(
            ErrorKind::NonFinite,
            format!("row {}, column {} is {}", index / hidden, index % hidden, values[index]),
        )
        .about("embeddings")),
    }
}

impl Backend for Engine {
    fn vocab_size(&self) -> usize {
        self.weights.config.vocab_size
    }

    fn context(&self) -> usize {
        self.options.context
    }

    fn position(&self) -> usize {
        self.position
    }

    fn reset(&mut self) {
        self.position = 0;
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.append(Input::Tokens(tokens), Output::Logits, want, sink)
    }

    fn embedding_size(&self) -> Option<usize> {
        Some(self.weights.config.hidden_size)
    }

    fn embed(&self, tokens: &[u32], out: &mut [f32]) -> Result<()> {
        let hidden = self.weights.config.hidden_size;
        if tokens.len().checked_mul(hidden) != Some(out.len()) {
            let message =
                format!("{} rows of {hidden} do not fit {} values", tokens.len(), out.len());
            return Err(Error::new(ErrorKind::Shape, message).about("embeddings"));
        }
        let mut rows = out.chunks_exact_mut(hidden).zip(tokens);
        rows.try_for_each(|(row, &id)| self.weights.embed_tokens.row(id, row))
    }

    fn forward_embeddings(
        &mut self,
        values: &[f32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.append(Input::Embeddings(values), Output::Logits, want, sink)
    }

    fn forward_hidden(
        &mut self,
        input: Input<'_>,
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.append(input, Output::Hidden, want, sink)
    }

    fn set_lora(&mut self, name: Option<&str>) -> Result<()> {
        self.loras.choose(name)
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        if len > self.position {
            return Err(Error::new(
                ErrorKind::Input,
                format!("cannot keep {len} tokens of {}", self.position),
            ));
        }
        // The cache has a row for every position, in layers with a window, too, so what lies before
        // `len` is as it was when the sequence had this length.
        self.position = len;
        Ok(())
    }

    fn fingerprint(&self) -> Option<u64> {
        Some(self.hash_model())
    }

    fn state_bytes(&self, len: usize) -> Option<u64> {
        self.cache_bytes(len)
    }

    fn export_state(&self, out: &mut dyn Write) -> Result<()> {
        self.write_cache(out)
    }

    fn import_state(&mut self, len: usize, input: &mut dyn Read) -> Result<()> {
        self.position = 0;
        if len > self.options.context {
            return Err(Error::new(
                ErrorKind::Context,
                format!("{len} tokens do not fit a context of {}", self.options.context),
            )
            .with_hint("open the model with a larger context"));
        }
        self.read_cache(len, input)?;
        self.position = len;
        Ok(())
    }
}
