//! Every field of every struct in the facts: set to a value of its own and seen by the fake at its offset,
//! told by the fake and given to the caller, or listed here with the reason why not.
//!
//! The fields come from the facts, so one that nobody sets fails.

use std::collections::{BTreeMap, BTreeSet};

use rkllm::npu::{
    CrossAttention, CrossAttentionSize, Flow, Images, Input, MediaTags, Mode, NpuOptions,
    NpuSampling, Role, RunOptions, Videos,
};
use serde_json::Value;

use crate::board::{BOTH, Board, Fake, HIDDEN, VOCAB};

fn facts(fake: Fake) -> Value {
    let text = match fake {
        Fake::V1_2 => include_str!("../../../rkllm-sys/tests/data/rkllm-abi-1.2.1.json"),
        Fake::V1_3 => include_str!("../../../rkllm-sys/tests/data/rkllm-abi-1.3.0.json"),
    };
    serde_json::from_str(text).unwrap()
}

/// Paths of all fields that are no structs themselves, such as `param.extend_param.n_batch`.
fn leaves(facts: &Value, name: &str, prefix: &str, found: &mut BTreeSet<String>) {
    let structs = facts["structs"].as_array().unwrap();
    let layout = structs.iter().find(|item| item["name"] == name);
    let Some(layout) = layout else {
        assert!(found.insert(prefix.to_owned()), "{prefix} twice");
        return;
    };
    for field in layout["fields"].as_array().unwrap() {
        // Members of an anonymous union are named like fields of the struct.
        let path = match field["name"].as_str() {
            Some(name) => format!("{prefix}.{name}"),
            None => prefix.to_owned(),
        };
        leaves(facts, field["type"].as_str().unwrap().trim_end_matches('*'), &path, found);
    }
}

/// What the fake calls the struct arguments of each function.
const ROOTS: [(&str, &str, &str); 7] = [
    ("rkllm_init", "RKLLMParam", "param"),
    ("rkllm_init", "RKLLMCallback", "callback"),
    ("rkllm_load_lora", "RKLLMLoraAdapter", "lora_adapter"),
    ("rkllm_run", "RKLLMInput", "input[0]"),
    ("rkllm_run", "RKLLMInferParam", "infer"),
    ("rkllm_set_cross_attn_params", "RKLLMCrossAttnParam", "cross_attn_params"),
    // The same struct as rkllm_run's; this side never calls it.
    ("rkllm_run_async", "", ""),
];

/// Every field that a caller hands over, by its line in the fake's record.
fn given(fake: Fake) -> BTreeSet<String> {
    let facts = facts(fake);
    let mut found = BTreeSet::new();
    for function in facts["functions"].as_array().unwrap() {
        let name = function["name"].as_str().unwrap();
        for parameter in function["params"].as_array().unwrap() {
            let kind = parameter["type"].as_str().unwrap().trim_end_matches('*');
            let is_struct = facts["structs"].as_array().unwrap().iter().any(|s| s["name"] == kind);
            if !is_struct || name == "rkllm_run_async" {
                continue;
            }
            let root = ROOTS.iter().find(|root| root.0 == name && root.1 == kind);
            let (_, _, prefix) = root.unwrap_or_else(|| panic!("{name} takes a {kind}"));
            leaves(&facts, kind, &format!("{name} {prefix}"), &mut found);
        }
        // Arguments that are no structs.
        for (argument, kind) in function["params"].as_array().unwrap().iter().map(|parameter| {
            (parameter["name"].as_str().unwrap(), parameter["type"].as_str().unwrap())
        }) {
            if matches!(kind, "const char*" | "int" | "int*") {
                found.insert(format!("{name} {argument}"));
            }
        }
    }
    found
}

/// Fields that are written by the runtime or by nobody.
const NOT_SET: [(&str, &str); 2] = [
    ("rkllm_init param.is_async", "always 0: a background run is a thread of ours"),
    ("rkllm_get_kv_cache_size cache_sizes", "written by the runtime; `what_the_runtime_tells`"),
];

