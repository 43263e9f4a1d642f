//! Every documented field and argument, set to a value of its own: the fake saw it at the vendor's offset.

use rkllm::npu::{
    Abi, CrossAttention, CrossAttentionSize, End, Flow, Images, Input, MediaTags, Mode, NpuOptions,
    NpuSampling, Role, RunOptions, Videos,
};

use crate::board::{BOTH, Board, Fake, HIDDEN};

fn sampling() -> NpuSampling {
    NpuSampling::default()
        .with_top_k(17)
        .with_top_p(0.625)
        .with_temperature(0.375)
        .with_repeat_penalty(1.25)
        .with_frequency_penalty(-0.5)
        .with_presence_penalty(0.75)
        .with_mirostat(2, 4.5, 0.125)
}

fn options() -> NpuOptions {
    let options = NpuOptions::default()
        .with_context(1111)
        .with_max_new_tokens(222)
        .with_sampling(sampling())
        .with_n_keep(33)
        .with_skip_special_tokens(true)
        .with_image_tags(MediaTags::new("<is>", "<ie>", "<ic>"))
        .with_base_domain(5)
        .with_embed_flash(true)
        .with_cpus([1, 4, 7])
        .with_cpu_count(2)
        .with_batch(1);
    // SAFETY: the fake's size.
    unsafe {
        options.with_cross_attention(CrossAttentionSize { layers: 2, kv_heads: 2, head_dim: 4 })
    }
}

/// The parameters of [`options`] as both ABIs have them.
const PARAM: [&str; 22] = [
    "rkllm_init param.max_context_len=1111",
    "rkllm_init param.max_new_tokens=222",
    "rkllm_init param.top_k=17",
    "rkllm_init param.n_keep=33",
    "rkllm_init param.top_p=0.625",
    "rkllm_init param.temperature=0.375",
    "rkllm_init param.repeat_penalty=1.25",
    "rkllm_init param.frequency_penalty=-0.5",
    "rkllm_init param.presence_penalty=0.75",
    "rkllm_init param.mirostat=2",
    "rkllm_init param.mirostat_tau=4.5",
    "rkllm_init param.mirostat_eta=0.125",
    "rkllm_init param.skip_special_token=1",
    "rkllm_init param.is_async=0",
    "rkllm_init param.extend_param.base_domain_id=5",
    "rkllm_init param.extend_param.embed_flash=1",
    "rkllm_init param.extend_param.enabled_cpus_num=2",
    "rkllm_init param.extend_param.enabled_cpus_mask=146",
    "rkllm_init param.extend_param.n_batch=1",
    "rkllm_init param.extend_param.use_cross_attn=1",
    "rkllm_init param.extend_param.reserved=zero",
    "rkllm_init",
];

#[test]
fn loading_1_2() {
    let board = Board::new(Fake::V1_2);
    let model = board.load_with("", options());
    assert_eq!((model.abi(), model.context(), model.batch()), (Abi::V1_2, 1111, 1));
    board.assert_saw(&PARAM);
    board.assert_saw(&[
        &format!("rkllm_init param.model_path={:?}", board.model("").to_str().unwrap()),
        "rkllm_init param.img_start=\"<is>\"",
        "rkllm_init param.img_end=\"<ie>\"",
        "rkllm_init param.img_content=\"<ic>\"",
        "rkllm_init callback=set",
    ]);
    drop(model);
    assert_eq!((board.alive(), board.count("rkllm_destroy")), (0, 1));
}

#[test]
fn loading_1_3() {
    let board = Board::new(Fake::V1_3);
    let model = board.load_with("", options().with_ignore_eos(true));
    assert_eq!((model.abi(), model.context()), (Abi::V1_3, 1111));
    board.assert_saw(&PARAM);
    board.assert_saw(&[
        "rkllm_init param.ignore_eos_token=1",
        "rkllm_init callback.result_callback=set",
        "rkllm_init callback.result_userdata=set",
        "rkllm_init callback.tokenizer_callback=null",
        "rkllm_init callback.embed_callback=null",
    ]);
    drop(model);
    board.assert_clean();
    assert_eq!(board.alive(), 0);
}

#[test]
fn what_is_left_out_is_the_runtimes_default() {
    for fake in BOTH {
        let board = Board::new(fake);
        let model = board.load("");
        assert_eq!(model.context(), 4096);
        board.assert_saw(&[
            "rkllm_init param.max_new_tokens=512",
            "rkllm_init param.top_k=40",
            "rkllm_init param.n_keep=-1",
            "rkllm_init param.top_p=0.9",
            "rkllm_init param.skip_special_token=0",
            "rkllm_init param.extend_param.enabled_cpus_mask=240",
            "rkllm_init param.extend_param.use_cross_attn=0",
        ]);
    }
}

