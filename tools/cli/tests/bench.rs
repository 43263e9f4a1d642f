//! `bench` of a small model made on the spot, and of the kernels.

mod common;

use std::fs;

use common::{Small, failure_of, json_of, numbers, rkllm};
use serde_json::{Value, json};

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
