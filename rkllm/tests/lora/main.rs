//! LoRA adapters beside the weights of a model.

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod made;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Run, bits, data, difference, logits, weights};
use made::Made;
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::kernels::Kernel;
use rkllm::model::{Load, Lora, ModelWeights};
use rkllm::{Backend, ErrorKind, Want};
use safetensors::tensor::Dtype;

/// f32 checkpoints of every architecture; Phi-3 has fused projections.
const MODELS: [&str; 6] = [
    "llama-bias",
    "llama-gelu-tanh",
    "mistral-sliding-window",
    "qwen2-odd-sizes",
    "qwen3-bias-head-dim",
    "phi3-longrope-long",
];

fn golden(name: &str) -> PathBuf {
    data(&format!("golden/{name}"))
}

fn tokens(vocab: usize, count: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * i * 31 + i * 7 + 3) % vocab) as u32).collect()
}

fn every_module(_: &str) -> bool {
    true
}

fn engine(weights: &Arc<ModelWeights>, context: usize, run: Run) -> Engine {
    let options = EngineOptions { threads: run.threads, context, prefill_chunk: run.chunk };
    Engine::with_kernel(Arc::clone(weights), options, run.kernel).unwrap()
}

/// Logits of every token in a new sequence.
fn all(engine: &mut Engine, tokens: &[u32]) -> Vec<f32> {
    engine.reset();
    let mut all = Vec::new();
    engine
        .forward(tokens, Want::All, &mut |_, logits| {
            all.extend_from_slice(logits);
            Ok(())
        })
        .unwrap();
    all
}

fn adapted(
    weights: &Arc<ModelWeights>,
    dir: &Path,
    scale: f32,
    tokens: &[u32],
    run: Run,
) -> Vec<f32> {
    let mut engine = engine(weights, tokens.len(), run);
    engine.load_lora("made", dir, scale).unwrap();
    engine.set_lora(Some("made")).unwrap();
    all(&mut engine, tokens)
}