#[test]
fn a_prompt_with_everything_around_it() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("");
        let (lora, cache) = (board.file("a.lora"), board.file("cache.bin"));
        model.load_lora(&lora, "adapter", 0.5).unwrap();
        let options =
            RunOptions::default().with_history(true).with_lora("adapter").with_prompt_cache(&cache);
        let input = Input::prompt("¿Qué?").with_role(Role::Tool).with_thinking(true);
        let (text, report) = model.generate(input, &options).unwrap();
        assert_eq!((text.as_str(), report.tokens, report.end), ("t0 t1 t2 t3 ", 4, End::Finished));
        let performance = report.performance.unwrap();
        assert_eq!(
            (performance.prefill_ms, performance.generate_ms, performance.memory_mb),
            (12.5, 80.25, 456.75)
        );
        assert_eq!((performance.prefill_tokens, performance.generate_tokens), (7, 4));
        assert_eq!(performance.generate_tokens_per_second(), Some(4000.0 / 80.25));
        board.assert_saw(&[
            &format!("rkllm_load_lora lora_adapter.lora_adapter_path={:?}", lora.to_str().unwrap()),
            "rkllm_load_lora lora_adapter.lora_adapter_name=\"adapter\"",
            "rkllm_load_lora lora_adapter.scale=0.5",
            "rkllm_run input[0].role=\"tool\"",
            "rkllm_run input[0].enable_thinking=1",
            "rkllm_run input[0].input_type=0",
            "rkllm_run input[0].prompt_input=\"¿Qué?\"",
            "rkllm_run infer.mode=0",
            "rkllm_run infer.lora_params.lora_adapter_name=\"adapter\"",
            "rkllm_run infer.prompt_cache_params.save_prompt_cache=1",
            &format!(
                "rkllm_run infer.prompt_cache_params.prompt_cache_path={:?}",
                cache.to_str().unwrap()
            ),
            "rkllm_run infer.keep_history=1",
        ]);
    }
}

#[test]
fn sampling_and_length_of_a_run_1_3() {
    let board = Board::new(Fake::V1_3);
    let mut model = board.load_with("", NpuOptions::default().with_sampling(sampling()));
    let run = RunOptions::default()
        .with_sampling(NpuSampling::default().with_temperature(0.25))
        .with_max_new_tokens(2);
    assert_eq!(model.generate("x", &run).unwrap().0, "t0 t1 ");
    board.assert_saw(&[
        "rkllm_run infer.sampling_params.top_k=17",
        "rkllm_run infer.sampling_params.top_p=0.625",
        "rkllm_run infer.sampling_params.temperature=0.25",
        "rkllm_run infer.sampling_params.repeat_penalty=1.25",
        "rkllm_run infer.sampling_params.frequency_penalty=-0.5",
        "rkllm_run infer.sampling_params.presence_penalty=0.75",
        "rkllm_run infer.sampling_params.mirostat=2",
        "rkllm_run infer.sampling_params.mirostat_tau=4.5",
        "rkllm_run infer.sampling_params.mirostat_eta=0.125",
        "rkllm_run infer.max_new_tokens=2",
    ]);
    board.forget();
    model.generate("x", &RunOptions::default()).unwrap();
    board.assert_saw(&[
        "rkllm_run infer.sampling_params=null",
        "rkllm_run infer.lora_params=null",
        "rkllm_run infer.prompt_cache_params=null",
        "rkllm_run infer.keep_history=0",
        "rkllm_run infer.max_new_tokens=0",
        "rkllm_run input[0].role=\"user\"",
        "rkllm_run input[0].enable_thinking=0",
    ]);
}

#[test]
fn tokens_and_embeddings() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load_with("", NpuOptions::default().with_hidden_size(HIDDEN));
        assert_eq!(model.hidden_size(), Some(HIDDEN));
        model.generate(Input::tokens([5, 60, 7]), &RunOptions::default()).unwrap();
        let values: Vec<f32> = (0..16).map(|i| i as f32).collect();
        model.generate(Input::embeddings(values), &RunOptions::default()).unwrap();
        board.assert_saw(&[
            "rkllm_run input[0].input_type=1",
            "rkllm_run input[0].token_input.input_ids=[5, 60, 7]",
            "rkllm_run input[0].token_input.n_tokens=3",
            "rkllm_run input[0].input_type=2",
            "rkllm_run input[0].embed_input.embed=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]",
            "rkllm_run input[0].embed_input.n_tokens=2",
        ]);
    }
}

fn images() -> Images {
    Images::new((0..32).map(|i| i as f32).collect::<Vec<_>>(), 2, 2).with_size(392, 448)
}

