//! What is refused before it leaves, and what the runtime refuses.

use rkllm::ErrorKind;
use rkllm::npu::{
    CrossAttention, CrossAttentionSize, Flow, Images, Input, MediaTags, Mode, NpuOptions,
    NpuSampling, RunOptions, Runtime, Videos,
};

use crate::board::{BOTH, Board, Fake, HIDDEN};

#[track_caller]
fn kind<T: std::fmt::Debug>(result: rkllm::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn what_1_2_lacks() {
    let board = Board::new(Fake::V1_2);
    for options in [
        NpuOptions::default().with_ignore_eos(false),
        NpuOptions::default().with_tokenizer(|_| Ok(Vec::new())),
        NpuOptions::default().with_embedding(|_, _| Ok(())),
    ] {
        assert_eq!(kind(board.try_load("", options)), ErrorKind::Unsupported);
    }
    let mut model = board.load_with("", NpuOptions::default().with_hidden_size(HIDDEN));
    board.forget();
    let tags = MediaTags::new("a", "b", "c");
    let images = Images::new(vec![0.0; HIDDEN], 1, 1).with_tags(tags.clone());
    let videos = Videos::new(vec![0.0; HIDDEN], 1, 1, 1, tags);
    for (input, options) in [
        ("x".into(), RunOptions::default().with_sampling(NpuSampling::greedy())),
        ("x".into(), RunOptions::default().with_max_new_tokens(3)),
        (Input::prompt("<image>").with_images(images), RunOptions::default()),
        (Input::prompt("<video>").with_videos(videos), RunOptions::default()),
    ] {
        let error = model.generate(input, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    assert_eq!(board.count("rkllm_run"), 0);
}

#[test]
fn what_does_not_fit_never_leaves() {
    for fake in BOTH {
        let board = Board::new(fake);
        let options = NpuOptions::default()
            .with_context(4)
            .with_hidden_size(HIDDEN)
            .with_image_tags(MediaTags::new("a", "b", "c"));
        let mut model = board.load_with("", options);
        model.set_vocab_size(16);
        board.forget();
        let images = |values, count, tokens| Images::new(vec![0.0; values], count, tokens);
        for (input, expected) in [
            (Input::prompt("a\0b"), ErrorKind::Input),
            (Input::tokens([]), ErrorKind::Input),
            (Input::tokens([16]), ErrorKind::Tokenizer),
            (Input::tokens([u32::MAX]), ErrorKind::Tokenizer),
            (Input::tokens([1; 5]), ErrorKind::Context),
            (Input::embeddings([0.0; HIDDEN + 1]), ErrorKind::Shape),
            (Input::embeddings([]), ErrorKind::Input),
            (Input::embeddings([0.0; 5 * HIDDEN]), ErrorKind::Context),
            (Input::prompt("none").with_images(images(HIDDEN, 1, 1)), ErrorKind::Input),
            (Input::prompt("<image>").with_images(images(HIDDEN - 1, 1, 1)), ErrorKind::Shape),
            (Input::prompt("<image>").with_images(images(0, 1, 1)), ErrorKind::Shape),
            (
                Input::prompt("<image>").with_images(images(HIDDEN, 1, usize::MAX)),
                ErrorKind::Context,
            ),
            (Input::prompt("").with_images(images(0, 0, 0)), ErrorKind::Input),
        ] {
            let told = format!("{input:?}");
            assert_eq!(kind(model.generate(input, &RunOptions::default())), expected, "{told}");
        }
        let two = vec!["a".into(), "b".into()];
        let batch = model.run_batch(two, &RunOptions::default(), |_| Flow::Continue);
        assert_eq!(kind(batch), ErrorKind::Shape);
        let run = |options| ("x", options);
        for (input, options) in [
            run(RunOptions::default().with_lora("not loaded")),
            run(RunOptions::default().with_prompt_cache("a\0b")),
            run(RunOptions::default().with_prompt_cache("")),
        ] {
            assert_eq!(kind(model.generate(input, &options)), ErrorKind::Input);
        }
        assert_eq!(kind(model.set_chat_template("a", "b\0", "c")), ErrorKind::Input);
        assert_eq!(kind(model.set_function_tools("a", "{}", "c")), ErrorKind::Input);
        assert_eq!(kind(model.set_function_tools("a", "[", "c")), ErrorKind::Input);
        assert_eq!(kind(model.load_lora("/no/such", "n", 1.0)), ErrorKind::Io);
        assert_eq!(kind(model.load_prompt_cache("/no/such")), ErrorKind::Io);
        let lora = board.file("l");
        assert_eq!(kind(model.load_lora(&lora, "n", f32::NAN)), ErrorKind::Input);
        model.load_lora(&lora, "n", 1.0).unwrap();
        assert_eq!(kind(model.load_lora(&lora, "n", 1.0)), ErrorKind::Input, "twice");
        for ranges in [&[0..1][..], &[0..9], &[], &[0..0, 0..0]] {
            assert!(model.clear_kv_ranges(ranges).is_err(), "no run is paused: {ranges:?}");
        }
        assert_eq!(board.count("rkllm_run"), 0);
        assert_eq!(board.count("rkllm_clear_kv_cache keep_system_prompt=0"), 0);
        board.assert_clean();
    }
}

#[test]
fn floats_leave_only_for_a_model_whose_sizes_are_known() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut model = board.load("");
        assert_eq!(
            kind(model.generate(Input::embeddings([0.0; 8]), &RunOptions::default())),
            ErrorKind::Input
        );
        let state = || CrossAttention {
            keys: vec![0.0; 16],
            values: vec![0.0; 16],
            mask: vec![0.0],
            positions: vec![0],
        };
        assert_eq!(kind(model.set_cross_attention(state())), ErrorKind::Input);
        // The model itself says what its hidden size is.
        let wrong = NpuOptions::default().with_hidden_size(HIDDEN * 2);
        assert_eq!(kind(board.try_load("", wrong)), ErrorKind::Shape);
        let batch = NpuOptions::default().with_hidden_size(HIDDEN).with_batch(2);
        assert_eq!(kind(board.try_load("", batch)), ErrorKind::Shape, "a batch cannot be asked");
        let size = CrossAttentionSize { layers: 2, kv_heads: 2, head_dim: 4 };
        // SAFETY: the fake's size.
        let mut model =
            board.load_with("", unsafe { NpuOptions::default().with_cross_attention(size) });
        for cut in 0..4 {
            let mut state = state();
            match cut {
                0 => drop(state.keys.pop()),
                1 => state.values.push(0.0),
                2 => state.mask.clear(),
                _ => state.positions.clear(),
            }
            assert_eq!(kind(model.set_cross_attention(state)), ErrorKind::Shape);
        }
        model.set_cross_attention(state()).unwrap();
        assert_eq!(board.count("rkllm_set_cross_attn_params"), 1);
        drop(model);
        board.assert_clean();
    }
}

#[test]
fn options_that_mean_nothing() {
    for fake in BOTH {
        let board = Board::new(fake);
        for options in [
            NpuOptions::default().with_context(0),
            NpuOptions::default().with_context(usize::MAX),
            NpuOptions::default().with_max_new_tokens(0),
            NpuOptions::default().with_base_domain(16),
            NpuOptions::default().with_cpus([8]),
            NpuOptions::default().with_cpus([255]),
            NpuOptions::default().with_cpus([]),
            NpuOptions::default().with_cpu_count(9),
            NpuOptions::default().with_batch(0),
            NpuOptions::default().with_hidden_size(0),
            NpuOptions::default().with_sampling(NpuSampling::default().with_top_p(f32::NAN)),
            NpuOptions::default().with_sampling(NpuSampling::default().with_top_k(0)),
            NpuOptions::default().with_sampling(NpuSampling::default().with_temperature(-1.0)),
            NpuOptions::default().with_sampling(NpuSampling::default().with_mirostat(3, 5.0, 0.1)),
            NpuOptions::default().with_sampling(NpuSampling::default().with_frequency_penalty(2.5)),
        ] {
            let told = format!("{options:?}");
            assert_eq!(kind(board.try_load("", options)), ErrorKind::Input, "{told}");
        }
        assert_eq!(board.count("rkllm_init"), 0);
    }
}

#[test]
fn what_the_runtime_refuses() {
    for fake in BOTH {
        let board = Board::new(fake);
        for words in ["init_fails", "init_null"] {
            let error = board.try_load(words, NpuOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Runtime, "{error}");
            assert!(error.hint().is_some() && error.subject().is_some(), "{error}");
        }
        let missing = NpuOptions::default().with_runtime(board.runtime.clone()).load("/no/such");
        assert_eq!(kind(missing), ErrorKind::Io);
        let mut model = board.load("run_fails+calls_fail");
        assert_eq!(kind(model.generate("x", &RunOptions::default())), ErrorKind::Runtime);
        assert_eq!(kind(model.kv_cache_sizes()), ErrorKind::Runtime);
        assert_eq!(kind(model.clear_kv_cache(false)), ErrorKind::Runtime);
        assert_eq!(kind(model.set_chat_template("a", "b", "c")), ErrorKind::Runtime);
        assert_eq!(kind(model.release_prompt_cache()), ErrorKind::Runtime);
        let lora = board.file("l");
        assert_eq!(kind(model.load_lora(&lora, "n", 1.0)), ErrorKind::Runtime);
        let options = RunOptions::default().with_lora("n");
        assert_eq!(kind(model.generate("x", &options)), ErrorKind::Input, "it was not loaded");
        drop(model);
        let mut batch = board.load_with("", NpuOptions::default().with_batch(2));
        let two = || vec!["a".into(), "b".into()];
        let options = RunOptions::default().with_mode(Mode::Logits);
        let refused = batch.run_batch(two(), &options, |_| Flow::Continue);
        assert_eq!(kind(refused), ErrorKind::Unsupported);
        drop(batch);
        board.assert_clean();
        assert_eq!(board.alive(), 0);
    }
}

#[test]
fn libraries_that_cannot_be_used_keep_their_advice() {
    let board = Board::new(Fake::V1_3);
    let text = board.file("librkllm.so");
    for (path, expected) in [
        (text.to_str().unwrap(), ErrorKind::Format),
        ("/no/such/librkllmrt.so", ErrorKind::Missing),
        ("librkllmrt.so", ErrorKind::Input),
    ] {
        let error = Runtime::open(path).unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<rkllm_sys::Error>().unwrap();
        assert_eq!(error.hint(), source.advice());
        assert!(error.hint().is_some() && error.to_string().starts_with(path), "{error}");
    }
    // The fake's own version text, made one of 1.1.
    let file = board.runtime.path();
    let mut bytes = std::fs::read(file).unwrap();
    let mark = b"RKLLM SDK (version: 1.3.0";
    let at = bytes.windows(mark.len()).position(|window| window == mark).unwrap();
    bytes[at + mark.len() - 5..at + mark.len()].copy_from_slice(b"1.1.4");
    let old = board.file("old.so");
    std::fs::write(&old, bytes).unwrap();
    let error = Runtime::open(&old).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Abi, "{error}");
    assert!(error.to_string().contains("1.1.4"), "{error}");
}
