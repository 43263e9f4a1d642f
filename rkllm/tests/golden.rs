//! Whole models against logits of transformers.

mod common;

use std::path::Path;

use common::{Golden, Run, data, difference, logits, shared, weights};

/// Random-weight models give logits of order 1; both sides add in different orders.
const FLOAT_BAR: f32 = 2e-5;

fn float_difference(dir: &Path) -> (f32, f32) {
    let golden = Golden::open(&dir.join("golden.safetensors"));
    let ours = logits(&weights(dir, None), &golden.ids, Run::plain());
    difference(&ours, &golden.floats("logits"))
}

#[test]
fn odd_shapes_and_every_rope() {
    let mut cases: Vec<_> = std::fs::read_dir(data("golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("golden.safetensors").exists())
        .collect();
    cases.sort();
    assert!(cases.len() >= 40, "only {} golden models", cases.len());
    let mut failed = Vec::new();
    for dir in &cases {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        let (max, mean) = float_difference(dir);
        println!("{name:40} max {max:.2e} mean {mean:.2e}");
        if max > FLOAT_BAR {
            failed.push(format!("{name}: {max:e}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn architectures_in_f32() {
    for name in ["llama", "llama3rope", "qwen2", "qwen3", "phi3", "mistral"] {
        let Some(dir) = shared(&format!("golden/{name}")) else { return };
        let (max, mean) = float_difference(&dir);
        println!("{name:12} max {max:.2e} mean {mean:.2e}");
        assert!(max <= FLOAT_BAR, "{name}: max difference {max:e}");
    }
}

/// int4 weights with 16-bit activations come close to the library's float activations.
#[test]
fn compressed_tensors_w4a16() {
    for name in ["ct-w4a16-g32-pack", "ct-w4a16-g128-pack"] {
        let Some(dir) = shared(&format!("golden/{name}")) else { return };
        let golden = Golden::open(&dir.join("golden.safetensors"));
        let ours = logits(&weights(&dir, None), &golden.ids, Run::plain());
        let (max, mean) = difference(&ours, &golden.floats("logits_quant"));
        println!("{name:20} max {max:.2e} mean {mean:.2e}");
        assert!(max <= 5e-3, "{name}: max {max:e}");
    }
}

/// int8 activations: the same values round the same way until a tie falls the other way.
///
/// The scale is amax / 127.5, so a token's largest negative activation lies at -127.5 give or take
/// the last bit of a float: one unit in the last place of one sum decides between -127 and -128, and
/// all that follows differs. transformers differs from its own logits so: by max 0.049 and mean
/// 0.0008 in float32 on another processor, by max 0.30 and mean 0.036 in float64. Our sums are
/// exact where its are not, so the test asks for what a wrong rule would break: the tokens
/// before the first such tie agree to float noise, and the rest stays within float64's distance.
#[test]
fn compressed_tensors_w8a8() {
    let Some(dir) = shared("golden/ct-w8a8-int") else { return };
    let golden = Golden::open(&dir.join("golden.safetensors"));
    let weights = weights(&dir, None);
    let vocab = weights.config.vocab_size;
    let ours = logits(&weights, &golden.ids, Run::plain());
    let theirs = golden.floats("logits_quant");
    let rows = ours.chunks_exact(vocab).zip(theirs.chunks_exact(vocab));
    let exact = rows.take_while(|(ours, theirs)| difference(ours, theirs).0 <= 1e-4).count();
    let (max, mean) = difference(&ours, &theirs);
    println!("ct-w8a8-int: {exact} of 15 tokens to 1e-4; max {max:.2e} mean {mean:.2e}");
    assert!(exact >= 11, "only the first {exact} tokens agree");
    assert!(max <= 0.30 && mean <= 0.036, "max {max:e} mean {mean:e}");
}

/// The trained models against their greedy runs: the argmax of every position is the next token,
/// and the logits agree.
#[test]
fn trained_models_reproduce_their_greedy_text() {
    for (dir, golden) in [
        ("models/tinystories-656k", "models/tinystories-656k/golden.safetensors"),
        ("models/stories260k/hf", "models/stories260k/golden.safetensors"),
        ("models/fisica-19m", "models/fisica-19m/golden.safetensors"),
    ] {
        let (Some(dir), Some(golden)) = (shared(dir), shared(golden)) else { return };
        let golden = Golden::open(&golden);
        let weights = weights(&dir, None);
        let ours = logits(&weights, &golden.ids, Run::plain());
        let vocab = weights.config.vocab_size;
        let theirs = golden.floats("logits");
        let (max, mean) = difference(&ours[..theirs.len()], &theirs);
        println!("{} max {max:.2e} mean {mean:.2e}", dir.display());
        assert!(max <= 2e-3, "{}: max {max:e}", dir.display());
        let steps = theirs.len() / vocab;
        for (row, theirs) in ours.chunks_exact(vocab).zip(theirs.chunks_exact(vocab)).take(steps) {
            assert_eq!(argmax(row), argmax(theirs));
        }
    }
}

fn argmax(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, v)| if *v > row[best] { i } else { best })
}
