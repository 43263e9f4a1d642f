//! The functions that both ABIs declare alike.

/// The functions that both ABIs declare alike, as C sees them. `RUNNING` and `IDLE` are what
/// `rkllm_is_running` answers.
#[macro_export]
macro_rules! export_shared {
    ($sys:ident, running: $running:literal, idle: $idle:literal) => {
        /// What tells the file from Rockchip's, whatever its version text is changed to.
        #[used]
        static STAND_IN: [u8; 38] = *b"host stand-in by rkllm, not Rockchip's";

        /// Frees a model; a run under way is ended first.
        #[unsafe(no_mangle)]
        pub extern "C" fn rkllm_destroy(handle: $sys::LLMHandle) -> c_int {
            face::guard(|| face::destroy(handle))
        }

        /// Ends a run.
        #[unsafe(no_mangle)]
        pub extern "C" fn rkllm_abort(handle: $sys::LLMHandle) -> c_int {
            face::guard(|| face::abort(handle))
        }

        /// Whether a run is under way.
        #[unsafe(no_mangle)]
        pub extern "C" fn rkllm_is_running(handle: $sys::LLMHandle) -> c_int {
            face::guard(|| face::is_running(handle, $running, $idle))
        }

        /// Loads a LoRA.
        ///
        /// # Safety
        /// `adapter` is null or a struct of this ABI.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn rkllm_load_lora(
            handle: $sys::LLMHandle,
            adapter: *mut $sys::RKLLMLoraAdapter,
        ) -> c_int {
            let (path, name, scale) = match adapter.is_null() {
                true => (std::ptr::null(), std::ptr::null(), 1.0),
                // SAFETY: a struct of the caller's.
                false => unsafe {
                    let adapter = adapter.read_unaligned();
                    (adapter.lora_adapter_path, adapter.lora_adapter_name, adapter.scale)
                },
            };
            // SAFETY: null or C strings.
            face::guard(|| unsafe { face::load_lora(handle, path, name, scale) })
        }

        /// Loads a prompt cache.
        ///
        /// # Safety
        /// `path` is null or a C string.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn rkllm_load_prompt_cache(
            handle: $sys::LLMHandle,
            path: *const c_char,
        ) -> c_int {
            // SAFETY: by the caller.
            face::guard(|| unsafe { face::load_prompt_cache(handle, path) })
        }

        /// Lets go of the prompt cache.
        #[unsafe(no_mangle)]
        pub extern "C" fn rkllm_release_prompt_cache(handle: $sys::LLMHandle) -> c_int {
            face::guard(|| face::release_prompt_cache(handle))
        }

        /// Clears the KV cache.
        ///
        /// # Safety
        /// Both positions are null or have one value for each place of the batch.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn rkllm_clear_kv_cache(
            handle: $sys::LLMHandle,
            keep_system_prompt: c_int,
            start_pos: *mut c_int,
            end_pos: *mut c_int,
        ) -> c_int {
            face::guard(|| {
                // SAFETY: by the caller.
                unsafe { face::clear_kv_cache(handle, keep_system_prompt, start_pos, end_pos) }
            })
        }

        /// Writes the positions of each place of the batch.
        ///
        /// # Safety
        /// `sizes` is null or has room for one value for each place of the batch.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn rkllm_get_kv_cache_size(
            handle: $sys::LLMHandle,
            sizes: *mut c_int,
        ) -> c_int {
            // SAFETY: by the caller.
            face::guard(|| unsafe { face::get_kv_cache_size(handle, sizes) })
        }

        /// Puts a template in the place of the model's.
        ///
        /// # Safety
        /// All are null or C strings.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn rkllm_set_chat_template(
            handle: $sys::LLMHandle,
            system: *const c_char,
            prefix: *const c_char,
            postfix: *const c_char,
        ) -> c_int {
            // SAFETY: by the caller.
            face::guard(|| unsafe { face::set_chat_template(handle, system, prefix, postfix) })
        }

        /// Declares tools.
        ///
        /// # Safety
        /// All are null or C strings.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn rkllm_set_function_tools(
            handle: $sys::LLMHandle,
            system: *const c_char,
            tools: *const c_char,
            tag: *const c_char,
        ) -> c_int {
            // SAFETY: by the caller.
            face::guard(|| unsafe { face::set_function_tools(handle, system, tools, tag) })
        }

        /// Refuses: no model here has cross attention.
        #[unsafe(no_mangle)]
        pub extern "C" fn rkllm_set_cross_attn_params(
            handle: $sys::LLMHandle,
            _params: *mut $sys::RKLLMCrossAttnParam,
        ) -> c_int {
            face::guard(|| face::set_cross_attn_params(handle))
        }

        /// Runs, blocking.
        ///
        /// # Safety
        /// `input` and `infer` are null or structs of this ABI, of inputs as many as the batch has.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn rkllm_run(
            handle: $sys::LLMHandle,
            input: *mut $sys::RKLLMInput,
            infer: *mut $sys::RKLLMInferParam,
            userdata: *mut c_void,
        ) -> c_int {
            face::guard(|| {
                face::run(handle, userdata, false, |instance| {
                    // SAFETY: by the caller.
                    unsafe { read_run(instance, input, infer) }
                })
            })
        }

        /// Runs on a thread of its own; the arguments are copied before this returns.
        ///
        /// # Safety
        /// As [`rkllm_run`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn rkllm_run_async(
            handle: $sys::LLMHandle,
            input: *mut $sys::RKLLMInput,
            infer: *mut $sys::RKLLMInferParam,
            userdata: *mut c_void,
        ) -> c_int {
            face::guard(|| {
                face::run(handle, userdata, true, |instance| {
                    // SAFETY: by the caller.
                    unsafe { read_run(instance, input, infer) }
                })
            })
        }

        /// The inputs and parameters of a run.
        ///
        /// # Safety
        /// As [`rkllm_run`].
        unsafe fn read_run(
            instance: &Instance,
            input: *const $sys::RKLLMInput,
            infer: *const $sys::RKLLMInferParam,
        ) -> Option<(Vec<RunInput>, RunParams)> {
            if input.is_null() || infer.is_null() {
                return None;
            }
            let inputs = (0..instance.batch())
                // SAFETY: as many inputs as the batch has, by the caller.
                .map(|index| unsafe { read_input(instance, input.add(index)) })
                .collect::<Option<_>>()?;
            // SAFETY: not null.
            Some((inputs, unsafe { read_infer(infer) }?))
        }

        /// One input.
        ///
        /// # Safety
        /// `input` is a struct of this ABI; fields it holds may be anything.
        unsafe fn read_input(
            instance: &Instance,
            input: *const $sys::RKLLMInput,
        ) -> Option<RunInput> {
            // SAFETY: fields of the caller's struct. The flag is read as the byte it is: a caller of C may
            // have left anything there, which a `bool` may not hold.
            unsafe {
                let hidden = instance.hidden();
                let kind = get!(input, input_type);
                let payload = &raw const (*input).payload;
                let payload = match kind {
                    $sys::RKLLMInputType::RKLLM_INPUT_PROMPT => {
                        Payload::Prompt(face::text(get!(payload, prompt_input))?)
                    }
                    $sys::RKLLMInputType::RKLLM_INPUT_TOKEN => face::token_payload(
                        get!(payload, token_input.input_ids),
                        get!(payload, token_input.n_tokens),
                    )?,
                    $sys::RKLLMInputType::RKLLM_INPUT_EMBED => face::embed_payload(
                        get!(payload, embed_input.embed),
                        get!(payload, embed_input.n_tokens),
                        hidden,
                    )?,
                    $sys::RKLLMInputType::RKLLM_INPUT_MULTIMODAL => {
                        read_multimodal(instance, &raw const (*payload).multimodal_input)?
                    }
                    _ => return None,
                };
                Some(RunInput {
                    role: face::text(get!(input, role)),
                    enable_thinking: flag!(input, enable_thinking),
                    payload,
                })
            }
        }
    };
}
