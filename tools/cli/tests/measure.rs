//! `eval`, `logits`, `bench` and `generate` on a small model made on the spot.

mod common;

use std::fs;

use common::{Small, failure_of, json_of, rkllm, shared};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// Keys of the object that are numbers.
fn numbers<const N: usize>(value: &Value, keys: [&str; N]) -> [f64; N] {
    keys.map(|key| value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value:#}")))
}

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
fn bench_reports_the_fixed_keys_and_needs_no_tokenizer() {
    let small = Small::new();
    fs::remove_file(small.model().join("tokenizer.json")).unwrap();
    let mut command = rkllm();
    command.arg("bench").arg(small.model());
    command.args(["--prompt", "16", "--generate", "4", "--threads", "2", "--repeat", "3"]);
    let report = json_of(command.args(["--dtype", "w8a8"]));
    let figures = numbers(
        &report,
        ["prefill_tokens_per_s", "decode_tokens_per_s", "ttft_ms_p50", "load_ms", "weight_bytes"],
    );
    assert!(figures.iter().all(|&figure| figure > 0.0), "{report:#}");
    if cfg!(target_os = "linux") {
        assert!(report["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
    }
    assert_eq!((&report["dtype"], &report["threads"]), (&json!("w8a8"), &json!(2)));
    assert_eq!(report["quantized_in_memory"], true);
    assert_eq!((&report["context"], &report["prefill_chunk"]), (&json!(20), &json!(512)));
    assert_eq!(report["first_token_ms"], Value::Null, "the first run was warm-up");
    assert_eq!(report["tokenizer"], Value::Null);
    assert!(report["placement"].as_str().unwrap().starts_with("2 threads"), "{report:#}");
    // 2 layers, keys and values of 2 heads of 16 values, f16, 20 positions; keys in blocks of 16.
    assert_eq!(report["memory"]["kv_cache"], 2 * 32 * 2 * (32 + 20));
    for key in ["prefill_tokens_per_s", "decode_tokens_per_s", "ttft_ms"] {
        assert_eq!(report["samples"][key]["values"].as_array().unwrap().len(), 3, "{key}");
    }
    // 2 layers of int8 matrices with an f32 scale per row, norms, an f16 embedding and an int8 head.
    let rows = 2 * (64 + 32 + 32 + 64 + 128 + 128 + 64);
    let matrices = 2 * (64 * 64 * 2 + 32 * 64 * 2 + 128 * 64 * 3);
    let expected = matrices + rows * 4 + 5 * 64 * 4 + 64 * 64 * 2 + 64 * 64 + 64 * 4;
    assert_eq!(report["weight_bytes"], expected);
}

#[test]
fn bench_plans_for_the_context_and_times_from_the_start() {
    let small = Small::new();
    let bench = |extra: &[&str]| {
        let mut command = rkllm();
        command.arg("bench").arg(small.model()).args(["--prompt", "8", "--generate", "1"]);
        command.args(["--repeat", "1", "--warmup", "0", "--dtype", "w8a8"]).args(extra);
        command
    };
    let report = json_of(&mut bench(&["--context", "200", "--tokenizer"]));
    assert_eq!(report["memory"]["kv_cache"], 2 * 32 * 2 * (208 + 200));
    let first = report["first_token_ms"].as_f64().unwrap();
    let parts = report["load_ms"].as_f64().unwrap() + report["ttft_ms_p50"].as_f64().unwrap();
    assert!(first > parts, "{first} {parts}");
    assert!(report["tokenizer"]["load_ms"].as_f64().unwrap() > 0.0);
    let output = bench(&["--context", "200"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["thread", "KV cache", "activations", "program start to first token"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    failure_of(&mut bench(&["--context", "8"]), 2);
    fs::remove_file(small.model().join("tokenizer.json")).unwrap();
    let said = failure_of(&mut bench(&["--tokenizer"]), 1);
    assert!(said.contains("tokenizer.json"), "{said}");
}

#[test]
fn bench_times_every_kernel_of_the_program() {
    let mut command = rkllm();
    let report = json_of(command.args(["bench", "--kernels", "--quick", "--threads", "2"]));
    assert_eq!((&report["threads"], &report["quick"]), (&json!(2), &json!(true)));
    assert_eq!((&report["limits"], &report["profile"]), (&json!(false), &Value::Null));
    for key in ["read_gb_per_s", "fork_us", "fork_after_sleep_us"] {
        let [median, min, p99, max] =
            ["median", "min", "p99", "max"].map(|name| report[key][name].as_f64().unwrap());
        assert!(0.0 < min && min <= median && median <= p99 && p99 <= max, "{key}: {report:#}");
    }
    let kernels = report["kernels"].as_array().unwrap();
    let names: Vec<&str> = kernels.iter().map(|kernel| kernel["name"].as_str().unwrap()).collect();
    assert_eq!(names, rkllm::kernels::Kernel::names(), "in the program's order");
    let here: Vec<&str> =
        rkllm::kernels::Kernel::available().iter().map(|kernel| kernel.name()).collect();
    assert_eq!(kernels.iter().filter(|kernel| kernel["active"] == true).count(), 1);
    for kernel in kernels {
        let layers = kernel["layers"].as_array().unwrap();
        if !here.contains(&kernel["name"].as_str().unwrap()) {
            assert!(kernel["unavailable"].as_str().is_some_and(|why| !why.is_empty()), "{kernel}");
            assert!(layers.is_empty() && kernel["active"] == false, "{kernel}");
            continue;
        }
        assert_eq!(kernel["unavailable"], Value::Null);
        let kinds: Vec<(&str, bool)> = layers
            .iter()
            .map(|layer| (layer["scheme"].as_str().unwrap(), layer["m"] == 1))
            .collect();
        let expected =
            [("w8a8", true), ("w8a8", false), ("w4a16_g128", true), ("w4a16_g128", false)];
        assert_eq!(kinds, expected);
        for layer in layers {
            assert!(layer["us"]["median"].as_f64().unwrap() > 0.0);
            assert!(layer["gmacs_per_s"].as_f64().unwrap() > 0.0);
            assert_eq!(layer["of_read_bandwidth"].is_f64(), layer["m"] == 1, "{layer}");
        }
    }
    let output = rkllm().args(["bench", "--kernels", "--quick"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["read bandwidth", "fork and join", "scalar", "cannot run here", "the one in use"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn bench_measures_the_limits_alone() {
    let limits = ["bench", "--kernels", "--limits", "--buffer", "1048576", "--threads", "2"];
    let report = json_of(rkllm().args(limits));
    assert_eq!((&report["limits"], &report["quick"]), (&json!(true), &json!(false)));
    assert_eq!(report["buffer_bytes"], 1 << 20);
    assert!(report["read_gb_per_s"]["median"].as_f64().unwrap() > 0.0);
    assert!(report["read_pattern"].as_str().unwrap().contains("streams a thread"), "{report:#}");
    let kernels = report["kernels"].as_array().unwrap();
    assert_eq!(kernels.len(), rkllm::kernels::Kernel::names().len());
    for kernel in kernels {
        assert_eq!(kernel["layers"], json!([]), "{kernel}");
        if cfg!(target_arch = "x86_64") && kernel["name"] == "scalar" {
            assert!(kernel["peak_gmacs_per_s"].as_f64().unwrap() > 0.0, "{kernel}");
        }
    }
}

#[test]
fn bench_says_where_the_time_goes() {
    let small = Small::new();
    let bench = |extra: &[&str]| {
        let mut command = rkllm();
        command.arg("bench").arg(small.model()).args(["--repeat", "1", "--dtype", "w8a8"]);
        command.args(["--profile", "--threads", "2"]).args(extra);
        command
    };
    let report = json_of(&mut bench(&["--prompt", "16", "--generate", "4"]));
    for (phase, tokens) in [("prefill", 16), ("decode", 4)] {
        let phase = &report["profile"][phase];
        let seconds = |key: &str| phase[key].as_f64().unwrap();
        assert_eq!(phase["tokens"], tokens);
        let parts = ["qkv", "attention_output", "gate_up", "down", "lm_head"].map(seconds);
        assert!(parts.iter().all(|&part| part > 0.0), "{phase}");
        assert!((parts.iter().sum::<f64>() - seconds("products")).abs() < 1e-9, "{phase}");
        assert!(seconds("rest") > 0.0 && seconds("products") < seconds("seconds"), "{phase}");
    }
    let report = json_of(&mut bench(&["--prompt", "0", "--generate", "2"]));
    assert_eq!(report["profile"]["prefill"], Value::Null);
    let output = bench(&["--prompt", "16", "--generate", "0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("time of prefill") && !text.contains("time of decode"), "{text}");
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
