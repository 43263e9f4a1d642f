//! Our structs, filled with distinctive values, as the fake runtimes see them at the vendor's
//! offsets; and the fakes' own results.

mod common;

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::null_mut;

use common::{Fake, Placed, RKLLM_1_2, RKLLM_1_3, RKNN, bytes, of_1_2, of_1_3};
use rkllm_sys::{OpenOptions, Rkllm, Rknn, RknnOptions, rknn, v1_2, v1_3};

fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

fn assert_lines(record: &[String], lines: &[&str]) {
    for line in lines {
        assert!(record.iter().any(|it| it == line), "no line {line:?} in {record:#?}");
    }
    assert!(!record.iter().any(|line| line.starts_with("VIOLATION")), "{record:#?}");
}

/// Declares a test of one ABI: how its structs are filled, and what the vendor sees.
macro_rules! abi_test {
    ($test:ident, $abi:ident, $fake:expr, $of:ident, $callback:expr, $more:expr, $lines:expr) => {
        #[test]
        fn $test() {
            use $abi::*;
            /// Texts and states told.
            type Told = Vec<(Option<String>, u32)>;
            unsafe extern "C" fn result(
                result: *mut RKLLMResult,
                userdata: *mut c_void,
                state: LLMCallState,
            ) -> c_int {
                // SAFETY: the fake's result and the test's own list.
                let (result, told) = unsafe { (&*result, &mut *userdata.cast::<Told>()) };
                // SAFETY: a text of the fake, or null.
                let text = (!result.text.is_null()).then(|| unsafe {
                    std::ffi::CStr::from_ptr(result.text).to_str().unwrap().to_owned()
                });
                told.push((text, state.0));
                0
            }
            let placed = Placed::new("librkllmrt.so", &bytes($fake));
            let rkllm = Rkllm::open(&placed.search(), &OpenOptions::default()).unwrap();
            let api = $of(rkllm.api());
            let fake = Fake::of(&placed.file, "rkllm");
            let (path, name, role) = (text("/m/model.rkllm"), text("an adapter"), text("tool"));
            // SAFETY: functions of the fake with the structs of its ABI, all alive during the calls.
            unsafe {
                let mut param = (api.rkllm_createDefaultParam)();
                assert_eq!((param.top_p, param.extend_param.enabled_cpus_num), (0.9, 4));
                param.model_path = path.as_ptr();
                param.top_k = 17;
                param.mirostat_eta = 0.25;
                param.is_async = true;
                param.extend_param.base_domain_id = 3;
                param.extend_param.enabled_cpus_mask = CPU4 | CPU7;
                param.extend_param.use_cross_attn = 1;
                let mut handle: LLMHandle = null_mut();
                $callback(&api, &mut handle, &mut param, Some(result));
                let mut lora = RKLLMLoraParam { lora_adapter_name: name.as_ptr() };
                let mut ids = [5, -6, 7];
                let mut input = RKLLMInput { role: role.as_ptr(), ..RKLLMInput::default() };
                input.enable_thinking = true;
                input.input_type = RKLLMInputType::RKLLM_INPUT_TOKEN;
                input.payload.token_input =
                    RKLLMTokenInput { input_ids: ids.as_mut_ptr(), n_tokens: 3 };
                let mut infer = RKLLMInferParam { keep_history: 1, ..RKLLMInferParam::default() };
                infer.lora_params = &mut lora;
                let mut told = Told::new();
                let run = api.rkllm_run;
                $more(&mut infer);
                assert_eq!(run(handle, &mut input, &mut infer, (&raw mut told).cast()), 0);
                let texts: Vec<_> =
                    told.iter().map(|(text, state)| (text.as_deref(), *state)).collect();
                assert_eq!(texts[0], (Some("t0 "), 0));
                assert_eq!(texts.last(), Some(&(None, 2)));
                let mut sizes = [0];
                assert_eq!((api.rkllm_get_kv_cache_size)(handle, sizes.as_mut_ptr()), 0);
                assert_eq!(sizes[0], 3 + told.len() as i32 - 1);
                let mut adapter = RKLLMLoraAdapter { scale: 0.5, ..RKLLMLoraAdapter::default() };
                adapter.lora_adapter_name = name.as_ptr();
                assert_eq!((api.rkllm_load_lora)(handle, &mut adapter), 0);
                let mut floats = [0.5f32; 48];
                let mut cross = RKLLMCrossAttnParam {
                    encoder_k_cache: floats.as_mut_ptr(),
                    encoder_v_cache: null_mut(),
                    encoder_mask: floats.as_mut_ptr(),
                    encoder_pos: ids.as_mut_ptr(),
                    num_tokens: 3,
                };
                assert_eq!((api.rkllm_set_cross_attn_params)(handle, &mut cross), 0);
                assert_eq!((api.rkllm_clear_kv_cache)(handle, 1, null_mut(), null_mut()), 0);
                assert_eq!((api.rkllm_get_kv_cache_size)(handle, sizes.as_mut_ptr()), 0);
                assert_eq!(sizes[0], 2);
                let tag: *const c_char = role.as_ptr();
                assert_eq!((api.rkllm_set_function_tools)(handle, tag, name.as_ptr(), tag), 0);
                assert_eq!((api.rkllm_set_chat_template)(handle, tag, name.as_ptr(), tag), 0);
                assert_eq!((api.rkllm_load_prompt_cache)(handle, path.as_ptr()), 0);
                assert_eq!((api.rkllm_release_prompt_cache)(handle), 0);
                assert_eq!((api.rkllm_abort)(handle), -1, "nothing runs");
                let idle = (api.rkllm_is_running)(handle);
                assert_eq!(idle, if rkllm.abi() == rkllm_sys::Abi::V1_3 { 0 } else { 1 });
                assert_eq!(fake.alive(), 1);
                assert_eq!((api.rkllm_destroy)(handle), 0);
                assert_eq!(fake.alive(), 0);
            }
            let lines: &[&str] = &$lines;
            assert_lines(&fake.record(), lines);
            assert_lines(
                &fake.record(),
                &[
                    "rkllm_init param.model_path=\"/m/model.rkllm\"",
                    "rkllm_init param.top_k=17",
                    "rkllm_init param.mirostat_eta=0.25",
                    "rkllm_init param.is_async=1",
                    "rkllm_init param.extend_param.base_domain_id=3",
                    "rkllm_init param.extend_param.enabled_cpus_mask=144",
                    "rkllm_init param.extend_param.use_cross_attn=1",
                    "rkllm_init param.extend_param.reserved=zero",
                    "rkllm_run input[0].role=\"tool\"",
                    "rkllm_run input[0].enable_thinking=1",
                    "rkllm_run input[0].token_input.input_ids=[5, -6, 7]",
                    "rkllm_run infer.mode=0",
                    "rkllm_run infer.keep_history=1",
                    "rkllm_run infer.lora_params.lora_adapter_name=\"an adapter\"",
                    "rkllm_run infer.prompt_cache_params=null",
                    "rkllm_load_lora lora_adapter.scale=0.5",
                    "rkllm_set_cross_attn_params cross_attn_params.encoder_v_cache=null",
                    "rkllm_set_cross_attn_params cross_attn_params.encoder_pos=[5, -6, 7]",
                    "rkllm_set_cross_attn_params cross_attn_params.encoder_mask=[0.5, 0.5, 0.5]",
                    "rkllm_set_function_tools tools=\"an adapter\"",
                    "rkllm_set_chat_template prompt_postfix=\"tool\"",
                    "rkllm_load_prompt_cache prompt_cache_path=\"/m/model.rkllm\"",
                ],
            );
        }
    };
}