#[test]
fn images_1_2() {
    let board = Board::new(Fake::V1_2);
    let mut model = board.load_with("", options().with_hidden_size(HIDDEN));
    let input = Input::prompt("<image>and<image>").with_images(images());
    model.generate(input, &RunOptions::default()).unwrap();
    board.assert_saw(&[
        "rkllm_run input[0].input_type=3",
        "rkllm_run input[0].multimodal_input.prompt=\"<image>and<image>\"",
        "rkllm_run input[0].multimodal_input.image_embed=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, \
         13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31]",
        "rkllm_run input[0].multimodal_input.n_image_tokens=2",
        "rkllm_run input[0].multimodal_input.n_image=2",
        "rkllm_run input[0].multimodal_input.image_width=392",
        "rkllm_run input[0].multimodal_input.image_height=448",
    ]);
}

#[test]
fn images_and_videos_1_3() {
    let board = Board::new(Fake::V1_3);
    let mut model = board.load_with("", options().with_hidden_size(HIDDEN));
    let values: Vec<f32> = (0..48).map(|i| i as f32 / 2.0).collect();
    let videos =
        Videos::new(values, 1, 3, 2, MediaTags::new("<vs>", "<ve>", "<vc>")).with_size(224, 252);
    let input = Input::prompt("<image><image><video>")
        .with_images(images().with_tags(MediaTags::new("<a>", "<b>", "<c>")))
        .with_videos(videos);
    model.generate(input, &RunOptions::default()).unwrap();
    const AT: &str = "rkllm_run input[0].multimodal_input";
    let record = board.record();
    for line in [
        "prompt=\"<image><image><video>\"",
        "image.n_image_tokens=2",
        "image.n_image=2",
        "image.image_start=\"<a>\"",
        "image.image_end=\"<b>\"",
        "image.image_content=\"<c>\"",
        "image.image_width=392",
        "image.image_height=448",
        "video.n_frame_tokens=2",
        "video.n_frame_per_video=3",
        "video.n_video=1",
        "video.video_start=\"<vs>\"",
        "video.video_end=\"<ve>\"",
        "video.video_content=\"<vc>\"",
        "video.frame_width=224",
        "video.frame_height=252",
    ] {
        let line = format!("{AT}.{line}");
        assert!(record.contains(&line), "{line} not in {record:#?}");
    }
    let rows = |name: &str| {
        let start = format!("{AT}.{name}=[");
        record.iter().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
    };
    assert!(
        rows("image.image_embed").starts_with("0, 1, 2, ")
            && rows("image.image_embed").ends_with("30, 31]")
    );
    assert!(
        rows("video.video_embed").starts_with("0, 0.5, 1, ")
            && rows("video.video_embed").ends_with("23, 23.5]")
    );
    board.assert_clean();
    board.forget();
    // Tags of loading serve images without their own; a video may come alone.
    model
        .generate(Input::prompt("<image><image>").with_images(images()), &RunOptions::default())
        .unwrap();
    board.assert_saw(&[
        &format!("{AT}.image.image_content=\"<ic>\""),
        &format!("{AT}.video.n_video=0"),
        &format!("{AT}.video.video_embed=null"),
    ]);
}

#[test]
fn the_other_functions() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load_with("", options());
        let cache = board.file("a cache.bin");
        model.set_chat_template("sys", "pre", "post").unwrap();
        model.set_function_tools("use tools", "[{\"name\": \"f\"}]", "tool_response").unwrap();
        model.load_prompt_cache(&cache).unwrap();
        model.release_prompt_cache().unwrap();
        let state = CrossAttention {
            keys: (0..48).map(|i| i as f32).collect(),
            values: (0..48).map(|i| i as f32 + 0.5).collect(),
            mask: vec![0.0, -1.0, -2.0],
            positions: vec![7, 8, 9],
        };
        model.set_cross_attention(state).unwrap();
        model.run("abc", &RunOptions::default(), |_| Flow::Pause).unwrap();
        assert_eq!(model.kv_cache_sizes().unwrap(), [4]);
        model.clear_kv_ranges(&[1..3]).unwrap();
        assert_eq!(model.kv_cache_sizes().unwrap(), [2]);
        model.clear_kv_cache(true).unwrap();
        model.clear_kv_cache(false).unwrap();
        assert_eq!(model.kv_cache_sizes().unwrap(), [0]);
        let abort = model.abort_handle();
        assert!(!abort.is_running().unwrap());
        assert!(!abort.abort(), "there is no run");
        board.assert_saw(&[
            "rkllm_set_chat_template system_prompt=\"sys\"",
            "rkllm_set_chat_template prompt_prefix=\"pre\"",
            "rkllm_set_chat_template prompt_postfix=\"post\"",
            "rkllm_set_function_tools system_prompt=\"use tools\"",
            "rkllm_set_function_tools tools=\"[{\\\"name\\\": \\\"f\\\"}]\"",
            "rkllm_set_function_tools tool_response_str=\"tool_response\"",
            &format!("rkllm_load_prompt_cache prompt_cache_path={:?}", cache.to_str().unwrap()),
            "rkllm_release_prompt_cache",
            "rkllm_set_cross_attn_params cross_attn_params.num_tokens=3",
            "rkllm_set_cross_attn_params cross_attn_params.encoder_mask=[0, -1, -2]",
            "rkllm_set_cross_attn_params cross_attn_params.encoder_pos=[7, 8, 9]",
            "rkllm_clear_kv_cache start_pos=[1]",
            "rkllm_clear_kv_cache end_pos=[3]",
            "rkllm_clear_kv_cache keep_system_prompt=1",
            "rkllm_clear_kv_cache keep_system_prompt=0",
            "rkllm_clear_kv_cache start_pos=null",
            "rkllm_get_kv_cache_size",
            "rkllm_is_running",
        ]);
        let record = board.record();
        let cache = |name: &str, first: &str| {
            let start = format!("rkllm_set_cross_attn_params cross_attn_params.{name}=[{first}, ");
            assert!(record.iter().any(|line| line.starts_with(&start)), "{start} {record:#?}");
        };
        cache("encoder_k_cache", "0, 1, 2");
        cache("encoder_v_cache", "0.5, 1.5, 2.5");
        drop(model);
        assert!(abort.is_running().is_err() && !abort.abort(), "the model is gone");
        // The background is a thread of ours.
        assert_eq!(board.count("rkllm_run_async"), 0);
        board.assert_clean();
    }
}