/// Fields that only say yes or no; `flags_one_at_a_time` tells them apart.
const FLAGS: [&str; 7] = [
    "rkllm_init param.skip_special_token",
    "rkllm_init param.ignore_eos_token",
    "rkllm_init param.extend_param.embed_flash",
    "rkllm_init param.extend_param.use_cross_attn",
    "rkllm_run input[0].enable_thinking",
    "rkllm_run infer.keep_history",
    "rkllm_run infer.prompt_cache_params.save_prompt_cache",
];

/// What the fake may write where nobody set anything.
const UNSET: [&str; 3] = ["0", "null", "\"\""];

fn options(fake: Fake) -> NpuOptions {
    let sampling = NpuSampling::default()
        .with_top_k(17)
        .with_top_p(0.625)
        .with_temperature(0.375)
        .with_repeat_penalty(1.25)
        .with_frequency_penalty(-0.5)
        .with_presence_penalty(0.75)
        .with_mirostat(2, 4.5, 0.125);
    let options = NpuOptions::default()
        .with_context(1111)
        .with_max_new_tokens(222)
        .with_sampling(sampling)
        .with_n_keep(33)
        .with_skip_special_tokens(true)
        .with_base_domain(5)
        .with_embed_flash(true)
        .with_cpus([1, 4, 7])
        .with_cpu_count(6);
    let options = match fake {
        Fake::V1_2 => options.with_image_tags(MediaTags::new("<is>", "<ie>", "<ic>")),
        Fake::V1_3 => options
            .with_ignore_eos(true)
            .with_tokenizer(|_| Ok(vec![1]))
            .with_embedding(|_, _| Ok(())),
    };
    // SAFETY: the fake's sizes.
    unsafe {
        options.with_hidden_size_unchecked(HIDDEN).with_cross_attention(CrossAttentionSize {
            layers: 2,
            kv_heads: 2,
            head_dim: 4,
        })
    }
}

fn floats(count: usize, first: f32) -> Vec<f32> {
    (0..count).map(|i| first + i as f32).collect()
}

/// Sets everything there is to set.
fn set_everything(board: &Board, fake: Fake) {
    let mut model = board.load_with("", options(fake));
    model.load_lora(board.file("lora"), "adapter", 0.0625).unwrap();
    model.load_prompt_cache(board.file("loaded cache")).unwrap();
    model.set_chat_template("system", "prefix", "postfix").unwrap();
    model.set_function_tools("tool system", "[1]", "tag").unwrap();
    let state = CrossAttention {
        keys: floats(48, 1.0),
        values: floats(48, 100.0),
        mask: floats(3, 0.25),
        positions: vec![71, 72, 73],
    };
    model.set_cross_attention(state).unwrap();
    let mut run = RunOptions::default()
        .with_history(true)
        .with_lora("adapter")
        .with_prompt_cache(board.file("written cache"));
    let mut images = Images::new(floats(48, 0.5), 2, 3).with_size(392, 448);
    let mut media = Input::prompt("<image><image>");
    if fake == Fake::V1_3 {
        let sampling = NpuSampling::default()
            .with_top_k(19)
            .with_top_p(0.5625)
            .with_temperature(0.3125)
            .with_repeat_penalty(1.5)
            .with_frequency_penalty(-0.25)
            .with_presence_penalty(0.875)
            .with_mirostat(1, 3.5, 0.1875);
        run = run.with_sampling(sampling).with_max_new_tokens(44);
        images = images.with_tags(MediaTags::new("<a>", "<b>", "<c>"));
        let videos = Videos::new(
            floats(7 * 4 * 5 * HIDDEN, 9.0),
            7,
            4,
            5,
            MediaTags::new("<d>", "<e>", "<f>"),
        );
        media = Input::prompt("<image><image>".to_owned() + &"<video>".repeat(7))
            .with_videos(videos.with_size(224, 252));
    }
    let inputs = [
        Input::prompt("a text").with_role(Role::Tool).with_thinking(true),
        Input::tokens([5, 60, 7]),
        Input::embeddings(floats(2 * HIDDEN, 300.0)),
        media.with_images(images),
    ];
    for input in inputs {
        model.generate(input, &run).unwrap();
    }
    let logits = RunOptions::default().with_mode(Mode::Logits);
    model.run(Input::tokens([1, 2, 3, 4, 5, 6, 7]), &logits, |_| Flow::Pause).unwrap();
    model.clear_kv_ranges(&[4..6]).unwrap();
    model.clear_kv_cache(true).unwrap();
}

