//! A librkllmrt.so of the 1.3.0 ABI that computes on the CPU: the C face over [`rkllm_host::rkllmrt`].

use std::ffi::{c_char, c_int, c_void};

use rkllm_host::rkllmrt::{
    InitParams, Instance, Mode, Payload, RunInput, RunParams, SamplingParams, Tags, face,
};
use rkllm_host::{flag, get, read_params, read_sampling, write_defaults};
use rkllm_sys::v1_3;

rkllm_host::export_shared!(v1_3, running: 1, idle: 0);

/// What a reader of the file finds: loaders choose their layouts by it.
#[used]
#[unsafe(no_mangle)]
pub static rkllm_host_version: [u8; 160] = face::version_text(concat!(
    "RKLLM SDK (version: 1.3.0 | target: host | build: ",
    env!("CARGO_PKG_VERSION"),
    " host stand-in by rkllm, not Rockchip's)"
));

/// `RKLLMParam` as words: C sees all of its bytes, which moving a struct with padding does not promise.
#[repr(C)]
pub struct Param([u64; size_of::<v1_3::RKLLMParam>() / 8]);

/// The documented defaults.
#[unsafe(no_mangle)]
pub extern "C" fn rkllm_createDefaultParam() -> Param {
    let mut words = Param([0; _]);
    // SAFETY: as large and aligned as the struct, of which zeros are a value.
    let param = unsafe { &mut *words.0.as_mut_ptr().cast::<v1_3::RKLLMParam>() };
    write_defaults!(param);
    words
}

/// Loads a model.
///
/// # Safety
/// All are null or structs of this ABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rkllm_init(
    handle: *mut v1_3::LLMHandle,
    param: *mut v1_3::RKLLMParam,
    callback: *mut v1_3::RKLLMCallback,
) -> c_int {
    // SAFETY: by the caller.
    face::guard(|| unsafe {
        let version = face::release(&rkllm_host_version);
        face::init(handle, read_param(param), read_callbacks(callback), version)
    })
}

/// # Safety
/// `param` is null or a struct of this ABI.
unsafe fn read_param(param: *const v1_3::RKLLMParam) -> Option<InitParams> {
    if param.is_null() {
        return None;
    }
    // SAFETY: fields of the caller's struct.
    unsafe {
        let path = face::path(get!(param, model_path))?;
        let ignore = flag!(param, ignore_eos_token);
        Some(read_params!(param, path: path, ignore_eos: ignore, tags: Tags::default()))
    }
}

/// # Safety
/// `callback` is null or a struct of this ABI.
unsafe fn read_callbacks(callback: *const v1_3::RKLLMCallback) -> Option<face::Callbacks> {
    if callback.is_null() {
        return None;
    }
    // SAFETY: a struct of the caller's, whose every value is one.
    let callback = unsafe { callback.read_unaligned() };
    Some(face::Callbacks {
        result: callback.result_callback?,
        result_userdata: callback.result_userdata,
        tokenizer: callback.tokenizer_callback,
        tokenizer_userdata: callback.tokenizer_userdata,
        embed: callback.embed_callback,
        embed_userdata: callback.embed_userdata,
    })
}

/// # Safety
/// `infer` is a struct of this ABI.
unsafe fn read_infer(infer: *const v1_3::RKLLMInferParam) -> Option<RunParams> {
    // SAFETY: fields of the caller's struct, and what they point to.
    unsafe {
        let mode = match get!(infer, mode) {
            v1_3::RKLLMInferMode::RKLLM_INFER_GENERATE => Mode::Generate,
            v1_3::RKLLMInferMode::RKLLM_INFER_GET_LAST_HIDDEN_LAYER => Mode::LastHidden,
            v1_3::RKLLMInferMode::RKLLM_INFER_GET_LOGITS => Mode::Logits,
            _ => return None,
        };
        let (lora, cache) = (get!(infer, lora_params), get!(infer, prompt_cache_params));
        let sampling = get!(infer, sampling_params);
        Some(RunParams {
            mode,
            lora: if lora.is_null() { None } else { face::text(get!(lora, lora_adapter_name)) },
            save_prompt_cache: match cache.is_null() {
                true => None,
                false => {
                    face::cache_path(get!(cache, save_prompt_cache), get!(cache, prompt_cache_path))
                }
            },
            sampling: (!sampling.is_null()).then(|| read_sampling!(sampling)),
            keep_history: get!(infer, keep_history) != 0,
            max_new_tokens: get!(infer, max_new_tokens),
        })
    }
}

/// # Safety
/// `input` is a struct of this ABI.
unsafe fn read_multimodal(
    instance: &Instance,
    input: *const v1_3::RKLLMMultiModalInput,
) -> Option<Payload> {
    let hidden = instance.hidden();
    // SAFETY: fields of the caller's struct, and what they point to.
    unsafe {
        let prompt = face::text(get!(input, prompt))?;
        let (image, video) = (&raw const (*input).image, &raw const (*input).video);
        let tags = face::tags(
            get!(image, image_start),
            get!(image, image_end),
            get!(image, image_content),
        );
        let size = (get!(image, n_image), get!(image, n_image_tokens), hidden);
        let images = face::media("<image>", get!(image, image_embed), size, tags)?;
        let tags = face::tags(
            get!(video, video_start),
            get!(video, video_end),
            get!(video, video_content),
        );
        let frames = get!(video, n_frame_per_video).checked_mul(get!(video, n_frame_tokens))?;
        let size = (get!(video, n_video), frames, hidden);
        let videos = face::media("<video>", get!(video, video_embed), size, tags)?;
        Some(Payload::Multimodal(prompt, images.into_iter().chain(videos).collect()))
    }
}
