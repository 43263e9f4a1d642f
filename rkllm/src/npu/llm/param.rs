//! `RKLLMParam`, for each ABI.

use std::path::Path;

use rkllm_sys::v1_3::RKLLMSamplingParam;
use rkllm_sys::{RkllmApi, v1_2, v1_3};

use super::arena::Arena;
use super::options::NpuOptions;
use super::runtime::{int, only_1_3};
use crate::{Error, ErrorKind, Result};

/// The most inputs a batch can have: `n_batch` is a byte.
pub(super) const LARGEST_BATCH: usize = 255;
/// IOMMU domains of driver 0.9.8.
const DOMAINS: u8 = 16;

/// The struct of one ABI.
pub(super) enum Param {
    V1_2(v1_2::RKLLMParam),
    V1_3(v1_3::RKLLMParam),
}

/// The parameters of a load, and what later runs need to know of them.
pub(super) struct Init {
    pub(super) param: Param,
    /// What `param` points to.
    pub(super) arena: Arena,
    /// Sampling as it was set, for runs that change a part of it.
    pub(super) sampling: RKLLMSamplingParam,
    pub(super) context: usize,
    pub(super) max_new_tokens: usize,
    pub(super) batch: usize,
    pub(super) has_tokenizer: bool,
    pub(super) has_embedding: bool,
}

/// Sets the fields that both ABIs have, by name.
macro_rules! fill {
    ($param:ident, $options:ident, $arena:ident, $path:ident) => {{
        let o = $options;
        $param.model_path = $arena.path($path)?;
        if let Some(tokens) = o.context {
            $param.max_context_len = int("context", tokens)?;
        }
        if let Some(tokens) = o.max_new_tokens {
            $param.max_new_tokens = int("max_new_tokens", tokens)?;
        }
        if let Some(positions) = o.n_keep {
            $param.n_keep = positions;
        }
        let sampling = o.sampling.over(RKLLMSamplingParam {
            top_k: $param.top_k,
            top_p: $param.top_p,
            temperature: $param.temperature,
            repeat_penalty: $param.repeat_penalty,
            frequency_penalty: $param.frequency_penalty,
            presence_penalty: $param.presence_penalty,
            mirostat: $param.mirostat,
            mirostat_tau: $param.mirostat_tau,
            mirostat_eta: $param.mirostat_eta,
        });
        $param.top_k = sampling.top_k;
        $param.top_p = sampling.top_p;
        $param.temperature = sampling.temperature;
        $param.repeat_penalty = sampling.repeat_penalty;
        $param.frequency_penalty = sampling.frequency_penalty;
        $param.presence_penalty = sampling.presence_penalty;
        $param.mirostat = sampling.mirostat;
        $param.mirostat_tau = sampling.mirostat_tau;
        $param.mirostat_eta = sampling.mirostat_eta;
        if let Some(skip) = o.skip_special_tokens {
            $param.skip_special_token = skip;
        }
        $param.is_async = false;
        let extend = &mut $param.extend_param;
        if let Some(domain) = o.base_domain {
            extend.base_domain_id = i32::from(domain);
        }
        if let Some(flash) = o.embed_flash {
            extend.embed_flash = i8::from(flash);
        }
        if let Some(count) = o.cpu_count {
            extend.enabled_cpus_num = count as i8;
        }
        if let Some(mask) = o.cpu_mask {
            extend.enabled_cpus_mask = mask;
        }
        if let Some(batch) = o.batch {
            extend.n_batch = batch;
        }
        if o.cross_attention.is_some() {
            extend.use_cross_attn = 1;
        }
        let batch = usize::from(extend.n_batch).max(1);
        let size = |tokens| usize::try_from(tokens).unwrap_or(0);
        (sampling, size($param.max_context_len), size($param.max_new_tokens), batch)
    }};
}

impl Init {
    /// The runtime's defaults with the options over them.
    pub(super) fn new(api: &RkllmApi, path: &Path, options: &NpuOptions) -> Result<Self> {
        check(options)?;
        let mut arena = Arena::default();
        let (param, (sampling, context, max_new_tokens, batch)) = match api {
            RkllmApi::V1_2(functions) => {
                if options.ignore_eos.is_some() {
                    return Err(only_1_3("ignore_eos_token"));
                }
                if options.tokenizer.is_some() || options.embedding.is_some() {
                    return Err(only_1_3("callbacks for a tokenizer or an embedding"));
                }
                // SAFETY: no arguments; the probe at opening has seen it write this struct.
                let mut param = unsafe { (functions.rkllm_createDefaultParam)() };
                let set = fill!(param, options, arena, path);
                if let Some(tags) = &options.image_tags {
                    param.img_start = arena.text("image start tag", &tags.start)?;
                    param.img_end = arena.text("image end tag", &tags.end)?;
                    param.img_content = arena.text("image content tag", &tags.content)?;
                }
                (Param::V1_2(param), set)
            }
            RkllmApi::V1_3(functions) => {
                // SAFETY: as above.
                let mut param = unsafe { (functions.rkllm_createDefaultParam)() };
                let set = fill!(param, options, arena, path);
                if let Some(ignore) = options.ignore_eos {
                    param.ignore_eos_token = ignore;
                }
                (Param::V1_3(param), set)
            }
        };
        Ok(Self {
            param,
            arena,
            sampling,
            context,
            max_new_tokens,
            batch,
            has_tokenizer: options.tokenizer.is_some(),
            has_embedding: options.embedding.is_some(),
        })
    }
}

/// What no ABI takes.
fn check(options: &NpuOptions) -> Result<()> {
    let refuse = |name: &str, expected: &str, found: &dyn std::fmt::Display| {
        Err(Error::new(ErrorKind::Input, format!("expected {expected}, found {found}")).about(name))
    };
    options.sampling.check()?;
    for (name, value) in [("context", options.context), ("max_new_tokens", options.max_new_tokens)]
    {
        if value == Some(0) {
            return refuse(name, "at least 1", &0);
        }
    }
    if let Some(domain) = options.base_domain.filter(|domain| *domain >= DOMAINS) {
        return refuse("base domain", "0 to 15", &domain);
    }
    if let Some(mask) = options.cpu_mask.filter(|mask| *mask == 0 || *mask > 0xff) {
        return refuse("CPUs", "one at least, of 0 to 7", &format!("mask {mask:#x}"));
    }
    if let Some(count) = options.cpu_count.filter(|count| !(1..=8).contains(count)) {
        return refuse("number of CPUs", "1 to 8", &count);
    }
    if options.batch == Some(0) {
        return refuse("batch", "at least 1", &0);
    }
    if options.hidden_size == Some(0) {
        return refuse("hidden size", "at least 1", &0);
    }
    Ok(())
}