unsafe fn init_1_2(
    api: &v1_2::Functions,
    handle: &mut v1_2::LLMHandle,
    param: &mut v1_2::RKLLMParam,
    callback: v1_2::LLMResultCallback,
) {
    param.img_start = c"<img>".as_ptr();
    // SAFETY: as the test promises.
    assert_eq!(unsafe { (api.rkllm_init)(handle, param, callback) }, 0);
}

unsafe fn init_1_3(
    api: &v1_3::Functions,
    handle: &mut v1_3::LLMHandle,
    param: &mut v1_3::RKLLMParam,
    callback: v1_3::LLMResultCallback,
) {
    param.ignore_eos_token = true;
    let callback = v1_3::RKLLMCallback { result_callback: callback, ..Default::default() };
    // The library may read it as long as the handle lives.
    let callback = Box::leak(Box::new(callback));
    // SAFETY: as the test promises.
    assert_eq!(unsafe { (api.rkllm_init)(handle, param, callback) }, 0);
}

fn more_1_3(infer: &mut v1_3::RKLLMInferParam) {
    let sampling = v1_3::RKLLMSamplingParam { top_k: 3, mirostat_eta: 0.75, ..Default::default() };
    infer.sampling_params = Box::leak(Box::new(sampling));
    infer.max_new_tokens = 2;
}

abi_test!(
    what_1_2_sees,
    v1_2,
    RKLLM_1_2,
    of_1_2,
    init_1_2,
    |_: &mut v1_2::RKLLMInferParam| {},
    ["rkllm_init param.img_start=\"<img>\"", "rkllm_init callback=set"]
);

abi_test!(
    what_1_3_sees,
    v1_3,
    RKLLM_1_3,
    of_1_3,
    init_1_3,
    more_1_3,
    [
        "rkllm_init param.ignore_eos_token=1",
        "rkllm_init callback.result_callback=set",
        "rkllm_init callback.embed_callback=null",
        "rkllm_run infer.sampling_params.top_k=3",
        "rkllm_run infer.sampling_params.mirostat_eta=0.75",
        "rkllm_run infer.max_new_tokens=2",
    ]
);

