//! What `rkllm_run` is handed, checked and owned.

use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};

use rkllm_sys::v1_3::{RKLLMLoraParam, RKLLMPromptCacheParam, RKLLMSamplingParam};
use rkllm_sys::{Abi, v1_2, v1_3};

use super::arena::Arena;
use super::input::{Input, Media, Payload};
use super::media::{Images, MediaTags, Videos, check_markers, padded};
use super::run_options::{Mode, RunOptions};
use super::runtime::{int, only_1_3};
use super::sink::Expected;
use crate::{Error, ErrorKind, Result};

/// What is known of a model when a run is prepared.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) abi: Abi,
    pub(super) batch: usize,
    /// 0 if neither the caller nor the library says.
    pub(super) context: usize,
    pub(super) max_new_tokens: usize,
    pub(super) hidden_size: Option<usize>,
    pub(super) vocab_size: Option<usize>,
    pub(super) image_tags: Option<MediaTags>,
    pub(super) sampling: RKLLMSamplingParam,
    pub(super) loras: Vec<String>,
}

/// The arguments of a run. Pointers hold as long as this does; moving it moves nothing they point to.
pub(super) struct Prepared {
    structs: Structs,
    // Vectors of one, never a `Box`, which may not be moved while C has its address: their contents stay where they are.
    _lora: Vec<RKLLMLoraParam>,
    _prompt_cache: Vec<RKLLMPromptCacheParam>,
    _sampling: Vec<RKLLMSamplingParam>,
    _arena: Arena,
    pub(super) expected: Expected,
    pub(super) keep_history: bool,
}

enum Structs {
    V1_2 { inputs: Vec<v1_2::RKLLMInput>, infer: Vec<v1_2::RKLLMInferParam> },
    V1_3 { inputs: Vec<v1_3::RKLLMInput>, infer: Vec<v1_3::RKLLMInferParam> },
}

// SAFETY: the pointers inside go to memory the same value owns; nothing else writes it. The runtime reads
// it during one call, on whatever threads it likes.
unsafe impl Send for Prepared {}

impl Prepared {
    /// Checks `inputs` and `options` against what is known and lays them out for the model's ABI.
    pub(super) fn new(inputs: Vec<Input>, options: &RunOptions, known: &Known) -> Result<Self> {
        if inputs.len() != known.batch {
            let message = format!("{} inputs for a batch of {}", inputs.len(), known.batch);
            return Err(Error::new(ErrorKind::Shape, message).with_hint(
                "a run takes as many inputs as the model was loaded with (with_batch)",
            ));
        }
        if options.mode != Mode::Generate && known.batch > 1 {
            return Err(Error::new(ErrorKind::Unsupported, "a batch gives no logits or states")
                .with_hint("load the model with a batch of 1"));
        }
        inputs.iter().try_for_each(|input| check(input, known))?;
        let mut arena = Arena::default();
        let (lora, prompt_cache, sampling) = shared(options, known, &mut arena)?;
        let structs = match known.abi {
            Abi::V1_2 => Structs::V1_2 {
                inputs: inputs
                    .into_iter()
                    .map(|input| input_1_2(input, known, &mut arena))
                    .collect::<Result<_>>()?,
                infer: vec![v1_2::RKLLMInferParam {
                    mode: v1_2::RKLLMInferMode(mode(options.mode)),
                    lora_params: pointer(&lora).cast(),
                    prompt_cache_params: pointer(&prompt_cache).cast(),
                    keep_history: i32::from(options.keep_history),
                }],
            },
            _ => Structs::V1_3 {
                inputs: inputs
                    .into_iter()
                    .map(|input| input_1_3(input, known, &mut arena))
                    .collect::<Result<_>>()?,
                infer: vec![v1_3::RKLLMInferParam {
                    mode: v1_3::RKLLMInferMode(mode(options.mode)),
                    lora_params: pointer(&lora),
                    prompt_cache_params: pointer(&prompt_cache),
                    sampling_params: pointer(&sampling),
                    keep_history: i32::from(options.keep_history),
                    max_new_tokens: options
                        .max_new_tokens
                        .map_or(Ok(0), |tokens| int("max_new_tokens", tokens))?,
                }],
            },
        };
        Ok(Self {
            structs,
            _lora: lora,
            _prompt_cache: prompt_cache,
            _sampling: sampling,
            _arena: arena,
            expected: Expected {
                mode: options.mode,
                batch: known.batch,
                context: known.context,
                hidden_size: known.hidden_size,
            },
            keep_history: options.keep_history,
        })
    }

