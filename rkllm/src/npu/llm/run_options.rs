//! `RunOptions`: how one run goes.

use std::path::PathBuf;

use super::sampling::NpuSampling;

/// What a run is to produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Tokens and their text.
    #[default]
    Generate,
    /// The hidden states after the last layer, for embedding models.
    LastHiddenLayer,
    /// Logits.
    Logits,
}

/// How one run goes.
///
/// ```
/// use rkllm::npu::{NpuSampling, RunOptions};
///
/// let turn = RunOptions::default().with_history(true).with_max_new_tokens(256);
/// let careful = turn.clone().with_sampling(NpuSampling::greedy());
/// assert_ne!(turn, careful);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunOptions {
    pub(super) mode: Mode,
    pub(super) keep_history: bool,
    pub(super) lora: Option<String>,
    pub(super) prompt_cache: Option<PathBuf>,
    pub(super) sampling: Option<NpuSampling>,
    pub(super) max_new_tokens: Option<usize>,
}

impl RunOptions {
    /// What to produce.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Keeps the KV cache for the next turn (`keep_history`); without it a run stands alone.
    #[must_use]
    pub fn with_history(mut self, keep: bool) -> Self {
        self.keep_history = keep;
        self
    }

    /// Uses the LoRA that was loaded under this name.
    #[must_use]
    pub fn with_lora(mut self, name: impl Into<String>) -> Self {
        self.lora = Some(name.into());
        self
    }

    /// Writes the prompt's cache to this file after the run; an absolute path is advised.
    #[must_use]
    pub fn with_prompt_cache(mut self, path: impl Into<PathBuf>) -> Self {
        self.prompt_cache = Some(path.into());
        self
    }

    /// Chooses tokens in another way than the model was loaded with; 1.3. What is left out stays as
    /// loaded.
    #[must_use]
    pub fn with_sampling(mut self, sampling: NpuSampling) -> Self {
        self.sampling = Some(sampling);
        self
    }

    /// New tokens at most, in the place of the number the model was loaded with; 1.3.
    #[must_use]
    pub fn with_max_new_tokens(mut self, tokens: usize) -> Self {
        self.max_new_tokens = Some(tokens);
        self
    }

    /// What is produced.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}
