//! The pointers on both sides of the interface, without a library: what Miri can look at.
//! `cargo +nightly miri test -p rkllm --no-default-features --features npu --lib npu::llm`

use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::{Arc, Weak};

use rkllm_sys::v1_3::{LLMCallState, RKLLMInferParam, RKLLMInput, RKLLMResult, RKLLMSamplingParam};
use rkllm_sys::{Abi, v1_2};

use super::callback::{embedding, result_1_3, tokenizer};
use super::hooks::Hooks;
use super::memory::{Earlier, Memory};
use super::prepare::{Known, Prepared};
use super::registry::{self, Entry};
use super::run::Run;
use super::sink::{Expected, OnOutput, Sink};
use super::*;

fn expected(mode: Mode, batch: usize) -> Expected {
    Expected { mode, batch, context: 64, hidden_size: Some(2) }
}

/// A run as `Core::run` has it, with `runtime` in the library's place.
fn run(
    expected: Expected,
    mut on_output: impl FnMut(Output<'_>) -> Flow + Send,
    runtime: impl FnOnce(*mut c_void),
) -> (Arc<Run>, crate::Result<Report>) {
    let on_output: *mut OnOutput<'_> = &mut on_output;
    // SAFETY: only the lifetime changes; the run is closed before this function is left.
    let on_output =
        unsafe { std::mem::transmute::<*mut OnOutput<'_>, *mut OnOutput<'static>>(on_output) };
    let number = registry::number();
    // SAFETY: as above.
    let sink = unsafe { Sink::new(on_output, expected) };
    let run = Arc::new(Run::new(number, registry::number(), sink, Weak::new()));
    registry::insert(number, Entry::Run(Arc::clone(&run)));
    runtime(registry::userdata(number));
    registry::remove(number);
    let sink = run.close().unwrap();
    let report = sink.end(0, run.is_stopped());
    (run, report)
}

fn tell(userdata: *mut c_void, result: *mut RKLLMResult, state: LLMCallState) -> i32 {
    // SAFETY: null, or results of the tests below.
    unsafe { result_1_3(result, userdata, state) }
}

#[test]
fn a_run_and_callbacks_after_it() {
    let mut text = String::new();
    let mut late = null_mut();
    let on_output = |output: Output<'_>| {
        text += output.text;
        Flow::Continue
    };
    let (closed, report) = run(expected(Mode::Generate, 2), on_output, |userdata| {
        late = userdata;
        for piece in [c"a ", c"b "] {
            let mut results = [RKLLMResult::default(); 2];
            results[0].text = piece.as_ptr();
            results[1].token_id = -1;
            assert_eq!(tell(userdata, results.as_mut_ptr(), LLMCallState::RKLLM_RUN_NORMAL), 0);
        }
        let from_elsewhere = userdata.addr();
        let told = std::thread::spawn(move || {
            let userdata = std::ptr::without_provenance_mut(from_elsewhere);
            tell(userdata, null_mut(), LLMCallState::RKLLM_RUN_FINISH)
        });
        assert_eq!(told.join().unwrap(), 0);
        assert_eq!(tell(userdata, null_mut(), LLMCallState::RKLLM_RUN_FINISH), 1, "twice");
    });
    let report = report.unwrap();
    assert_eq!((report.end, report.tokens), (End::Finished, 2));
    assert_eq!(text, "a b ");
    // What is told now finds no run, and the run no closure.
    assert_eq!(tell(late, null_mut(), LLMCallState::RKLLM_RUN_NORMAL), 1);
    // SAFETY: null is no result.
    assert_eq!(unsafe { closed.tell(null_mut(), LLMCallState::RKLLM_RUN_NORMAL) }, 1);
}

#[test]
fn rows_and_rows_that_make_no_sense() {
    let mut values = [1.0f32, 2.0, 3.0, 4.0];
    for (rows, columns, good) in [
        (2, 2, true),
        (1, 2, true),
        (-1, 2, false),
        (2, -2, false),
        (1 << 20, 2, false),
        (1, 4, false),
    ] {
        let mut sum = 0.0;
        let on_output = |output: Output<'_>| {
            sum = output.hidden_states.unwrap().values().iter().sum();
            Flow::Release
        };
        let (_, report) = run(expected(Mode::LastHiddenLayer, 1), on_output, |userdata| {
            let mut result = RKLLMResult::default();
            result.last_hidden_layer.hidden_states = values.as_mut_ptr();
            result.last_hidden_layer.num_tokens = rows;
            result.last_hidden_layer.embd_size = columns;
            tell(userdata, &raw mut result, LLMCallState::RKLLM_RUN_NORMAL);
        });
        assert_eq!(report.is_ok(), good, "{rows} {columns}");
        assert_eq!(sum, if good { [3.0, 10.0][rows as usize - 1] } else { 0.0 });
    }
}

#[test]
fn a_panic_is_kept() {
    let (run, report) = run(
        expected(Mode::Generate, 1),
        |_| panic!("kept"),
        |userdata| {
            let mut result = RKLLMResult::default();
            for _ in 0..3 {
                let code = tell(userdata, &raw mut result, LLMCallState::RKLLM_RUN_NORMAL);
                assert_eq!(code, 1);
            }
        },
    );
    assert_eq!(report.unwrap().end, End::Aborted);
    assert_eq!(*run.take_panic().unwrap().downcast::<&str>().unwrap(), "kept");
}

