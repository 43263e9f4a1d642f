//! What a worker and its parent tell each other of a model, as bytes.

use rkllm_sys::Abi;

use super::cross_attention::{CrossAttention, CrossAttentionSize};
use super::input::{Input, Media, Payload, Role};
use super::media::{Images, MediaTags, Videos};
use super::options::NpuOptions;
use super::output::{End, Flow, Output, Performance, Report, Rows};
use super::run_options::{Mode, RunOptions};
use super::runtime::Runtime;
use super::sampling::NpuSampling;
use super::start::NULL_HANDLE;
use crate::npu::wire::{Malformed, Rest, Taken, Wire, put_slice, put_text, wire_enum, wire_struct};
use crate::{Error, ErrorKind, Result};

wire_enum!(Abi { V1_2, V1_3 });
wire_enum!(Role { User, Tool });
wire_enum!(Mode { Generate, LastHiddenLayer, Logits });
wire_enum!(Flow { Continue, Release, Pause, Stop });
wire_enum!(End { Finished, Paused, Aborted });

wire_struct!(NpuSampling {
    top_k,
    top_p,
    temperature,
    repeat_penalty,
    frequency_penalty,
    presence_penalty,
    mirostat,
    mirostat_tau,
    mirostat_eta,
});
wire_struct!(MediaTags { start, end, content });
wire_struct!(CrossAttentionSize { layers, kv_heads, head_dim });
wire_struct!(CrossAttention { keys, values, mask, positions });
wire_struct!(RunOptions { mode, keep_history, lora, prompt_cache, sampling, max_new_tokens });
wire_struct!(Performance { prefill_ms, prefill_tokens, generate_ms, generate_tokens, memory_mb });
wire_struct!(Report { end, tokens, performance });
wire_struct!(Images { values, count, tokens, size, tags });
wire_struct!(Videos { values, count, frames, tokens, size, tags });
wire_struct!(Media { prompt, images, videos });
wire_struct!(Input { payload, role, thinking });

impl Wire for Payload {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Prompt(text) => {
                out.push(0);
                text.put(out);
            }
            Self::Tokens(ids) => {
                out.push(1);
                ids.put(out);
            }
            Self::Embeddings(values) => {
                out.push(2);
                values.put(out);
            }
            Self::Media(media) => {
                out.push(3);
                media.put(out);
            }
        }
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        Ok(match u8::take(rest)? {
            0 => Self::Prompt(Wire::take(rest)?),
            1 => Self::Tokens(Wire::take(rest)?),
            2 => Self::Embeddings(Wire::take(rest)?),
            3 => Self::Media(Wire::take(rest)?),
            other => return Err(Malformed(format!("an input of kind {other}"))),
        })
    }
}

/// What of [`NpuOptions`] can cross: all but the library, which crosses as a path, and closures.
#[derive(Clone)]
pub(in crate::npu) struct Settings {
    context: Option<usize>,
    max_new_tokens: Option<usize>,
    sampling: NpuSampling,
    n_keep: Option<i32>,
    skip_special_tokens: Option<bool>,
    ignore_eos: Option<bool>,
    image_tags: Option<MediaTags>,
    base_domain: Option<u8>,
    embed_flash: Option<bool>,
    cpu_mask: Option<u32>,
    cpu_count: Option<u8>,
    batch: Option<u8>,
    cross_attention: Option<CrossAttentionSize>,
    hidden_size: Option<usize>,
    hidden_size_is_sure: bool,
}

wire_struct!(Settings {
    context,
    max_new_tokens,
    sampling,
    n_keep,
    skip_special_tokens,
    ignore_eos,
    image_tags,
    base_domain,
    embed_flash,
    cpu_mask,
    cpu_count,
    batch,
    cross_attention,
    hidden_size,
    hidden_size_is_sure,
});