#[test]
fn what_is_handed_over_is_what_was_set() {
    for fake in BOTH {
        let board = Board::new(fake);
        set_everything(&board, fake);
        let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in board.record() {
            if let Some((field, value)) = line.split_once('=') {
                seen.entry(field.to_owned()).or_default().insert(value.to_owned());
            }
        }
        let fields = given(fake);
        assert!(fields.len() > 50, "the facts were read: {fields:#?}");
        // Values by struct and type of value: no two fields may share one, or they could be swapped.
        let mut owners: BTreeMap<(String, String), String> = BTreeMap::new();
        for field in &fields {
            if NOT_SET.iter().any(|(name, _)| name == field) {
                continue;
            }
            let values = seen.get(field).unwrap_or_else(|| panic!("{fake:?}: nobody sets {field}"));
            if field.ends_with(".reserved") {
                assert_eq!(*values, BTreeSet::from(["zero".to_owned()]), "{field}");
                continue;
            }
            let set = values.iter().find(|value| !UNSET.contains(&value.as_str()));
            let set = set.unwrap_or_else(|| panic!("{fake:?}: {field} is only ever {values:?}"));
            if set == "set" || FLAGS.contains(&field.as_str()) {
                continue;
            }
            let (owner, _) = field.rsplit_once(['.', ' ']).unwrap();
            // n_batch is 1 here; `fields::a_batch` has 3.
            if field.ends_with(".n_batch") {
                continue;
            }
            let before = owners.insert((owner.to_owned(), set.clone()), field.clone());
            assert_eq!(before, None, "{field} has the same value {set}");
        }
        board.assert_clean();
    }
}

/// The values themselves, of the fields that `fields` does not look at one by one.
#[test]
fn some_values_by_name() {
    for fake in BOTH {
        let board = Board::new(fake);
        set_everything(&board, fake);
        let mut expected = vec![
            "rkllm_init param.extend_param.enabled_cpus_num=6",
            "rkllm_init param.extend_param.enabled_cpus_mask=146",
            "rkllm_init param.extend_param.base_domain_id=5",
            "rkllm_init param.n_keep=33",
            "rkllm_run infer.mode=2",
            "rkllm_clear_kv_cache start_pos=[4]",
            "rkllm_clear_kv_cache end_pos=[6]",
            "rkllm_set_cross_attn_params cross_attn_params.num_tokens=3",
        ];
        if fake == Fake::V1_3 {
            expected.extend([
                "rkllm_run input[0].multimodal_input.video.n_frame_tokens=5",
                "rkllm_run input[0].multimodal_input.video.n_frame_per_video=4",
                "rkllm_run input[0].multimodal_input.video.n_video=7",
                "rkllm_run infer.sampling_params.mirostat_tau=3.5",
                "rkllm_run infer.max_new_tokens=44",
            ]);
        }
        board.assert_saw(&expected);
    }
}