#[test]
fn closures_of_a_model() {
    let number = registry::number();
    let hooks = Arc::new(Hooks::new(
        number,
        Some(Box::new(|text| Ok(text.bytes().map(u32::from).collect()))),
        Some(Box::new(|ids, rows| {
            rows.fill(ids[1] as f32);
            Ok(())
        })),
    ));
    registry::insert(number, Entry::Model(hooks));
    let userdata = registry::userdata(number);
    let (mut ids, mut rows) = ([7i32; 4], [f32::NAN; 4]);
    // SAFETY: buffers of these lengths.
    unsafe {
        assert_eq!(tokenizer(userdata, c"ab".as_ptr(), 2, ids.as_mut_ptr(), 4), 2);
        assert_eq!(tokenizer(userdata, c"abcde".as_ptr(), 5, ids.as_mut_ptr(), 4), -1);
        let (of, to) = (ids.as_mut_ptr(), rows.as_mut_ptr().cast());
        assert_eq!(embedding(userdata, of, 2, to, 16), 0);
        assert_eq!(embedding(userdata, of, u64::MAX, to, 16), -1);
        registry::remove(number);
        assert_eq!(embedding(userdata, of, 2, to, 16), -1);
    }
    assert_eq!((ids, rows), ([97, 98, 7, 7], [98.0; 4]));
}

fn known(abi: Abi) -> Known {
    Known {
        abi,
        batch: 2,
        context: 64,
        max_new_tokens: 8,
        hidden_size: Some(2),
        vocab_size: None,
        image_tags: Some(MediaTags::new("<s>", "<e>", "<c>")),
        sampling: RKLLMSamplingParam::default(),
        loras: vec!["lora".to_owned()],
    }
}

fn text(pointer: *const std::ffi::c_char) -> String {
    // SAFETY: the arguments of the tests below are alive.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned()
}

/// What C reads through the pointers, after all of it was moved.
#[test]
fn arguments_stay_where_they_are() {
    let options = RunOptions::default().with_lora("lora").with_prompt_cache("/cache");
    let inputs = || {
        let images = Images::new(vec![1.0, 2.0, 3.0, 4.0], 1, 2);
        vec![Input::prompt("<image>").with_images(images), Input::tokens([4, 5, 6])]
    };
    let of_1_3 = options.clone().with_sampling(NpuSampling::default().with_top_k(3));
    let mut memory = Memory::default();
    let before = memory.last.replace(Prepared::new(inputs(), &of_1_3, &known(Abi::V1_3)).unwrap());
    assert!(before.is_none());
    let mut moved = Box::new(memory);
    let (input, infer) = moved.last.as_mut().unwrap().arguments();
    // SAFETY: two inputs of this ABI and a parameter struct, alive in `moved`.
    unsafe {
        let input = std::slice::from_raw_parts(input.cast::<RKLLMInput>(), 2);
        let infer = &*infer.cast::<RKLLMInferParam>();
        let media = input[0].payload.multimodal_input;
        assert_eq!(
            (text(media.prompt), text(media.image.image_start)),
            ("<image>".into(), "<s>".into())
        );
        assert_eq!(
            std::slice::from_raw_parts(media.image.image_embed, 5),
            [1.0, 2.0, 3.0, 4.0, 0.0]
        );
        let tokens = input[1].payload.token_input;
        assert_eq!(std::slice::from_raw_parts(tokens.input_ids, tokens.n_tokens), [4, 5, 6]);
        assert_eq!((*infer.sampling_params).top_k, 3);
        assert_eq!(text((*infer.lora_params).lora_adapter_name), "lora");
        assert_eq!(text((*infer.prompt_cache_params).prompt_cache_path), "/cache");
    }
    let mut of_1_2 = Prepared::new(inputs(), &options, &known(Abi::V1_2)).unwrap();
    let (input, infer) = of_1_2.arguments();
    // SAFETY: as above, of the other ABI.
    unsafe {
        let input = std::slice::from_raw_parts(input.cast::<v1_2::RKLLMInput>(), 2);
        let infer = &*infer.cast::<v1_2::RKLLMInferParam>();
        assert_eq!(*input[0].payload.multimodal_input.image_embed.add(3), 4.0);
        assert_eq!(text(input[1].role), "user");
        assert_eq!(text((*infer.lora_params).lora_adapter_name), "lora");
    }
}

#[test]
fn what_a_call_was_handed_stays_until_another_succeeded() {
    let mut memory = Memory::default();
    let mut lend = |value: f32, code: i32| {
        let mut arena = arena::Arena::default();
        arena.path(Path::new("/a")).unwrap();
        let pointer = arena.floats(vec![value]);
        memory.keep("call", arena, Earlier::Goes, code);
        pointer
    };
    let (first, second) = (lend(1.0, 0), lend(2.0, -1));
    // SAFETY: the second call failed, so both are kept.
    assert_eq!(unsafe { (*first, *second) }, (1.0, 2.0));
    let third = lend(3.0, 0);
    // SAFETY: the last is kept.
    assert_eq!(unsafe { *third }, 3.0);
    drop(catch_unwind(AssertUnwindSafe(|| memory)).unwrap());
}