/// A x B in int8 on the fake librknnrt, in the layouts given.
fn product(b_layout: i16, ac_layout: i16, words: &str) {
    let (m, k, n) = (3, 64, 64);
    let placed = Placed::new("librknnrt.so", &bytes(RKNN));
    let opened = Rknn::open(&placed.search(), &RknnOptions::default()).unwrap();
    let (api, fake) = (opened.functions(), Fake::of(&placed.file, "rknn"));
    fake.configure(words);
    let a: Vec<i8> = (0..m * k).map(|i| (i * 37 % 251) as u8 as i8).collect();
    let b: Vec<i8> = (0..k * n).map(|i| (i * 91 % 241) as u8 as i8).collect();
    let at = |i: usize, j: usize| i32::from(a[i]) * i32::from(b[j]);
    let expected: Vec<i32> =
        (0..m * n).map(|i| (0..k).map(|x| at(i / n * k + x, x * n + i % n)).sum()).collect();
    let mut info = rknn::rknn_matmul_info {
        M: m as i32,
        K: k as i32,
        N: n as i32,
        type_: rknn::rknn_matmul_type::RKNN_INT8_MM_INT8_TO_INT32,
        B_layout: b_layout,
        AC_layout: ac_layout,
        ..Default::default()
    };
    let mut io = rknn::rknn_matmul_io_attr::default();
    let mut ctx = 0;
    // SAFETY: functions of the fake; memories are as large as it says and freed at the end.
    unsafe {
        assert_eq!((api.rknn_matmul_create)(&mut ctx, &mut info, &mut io), 0);
        let memories = [&mut io.A, &mut io.B, &mut io.C].map(|attr| {
            let memory = (api.rknn_create_mem)(ctx, attr.size);
            assert_eq!((api.rknn_matmul_set_io_mem)(ctx, memory, attr), 0);
            memory
        });
        let bytes = |i: usize, size: u32| {
            std::slice::from_raw_parts_mut((*memories[i]).virt_addr.cast::<u8>(), size as usize)
        };
        // Native A of RK3588 int8: blocks of 16 along K.
        let (to_a, mut native) = (bytes(0, io.A.size), vec![0i8; io.B.size as usize]);
        for (i, value) in a.iter().enumerate() {
            let (row, x) = (i / k, i % k);
            to_a[if ac_layout == 1 { x / 16 * m * 16 + row * 16 + x % 16 } else { i }] =
                *value as u8;
        }
        match b_layout {
            1 => {
                let code = (api.rknn_B_normal_layout_to_native_layout)(
                    b.as_ptr().cast_mut().cast(),
                    native.as_mut_ptr().cast(),
                    k as i32,
                    n as i32,
                    &mut info,
                );
                assert_eq!(code, 0);
                // The second row of K lies beside the first, and the 33rd a tile further.
                assert_eq!((native[1], native[32 * 32]), (b[n], b[32 * n]));
            }
            2 => (0..k * n).for_each(|i| native[i] = b[i % k * n + i / k]),
            _ => native.copy_from_slice(&b),
        }
        bytes(1, io.B.size)
            .copy_from_slice(std::slice::from_raw_parts(native.as_ptr().cast(), native.len()));
        let to = rknn::rknn_mem_sync_mode::RKNN_MEMORY_SYNC_TO_DEVICE;
        let from = rknn::rknn_mem_sync_mode::RKNN_MEMORY_SYNC_FROM_DEVICE;
        assert_eq!((api.rknn_mem_sync)(ctx, memories[0], to), 0);
        assert_eq!((api.rknn_mem_sync)(ctx, memories[1], to), 0);
        assert_eq!((api.rknn_matmul_run)(ctx), 0);
        assert_eq!((api.rknn_mem_sync)(ctx, memories[2], from), 0);
        let c = bytes(2, io.C.size);
        for (i, expected) in expected.iter().enumerate() {
            let (row, x) = (i / n, i % n);
            let at = if ac_layout == 1 { x / 4 * m * 4 + row * 4 + x % 4 } else { i };
            let found = i32::from_le_bytes(c[4 * at..4 * at + 4].try_into().unwrap());
            assert_eq!(found, *expected, "row {row}, column {x}");
        }
        for (mask, code) in [(1, 0), (2, 0), (4, 0), (0, 0), (3, -1), (7, -1), (8, -1)] {
            assert_eq!((api.rknn_matmul_set_core_mask)(ctx, rknn::rknn_core_mask(mask)), code);
        }
        for memory in memories {
            assert_eq!((api.rknn_destroy_mem)(ctx, memory), 0);
        }
        assert_eq!((api.rknn_matmul_destroy)(ctx), 0);
    }
    assert_eq!(fake.alive(), 0);
    assert_lines(
        &fake.record(),
        &["rknn_matmul_create info.K=64", "rknn_matmul_create info.reserved=0"],
    );
}

#[test]
fn the_fake_librknnrt_multiplies_in_every_layout() {
    for b_layout in 0..3 {
        for ac_layout in 0..2 {
            product(b_layout, ac_layout, "strict_sync");
        }
    }
    product(0, 0, "");
}
