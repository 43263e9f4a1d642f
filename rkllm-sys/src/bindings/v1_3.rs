// Written by examples/bindings.rs from include/rkllm_1_3.h. Do not edit.
// The allow attributes are bindgen's: its layout assertions are indices into arrays, some by 0.


pub const CPU0: u32 = 1;
pub const CPU1: u32 = 2;
pub const CPU2: u32 = 4;
pub const CPU3: u32 = 8;
pub const CPU4: u32 = 16;
pub const CPU5: u32 = 32;
pub const CPU6: u32 = 64;
pub const CPU7: u32 = 128;
#[doc = " A loaded model."]
pub type LLMHandle = *mut ::std::os::raw::c_void;
impl LLMCallState {
    #[doc = " A token is in the result."]
    pub const RKLLM_RUN_NORMAL: LLMCallState = LLMCallState(0);
    #[doc = " The text so far ends inside a UTF-8 character."]
    pub const RKLLM_RUN_WAITING: LLMCallState = LLMCallState(1);
    #[doc = " The run is over; `perf` is filled."]
    pub const RKLLM_RUN_FINISH: LLMCallState = LLMCallState(2);
    #[doc = " The run failed."]
    pub const RKLLM_RUN_ERROR: LLMCallState = LLMCallState(3);
}
#[repr(transparent)]
#[doc = " What a result callback is told about the run."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct LLMCallState(pub ::std::os::raw::c_uint);
impl RKLLMInputType {
    #[doc = " Text; the chat template is applied."]
    pub const RKLLM_INPUT_PROMPT: RKLLMInputType = RKLLMInputType(0);
    #[doc = " Token ids."]
    pub const RKLLM_INPUT_TOKEN: RKLLMInputType = RKLLMInputType(1);
    #[doc = " Embeddings, float32."]
    pub const RKLLM_INPUT_EMBED: RKLLMInputType = RKLLMInputType(2);
    #[doc = " Text with markers and the embeddings for them."]
    pub const RKLLM_INPUT_MULTIMODAL: RKLLMInputType = RKLLMInputType(3);
}
#[repr(transparent)]
#[doc = " Which member of the payload of an input is valid."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct RKLLMInputType(pub ::std::os::raw::c_uint);
impl RKLLMInferMode {
    #[doc = " Tokens."]
    pub const RKLLM_INFER_GENERATE: RKLLMInferMode = RKLLMInferMode(0);
    #[doc = " Hidden states after the last layer."]
    pub const RKLLM_INFER_GET_LAST_HIDDEN_LAYER: RKLLMInferMode = RKLLMInferMode(1);
    #[doc = " Logits."]
    pub const RKLLM_INFER_GET_LOGITS: RKLLMInferMode = RKLLMInferMode(2);
}
#[repr(transparent)]
#[doc = " What a run is to produce."]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct RKLLMInferMode(pub ::std::os::raw::c_uint);
#[doc = " Settings taken out of a reserve of fixed size."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMExtendParam {
    #[doc = " IOMMU domain in which the model starts, 0..15; a domain holds 4 GiB."]
    pub base_domain_id: i32,
    #[doc = " 1: read the embedding table from storage on demand, 0: hold it in memory."]
    pub embed_flash: i8,
    #[doc = " How many cores the runtime's own threads use."]
    pub enabled_cpus_num: i8,
    #[doc = " Which cores: a sum of CPU0 ... CPU7."]
    pub enabled_cpus_mask: u32,
    #[doc = " Inputs per run."]
    pub n_batch: u8,
    #[doc = " 1: the model has cross attention."]
    pub use_cross_attn: i8,
    #[doc = " Must be zero."]
    pub reserved: [u8; 104usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMExtendParam"][::std::mem::size_of::<RKLLMExtendParam>() - 120usize];
    ["Alignment of RKLLMExtendParam"][::std::mem::align_of::<RKLLMExtendParam>() - 4usize];
    ["Offset of field: RKLLMExtendParam::base_domain_id"]
        [::std::mem::offset_of!(RKLLMExtendParam, base_domain_id) - 0usize];
    ["Offset of field: RKLLMExtendParam::embed_flash"]
        [::std::mem::offset_of!(RKLLMExtendParam, embed_flash) - 4usize];
    ["Offset of field: RKLLMExtendParam::enabled_cpus_num"]
        [::std::mem::offset_of!(RKLLMExtendParam, enabled_cpus_num) - 5usize];
    ["Offset of field: RKLLMExtendParam::enabled_cpus_mask"]
        [::std::mem::offset_of!(RKLLMExtendParam, enabled_cpus_mask) - 8usize];
    ["Offset of field: RKLLMExtendParam::n_batch"]
        [::std::mem::offset_of!(RKLLMExtendParam, n_batch) - 12usize];
    ["Offset of field: RKLLMExtendParam::use_cross_attn"]
        [::std::mem::offset_of!(RKLLMExtendParam, use_cross_attn) - 13usize];
    ["Offset of field: RKLLMExtendParam::reserved"]
        [::std::mem::offset_of!(RKLLMExtendParam, reserved) - 14usize];
};
impl Default for RKLLMExtendParam {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " How to load and sample; start from `rkllm_createDefaultParam`."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMParam {
    #[doc = " File of the model."]
    pub model_path: *const ::std::os::raw::c_char,
    #[doc = " Positions of the KV cache; at most the model's own limit."]
    pub max_context_len: i32,
    #[doc = " Limit of one run, in tokens."]
    pub max_new_tokens: i32,
    #[doc = " Candidates kept; 1 is greedy."]
    pub top_k: i32,
    #[doc = " Positions kept at the start when the window shifts."]
    pub n_keep: i32,
    #[doc = " Probability mass kept."]
    pub top_p: f32,
    #[doc = " 0 picks the most likely token."]
    pub temperature: f32,
    #[doc = " 1 is none."]
    pub repeat_penalty: f32,
    #[doc = " -2 to 2, 0 is none."]
    pub frequency_penalty: f32,
    #[doc = " 0 is none."]
    pub presence_penalty: f32,
    #[doc = " 0 off, else version 1 or 2."]
    pub mirostat: i32,
    #[doc = " Target surprise."]
    pub mirostat_tau: f32,
    #[doc = " Learning rate."]
    pub mirostat_eta: f32,
    #[doc = " Leave special tokens out of the text."]
    pub skip_special_token: bool,
    #[doc = " Go on after the end-of-sequence token."]
    pub ignore_eos_token: bool,
    #[doc = " Meaning not documented beyond its name."]
    pub is_async: bool,
    #[doc = " More settings."]
    pub extend_param: RKLLMExtendParam,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMParam"][::std::mem::size_of::<RKLLMParam>() - 184usize];
    ["Alignment of RKLLMParam"][::std::mem::align_of::<RKLLMParam>() - 8usize];
    ["Offset of field: RKLLMParam::model_path"]
        [::std::mem::offset_of!(RKLLMParam, model_path) - 0usize];
    ["Offset of field: RKLLMParam::max_context_len"]
        [::std::mem::offset_of!(RKLLMParam, max_context_len) - 8usize];
    ["Offset of field: RKLLMParam::max_new_tokens"]
        [::std::mem::offset_of!(RKLLMParam, max_new_tokens) - 12usize];
    ["Offset of field: RKLLMParam::top_k"][::std::mem::offset_of!(RKLLMParam, top_k) - 16usize];
    ["Offset of field: RKLLMParam::n_keep"][::std::mem::offset_of!(RKLLMParam, n_keep) - 20usize];
    ["Offset of field: RKLLMParam::top_p"][::std::mem::offset_of!(RKLLMParam, top_p) - 24usize];
    ["Offset of field: RKLLMParam::temperature"]
        [::std::mem::offset_of!(RKLLMParam, temperature) - 28usize];
    ["Offset of field: RKLLMParam::repeat_penalty"]
        [::std::mem::offset_of!(RKLLMParam, repeat_penalty) - 32usize];
    ["Offset of field: RKLLMParam::frequency_penalty"]
        [::std::mem::offset_of!(RKLLMParam, frequency_penalty) - 36usize];
    ["Offset of field: RKLLMParam::presence_penalty"]
        [::std::mem::offset_of!(RKLLMParam, presence_penalty) - 40usize];
    ["Offset of field: RKLLMParam::mirostat"]
        [::std::mem::offset_of!(RKLLMParam, mirostat) - 44usize];
    ["Offset of field: RKLLMParam::mirostat_tau"]
        [::std::mem::offset_of!(RKLLMParam, mirostat_tau) - 48usize];
    ["Offset of field: RKLLMParam::mirostat_eta"]
        [::std::mem::offset_of!(RKLLMParam, mirostat_eta) - 52usize];
    ["Offset of field: RKLLMParam::skip_special_token"]
        [::std::mem::offset_of!(RKLLMParam, skip_special_token) - 56usize];
    ["Offset of field: RKLLMParam::ignore_eos_token"]
        [::std::mem::offset_of!(RKLLMParam, ignore_eos_token) - 57usize];
    ["Offset of field: RKLLMParam::is_async"]
        [::std::mem::offset_of!(RKLLMParam, is_async) - 58usize];
    ["Offset of field: RKLLMParam::extend_param"]
        [::std::mem::offset_of!(RKLLMParam, extend_param) - 60usize];
};
impl Default for RKLLMParam {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " A LoRA to load."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMLoraAdapter {
    #[doc = " Its file."]
    pub lora_adapter_path: *const ::std::os::raw::c_char,
    #[doc = " The name by which a run chooses it."]
    pub lora_adapter_name: *const ::std::os::raw::c_char,
    #[doc = " Strength; 1 is as trained."]
    pub scale: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMLoraAdapter"][::std::mem::size_of::<RKLLMLoraAdapter>() - 24usize];
    ["Alignment of RKLLMLoraAdapter"][::std::mem::align_of::<RKLLMLoraAdapter>() - 8usize];
    ["Offset of field: RKLLMLoraAdapter::lora_adapter_path"]
        [::std::mem::offset_of!(RKLLMLoraAdapter, lora_adapter_path) - 0usize];
    ["Offset of field: RKLLMLoraAdapter::lora_adapter_name"]
        [::std::mem::offset_of!(RKLLMLoraAdapter, lora_adapter_name) - 8usize];
    ["Offset of field: RKLLMLoraAdapter::scale"]
        [::std::mem::offset_of!(RKLLMLoraAdapter, scale) - 16usize];
};
impl Default for RKLLMLoraAdapter {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Embeddings as input."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMEmbedInput {
    #[doc = " n_tokens rows of the model's hidden size."]
    pub embed: *mut f32,
    #[doc = " Rows or ids."]
    pub n_tokens: usize,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMEmbedInput"][::std::mem::size_of::<RKLLMEmbedInput>() - 16usize];
    ["Alignment of RKLLMEmbedInput"][::std::mem::align_of::<RKLLMEmbedInput>() - 8usize];
    ["Offset of field: RKLLMEmbedInput::embed"]
        [::std::mem::offset_of!(RKLLMEmbedInput, embed) - 0usize];
    ["Offset of field: RKLLMEmbedInput::n_tokens"]
        [::std::mem::offset_of!(RKLLMEmbedInput, n_tokens) - 8usize];
};
impl Default for RKLLMEmbedInput {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Token ids as input."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMTokenInput {
    #[doc = " n_tokens ids."]
    pub input_ids: *mut i32,
    #[doc = " Rows or ids."]
    pub n_tokens: usize,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMTokenInput"][::std::mem::size_of::<RKLLMTokenInput>() - 16usize];
    ["Alignment of RKLLMTokenInput"][::std::mem::align_of::<RKLLMTokenInput>() - 8usize];
    ["Offset of field: RKLLMTokenInput::input_ids"]
        [::std::mem::offset_of!(RKLLMTokenInput, input_ids) - 0usize];
    ["Offset of field: RKLLMTokenInput::n_tokens"]
        [::std::mem::offset_of!(RKLLMTokenInput, n_tokens) - 8usize];
};
impl Default for RKLLMTokenInput {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Embeddings of images. The vendor's header leaves this struct unnamed."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMMultiModalImage {
    #[doc = " n_image * n_image_tokens rows."]
    pub image_embed: *mut f32,
    #[doc = " Rows per image."]
    pub n_image_tokens: usize,
    #[doc = " Images, as many as the text has markers."]
    pub n_image: usize,
    #[doc = " Text before an image."]
    pub image_start: *const ::std::os::raw::c_char,
    #[doc = " Text after an image."]
    pub image_end: *const ::std::os::raw::c_char,
    #[doc = " Text that stands for an image's tokens."]
    pub image_content: *const ::std::os::raw::c_char,
    #[doc = " Pixels."]
    pub image_width: usize,
    #[doc = " Pixels."]
    pub image_height: usize,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMMultiModalImage"][::std::mem::size_of::<RKLLMMultiModalImage>() - 64usize];
    ["Alignment of RKLLMMultiModalImage"][::std::mem::align_of::<RKLLMMultiModalImage>() - 8usize];
    ["Offset of field: RKLLMMultiModalImage::image_embed"]
        [::std::mem::offset_of!(RKLLMMultiModalImage, image_embed) - 0usize];
    ["Offset of field: RKLLMMultiModalImage::n_image_tokens"]
        [::std::mem::offset_of!(RKLLMMultiModalImage, n_image_tokens) - 8usize];
    ["Offset of field: RKLLMMultiModalImage::n_image"]
        [::std::mem::offset_of!(RKLLMMultiModalImage, n_image) - 16usize];
    ["Offset of field: RKLLMMultiModalImage::image_start"]
        [::std::mem::offset_of!(RKLLMMultiModalImage, image_start) - 24usize];
    ["Offset of field: RKLLMMultiModalImage::image_end"]
        [::std::mem::offset_of!(RKLLMMultiModalImage, image_end) - 32usize];
    ["Offset of field: RKLLMMultiModalImage::image_content"]
        [::std::mem::offset_of!(RKLLMMultiModalImage, image_content) - 40usize];
    ["Offset of field: RKLLMMultiModalImage::image_width"]
        [::std::mem::offset_of!(RKLLMMultiModalImage, image_width) - 48usize];
    ["Offset of field: RKLLMMultiModalImage::image_height"]
        [::std::mem::offset_of!(RKLLMMultiModalImage, image_height) - 56usize];
};
impl Default for RKLLMMultiModalImage {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Embeddings of videos. The vendor's header leaves this struct unnamed."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMMultiModalVideo {
    #[doc = " n_video * n_frame_per_video * n_frame_tokens rows."]
    pub video_embed: *mut f32,
    #[doc = " Rows per frame."]
    pub n_frame_tokens: usize,
    #[doc = " Frames."]
    pub n_frame_per_video: usize,
    #[doc = " Videos, as many as the text has markers."]
    pub n_video: usize,
    #[doc = " Text before a video."]
    pub video_start: *const ::std::os::raw::c_char,
    #[doc = " Text after a video."]
    pub video_end: *const ::std::os::raw::c_char,
    #[doc = " Text that stands for a frame's tokens."]
    pub video_content: *const ::std::os::raw::c_char,
    #[doc = " Pixels."]
    pub frame_width: usize,
    #[doc = " Pixels."]
    pub frame_height: usize,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMMultiModalVideo"][::std::mem::size_of::<RKLLMMultiModalVideo>() - 72usize];
    ["Alignment of RKLLMMultiModalVideo"][::std::mem::align_of::<RKLLMMultiModalVideo>() - 8usize];
    ["Offset of field: RKLLMMultiModalVideo::video_embed"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, video_embed) - 0usize];
    ["Offset of field: RKLLMMultiModalVideo::n_frame_tokens"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, n_frame_tokens) - 8usize];
    ["Offset of field: RKLLMMultiModalVideo::n_frame_per_video"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, n_frame_per_video) - 16usize];
    ["Offset of field: RKLLMMultiModalVideo::n_video"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, n_video) - 24usize];
    ["Offset of field: RKLLMMultiModalVideo::video_start"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, video_start) - 32usize];
    ["Offset of field: RKLLMMultiModalVideo::video_end"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, video_end) - 40usize];
    ["Offset of field: RKLLMMultiModalVideo::video_content"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, video_content) - 48usize];
    ["Offset of field: RKLLMMultiModalVideo::frame_width"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, frame_width) - 56usize];
    ["Offset of field: RKLLMMultiModalVideo::frame_height"]
        [::std::mem::offset_of!(RKLLMMultiModalVideo, frame_height) - 64usize];
};
impl Default for RKLLMMultiModalVideo {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Text with image and video embeddings (1.3 layout)."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMMultiModalInput {
    #[doc = " Text with a marker for each item."]
    pub prompt: *mut ::std::os::raw::c_char,
    #[doc = " The images."]
    pub image: RKLLMMultiModalImage,
    #[doc = " The videos."]
    pub video: RKLLMMultiModalVideo,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMMultiModalInput"][::std::mem::size_of::<RKLLMMultiModalInput>() - 144usize];
    ["Alignment of RKLLMMultiModalInput"][::std::mem::align_of::<RKLLMMultiModalInput>() - 8usize];
    ["Offset of field: RKLLMMultiModalInput::prompt"]
        [::std::mem::offset_of!(RKLLMMultiModalInput, prompt) - 0usize];
    ["Offset of field: RKLLMMultiModalInput::image"]
        [::std::mem::offset_of!(RKLLMMultiModalInput, image) - 8usize];
    ["Offset of field: RKLLMMultiModalInput::video"]
        [::std::mem::offset_of!(RKLLMMultiModalInput, video) - 72usize];
};
impl Default for RKLLMMultiModalInput {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " What is run. The vendor's header leaves this union unnamed."]
#[repr(C)]
#[derive(Copy, Clone)]
pub union RKLLMInputPayload {
    #[doc = " For RKLLM_INPUT_PROMPT."]
    pub prompt_input: *const ::std::os::raw::c_char,
    #[doc = " For RKLLM_INPUT_EMBED."]
    pub embed_input: RKLLMEmbedInput,
    #[doc = " For RKLLM_INPUT_TOKEN."]
    pub token_input: RKLLMTokenInput,
    #[doc = " For RKLLM_INPUT_MULTIMODAL."]
    pub multimodal_input: RKLLMMultiModalInput,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMInputPayload"][::std::mem::size_of::<RKLLMInputPayload>() - 144usize];
    ["Alignment of RKLLMInputPayload"][::std::mem::align_of::<RKLLMInputPayload>() - 8usize];
    ["Offset of field: RKLLMInputPayload::prompt_input"]
        [::std::mem::offset_of!(RKLLMInputPayload, prompt_input) - 0usize];
    ["Offset of field: RKLLMInputPayload::embed_input"]
        [::std::mem::offset_of!(RKLLMInputPayload, embed_input) - 0usize];
    ["Offset of field: RKLLMInputPayload::token_input"]
        [::std::mem::offset_of!(RKLLMInputPayload, token_input) - 0usize];
    ["Offset of field: RKLLMInputPayload::multimodal_input"]
        [::std::mem::offset_of!(RKLLMInputPayload, multimodal_input) - 0usize];
};
impl Default for RKLLMInputPayload {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " One input of a run; with n_batch above 1 a run takes an array of them."]
#[repr(C)]
#[derive(Copy, Clone)]
pub struct RKLLMInput {
    #[doc = " \"user\" or \"tool\"."]
    pub role: *const ::std::os::raw::c_char,
    #[doc = " Handed to templates that know it."]
    pub enable_thinking: bool,
    #[doc = " Which member of `payload` is valid."]
    pub input_type: RKLLMInputType,
    pub payload: RKLLMInputPayload,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMInput"][::std::mem::size_of::<RKLLMInput>() - 160usize];
    ["Alignment of RKLLMInput"][::std::mem::align_of::<RKLLMInput>() - 8usize];
    ["Offset of field: RKLLMInput::role"][::std::mem::offset_of!(RKLLMInput, role) - 0usize];
    ["Offset of field: RKLLMInput::enable_thinking"]
        [::std::mem::offset_of!(RKLLMInput, enable_thinking) - 8usize];
    ["Offset of field: RKLLMInput::input_type"]
        [::std::mem::offset_of!(RKLLMInput, input_type) - 12usize];
    ["Offset of field: RKLLMInput::payload"][::std::mem::offset_of!(RKLLMInput, payload) - 16usize];
};
impl Default for RKLLMInput {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " The LoRA of a run."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMLoraParam {
    #[doc = " The name by which a run chooses it."]
    pub lora_adapter_name: *const ::std::os::raw::c_char,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMLoraParam"][::std::mem::size_of::<RKLLMLoraParam>() - 8usize];
    ["Alignment of RKLLMLoraParam"][::std::mem::align_of::<RKLLMLoraParam>() - 8usize];
    ["Offset of field: RKLLMLoraParam::lora_adapter_name"]
        [::std::mem::offset_of!(RKLLMLoraParam, lora_adapter_name) - 0usize];
};
impl Default for RKLLMLoraParam {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Whether a run writes a prompt cache."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMPromptCacheParam {
    #[doc = " 1: write it after the run."]
    pub save_prompt_cache: ::std::os::raw::c_int,
    #[doc = " File to write."]
    pub prompt_cache_path: *const ::std::os::raw::c_char,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMPromptCacheParam"][::std::mem::size_of::<RKLLMPromptCacheParam>() - 16usize];
    ["Alignment of RKLLMPromptCacheParam"]
        [::std::mem::align_of::<RKLLMPromptCacheParam>() - 8usize];
    ["Offset of field: RKLLMPromptCacheParam::save_prompt_cache"]
        [::std::mem::offset_of!(RKLLMPromptCacheParam, save_prompt_cache) - 0usize];
    ["Offset of field: RKLLMPromptCacheParam::prompt_cache_path"]
        [::std::mem::offset_of!(RKLLMPromptCacheParam, prompt_cache_path) - 8usize];
};
impl Default for RKLLMPromptCacheParam {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Encoder state for models with cross attention."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMCrossAttnParam {
    #[doc = " [layers][num_tokens][kv_heads][head_dim]."]
    pub encoder_k_cache: *mut f32,
    #[doc = " [layers][kv_heads][head_dim][num_tokens]."]
    pub encoder_v_cache: *mut f32,
    #[doc = " [num_tokens]."]
    pub encoder_mask: *mut f32,
    #[doc = " [num_tokens]."]
    pub encoder_pos: *mut i32,
    #[doc = " Encoder positions."]
    pub num_tokens: ::std::os::raw::c_int,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMCrossAttnParam"][::std::mem::size_of::<RKLLMCrossAttnParam>() - 40usize];
    ["Alignment of RKLLMCrossAttnParam"][::std::mem::align_of::<RKLLMCrossAttnParam>() - 8usize];
    ["Offset of field: RKLLMCrossAttnParam::encoder_k_cache"]
        [::std::mem::offset_of!(RKLLMCrossAttnParam, encoder_k_cache) - 0usize];
    ["Offset of field: RKLLMCrossAttnParam::encoder_v_cache"]
        [::std::mem::offset_of!(RKLLMCrossAttnParam, encoder_v_cache) - 8usize];
    ["Offset of field: RKLLMCrossAttnParam::encoder_mask"]
        [::std::mem::offset_of!(RKLLMCrossAttnParam, encoder_mask) - 16usize];
    ["Offset of field: RKLLMCrossAttnParam::encoder_pos"]
        [::std::mem::offset_of!(RKLLMCrossAttnParam, encoder_pos) - 24usize];
    ["Offset of field: RKLLMCrossAttnParam::num_tokens"]
        [::std::mem::offset_of!(RKLLMCrossAttnParam, num_tokens) - 32usize];
};
impl Default for RKLLMCrossAttnParam {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Sampling of one run."]
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct RKLLMSamplingParam {
    #[doc = " Candidates kept; 1 is greedy."]
    pub top_k: i32,
    #[doc = " Probability mass kept."]
    pub top_p: f32,
    #[doc = " 0 picks the most likely token."]
    pub temperature: f32,
    #[doc = " 1 is none."]
    pub repeat_penalty: f32,
    #[doc = " -2 to 2, 0 is none."]
    pub frequency_penalty: f32,
    #[doc = " 0 is none."]
    pub presence_penalty: f32,
    #[doc = " 0 off, else version 1 or 2."]
    pub mirostat: i32,
    #[doc = " Target surprise."]
    pub mirostat_tau: f32,
    #[doc = " Learning rate."]
    pub mirostat_eta: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMSamplingParam"][::std::mem::size_of::<RKLLMSamplingParam>() - 36usize];
    ["Alignment of RKLLMSamplingParam"][::std::mem::align_of::<RKLLMSamplingParam>() - 4usize];
    ["Offset of field: RKLLMSamplingParam::top_k"]
        [::std::mem::offset_of!(RKLLMSamplingParam, top_k) - 0usize];
    ["Offset of field: RKLLMSamplingParam::top_p"]
        [::std::mem::offset_of!(RKLLMSamplingParam, top_p) - 4usize];
    ["Offset of field: RKLLMSamplingParam::temperature"]
        [::std::mem::offset_of!(RKLLMSamplingParam, temperature) - 8usize];
    ["Offset of field: RKLLMSamplingParam::repeat_penalty"]
        [::std::mem::offset_of!(RKLLMSamplingParam, repeat_penalty) - 12usize];
    ["Offset of field: RKLLMSamplingParam::frequency_penalty"]
        [::std::mem::offset_of!(RKLLMSamplingParam, frequency_penalty) - 16usize];
    ["Offset of field: RKLLMSamplingParam::presence_penalty"]
        [::std::mem::offset_of!(RKLLMSamplingParam, presence_penalty) - 20usize];
    ["Offset of field: RKLLMSamplingParam::mirostat"]
        [::std::mem::offset_of!(RKLLMSamplingParam, mirostat) - 24usize];
    ["Offset of field: RKLLMSamplingParam::mirostat_tau"]
        [::std::mem::offset_of!(RKLLMSamplingParam, mirostat_tau) - 28usize];
    ["Offset of field: RKLLMSamplingParam::mirostat_eta"]
        [::std::mem::offset_of!(RKLLMSamplingParam, mirostat_eta) - 32usize];
};
#[doc = " How to run."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMInferParam {
    #[doc = " What to produce."]
    pub mode: RKLLMInferMode,
    #[doc = " NULL: no LoRA."]
    pub lora_params: *mut RKLLMLoraParam,
    #[doc = " NULL: no cache is written."]
    pub prompt_cache_params: *mut RKLLMPromptCacheParam,
    #[doc = " NULL: as at init."]
    pub sampling_params: *mut RKLLMSamplingParam,
    #[doc = " 1: keep the KV cache for the next turn."]
    pub keep_history: ::std::os::raw::c_int,
    #[doc = " 0 or less: as at init."]
    pub max_new_tokens: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMInferParam"][::std::mem::size_of::<RKLLMInferParam>() - 40usize];
    ["Alignment of RKLLMInferParam"][::std::mem::align_of::<RKLLMInferParam>() - 8usize];
    ["Offset of field: RKLLMInferParam::mode"]
        [::std::mem::offset_of!(RKLLMInferParam, mode) - 0usize];
    ["Offset of field: RKLLMInferParam::lora_params"]
        [::std::mem::offset_of!(RKLLMInferParam, lora_params) - 8usize];
    ["Offset of field: RKLLMInferParam::prompt_cache_params"]
        [::std::mem::offset_of!(RKLLMInferParam, prompt_cache_params) - 16usize];
    ["Offset of field: RKLLMInferParam::sampling_params"]
        [::std::mem::offset_of!(RKLLMInferParam, sampling_params) - 24usize];
    ["Offset of field: RKLLMInferParam::keep_history"]
        [::std::mem::offset_of!(RKLLMInferParam, keep_history) - 32usize];
    ["Offset of field: RKLLMInferParam::max_new_tokens"]
        [::std::mem::offset_of!(RKLLMInferParam, max_new_tokens) - 36usize];
};
impl Default for RKLLMInferParam {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Hidden states; valid only inside the callback."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMResultLastHiddenLayer {
    #[doc = " [num_tokens][embd_size]."]
    pub hidden_states: *const f32,
    #[doc = " Hidden size."]
    pub embd_size: ::std::os::raw::c_int,
    #[doc = " Rows."]
    pub num_tokens: ::std::os::raw::c_int,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMResultLastHiddenLayer"]
        [::std::mem::size_of::<RKLLMResultLastHiddenLayer>() - 16usize];
    ["Alignment of RKLLMResultLastHiddenLayer"]
        [::std::mem::align_of::<RKLLMResultLastHiddenLayer>() - 8usize];
    ["Offset of field: RKLLMResultLastHiddenLayer::hidden_states"]
        [::std::mem::offset_of!(RKLLMResultLastHiddenLayer, hidden_states) - 0usize];
    ["Offset of field: RKLLMResultLastHiddenLayer::embd_size"]
        [::std::mem::offset_of!(RKLLMResultLastHiddenLayer, embd_size) - 8usize];
    ["Offset of field: RKLLMResultLastHiddenLayer::num_tokens"]
        [::std::mem::offset_of!(RKLLMResultLastHiddenLayer, num_tokens) - 12usize];
};
impl Default for RKLLMResultLastHiddenLayer {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Logits; valid only inside the callback."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMResultLogits {
    #[doc = " [num_tokens][vocab_size]."]
    pub logits: *const f32,
    #[doc = " Columns."]
    pub vocab_size: ::std::os::raw::c_int,
    #[doc = " Rows."]
    pub num_tokens: ::std::os::raw::c_int,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMResultLogits"][::std::mem::size_of::<RKLLMResultLogits>() - 16usize];
    ["Alignment of RKLLMResultLogits"][::std::mem::align_of::<RKLLMResultLogits>() - 8usize];
    ["Offset of field: RKLLMResultLogits::logits"]
        [::std::mem::offset_of!(RKLLMResultLogits, logits) - 0usize];
    ["Offset of field: RKLLMResultLogits::vocab_size"]
        [::std::mem::offset_of!(RKLLMResultLogits, vocab_size) - 8usize];
    ["Offset of field: RKLLMResultLogits::num_tokens"]
        [::std::mem::offset_of!(RKLLMResultLogits, num_tokens) - 12usize];
};
impl Default for RKLLMResultLogits {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Figures of a finished run."]
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct RKLLMPerfStat {
    #[doc = " Milliseconds."]
    pub prefill_time_ms: f32,
    #[doc = " Tokens."]
    pub prefill_tokens: ::std::os::raw::c_int,
    #[doc = " Milliseconds."]
    pub generate_time_ms: f32,
    #[doc = " Tokens."]
    pub generate_tokens: ::std::os::raw::c_int,
    #[doc = " Peak resident memory."]
    pub memory_usage_mb: f32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMPerfStat"][::std::mem::size_of::<RKLLMPerfStat>() - 20usize];
    ["Alignment of RKLLMPerfStat"][::std::mem::align_of::<RKLLMPerfStat>() - 4usize];
    ["Offset of field: RKLLMPerfStat::prefill_time_ms"]
        [::std::mem::offset_of!(RKLLMPerfStat, prefill_time_ms) - 0usize];
    ["Offset of field: RKLLMPerfStat::prefill_tokens"]
        [::std::mem::offset_of!(RKLLMPerfStat, prefill_tokens) - 4usize];
    ["Offset of field: RKLLMPerfStat::generate_time_ms"]
        [::std::mem::offset_of!(RKLLMPerfStat, generate_time_ms) - 8usize];
    ["Offset of field: RKLLMPerfStat::generate_tokens"]
        [::std::mem::offset_of!(RKLLMPerfStat, generate_tokens) - 12usize];
    ["Offset of field: RKLLMPerfStat::memory_usage_mb"]
        [::std::mem::offset_of!(RKLLMPerfStat, memory_usage_mb) - 16usize];
};
#[doc = " What a result callback gets; pointers are valid only inside it."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMResult {
    #[doc = " UTF-8; may be NULL."]
    pub text: *const ::std::os::raw::c_char,
    #[doc = " Negative: this input of the batch is finished."]
    pub token_id: i32,
    #[doc = " With RKLLM_INFER_GET_LAST_HIDDEN_LAYER."]
    pub last_hidden_layer: RKLLMResultLastHiddenLayer,
    #[doc = " With RKLLM_INFER_GET_LOGITS."]
    pub logits: RKLLMResultLogits,
    #[doc = " With RKLLM_RUN_FINISH."]
    pub perf: RKLLMPerfStat,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMResult"][::std::mem::size_of::<RKLLMResult>() - 72usize];
    ["Alignment of RKLLMResult"][::std::mem::align_of::<RKLLMResult>() - 8usize];
    ["Offset of field: RKLLMResult::text"][::std::mem::offset_of!(RKLLMResult, text) - 0usize];
    ["Offset of field: RKLLMResult::token_id"]
        [::std::mem::offset_of!(RKLLMResult, token_id) - 8usize];
    ["Offset of field: RKLLMResult::last_hidden_layer"]
        [::std::mem::offset_of!(RKLLMResult, last_hidden_layer) - 16usize];
    ["Offset of field: RKLLMResult::logits"][::std::mem::offset_of!(RKLLMResult, logits) - 32usize];
    ["Offset of field: RKLLMResult::perf"][::std::mem::offset_of!(RKLLMResult, perf) - 48usize];
};
impl Default for RKLLMResult {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " Fills embed (len bytes, num_tokens rows of float32); returns 0."]
pub type LLMGetEmbedCallback = ::std::option::Option<
    unsafe extern "C" fn(
        userdata: *mut ::std::os::raw::c_void,
        tokens: *mut i32,
        num_tokens: u64,
        embed: *mut ::std::os::raw::c_void,
        len: u64,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Writes at most n_tokens_max ids; returns how many, or a negative number."]
pub type LLMTokenizerCallback = ::std::option::Option<
    unsafe extern "C" fn(
        userdata: *mut ::std::os::raw::c_void,
        text: *const ::std::os::raw::c_char,
        text_len: i32,
        tokens: *mut i32,
        n_tokens_max: i32,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Called per token. Returns 0 to go on, 1 to pause, and from 1.3.0 on 2 to release the output\n buffer."]
pub type LLMResultCallback = ::std::option::Option<
    unsafe extern "C" fn(
        result: *mut RKLLMResult,
        userdata: *mut ::std::os::raw::c_void,
        state: LLMCallState,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " The callbacks of a handle. Whether the library copies it is not documented: keep it as long as\n the handle."]
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct RKLLMCallback {
    #[doc = " Gets every token."]
    pub result_callback: LLMResultCallback,
    #[doc = " For runs whose own userdata is NULL."]
    pub result_userdata: *mut ::std::os::raw::c_void,
    #[doc = " Used only with a model that has no tokenizer."]
    pub tokenizer_callback: LLMTokenizerCallback,
    #[doc = " Its first argument."]
    pub tokenizer_userdata: *mut ::std::os::raw::c_void,
    #[doc = " Used only with a model that has no embedding table."]
    pub embed_callback: LLMGetEmbedCallback,
    #[doc = " Its first argument."]
    pub embed_userdata: *mut ::std::os::raw::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of RKLLMCallback"][::std::mem::size_of::<RKLLMCallback>() - 48usize];
    ["Alignment of RKLLMCallback"][::std::mem::align_of::<RKLLMCallback>() - 8usize];
    ["Offset of field: RKLLMCallback::result_callback"]
        [::std::mem::offset_of!(RKLLMCallback, result_callback) - 0usize];
    ["Offset of field: RKLLMCallback::result_userdata"]
        [::std::mem::offset_of!(RKLLMCallback, result_userdata) - 8usize];
    ["Offset of field: RKLLMCallback::tokenizer_callback"]
        [::std::mem::offset_of!(RKLLMCallback, tokenizer_callback) - 16usize];
    ["Offset of field: RKLLMCallback::tokenizer_userdata"]
        [::std::mem::offset_of!(RKLLMCallback, tokenizer_userdata) - 24usize];
    ["Offset of field: RKLLMCallback::embed_callback"]
        [::std::mem::offset_of!(RKLLMCallback, embed_callback) - 32usize];
    ["Offset of field: RKLLMCallback::embed_userdata"]
        [::std::mem::offset_of!(RKLLMCallback, embed_userdata) - 40usize];
};
impl Default for RKLLMCallback {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[doc = " The documented defaults; the struct is returned through a hidden pointer."]
pub type rkllm_createDefaultParam_fn = ::std::option::Option<unsafe extern "C" fn() -> RKLLMParam>;
#[doc = " Loads a model. Returns 0, or not."]
pub type rkllm_init_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: *mut LLMHandle,
        param: *mut RKLLMParam,
        callback: *mut RKLLMCallback,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Loads one LoRA; call before a run."]
pub type rkllm_load_lora_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        lora_adapter: *mut RKLLMLoraAdapter,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Loads a prompt cache; call before a run."]
pub type rkllm_load_prompt_cache_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        prompt_cache_path: *const ::std::os::raw::c_char,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Drops the prompt cache."]
pub type rkllm_release_prompt_cache_fn =
    ::std::option::Option<unsafe extern "C" fn(handle: LLMHandle) -> ::std::os::raw::c_int>;
#[doc = " Frees a model."]
pub type rkllm_destroy_fn =
    ::std::option::Option<unsafe extern "C" fn(handle: LLMHandle) -> ::std::os::raw::c_int>;
#[doc = " Runs, blocking; every token goes to the result callback."]
pub type rkllm_run_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        rkllm_input: *mut RKLLMInput,
        rkllm_infer_params: *mut RKLLMInferParam,
        userdata: *mut ::std::os::raw::c_void,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " The same, returning at once; callbacks come from a thread of the library."]
pub type rkllm_run_async_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        rkllm_input: *mut RKLLMInput,
        rkllm_infer_params: *mut RKLLMInferParam,
        userdata: *mut ::std::os::raw::c_void,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Stops a run; callable from another thread."]
pub type rkllm_abort_fn =
    ::std::option::Option<unsafe extern "C" fn(handle: LLMHandle) -> ::std::os::raw::c_int>;
#[doc = " Documented as 0 while running up to 1.2.3 and as 1 while running in 1.3.0."]
pub type rkllm_is_running_fn =
    ::std::option::Option<unsafe extern "C" fn(handle: LLMHandle) -> ::std::os::raw::c_int>;
#[doc = " Both positions NULL: everything (1 keeps the system prompt). Else [start, end) per input of the\n batch."]
pub type rkllm_clear_kv_cache_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        keep_system_prompt: ::std::os::raw::c_int,
        start_pos: *mut ::std::os::raw::c_int,
        end_pos: *mut ::std::os::raw::c_int,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Writes one count per input of the batch."]
pub type rkllm_get_kv_cache_size_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        cache_sizes: *mut ::std::os::raw::c_int,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Replaces the model's template."]
pub type rkllm_set_chat_template_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        system_prompt: *const ::std::os::raw::c_char,
        prompt_prefix: *const ::std::os::raw::c_char,
        prompt_postfix: *const ::std::os::raw::c_char,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Declares tools as a JSON array."]
pub type rkllm_set_function_tools_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        system_prompt: *const ::std::os::raw::c_char,
        tools: *const ::std::os::raw::c_char,
        tool_response_str: *const ::std::os::raw::c_char,
    ) -> ::std::os::raw::c_int,
>;
#[doc = " Hands over encoder state."]
pub type rkllm_set_cross_attn_params_fn = ::std::option::Option<
    unsafe extern "C" fn(
        handle: LLMHandle,
        cross_attn_params: *mut RKLLMCrossAttnParam,
    ) -> ::std::os::raw::c_int,
>;