impl Settings {
    /// The options, and the library they name.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for closures: they are of this process.
    pub(in crate::npu) fn new(options: NpuOptions) -> Result<(Self, Option<Runtime>)> {
        for (what, given) in [
            ("with_tokenizer", options.tokenizer.is_some()),
            ("with_embedding", options.embedding.is_some()),
        ] {
            if given {
                let message = "a closure cannot go to another process";
                return Err(Error::new(ErrorKind::Unsupported, message)
                    .about(format!("NpuOptions::{what}"))
                    .with_hint(
                        "export the model with its tokenizer and embedding, or load it without a \
                         worker",
                    ));
            }
        }
        let settings = Self {
            context: options.context,
            max_new_tokens: options.max_new_tokens,
            sampling: options.sampling,
            n_keep: options.n_keep,
            skip_special_tokens: options.skip_special_tokens,
            ignore_eos: options.ignore_eos,
            image_tags: options.image_tags,
            base_domain: options.base_domain,
            embed_flash: options.embed_flash,
            cpu_mask: options.cpu_mask,
            cpu_count: options.cpu_count,
            batch: options.batch,
            cross_attention: options.cross_attention,
            hidden_size: options.hidden_size,
            hidden_size_is_sure: options.hidden_size_is_sure,
        };
        Ok((settings, options.runtime))
    }

    /// The options on the other side.
    pub(in crate::npu) fn options(self, runtime: Runtime) -> NpuOptions {
        NpuOptions {
            runtime: Some(runtime),
            context: self.context,
            max_new_tokens: self.max_new_tokens,
            sampling: self.sampling,
            n_keep: self.n_keep,
            skip_special_tokens: self.skip_special_tokens,
            ignore_eos: self.ignore_eos,
            image_tags: self.image_tags,
            base_domain: self.base_domain,
            embed_flash: self.embed_flash,
            cpu_mask: self.cpu_mask,
            cpu_count: self.cpu_count,
            batch: self.batch,
            cross_attention: self.cross_attention,
            hidden_size: self.hidden_size,
            hidden_size_is_sure: self.hidden_size_is_sure,
            tokenizer: None,
            embedding: None,
        }
    }
}

impl RunOptions {
    /// New tokens at most, of a model loaded for `loaded`.
    pub(in crate::npu) fn limit(&self, loaded: usize) -> usize {
        self.max_new_tokens.unwrap_or(loaded)
    }
}

/// An [`Output`] that has crossed.
pub(in crate::npu) struct Told {
    index: usize,
    text: String,
    token: Option<u32>,
    logits: Option<(usize, Vec<f32>)>,
    hidden_states: Option<(usize, Vec<f32>)>,
}

/// As [`Told`] is read, without copying the floats first.
pub(in crate::npu) fn put_output(output: &Output<'_>, out: &mut Vec<u8>) {
    output.index.put(out);
    put_text(output.text, out);
    output.token.put(out);
    for rows in [&output.logits, &output.hidden_states] {
        rows.is_some().put(out);
        if let Some(rows) = rows {
            rows.width().put(out);
            put_slice(rows.values(), out);
        }
    }
}

impl Wire for Told {
    fn put(&self, out: &mut Vec<u8>) {
        put_output(&self.lend(), out);
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        let told = Self {
            index: Wire::take(rest)?,
            text: Wire::take(rest)?,
            token: Wire::take(rest)?,
            logits: Wire::take(rest)?,
            hidden_states: Wire::take(rest)?,
        };
        for (width, values) in [&told.logits, &told.hidden_states].into_iter().flatten() {
            if *width == 0 || values.is_empty() || !values.len().is_multiple_of(*width) {
                return Err(Malformed(format!("{} values in rows of {width}", values.len())));
            }
        }
        Ok(told)
    }
}

impl Told {
    pub(in crate::npu) fn lend(&self) -> Output<'_> {
        Output {
            index: self.index,
            text: &self.text,
            token: self.token,
            logits: lend(&self.logits),
            hidden_states: lend(&self.hidden_states),
        }
    }
}

fn lend(rows: &Option<(usize, Vec<f32>)>) -> Option<Rows<'_>> {
    rows.as_ref().map(|(width, values)| Rows::new(values, *width))
}

/// Whether `error` is that of a runtime that said 0 and gave no handle.
pub(in crate::npu) fn is_null_handle(error: &Error) -> bool {
    error.message() == NULL_HANDLE
}
