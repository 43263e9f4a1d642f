//! What the calls are given, whatever the ABI.

use std::path::PathBuf;

/// How tokens are chosen, in the vendor's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingParams {
    /// Candidates kept; 1 is greedy, 0 or less keeps all.
    pub top_k: i32,
    /// Probability mass kept.
    pub top_p: f32,
    /// 0 takes the most likely token.
    pub temperature: f32,
    /// 1 is none.
    pub repeat_penalty: f32,
    /// 0 is none.
    pub frequency_penalty: f32,
    /// 0 is none.
    pub presence_penalty: f32,
    /// 0 off, else version 1 or 2.
    pub mirostat: i32,
    /// Target surprise in bits.
    pub mirostat_tau: f32,
    /// Learning rate.
    pub mirostat_eta: f32,
}

impl Default for SamplingParams {
    /// The documented defaults.
    fn default() -> Self {
        Self {
            top_k: 40,
            top_p: 0.9,
            temperature: 0.8,
            repeat_penalty: 1.1,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            mirostat: 0,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
        }
    }
}

/// Texts around and for the embeddings of an image or video.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Before.
    pub start: String,
    /// After.
    pub end: String,
    /// What stands for the embeddings in the model's own prompts; they are put in directly here.
    pub content: String,
}

/// What a model is loaded with.
#[derive(Debug, Clone, PartialEq)]
pub struct InitParams {
    /// A checkpoint or artifact directory, or a file that points to one.
    pub model_path: PathBuf,
    /// Positions of the KV cache.
    pub max_context_len: i32,
    /// New tokens of a run; 0 or less is as many as fit.
    pub max_new_tokens: i32,
    /// Positions kept when the window shifts; below zero, those of the system prompt.
    pub n_keep: i32,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Leaves special tokens out of the text.
    pub skip_special_token: bool,
    /// Goes on after the end-of-sequence token.
    pub ignore_eos_token: bool,
    /// Taken note of; a run in the background is `rkllm_run_async`.
    pub is_async: bool,
    /// 1.2: texts around images.
    pub tags: Tags,
    /// Taken note of.
    pub base_domain_id: i32,
    /// Taken note of.
    pub embed_flash: i8,
    /// Threads.
    pub enabled_cpus_num: i8,
    /// Taken note of.
    pub enabled_cpus_mask: u32,
    /// Inputs per run.
    pub n_batch: u8,
    /// Refused if set: no model here has cross attention.
    pub use_cross_attn: i8,
}

impl Default for InitParams {
    /// The documented defaults; 4,096 positions and 512 new tokens where none is documented.
    fn default() -> Self {
        Self {
            model_path: PathBuf::new(),
            max_context_len: 4096,
            max_new_tokens: 512,
            n_keep: -1,
            sampling: SamplingParams::default(),
            skip_special_token: false,
            ignore_eos_token: false,
            is_async: false,
            tags: Tags::default(),
            base_domain_id: 0,
            embed_flash: 0,
            enabled_cpus_num: 4,
            enabled_cpus_mask: 0xf0,
            n_batch: 1,
            use_cross_attn: 0,
        }
    }
}

/// Images or videos of a multimodal input.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// What marks one in the prompt.
    pub marker: &'static str,
    /// Embeddings `[count * rows, hidden]`.
    pub values: Vec<f32>,
    /// How many images or videos.
    pub count: usize,
    /// Rows of each.
    pub rows: usize,
    /// Texts around each.
    pub tags: Tags,
}

/// What is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Text for the chat template.
    Prompt(String),
    /// Token ids.
    Tokens(Vec<i32>),
    /// Embeddings `[rows, hidden]`.
    Embeddings(Vec<f32>),
    /// Text with markers, and what goes in their places.
    Multimodal(String, Vec<Media>),
}

/// One input of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInput {
    /// `user` without one.
    pub role: Option<String>,
    /// For templates that know it.
    pub enable_thinking: bool,
    /// What is run.
    pub payload: Payload,
}

/// What a run produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Tokens.
    Generate,
    /// Hidden states of every position of the input.
    LastHidden,
    /// Logits of every position of the input.
    Logits,
}

/// How an input is run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunParams {
    /// What to produce.
    pub mode: Mode,
    /// The LoRA to compute with.
    pub lora: Option<String>,
    /// Where to save the prompt's cache.
    pub save_prompt_cache: Option<PathBuf>,
    /// 1.3: in the place of the model's.
    pub sampling: Option<SamplingParams>,
    /// Goes on after what was kept, and is kept itself.
    pub keep_history: bool,
    /// 1.3: in the place of the model's where above 0.
    pub max_new_tokens: i32,
}
