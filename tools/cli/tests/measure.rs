//! `eval`, `logits` and `generate` on a small model made on the spot, and what all that compute share.

mod common;

use std::fs;

use common::{Small, failure_of, json_of, numbers, rkllm, shared};
use safetensors::SafeTensors;
use serde_json::{Value, json};

#[test]
fn eval_reports_the_fixed_keys() {
    let small = Small::new();
    let mut command = rkllm();
    command.arg("eval").arg(small.model()).arg("--text").arg(small.text());
    let report = json_of(&mut command);
    let [perplexity, scored, window, _, _] =
        numbers(&report, ["perplexity", "tokens_scored", "window", "seconds", "tokens_per_s"]);
    assert!(perplexity > 1.0 && perplexity < 1e4);
    assert_eq!((scored, window), (300.0, 512.0));
    assert_eq!(report["dtype"], "f32");
    assert_eq!(report["method"], "windows");
    assert_eq!(report["tokens"], 300);
    assert!(
        ["scalar", "avx2", "avxvnni", "avx512vnni", "amx", "neon", "neon-i8mm"]
            .contains(&report["kernel"].as_str().unwrap())
    );
    let hash = report["logits_hash"].as_str().unwrap();
    assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
    assert!(report.get("divergence").is_none() && report.get("baseline").is_none());
}

#[test]
fn neither_threads_nor_chunks_nor_kernels_move_a_bit() {
    let small = Small::new();
    for dtype in ["f32", "w8a8", "w4a16_g32"] {
        let run = |extra: &[&str], kernel: &str| {
            let mut command = rkllm();
            command.arg("eval").arg(small.model()).arg("--text").arg(small.text());
            command.args(["--window", "64", "--dtype", dtype]).args(extra);
            command.env("RKLLM_KERNEL", kernel);
            let report = json_of(&mut command);
            assert_eq!(report["dtype"], dtype);
            if !kernel.is_empty() {
                assert_eq!(report["kernel"], kernel);
            }
            (report["logits_hash"].clone(), report["perplexity"].clone())
        };
        let first = run(&[], "");
        assert_eq!(run(&["--threads", "1"], "scalar"), first);
        assert_eq!(run(&["--threads", "3", "--prefill-chunk", "7"], ""), first);
        assert_eq!(run(&["--prefill-chunk", "1"], "scalar"), first);
        assert_eq!(run(&["--load", "copy"], ""), first);
    }
}

#[test]
fn a_kernel_that_cannot_run_is_refused() {
    let small = Small::new();
    let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    for kernel in [foreign, "mmx"] {
        let mut command = rkllm();
        command.arg("eval").arg(small.model()).arg("--text").arg(small.text());
        let said = failure_of(command.env("RKLLM_KERNEL", kernel), 1);
        assert!(said.contains("RKLLM_KERNEL") && said.contains(kernel), "{said}");
        assert!(said.contains("scalar"), "{said}");
    }
}

#[test]
fn the_methods_score_what_they_say() {
    let small = Small::new();
    let run = |args: &[&str]| {
        let mut command = rkllm();
        command.arg("eval").arg(small.model()).arg("--text").arg(small.text()).args(args);
        json_of(&mut command)
    };
    // 301 ids: 4 chunks of 64, 31 positions each.
    assert_eq!(run(&["--method", "llama", "--window", "64"])["tokens_scored"], 4 * 31);
    assert_eq!(run(&["--window", "7"])["tokens_scored"], 300);
    // Two characters and a space, or three and a space: "w?" words are cut by characters.
    let whole = fs::read_to_string(small.text()).unwrap();
    let report = run(&["--max-chars", "100"]);
    assert_eq!(report["characters"], 100);
    assert_eq!(report["tokens"], whole[..100].split_whitespace().count());

    let mut command = rkllm();
    command.arg("eval").arg(small.model()).arg("--text").arg(small.text());
    let said = failure_of(command.args(["--method", "llama"]), 1);
    assert!(said.contains("512") && said.contains("301"), "{said}");
}

#[test]
fn the_baseline_is_measured_beside() {
    let small = Small::new();
    let run = |args: &[&str]| {
        let mut command = rkllm();
        command.arg("eval").arg(small.model()).arg("--text").arg(small.text()).args(args);
        json_of(&mut command)
    };
    let report = run(&["--dtype", "w4a16", "--baseline"]);
    let divergence = &report["divergence"];
    let [mean, median, p99, max, top1, cosine, mse, mae] = numbers(
        divergence,
        ["kl_mean", "kl_median", "kl_p99", "kl_max", "top1", "cosine", "mse", "mae"],
    );
    assert!(0.0 < median && median <= p99 && p99 <= max && mean < max, "{divergence}");
    assert!(0.2 < top1 && top1 <= 1.0 && 0.5 < cosine && cosine < 1.0, "{divergence}");
    assert!(0.0 < mse && 0.0 < mae, "{divergence}");
    let alone = run(&["--dtype", "w4a16"]);
    assert_eq!(alone["logits_hash"], report["logits_hash"], "the same figures as without");
    assert_eq!(alone["perplexity"], report["perplexity"]);
    let float = run(&[]);
    assert_eq!(float["logits_hash"], report["baseline"]["logits_hash"]);

    let same = run(&["--kl"]);
    assert_eq!(same["divergence"]["kl_max"], 0.0);
    assert_eq!(same["divergence"]["top1"], 1.0);
}