/// One flag is set at a time, and no other moves.
#[test]
fn flags_one_at_a_time() {
    for fake in BOTH {
        let fields = given(fake);
        let known: Vec<&str> =
            FLAGS.iter().copied().filter(|flag| fields.contains(*flag)).collect();
        assert_eq!(known.len(), if fake == Fake::V1_2 { 6 } else { 7 });
        for flag in &known {
            let board = Board::new(fake);
            let on = |name: &str| flag.ends_with(name);
            let mut options = NpuOptions::default()
                .with_skip_special_tokens(on("skip_special_token"))
                .with_embed_flash(on("embed_flash"));
            if fake == Fake::V1_3 {
                options = options.with_ignore_eos(on("ignore_eos_token"));
            }
            if on("use_cross_attn") {
                let size = CrossAttentionSize { layers: 2, kv_heads: 2, head_dim: 4 };
                // SAFETY: the fake's size.
                options = unsafe { options.with_cross_attention(size) };
            }
            let mut model = board.load_with("", options);
            let mut run = RunOptions::default().with_history(on("keep_history"));
            if on("save_prompt_cache") {
                run = run.with_prompt_cache(board.file("cache"));
            }
            let input = Input::prompt("x").with_thinking(on("enable_thinking"));
            model.generate(input, &run).unwrap();
            let record = board.record();
            for other in &known {
                let is = record.iter().any(|line| *line == format!("{other}=1"));
                assert_eq!(is, other == flag, "{other} where {flag} was set");
            }
        }
    }
}

/// The other direction: every field of a result, told by the fake at the vendor's offset.
#[test]
fn what_the_runtime_tells() {
    for fake in BOTH {
        let mut fields = BTreeSet::new();
        leaves(&facts(fake), "RKLLMResult", "result", &mut fields);
        let mut checked = BTreeSet::new();
        let mut check = |name: &str, holds: bool| {
            assert!(holds, "{fake:?}: {name}");
            checked.insert(format!("result.{name}"));
        };
        let board = Board::new(fake);
        let mut model = board.load("tokens=3");
        let mut outputs = Vec::new();
        let report = model.run("hello", &RunOptions::default(), |output| {
            assert!(output.logits.is_none() && output.hidden_states.is_none());
            outputs.push((output.text.to_owned(), output.token));
            Flow::Continue
        });
        let perf = report.unwrap().performance.unwrap();
        check("text", outputs.iter().map(|(text, _)| text.as_str()).eq(["t0 ", "t1 ", "t2 "]));
        check("token_id", outputs.iter().map(|(_, id)| *id).eq([Some(100), Some(101), Some(102)]));
        check("perf.prefill_time_ms", perf.prefill_ms == 12.5);
        check("perf.prefill_tokens", perf.prefill_tokens == 5);
        check("perf.generate_time_ms", perf.generate_ms == 80.25);
        check("perf.generate_tokens", perf.generate_tokens == 3);
        check("perf.memory_usage_mb", perf.memory_mb == 456.75);
        for mode in [Mode::LastHiddenLayer, Mode::Logits] {
            let options = RunOptions::default().with_mode(mode);
            let mut found = None;
            model
                .run(Input::tokens([3, 5, 9]), &options, |output| {
                    let rows = match mode {
                        Mode::Logits => output.logits.unwrap(),
                        _ => output.hidden_states.unwrap(),
                    };
                    found = Some((rows.width(), rows.rows().len(), rows.values().to_vec()));
                    Flow::Continue
                })
                .unwrap();
            let (width, rows, values) = found.unwrap();
            if mode == Mode::Logits {
                check("logits.vocab_size", width == VOCAB);
                check("logits.num_tokens", rows == 3);
                check("logits.logits", values[4] == 2.0 && values[2 * VOCAB + 10] == 2.0);
            } else {
                check("last_hidden_layer.embd_size", width == HIDDEN);
                check("last_hidden_layer.num_tokens", rows == 3);
                check("last_hidden_layer.hidden_states", values[0] == 3.0 && values[23] == 9.875);
            }
        }
        assert_eq!(checked, fields, "{fake:?}");
        // And the sizes of the cache: 3 tokens of the last run, and nothing of those before.
        assert_eq!(model.kv_cache_sizes().unwrap(), [3]);
    }
}
