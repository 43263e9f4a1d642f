//! `NpuOptions`: how a model is loaded.

use std::path::Path;

use super::backend::NpuBackend;
use super::cross_attention::CrossAttentionSize;
use super::hooks::{Embedding, Tokenizer};
use super::media::MediaTags;
use super::model::NpuModel;
use super::runtime::Runtime;
use super::sampling::NpuSampling;
use crate::{Backend, Result};

/// How a `.rkllm` model is loaded. What is left out is as `rkllm_createDefaultParam` says.
///
/// ```no_run
/// use rkllm::npu::{NpuOptions, NpuSampling};
///
/// let model = NpuOptions::default()
///     .with_context(4096)
///     .with_max_new_tokens(512)
///     .with_sampling(NpuSampling::default().with_temperature(0.7))
///     .with_cpus([4, 5, 6, 7])
///     .load("/models/qwen3-0.6b-w8a8.rkllm")?;
/// # Ok::<(), rkllm::Error>(())
/// ```
///
/// `is_async` is always false: a background run is [`NpuModel::stream`].
#[derive(Default)]
pub struct NpuOptions {
    pub(super) runtime: Option<Runtime>,
    pub(super) context: Option<usize>,
    pub(super) max_new_tokens: Option<usize>,
    pub(super) sampling: NpuSampling,
    pub(super) n_keep: Option<i32>,
    pub(super) skip_special_tokens: Option<bool>,
    pub(super) ignore_eos: Option<bool>,
    pub(super) image_tags: Option<MediaTags>,
    pub(super) base_domain: Option<u8>,
    pub(super) embed_flash: Option<bool>,
    pub(super) cpu_mask: Option<u32>,
    pub(super) cpu_count: Option<u8>,
    pub(super) batch: Option<u8>,
    pub(super) cross_attention: Option<CrossAttentionSize>,
    pub(super) hidden_size: Option<usize>,
    pub(super) hidden_size_is_sure: bool,
    pub(super) tokenizer: Option<Box<Tokenizer>>,
    pub(super) embedding: Option<Box<Embedding>>,
}

impl NpuOptions {
    /// The library to load with; [`Runtime::find`] without it.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Positions of the KV cache; at most what the model was converted for. Of a multimodal model: more
    /// than text, image and new tokens together.
    #[must_use]
    pub fn with_context(mut self, tokens: usize) -> Self {
        self.context = Some(tokens);
        self
    }

    /// New tokens of a run at most.
    #[must_use]
    pub fn with_max_new_tokens(mut self, tokens: usize) -> Self {
        self.max_new_tokens = Some(tokens);
        self
    }