#[test]
fn an_adapter_is_the_merged_model() {
    for (index, name) in MODELS.into_iter().enumerate() {
        let dtype = [Dtype::F32, Dtype::F16, Dtype::BF16][index % 3];
        let (base, rank) = (golden(name), [1, 3, 8, 16, 20, 5][index]);
        let (dir, merged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = Made::new(&base, rank, dtype, index as u64, every_module);
        let adapter = made.write(dir.path());
        let strength = [1.0, 0.5, -0.75][index % 3];
        made.merge(&base, merged.path(), 2.0 * strength);

        let stored = weights(&base, None);
        let tokens = tokens(stored.config.vocab_size, 23);
        let plain = logits(&stored, &tokens, Run::plain());
        let ours = adapted(&stored, &adapter, strength, &tokens, Run::plain());
        let theirs = logits(&weights(merged.path(), None), &tokens, Run::plain());
        let (max, mean) = difference(&ours, &theirs);
        let (moved, _) = difference(&plain, &theirs);
        println!(
            "{name:24} rank {rank:2} {dtype:?}: max {max:.2e} mean {mean:.2e}, moved {moved:.2e}"
        );
        assert!(moved > 0.02, "{name}: the adapter does nothing");
        assert!(max < 2e-5 * moved.max(1.0), "{name}: {max:e}");
    }
}

/// `alpha / sqrt(r)` instead of `alpha / r`.
#[test]
fn rank_stabilised_scaling() {
    let base = golden("llama-f32");
    let made = Made::new(&base, 16, Dtype::F32, 5, |name| name.ends_with("q_proj"));
    let (dir, merged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut config = made.config();
    config["use_rslora"] = true.into();
    made::write(dir.path(), &config, &made.tensors());
    made.merge(&base, merged.path(), (made.alpha / 4.0) as f32);
    let stored = weights(&base, None);
    let tokens = tokens(stored.config.vocab_size, 12);
    let ours = adapted(&stored, dir.path(), 1.0, &tokens, Run::plain());
    let theirs = logits(&weights(merged.path(), None), &tokens, Run::plain());
    let (max, _) = difference(&ours, &theirs);
    assert!(max < 2e-5, "{max:e}");
}

#[test]
fn one_set_of_bits_whatever_kernel_threads_and_chunks() {
    for name in MODELS {
        let dir = tempfile::tempdir().unwrap();
        let made = Made::new(&golden(name), 6, Dtype::F16, 3, every_module);
        let adapter = made.write(dir.path());
        for scheme in ["f32", "w8a8", "w4a16"] {
            let weights = weights(&golden(name), Some(scheme.parse().unwrap()));
            let tokens = tokens(weights.config.vocab_size, 37);
            let scalar = Run { kernel: Kernel::by_name("scalar").unwrap(), ..Run::plain() };
            let expected = bits(&adapted(&weights, &adapter, 1.0, &tokens, scalar));
            for kernel in Kernel::available() {
                for (threads, chunk) in [(1, 1), (2, 7), (3, 20), (4, usize::MAX)] {
                    let run = Run { kernel, threads, chunk };
                    let got = bits(&adapted(&weights, &adapter, 1.0, &tokens, run));
                    assert!(got == expected, "{name} {scheme}: {run:?}");
                }
            }
        }
    }
}

#[test]
fn the_last_position_alone_is_the_last_of_all() {
    for name in MODELS {
        let dir = tempfile::tempdir().unwrap();
        let adapter = Made::new(&golden(name), 6, Dtype::F32, 4, every_module).write(dir.path());
        let weights = weights(&golden(name), Some("w8a8".parse().unwrap()));
        let tokens = tokens(weights.config.vocab_size, 29);
        let run = Run { threads: 2, chunk: 12, ..Run::plain() };
        let expected = adapted(&weights, &adapter, 1.0, &tokens, run);
        let mut engine = engine(&weights, tokens.len(), run);
        engine.load_lora("made", &adapter, 1.0).unwrap();
        engine.set_lora(Some("made")).unwrap();
        let mut last = Vec::new();
        let mut keep = |position: usize, logits: &[f32]| {
            assert_eq!(position, tokens.len() - 1);
            last.extend_from_slice(logits);
            Ok(())
        };
        engine.forward(&tokens, Want::Last, &mut keep).unwrap();
        assert_eq!(bits(&last), bits(&expected[expected.len() - last.len()..]), "{name}");
    }
}

/// Beside quantised weights the adapter does what it does beside floats: quantisation alone remains.
#[test]
fn an_adapter_of_a_quantised_model() {
    for name in ["llama-f32", "phi3-longrope-long"] {
        let base = golden(name);
        let (dir, merged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = Made::new(&base, 8, Dtype::F32, 9, |name| name.contains("proj"));
        let adapter = made.write(dir.path());
        made.merge(&base, merged.path(), 2.0);
        let stored = weights(&base, None);
        let tokens = tokens(stored.config.vocab_size, 16);
        let float = logits(&stored, &tokens, Run::plain());
        let float_adapted = logits(&weights(merged.path(), None), &tokens, Run::plain());
        for scheme in ["w8a8", "w4a16"] {
            let quantised = weights(&base, Some(scheme.parse().unwrap()));
            let (_, without) = difference(&logits(&quantised, &tokens, Run::plain()), &float);
            let ours = adapted(&quantised, &adapter, 1.0, &tokens, Run::plain());
            let (_, with) = difference(&ours, &float_adapted);
            let (_, moved) = difference(&float, &float_adapted);
            println!(
                "{name} {scheme}: mean error {without:.2e} without, {with:.2e} with, moved {moved:.2e}"
            );
            assert!(with < 2.0 * without && with < moved, "{name} {scheme}");
        }
    }
}

#[test]
fn adapters_are_switched_on_and_off() {
    let (base, first, second) =
        (golden("llama-bias"), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Made::new(&base, 4, Dtype::F32, 1, every_module).write(first.path());
    Made::new(&base, 8, Dtype::BF16, 2, |name| name.ends_with("v_proj")).write(second.path());
    let weights = weights(&base, Some("w8a8".parse().unwrap()));
    let tokens = tokens(weights.config.vocab_size, 14);
    let plain = bits(&logits(&weights, &tokens, Run::plain()));
    let one = bits(&adapted(&weights, first.path(), 1.0, &tokens, Run::plain()));
    let two = bits(&adapted(&weights, second.path(), 1.0, &tokens, Run::plain()));
    assert!(plain != one && plain != two && one != two);

    let mut engine = engine(&weights, tokens.len(), Run::plain());
    let fingerprint = engine.fingerprint();
    engine.load_lora("one", first.path(), 1.0).unwrap();
    engine.load_lora("two", second.path(), 1.0).unwrap();
    engine.load_lora("nothing", first.path(), 0.0).unwrap();
    assert_eq!(engine.loras().collect::<Vec<_>>(), ["one", "two", "nothing"]);
    assert_eq!((engine.lora(), engine.fingerprint()), (None, fingerprint));
    for (name, expected) in [
        (None, &plain),
        (Some("one"), &one),
        (Some("two"), &two),
        (Some("nothing"), &plain),
        (Some("one"), &one),
        (None, &plain),
    ] {
        engine.set_lora(name).unwrap();
        assert_eq!(engine.lora(), name);
        assert_eq!(engine.fingerprint() == fingerprint, name.is_none());
        assert!(bits(&all(&mut engine, &tokens)) == *expected, "{name:?}");
    }

    engine.set_lora(Some("two")).unwrap();
    let error = engine.set_lora(Some("three")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("one, two, nothing"), "{error}");
    assert_eq!(engine.load_lora("one", second.path(), 1.0).unwrap_err().kind(), ErrorKind::Input);
    let error = engine.load_lora("nan", second.path(), f32::NAN).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(engine.remove_lora("one") && !engine.remove_lora("one"));
    assert_eq!(engine.lora(), Some("two"));
    assert!(bits(&all(&mut engine, &tokens)) == two);
    assert!(engine.remove_lora("two"));
    assert!(engine.lora().is_none() && bits(&all(&mut engine, &tokens)) == plain);
}

/// Positions fed before a switch stay as they were computed.
#[test]
fn a_switch_takes_hold_of_what_comes_after_it() {
    let (base, dir) = (golden("qwen2-odd-sizes"), tempfile::tempdir().unwrap());
    Made::new(&base, 4, Dtype::F32, 1, every_module).write(dir.path());
    let weights = weights(&base, None);
    let tokens = tokens(weights.config.vocab_size, 9);
    let plain = logits(&weights, &tokens, Run::plain());
    let whole = adapted(&weights, dir.path(), 1.0, &tokens, Run::plain());
    let mut engine = engine(&weights, tokens.len(), Run::plain());
    engine.load_lora("made", dir.path(), 1.0).unwrap();
    let before = all(&mut engine, &tokens[..5]);
    assert_eq!(bits(&before), bits(&plain[..before.len()]));
    engine.set_lora(Some("made")).unwrap();
    let mut after = Vec::new();
    engine
        .forward(&tokens[5..], Want::All, &mut |_, logits| {
            after.extend_from_slice(logits);
            Ok(())
        })
        .unwrap();
    assert_ne!(bits(&after), bits(&plain[before.len()..]));
    assert_ne!(bits(&after), bits(&whole[before.len()..]));
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Made::new(&golden("llama-bias"), 4, Dtype::F32, 1, every_module).write(dir.path());
    let own = weights(&golden("llama-bias"), None);
    let lora = Arc::new(Lora::open(dir.path(), &own.config, Load::Map).unwrap());
    for name in ["qwen2-odd-sizes", "qwen3-bias-head-dim"] {
        let other = weights(&golden(name), None);
        let mut engine = engine(&other, 4, Run::plain());
        let error = engine.add_lora("x", Arc::clone(&lora), 1.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape, "{name}");
        let error = engine.load_lora("x", dir.path(), 1.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape, "{name}");
        assert_eq!(engine.loras().len(), 0);
    }
    // The modules of one that fuses its projections have other names.
    let fused = weights(&golden("phi3-longrope-long"), None);
    let error = Lora::open(dir.path(), &fused.config, Load::Map).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let mut engines = [engine(&own, 4, Run::plain()), engine(&own, 4, Run::plain())];
    for engine in &mut engines {
        engine.add_lora("shared", Arc::clone(&lora), 1.0).unwrap();
    }
}