#[test]
fn texts_that_cannot_be_evaluated_are_refused() {
    let small = Small::new();
    let eval = |bytes: &[u8]| {
        let path = small.path("bad.txt");
        fs::write(&path, bytes).unwrap();
        let said = failure_of(rkllm().arg("eval").arg(small.model()).arg("--text").arg(&path), 1);
        assert!(said.contains("bad.txt"), "{said}");
        said
    };
    assert!(eval(b"").contains("empty"));
    assert!(eval(b"w1 w2 \xff w3").contains("UTF-8"));
    let mut command = rkllm();
    command.arg("eval").arg(small.model()).arg("--text").arg(small.path("absent.txt"));
    assert!(failure_of(&mut command, 1).contains("absent.txt"));
    // Nothing but separators has no tokens.
    fs::write(small.path("blank.txt"), "  \n ").unwrap();
    let mut command = rkllm();
    command.arg("eval").arg(small.model()).arg("--text").arg(small.path("blank.txt"));
    assert!(failure_of(&mut command, 1).contains("no tokens"));
}

#[test]
fn models_that_are_not_there_or_broken_are_refused_with_the_path() {
    let small = Small::new();
    let said = failure_of(rkllm().args(["bench", "no/such/model"]), 1);
    assert!(said.contains("no/such/model") && said.contains("check the path"), "{said}");
    fs::remove_file(small.model().join("tokenizer.json")).unwrap();
    let mut command = rkllm();
    command.arg("eval").arg(small.model()).arg("--text").arg(small.text());
    assert!(failure_of(&mut command, 1).contains("tokenizer.json"));
    let weights = small.model().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let said = failure_of(rkllm().arg("bench").arg(small.model()), 1);
    assert!(said.contains("model.safetensors"), "{said}");
    fs::write(small.model().join("config.json"), "{").unwrap();
    assert!(failure_of(rkllm().arg("bench").arg(small.model()), 1).contains("config.json"));
}

#[test]
fn logits_are_written_whole_or_not_at_all() {
    let small = Small::new();
    let before = small.names();
    let out = small.path("out.safetensors");
    let logits = |extra: &[&str]| {
        let mut command = rkllm();
        command.arg("logits").arg(small.model()).arg("-o").arg(&out);
        command.args(["--tokens", "1,5,9,2,60"]).args(extra);
        command
    };
    let report = json_of(&mut logits(&["--dtype", "w8a8"]));
    assert_eq!((&report["tokens"], &report["vocab_size"]), (&json!(5), &json!(64)));
    let bytes = fs::read(&out).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("logits").unwrap();
    assert_eq!((tensor.shape(), tensor.dtype()), (&[5, 64][..], safetensors::Dtype::F32));
    assert_eq!(file.names().len(), 1);
    let mut hash = rkllm::eval::LogitsHash::default();
    let values: Vec<f32> =
        tensor.data().as_chunks().0.iter().map(|&v| f32::from_le_bytes(v)).collect();
    hash.update(&values);
    assert_eq!(report["logits_hash"], hash.to_string());
    assert!(values.iter().all(|value| value.is_finite()));
    // Replaced by the next run, in whatever chunks.
    let again = json_of(&mut logits(&["--dtype", "w8a8", "--prefill-chunk", "2"]));
    assert_eq!(again["logits_hash"], report["logits_hash"]);

    let old = fs::read(&out).unwrap();
    let mut command = rkllm();
    command.arg("logits").arg(small.model()).args(["--tokens", "1,64", "-o"]).arg(&out);
    let said = failure_of(&mut command, 1);
    assert!(said.contains("64"), "{said}");
    assert_eq!(fs::read(&out).unwrap(), old, "a failed run leaves the file alone");
    fs::remove_file(&out).unwrap();
    assert_eq!(small.names(), before, "nothing is left behind");
    let absent = small.path("no/such/folder/out.safetensors");
    let mut command = rkllm();
    command.arg("logits").arg(small.model()).args(["--tokens", "1", "-o"]).arg(&absent);
    assert!(failure_of(&mut command, 1).contains("no/such/folder"));
    let mut command = rkllm();
    command.arg("logits").arg(small.model()).args(["--tokens", "1", "-o"]).arg(small.model());
    assert!(failure_of(&mut command, 1).contains("directory"));
}