    /// How tokens are chosen.
    #[must_use]
    pub fn with_sampling(mut self, sampling: NpuSampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// Positions kept at the start when the window shifts (`n_keep`): at least the system prompt's in a
    /// conversation. Rockchip's server demo sets -1.
    #[must_use]
    pub fn with_n_keep(mut self, positions: i32) -> Self {
        self.n_keep = Some(positions);
        self
    }

    /// Leaves special tokens out of the text.
    #[must_use]
    pub fn with_skip_special_tokens(mut self, skip: bool) -> Self {
        self.skip_special_tokens = Some(skip);
        self
    }

    /// Goes on where the model would end; 1.3.
    #[must_use]
    pub fn with_ignore_eos(mut self, ignore: bool) -> Self {
        self.ignore_eos = Some(ignore);
        self
    }

    /// The texts around and for an image. 1.2 takes them here alone; in 1.3 they serve images that bring
    /// none of their own.
    #[must_use]
    pub fn with_image_tags(mut self, tags: MediaTags) -> Self {
        self.image_tags = Some(tags);
        self
    }

    /// The IOMMU domain in which the model begins, 0 to 15; a domain holds 4 GiB, and two models of one
    /// board want different ones.
    #[must_use]
    pub fn with_base_domain(mut self, domain: u8) -> Self {
        self.base_domain = Some(domain);
        self
    }

    /// Reads the token embeddings from storage on demand: less memory, more time.
    #[must_use]
    pub fn with_embed_flash(mut self, flash: bool) -> Self {
        self.embed_flash = Some(flash);
        self
    }

    /// The CPUs of the runtime's own threads, 0 to 7, and their number. On RK3588 and RK3576 4 to 7 are
    /// the big ones.
    #[must_use]
    pub fn with_cpus(mut self, cpus: impl IntoIterator<Item = u8>) -> Self {
        // A number that has no bit becomes one that is refused at loading.
        let mask = cpus.into_iter().fold(0u32, |mask, cpu| mask | 1 << u32::from(cpu).min(31));
        self.cpu_mask = Some(mask);
        self.cpu_count = Some(mask.count_ones() as u8);
        self
    }

    /// The number of CPUs, where it is not that of [`NpuOptions::with_cpus`].
    #[must_use]
    pub fn with_cpu_count(mut self, count: u8) -> Self {
        self.cpu_count = Some(count);
        self
    }

    /// Inputs per run (`n_batch`); Rockchip suggests 8 at most. Logits and hidden states are for one.
    #[must_use]
    pub fn with_batch(mut self, inputs: u8) -> Self {
        self.batch = Some(inputs);
        self
    }

    /// The model has cross attention of this size.
    ///
    /// # Safety
    /// The size is the model's. The runtime reads the caches of
    /// [`NpuModel::set_cross_attention`](super::NpuModel::set_cross_attention) by its own; they are
    /// checked against this one, which nothing can check.
    #[must_use]
    pub unsafe fn with_cross_attention(mut self, size: CrossAttentionSize) -> Self {
        self.cross_attention = Some(size);
        self
    }

    /// The model's hidden size, without which embeddings, images and videos are refused. The model is
    /// asked for it at loading, by one run over one token, and a different answer is an error.
    #[must_use]
    pub fn with_hidden_size(mut self, values: usize) -> Self {
        self.hidden_size = Some(values);
        self.hidden_size_is_sure = false;
        self
    }

    /// The same without asking, such as for batches, which give no hidden states.
    ///
    /// # Safety
    /// The size is the model's: the runtime reads so many values per token from what it is handed.
    #[must_use]
    pub unsafe fn with_hidden_size_unchecked(mut self, values: usize) -> Self {
        self.hidden_size = Some(values);
        self.hidden_size_is_sure = true;
        self
    }

    /// Turns text into token ids, for a model that was exported without its tokenizer; 1.3.
    #[must_use]
    pub fn with_tokenizer(
        mut self,
        encode: impl FnMut(&str) -> Result<Vec<u32>> + Send + 'static,
    ) -> Self {
        self.tokenizer = Some(Box::new(encode));
        self
    }

    /// Writes the embeddings of token ids, row after row, for a model that was exported without
    /// them; 1.3. The floats are zero before.
    #[must_use]
    pub fn with_embedding(
        mut self,
        embed: impl FnMut(&[u32], &mut [f32]) -> Result<()> + Send + 'static,
    ) -> Self {
        self.embedding = Some(Box::new(embed));
        self
    }

    /// Loads a model.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) for a file that cannot be read,
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) for options that mean nothing,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for those the ABI lacks,
    /// [`ErrorKind::Runtime`](crate::ErrorKind::Runtime) if the runtime refuses, and as
    /// [`Runtime::find`].
    pub fn load(self, path: impl AsRef<Path>) -> Result<NpuModel> {
        NpuModel::load(path.as_ref(), self)
    }

    /// Loads a model as what a session runs on. An app moves from the CPU to the NPU by the line that
    /// opens its model:
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "cpu", feature = "chat"))] {
    /// use rkllm::npu::NpuOptions;
    /// use rkllm::session::Model;
    ///
    /// let model = Model::open("tutor")?;
    /// let model = Model::options().with_backend("tutor", || NpuOptions::default().connect("tutor.rkllm"))?;
    ///
    /// // All else stays, with the tokenizer and the chat template of that directory.
    /// let answer = model.chat().start()?.ask("¿Qué es la ley de Ohm?")?.text()?;
    /// # }
    /// # Ok::<(), rkllm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`NpuOptions::load`] and [`NpuBackend::new`].
    pub fn connect(self, path: impl AsRef<Path>) -> Result<Box<dyn Backend + Send>> {
        Ok(Box::new(NpuBackend::new(self.load(path)?)?))
    }
}

impl std::fmt::Debug for NpuOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NpuOptions")
            .field("context", &self.context)
            .field("max_new_tokens", &self.max_new_tokens)
            .field("sampling", &self.sampling)
            .field("batch", &self.batch)
            .field("hidden_size", &self.hidden_size)
            .finish_non_exhaustive()
    }
}