    /// The two struct arguments, of the ABI this was prepared for.
    pub(super) fn arguments(&mut self) -> (*mut c_void, *mut c_void) {
        match &mut self.structs {
            Structs::V1_2 { inputs, infer } => {
                (inputs.as_mut_ptr().cast(), infer.as_mut_ptr().cast())
            }
            Structs::V1_3 { inputs, infer } => {
                (inputs.as_mut_ptr().cast(), infer.as_mut_ptr().cast())
            }
        }
    }
}

/// The parts of the run's parameters that both ABIs lay out alike, each in a vector of one or none.
type Shared = (Vec<RKLLMLoraParam>, Vec<RKLLMPromptCacheParam>, Vec<RKLLMSamplingParam>);

fn shared(options: &RunOptions, known: &Known, arena: &mut Arena) -> Result<Shared> {
    let lora = options.lora.iter().map(|name| {
        if !known.loras.contains(name) {
            return Err(Error::new(ErrorKind::Input, format!("no LoRA is loaded as {name:?}"))
                .with_hint("load it with NpuModel::load_lora"));
        }
        Ok(RKLLMLoraParam { lora_adapter_name: arena.text("LoRA name", name)? })
    });
    let lora = lora.collect::<Result<Vec<_>>>()?;
    let prompt_cache = options.prompt_cache.iter().map(|path| {
        Ok(RKLLMPromptCacheParam { save_prompt_cache: 1, prompt_cache_path: arena.path(path)? })
    });
    let prompt_cache = prompt_cache.collect::<Result<Vec<_>>>()?;
    if known.abi == Abi::V1_2 {
        if options.sampling.is_some() {
            return Err(only_1_3("sampling per run"));
        }
        if options.max_new_tokens.is_some() {
            return Err(only_1_3("max_new_tokens per run"));
        }
    }
    if options.max_new_tokens == Some(0) {
        return Err(Error::new(ErrorKind::Input, "expected at least 1, found 0")
            .about("max_new_tokens")
            .with_hint("for the runtime 0 means the number the model was loaded with"));
    }
    let sampling = options.sampling.iter().map(|sampling| {
        sampling.check()?;
        Ok(sampling.over(known.sampling))
    });
    Ok((lora, prompt_cache, sampling.collect::<Result<_>>()?))
}

/// The one element, or null.
fn pointer<T>(one: &[T]) -> *mut T {
    if one.is_empty() { null_mut() } else { one.as_ptr().cast_mut() }
}

fn mode(mode: Mode) -> u32 {
    match mode {
        Mode::Generate => v1_3::RKLLMInferMode::RKLLM_INFER_GENERATE.0,
        Mode::LastHiddenLayer => v1_3::RKLLMInferMode::RKLLM_INFER_GET_LAST_HIDDEN_LAYER.0,
        Mode::Logits => v1_3::RKLLMInferMode::RKLLM_INFER_GET_LOGITS.0,
    }
}