#[test]
fn threads_are_the_environments_unless_given() {
    let small = Small::new();
    let bench = |variable: &str, extra: &[&str]| {
        let mut command = rkllm();
        command.env("RKLLM_THREADS", variable).arg("bench").arg(small.model());
        command.args(["--prompt", "2", "--generate", "0", "--repeat", "1"]).args(extra);
        command
    };
    assert_eq!(json_of(&mut bench("3", &[]))["threads"], 3);
    assert_eq!(json_of(&mut bench("3", &["--threads", "2"]))["threads"], 2);
    assert!(json_of(&mut bench("", &[]))["threads"].as_u64().unwrap() >= 1);
    for wrong in ["0", "many", "-1", "100000"] {
        let said = failure_of(&mut bench(wrong, &[]), 2);
        assert!(said.contains("RKLLM_THREADS") && said.contains("1 to 1024"), "{said}");
    }
}

#[test]
fn verbose_says_where_it_computes_and_what_it_takes() {
    let small = Small::new();
    let mut command = rkllm();
    command.arg("generate").arg(small.model()).args(["--prompt", "w1 w2", "--max-tokens", "2"]);
    let plain = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(!plain.contains("KV cache"), "{plain}");
    let said = String::from_utf8(command.arg("--verbose").output().unwrap().stderr).unwrap();
    for part in ["thread", "KV cache", "tokenizer"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn every_command_that_computes_is_verbose() {
    let small = Small::new();
    let (out, logits) = (small.path("out"), small.path("logits.safetensors"));
    let mut convert = rkllm();
    convert.arg("convert").arg(small.model()).args(["--dtype", "w8a8", "-o"]).arg(out);
    let mut eval = rkllm();
    eval.arg("eval").arg(small.model()).arg("--text").arg(small.text());
    let mut write = rkllm();
    write.arg("logits").arg(small.model()).args(["--tokens", "3,4", "-o"]).arg(logits);
    let mut bench = rkllm();
    bench.arg("bench").arg(small.model()).args(["--prompt", "2", "--generate", "0"]);
    for (command, plans) in [(convert, false), (eval, true), (write, true), (bench, true)] {
        let mut command = command;
        let output = command.args(["--verbose", "--json", "--threads", "2"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("2 threads"), "{said}");
        assert_eq!(said.contains("KV cache"), plans, "{said}");
        serde_json::from_slice::<Value>(&output.stdout).expect("one document all the same");
    }
}

/// A wrong number hinders nothing that does not compute.
#[test]
fn threads_are_not_asked_for_where_nothing_computes() {
    let small = Small::new();
    let mut command = rkllm();
    command.env("RKLLM_THREADS", "many").arg("inspect").arg(small.model());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn generate_streams_the_text_that_json_reports() {
    let small = Small::new();
    let generate = |extra: &[&str]| {
        let mut command = rkllm();
        command.arg("generate").arg(small.model()).args(["--prompt", "w1 w2 w3"]);
        command.args(["--max-tokens", "12", "--greedy"]).args(extra);
        command
    };
    let report = json_of(&mut generate(&[]));
    let tokens = report["tokens"].as_array().unwrap();
    assert!(!tokens.is_empty() && tokens.len() <= 12, "{report:#}");
    assert_eq!(report["prompt_tokens"], json!([4, 5, 6]));
    assert!(["eos", "max_tokens"].contains(&report["stop"].as_str().unwrap()));
    let output = generate(&[]).output().unwrap();
    let streamed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(streamed.trim_end_matches('\n'), report["text"].as_str().unwrap());
    // A prompt without a token begins with BOS.
    let mut command = rkllm();
    command.arg("generate").arg(small.model()).args(["--prompt", "", "--max-tokens", "1"]);
    assert_eq!(json_of(&mut command)["prompt_tokens"], json!([1]));
}

#[test]
fn generate_runs_an_adapter_beside_the_weights() {
    let small = Small::new();
    let adapter = small.adapter();
    let generate = |extra: &[&str]| {
        let mut command = rkllm();
        command.arg("generate").arg(small.model()).args(["--prompt", "w1 w2 w3", "--greedy"]);
        command.args(["--max-tokens", "12", "--dtype", "w8a8"]).args(extra);
        command
    };
    let lora = ["--lora", adapter.to_str().unwrap()];
    let plain = json_of(&mut generate(&[]));
    assert_ne!(json_of(&mut generate(&lora))["tokens"], plain["tokens"]);
    let off = json_of(&mut generate(&[&lora[..], &["--lora-scale", "0"]].concat()));
    assert_eq!(off["tokens"], plain["tokens"]);

    let model = small.model();
    let said = failure_of(&mut generate(&["--lora", model.to_str().unwrap()]), 1);
    assert!(said.contains("adapter_config.json"), "{said}");
    failure_of(&mut generate(&["--lora-scale", "2"]), 2);
}

#[test]
fn generate_samples_as_it_is_told() {
    let small = Small::new();
    let run = |extra: &[&str]| {
        let mut command = rkllm();
        command.arg("generate").arg(small.model()).args(["--prompt", "w1 w2 w3"]);
        command.args(["--max-tokens", "12"]).args(extra);
        command
    };
    let sampled = ["--temperature", "1.5", "--top-k", "40", "--top-p", "0.95", "--min-p", "0.01"];
    let report = |seed: &str| json_of(&mut run(&[&sampled[..], &["--seed", seed]].concat()));
    let first = report("7");
    assert_eq!(first["seed"], 7);
    assert_eq!(report("7")["tokens"], first["tokens"]);
    assert_ne!(report("8")["tokens"], first["tokens"]);
    // A seed nobody gave is told, and gives the same again.
    let free = json_of(&mut run(&sampled));
    assert_eq!(report(&free["seed"].to_string())["tokens"], free["tokens"]);
    // Penalties alone stay greedy.
    let penalties =
        ["--repeat-penalty", "1.3", "--frequency-penalty", "-0.2", "--presence-penalty", "0.4"];
    let penalised = json_of(&mut run(&penalties));
    assert!(penalised["seed"].is_null(), "{penalised:#}");
    assert_eq!(json_of(&mut run(&penalties))["tokens"], penalised["tokens"]);
    let stopped = json_of(&mut run(&["--stop", " "]));
    assert_eq!(stopped["stop"], "stop_string");
    assert!(!stopped["text"].as_str().unwrap().contains(' '), "{stopped:#}");

    let said = failure_of(&mut run(&["--temperature", "nan"]), 1);
    assert!(said.contains("temperature"), "{said}");
    let said = failure_of(&mut run(&["--top-k", "0"]), 1);
    assert!(said.contains("top_k") && said.contains("at least 1"), "{said}");
    failure_of(&mut run(&["--greedy", "--seed", "7"]), 2);
}

#[test]
fn generate_says_what_it_is_bound_to() {
    let Some(model) = shared("models/fisica-19m") else { return };
    let dir = tempfile::tempdir().unwrap();
    let schema = dir.path().join("schema.json");
    let run = |extra: &[&str]| {
        let mut command = rkllm();
        command.arg("generate").arg(&model).args(["--prompt", "La tensión es ", "--seed", "7"]);
        command.args(["--max-tokens", "60"]).args(extra);
        command
    };
    let report = json_of(&mut run(&["--regex", "(¡|¿)[A-Z][a-zé]{2,5}: [0-9]{1,3} (V|mV)"]));
    assert_eq!(report["stop"], "complete", "{report:#}");
    let text = report["text"].as_str().unwrap();
    assert!(text.starts_with(['¡', '¿']) && text.ends_with('V') && text.contains(": "), "{text}");

    std::fs::write(
        &schema,
        r#"{"type": "object", "properties": {"value": {"type": "integer", "minimum": 0, "maximum": 99},
            "unit": {"enum": ["V", "mV"]}}, "required": ["value", "unit"], "additionalProperties": false}"#,
    )
    .unwrap();
    let file = schema.to_str().unwrap();
    let report = json_of(&mut run(&["--json-schema", file]));
    assert_eq!(report["stop"], "complete", "{report:#}");
    let value: serde_json::Value = serde_json::from_str(report["text"].as_str().unwrap()).unwrap();
    assert!(value["value"].as_u64().is_some_and(|value| value < 100), "{value}");
    assert!(["V", "mV"].contains(&value["unit"].as_str().unwrap()), "{value}");

    let said = failure_of(&mut run(&["--regex", "(a"]), 1);
    assert!(said.contains("regular expression") && said.contains("unclosed"), "{said}");
    std::fs::write(&schema, r#"{"type": "array", "uniqueItems": true}"#).unwrap();
    let said = failure_of(&mut run(&["--json-schema", file]), 1);
    assert!(said.contains("uniqueItems"), "{said}");
    std::fs::write(&schema, "{").unwrap();
    let said = failure_of(&mut run(&["--json-schema", file]), 1);
    assert!(said.contains("schema.json") && said.contains("not JSON"), "{said}");
    let said = failure_of(&mut run(&["--json-schema", "none.json"]), 1);
    assert!(said.contains("none.json"), "{said}");
    failure_of(&mut run(&["--json-schema", file, "--regex", "a"]), 2);
}