#[test]
fn hidden_states_and_logits() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("");
        let mut states = Vec::new();
        let options = RunOptions::default().with_mode(Mode::LastHiddenLayer);
        let report = model.run(Input::tokens([3, 5]), &options, |output| {
            let rows = output.hidden_states.unwrap();
            assert_eq!((rows.width(), rows.rows().len(), output.logits), (HIDDEN, 2, None));
            states = rows.values().to_vec();
            Flow::Release
        });
        assert_eq!(report.unwrap().end, End::Finished);
        assert_eq!((states[0], states[8], states[15]), (3.0, 5.0, 5.875));
        let options = RunOptions::default().with_mode(Mode::Logits);
        let mut best = Vec::new();
        model
            .run(Input::tokens([3, 5]), &options, |output| {
                let rows = output.logits.unwrap().rows();
                best = rows.map(|row| row.iter().position(|l| *l == 2.0).unwrap()).collect();
                Flow::Continue
            })
            .unwrap();
        assert_eq!(best, [4, 6]);
        board.assert_saw(&["rkllm_run infer.mode=1", "rkllm_run infer.mode=2"]);
        assert_eq!(board.count("rkllm_run released the output"), usize::from(fake == Fake::V1_3));
    }
}

#[test]
fn a_batch() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load_with("", NpuOptions::default().with_batch(3));
        assert_eq!(model.batch(), 3);
        let inputs =
            vec!["a".into(), Input::tokens([1, 2]), Input::prompt("ccc").with_role(Role::Tool)];
        let mut texts = vec![String::new(); 3];
        let report = model
            .run_batch(inputs, &RunOptions::default(), |output| {
                texts[output.index] += output.text;
                Flow::Continue
            })
            .unwrap();
        assert_eq!(texts, ["t0 t1 t2 t3 "; 3]);
        assert_eq!(report.tokens, 12);
        assert_eq!(model.kv_cache_sizes().unwrap(), [5, 6, 7]);
        board.assert_saw(&[
            "rkllm_init param.extend_param.n_batch=3",
            "rkllm_run input[0].prompt_input=\"a\"",
            "rkllm_run input[1].token_input.input_ids=[1, 2]",
            "rkllm_run input[2].role=\"tool\"",
            "rkllm_run input[2].prompt_input=\"ccc\"",
        ]);
    }
}

#[test]
fn the_callers_tokenizer_and_embedding_1_3() {
    let board = Board::new(Fake::V1_3);
    let options = NpuOptions::default()
        .with_tokenizer(|text| Ok(text.chars().map(|c| c as u32 - 90).collect()))
        .with_embedding(|ids, rows| {
            let width = rows.len() / ids.len();
            for (id, row) in ids.iter().zip(rows.chunks_mut(width)) {
                row.fill(*id as f32);
            }
            Ok(())
        });
    let mut model = board.load_with("no_tokenizer+no_embedding", options);
    model.generate("abc", &RunOptions::default()).unwrap();
    board.assert_saw(&[
        "rkllm_init callback.tokenizer_callback=set",
        "rkllm_init callback.tokenizer_userdata=set",
        "rkllm_init callback.embed_callback=set",
        "rkllm_init callback.embed_userdata=set",
        "tokenizer_callback wrote [7, 8, 9]",
        "embed_callback returned 0",
        "embed_callback wrote [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]",
    ]);
}