/// Checks what an input holds against what is known of the model.
fn check(input: &Input, known: &Known) -> Result<()> {
    let tokens = match &input.payload {
        // Only the runtime can count its tokens.
        Payload::Prompt(_) => return Ok(()),
        Payload::Tokens(ids) => {
            let most = known.vocab_size.unwrap_or(i32::MAX as usize);
            if let Some(id) = ids.iter().find(|id| **id as usize >= most) {
                let message = format!("token id {id} is outside the vocabulary of {most}");
                return Err(Error::new(ErrorKind::Tokenizer, message)
                    .with_hint("use the tokenizer that belongs to this model"));
            }
            ids.len()
        }
        Payload::Embeddings(values) => {
            let hidden = hidden_size(known)?;
            if !values.len().is_multiple_of(hidden) {
                let message = format!("{} values are not rows of {hidden}", values.len());
                return Err(Error::new(ErrorKind::Shape, message).about("embeddings"));
            }
            values.len() / hidden
        }
        // The text counts too, but only the runtime can say how much.
        Payload::Media(media) => {
            let Media { images, videos, .. } = &**media;
            let images = images.as_ref().map_or(0, |it| it.count.saturating_mul(it.tokens));
            let frames = videos.as_ref().map_or(0, |it| it.count.saturating_mul(it.frames));
            let of_frame = videos.as_ref().map_or(0, |it| it.tokens);
            images.saturating_add(frames.saturating_mul(of_frame))
        }
    };
    if tokens == 0 {
        return Err(Error::new(ErrorKind::Input, "the input has no tokens"));
    }
    if known.context != 0 && tokens > known.context {
        let message = format!("{tokens} tokens do not fit a context of {}", known.context);
        return Err(Error::new(ErrorKind::Context, message)
            .with_hint("shorten the input or load the model with a larger context"));
    }
    Ok(())
}

/// The hidden size, without which no float may leave.
fn hidden_size(known: &Known) -> Result<usize> {
    known.hidden_size.ok_or_else(|| {
        Error::new(ErrorKind::Input, "the model's hidden size is not known").with_hint(
            "load it with NpuOptions::with_hidden_size: the runtime reads that many values per token",
        )
    })
}

/// The ids as C has them.
fn ids(ids: Vec<u32>) -> Vec<i32> {
    ids.into_iter().map(|id| id as i32).collect()
}

fn input_1_2(input: Input, known: &Known, arena: &mut Arena) -> Result<v1_2::RKLLMInput> {
    use v1_2::RKLLMInputType as Type;
    // Zero first: padding and the rest of the union too.
    let mut c = v1_2::RKLLMInput::default();
    c.input_type = match input.payload {
        Payload::Prompt(text) => {
            c.payload.prompt_input = arena.text("prompt", &text)?;
            Type::RKLLM_INPUT_PROMPT
        }
        Payload::Tokens(given) => {
            let n_tokens = given.len();
            c.payload.token_input =
                v1_2::RKLLMTokenInput { input_ids: arena.ids(ids(given)), n_tokens };
            Type::RKLLM_INPUT_TOKEN
        }
        Payload::Embeddings(values) => {
            let n_tokens = values.len() / hidden_size(known)?;
            c.payload.embed_input = v1_2::RKLLMEmbedInput { embed: arena.floats(values), n_tokens };
            Type::RKLLM_INPUT_EMBED
        }
        Payload::Media(media) => {
            let Media { prompt, images, videos } = *media;
            if videos.is_some() {
                return Err(only_1_3("video input"));
            }
            let images = images.unwrap_or_else(|| Images::new([], 0, 0));
            if images.tags.is_some() && images.tags != known.image_tags {
                return Err(only_1_3("tags per input")
                    .with_hint("load the model with these tags: NpuOptions::with_image_tags"));
            }
            check_markers(&prompt, "<image>", images.count)?;
            c.payload.multimodal_input = v1_2::RKLLMMultiModelInput {
                prompt: arena.text("prompt", &prompt)?.cast_mut(),
                image_embed: arena.floats(image_rows(&images, known)?),
                n_image_tokens: images.tokens,
                n_image: images.count,
                image_width: images.size.0,
                image_height: images.size.1,
            };
            Type::RKLLM_INPUT_MULTIMODAL
        }
    };
    c.role = arena.text("role", input.role.name())?;
    c.enable_thinking = input.thinking;
    Ok(c)
}

