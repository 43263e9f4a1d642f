//! librkllmrt 1.3.0: types, constants, functions.

pub use crate::bindings::v1_3::*;
use crate::functions::functions;

functions! {
    /// The functions of librkllmrt 1.3.0.
    required {
        rkllm_createDefaultParam: rkllm_createDefaultParam_fn,
        rkllm_init: rkllm_init_fn,
        rkllm_load_lora: rkllm_load_lora_fn,
        rkllm_load_prompt_cache: rkllm_load_prompt_cache_fn,
        rkllm_release_prompt_cache: rkllm_release_prompt_cache_fn,
        rkllm_destroy: rkllm_destroy_fn,
        rkllm_run: rkllm_run_fn,
        rkllm_run_async: rkllm_run_async_fn,
        rkllm_abort: rkllm_abort_fn,
        rkllm_is_running: rkllm_is_running_fn,
        rkllm_clear_kv_cache: rkllm_clear_kv_cache_fn,
        rkllm_get_kv_cache_size: rkllm_get_kv_cache_size_fn,
        rkllm_set_chat_template: rkllm_set_chat_template_fn,
        rkllm_set_function_tools: rkllm_set_function_tools_fn,
        rkllm_set_cross_attn_params: rkllm_set_cross_attn_params_fn,
    }
    optional {
    }
}
