//! A librkllmrt.so of the ABI of 1.2.1 to 1.2.3 that computes on the CPU: the C face over
//! [`rkllm_host::rkllmrt`].

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;

use rkllm_host::rkllmrt::{
    InitParams, Instance, Mode, Payload, RunInput, RunParams, SamplingParams, face,
};
use rkllm_host::{flag, get, read_params, read_sampling, write_defaults};
use rkllm_sys::v1_2;

rkllm_host::export_shared!(v1_2, running: 0, idle: 1);

/// What a reader of the file finds: loaders choose their layouts by it.
#[used]
#[unsafe(no_mangle)]
pub static rkllm_host_version: [u8; 160] = face::version_text(concat!(
    "RKLLM SDK (version: 1.2.3 | target: host | build: ",
    env!("CARGO_PKG_VERSION"),
    " host stand-in by rkllm, not Rockchip's)"
));

/// `RKLLMParam` as words: C sees all of its bytes, which moving a struct with padding does not promise.
#[repr(C)]
pub struct Param([u64; size_of::<v1_2::RKLLMParam>() / 8]);

/// The documented defaults.
#[unsafe(no_mangle)]
pub extern "C" fn rkllm_createDefaultParam() -> Param {
    let mut words = Param([0; _]);
    // SAFETY: as large and aligned as the struct, of which zeros are a value.
    let param = unsafe { &mut *words.0.as_mut_ptr().cast::<v1_2::RKLLMParam>() };
    write_defaults!(param);
    // Texts, not null, for programs that print them.
    for tag in [&mut param.img_start, &mut param.img_end, &mut param.img_content] {
        *tag = c"".as_ptr();
    }
    words
}

/// Loads a model. The callback is a function, not a struct of them.
///
/// # Safety
/// All are null, or structs and functions of this ABI.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rkllm_init(
    handle: *mut v1_2::LLMHandle,
    param: *mut v1_2::RKLLMParam,
    callback: v1_2::LLMResultCallback,
) -> c_int {
    let callbacks = callback.map(|callback| face::Callbacks {
        // SAFETY: the two ABIs' results and states have the same layout, which the rlib asserts.
        result: unsafe {
            std::mem::transmute::<
                unsafe extern "C" fn(
                    *mut v1_2::RKLLMResult,
                    *mut c_void,
                    v1_2::LLMCallState,
                ) -> c_int,
                face::ResultFn,
            >(callback)
        },
        result_userdata: null_mut(),
        tokenizer: None,
        tokenizer_userdata: null_mut(),
        embed: None,
        embed_userdata: null_mut(),
    });
    // SAFETY: by the caller.
    face::guard(|| unsafe {
        let version = face::release(&rkllm_host_version);
        face::init(handle, read_param(param), callbacks, version)
    })
}

/// # Safety
/// `param` is null or a struct of this ABI.
unsafe fn read_param(param: *const v1_2::RKLLMParam) -> Option<InitParams> {
    if param.is_null() {
        return None;
    }
    // SAFETY: fields of the caller's struct.
    unsafe {
        let path = face::path(get!(param, model_path))?;
        let tags =
            face::tags(get!(param, img_start), get!(param, img_end), get!(param, img_content));
        Some(read_params!(param, path: path, ignore_eos: false, tags: tags))
    }
}

/// # Safety
/// `infer` is a struct of this ABI.
unsafe fn read_infer(infer: *const v1_2::RKLLMInferParam) -> Option<RunParams> {
    // SAFETY: fields of the caller's struct, and what they point to.
    unsafe {
        let mode = match get!(infer, mode) {
            v1_2::RKLLMInferMode::RKLLM_INFER_GENERATE => Mode::Generate,
            v1_2::RKLLMInferMode::RKLLM_INFER_GET_LAST_HIDDEN_LAYER => Mode::LastHidden,
            v1_2::RKLLMInferMode::RKLLM_INFER_GET_LOGITS => Mode::Logits,
            _ => return None,
        };
        let (lora, cache) = (get!(infer, lora_params), get!(infer, prompt_cache_params));
        Some(RunParams {
            mode,
            lora: if lora.is_null() { None } else { face::text(get!(lora, lora_adapter_name)) },
            save_prompt_cache: match cache.is_null() {
                true => None,
                false => {
                    face::cache_path(get!(cache, save_prompt_cache), get!(cache, prompt_cache_path))
                }
            },
            sampling: None,
            keep_history: get!(infer, keep_history) != 0,
            max_new_tokens: 0,
        })
    }
}

/// # Safety
/// `input` is a struct of this ABI.
unsafe fn read_multimodal(
    instance: &Instance,
    input: *const v1_2::RKLLMMultiModelInput,
) -> Option<Payload> {
    let tags = instance.params().tags.clone();
    // SAFETY: fields of the caller's struct, and what they point to.
    unsafe {
        let prompt = face::text(get!(input, prompt))?;
        let size = (get!(input, n_image), get!(input, n_image_tokens), instance.hidden());
        let images = face::media("<image>", get!(input, image_embed), size, tags)?;
        Some(Payload::Multimodal(prompt, images.into_iter().collect()))
    }
}