fn input_1_3(input: Input, known: &Known, arena: &mut Arena) -> Result<v1_3::RKLLMInput> {
    use v1_3::RKLLMInputType as Type;
    // Zero first: padding and the rest of the union too.
    let mut c = v1_3::RKLLMInput::default();
    c.input_type = match input.payload {
        Payload::Prompt(text) => {
            c.payload.prompt_input = arena.text("prompt", &text)?;
            Type::RKLLM_INPUT_PROMPT
        }
        Payload::Tokens(given) => {
            let n_tokens = given.len();
            c.payload.token_input =
                v1_3::RKLLMTokenInput { input_ids: arena.ids(ids(given)), n_tokens };
            Type::RKLLM_INPUT_TOKEN
        }
        Payload::Embeddings(values) => {
            let n_tokens = values.len() / hidden_size(known)?;
            c.payload.embed_input = v1_3::RKLLMEmbedInput { embed: arena.floats(values), n_tokens };
            Type::RKLLM_INPUT_EMBED
        }
        Payload::Media(media) => {
            let Media { prompt, images, videos } = *media;
            check_markers(&prompt, "<image>", images.as_ref().map_or(0, |it| it.count))?;
            check_markers(&prompt, "<video>", videos.as_ref().map_or(0, |it| it.count))?;
            c.payload.multimodal_input = v1_3::RKLLMMultiModalInput {
                prompt: arena.text("prompt", &prompt)?.cast_mut(),
                image: images.map_or(Ok(Default::default()), |it| image_1_3(it, known, arena))?,
                video: videos.map_or(Ok(Default::default()), |it| video_1_3(it, known, arena))?,
            };
            Type::RKLLM_INPUT_MULTIMODAL
        }
    };
    c.role = arena.text("role", input.role.name())?;
    c.enable_thinking = input.thinking;
    Ok(c)
}

fn image_rows(images: &Images, known: &Known) -> Result<Vec<f32>> {
    let rows = [("images", images.count), ("tokens", images.tokens)];
    padded("image embeddings", &images.values, &rows, hidden_size(known)?)
}

fn image_1_3(
    images: Images,
    known: &Known,
    arena: &mut Arena,
) -> Result<v1_3::RKLLMMultiModalImage> {
    let tags = images.tags.as_ref().or(known.image_tags.as_ref()).ok_or_else(|| {
        Error::new(ErrorKind::Input, "the images have no tags")
            .with_hint("give them with Images::with_tags or NpuOptions::with_image_tags")
    })?;
    let [image_start, image_end, image_content] = lend_tags("image", tags, arena)?;
    Ok(v1_3::RKLLMMultiModalImage {
        image_embed: arena.floats(image_rows(&images, known)?),
        n_image_tokens: images.tokens,
        n_image: images.count,
        image_start,
        image_end,
        image_content,
        image_width: images.size.0,
        image_height: images.size.1,
    })
}

fn video_1_3(
    videos: Videos,
    known: &Known,
    arena: &mut Arena,
) -> Result<v1_3::RKLLMMultiModalVideo> {
    let rows = [("videos", videos.count), ("frames", videos.frames), ("tokens", videos.tokens)];
    let values = padded("video embeddings", &videos.values, &rows, hidden_size(known)?)?;
    let [video_start, video_end, video_content] = lend_tags("video", &videos.tags, arena)?;
    Ok(v1_3::RKLLMMultiModalVideo {
        video_embed: arena.floats(values),
        n_frame_tokens: videos.tokens,
        n_frame_per_video: videos.frames,
        n_video: videos.count,
        video_start,
        video_end,
        video_content,
        frame_width: videos.size.0,
        frame_height: videos.size.1,
    })
}

fn lend_tags(what: &str, tags: &MediaTags, arena: &mut Arena) -> Result<[*const c_char; 3]> {
    let mut lent = [null(); 3];
    for (place, text) in lent.iter_mut().zip([&tags.start, &tags.end, &tags.content]) {
        *place = arena.text(&format!("{what} tag"), text)?;
    }
    Ok(lent)
}
