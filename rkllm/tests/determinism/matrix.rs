//! One hash of the logits per scheme and architecture, committed, whatever computes them.
//!
//! For each scheme of each model (`hashes.txt`), the scalar kernel on one thread gives the hash, and the same
//! bits come from
//! - every kernel this processor has, by prefill chunks of 1, 3, 16, 64 and 512 tokens, on 2 threads;
//! - the best kernel on 1 to 8 threads, by chunks of 16;
//! - every kernel, a prefill of 19 tokens and the others decoded one by one, on 3 threads;
//! - prompts of 521 tokens: a chunk of 512 and the rest, against chunks of 64.
//!
//! Not every combination of the four runs. x86-64 and aarch64 (under qemu in CI) share the file.
//! `cargo test -p rkllm --test determinism matrix -- --nocapture` prints what was covered.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use rkllm::cpu::{Engine, EngineOptions};
use rkllm::kernels::Kernel;
use rkllm::model::{Checkpoint, Load, ModelWeights, WeightOptions};
use rkllm::quant::QuantScheme;
use rkllm::{Backend, Want};
use sha2::{Digest, Sha256};

use crate::common::shared;
use crate::models::MADE;

const SCHEMES: [&str; 6] = ["f32", "w8a8", "w8a8_g128", "w4a16_g32", "w4a16", "w4a16_g128"];
const CHUNKS: [usize; 5] = [1, 3, 16, 64, 512];
const THREADS: usize = 8;
/// Tokens of the models made here, and of trained ones, which are larger.
const TOKENS: usize = 71;
const TRAINED_TOKENS: usize = 21;
/// More than the largest chunk.
const LONG: usize = 521;
/// One for all runs of a model: the context picks the branch of scaled RoPE.
const CONTEXT: usize = 544;
/// Lines `model scheme hash`.
const HASHES: &str = include_str!("hashes.txt");

/// A model in one scheme, what it should give, and what was looked at.
struct Row {
    name: String,
    weights: Arc<ModelWeights>,
    tokens: Vec<u32>,
    /// Logits of every token by the scalar kernel.
    expected: Vec<u32>,
    runs: usize,
}

impl Row {
    fn new(name: String, weights: Arc<ModelWeights>, count: usize) -> Self {
        let tokens = super::tokens(weights.config.vocab_size, count);
        let scalar = Kernel::by_name("scalar").unwrap();
        let expected = prefill(&mut engine(&weights, scalar, 1, CONTEXT), &tokens);
        Self { name, weights, tokens, expected, runs: 1 }
    }

    /// The first 16 digits of the SHA-256 of the logits, little-endian f32.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        self.expected.iter().for_each(|bits| hash.update(bits.to_le_bytes()));
        hash.finalize()[..8].iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    #[track_caller]
    fn same(&mut self, got: &[u32], expected: &[u32], how: &str) {
        let first = got.iter().zip(expected).position(|(a, b)| a != b);
        assert!(
            got.len() == expected.len() && first.is_none(),
            "{}: {how}: other bits, first at position {:?}",
            self.name,
            first.map(|index| index / self.weights.config.vocab_size)
        );
        self.runs += 1;
    }

    fn prefill_by(&mut self, kernel: Kernel, threads: usize, chunk: usize) {
        let got = prefill(&mut engine(&self.weights, kernel, threads, chunk), &self.tokens);
        let expected = std::mem::take(&mut self.expected);
        let how = format!("{}, {threads} threads, chunks of {chunk}", kernel.name());
        self.same(&got, &expected, &how);
        self.expected = expected;
    }

    /// A prefill of which only the last logits are asked for, then token after token.
    fn decode_by(&mut self, kernel: Kernel) {
        let first = 19.min(self.tokens.len() - 1);
        let mut engine = engine(&self.weights, kernel, 3, 7);
        let mut got = last(&mut engine, &self.tokens[..first]);
        for token in &self.tokens[first..] {
            got.extend(last(&mut engine, std::slice::from_ref(token)));
        }
        let expected = std::mem::take(&mut self.expected);
        let from = (first - 1) * self.weights.config.vocab_size;
        self.same(&got, &expected[from..], &format!("{}, one by one", kernel.name()));
        self.expected = expected;
    }

    /// Everything above but long prompts.
    fn check(&mut self) {
        let kernels = Kernel::available();
        for &kernel in &kernels {
            for chunk in CHUNKS {
                self.prefill_by(kernel, 2, chunk);
            }
            self.decode_by(kernel);
        }
        let best = *kernels.last().unwrap();
        for threads in (1..=THREADS).filter(|&threads| threads != 2) {
            self.prefill_by(best, threads, 16);
        }
    }

    /// A prompt longer than the largest chunk, of which this row's tokens are the beginning.
    fn check_long(&mut self) {
        let tokens = super::tokens(self.weights.config.vocab_size, LONG);
        let best = *Kernel::available().last().unwrap();
        let whole = prefill(&mut engine(&self.weights, best, 2, 512), &tokens);
        let expected = std::mem::take(&mut self.expected);
        self.same(&whole[..expected.len()], &expected, "the beginning of a long prompt");
        self.expected = expected;
        let parts = prefill(&mut engine(&self.weights, best, 3, 64), &tokens);
        self.same(&parts, &whole, "a long prompt, chunks of 64 against 512");
        let ends = last(&mut engine(&self.weights, best, 1, 100), &tokens);
        let vocab = self.weights.config.vocab_size;
        self.same(&ends, &whole[whole.len() - vocab..], "the last logits of a long prompt");
    }
}

fn engine(weights: &Arc<ModelWeights>, kernel: Kernel, threads: usize, chunk: usize) -> Engine {
    let options = EngineOptions { threads, context: CONTEXT, prefill_chunk: chunk };
    Engine::with_kernel(Arc::clone(weights), options, kernel).unwrap()
}

/// The bits of every token's logits.
fn prefill(engine: &mut Engine, tokens: &[u32]) -> Vec<u32> {
    run(engine, tokens, Want::All)
}

/// The bits of the last token's logits.
fn last(engine: &mut Engine, tokens: &[u32]) -> Vec<u32> {
    run(engine, tokens, Want::Last)
}

fn run(engine: &mut Engine, tokens: &[u32], want: Want) -> Vec<u32> {
    let mut bits = Vec::new();
    engine
        .forward(tokens, want, &mut |_, logits| {
            bits.extend(logits.iter().map(|value| value.to_bits()));
            Ok(())
        })
        .unwrap();
    bits
}

/// Every scheme of the model in `dir` (its own if `schemes` is empty), against the committed hashes.
fn check_model(model: &str, dir: &Path, schemes: &[&str], count: usize, long: bool) {
    let checkpoint = Checkpoint::open(dir, Load::Map).unwrap();
    let asked: Vec<Option<QuantScheme>> = match schemes {
        [] => vec![None],
        some => some.iter().map(|scheme| Some(scheme.parse().unwrap())).collect(),
    };
    let (mut runs, mut other) = (0, String::new());
    for scheme in asked {
        let weights = Arc::new(checkpoint.weights(scheme, &WeightOptions::default()).unwrap());
        let scheme = scheme.map_or("as-stored".to_owned(), |scheme| scheme.to_string());
        let mut row = Row::new(format!("{model} {scheme}"), weights, count);
        let line = format!("{} {}", row.name, row.hash());
        if !HASHES.lines().any(|known| known == line) {
            writeln!(other, "{line}").unwrap();
        }
        row.check();
        if long && ["w8a8", "w4a16_g128"].contains(&scheme.as_str()) {
            row.check_long();
        }
        runs += row.runs;
    }
    assert!(other.is_empty(), "hashes.txt holds other hashes than these:\n{other}");
    let kernels: Vec<&str> = Kernel::available().iter().map(Kernel::name).collect();
    println!(
        "matrix: {model}: {} schemes, {} tokens, kernels {}, chunks {CHUNKS:?}, threads 1 to {THREADS}, \
         decode: {runs} runs, one hash per scheme",
        schemes.len().max(1),
        count,
        kernels.join(" "),
    );
}

fn check_made(name: &str) {
    let made = MADE.iter().find(|made| made.name == name).unwrap();
    let parent = tempfile::tempdir().unwrap();
    check_model(name, &made.write(parent.path()), &SCHEMES, TOKENS, true);
}

#[test]
fn llama() {
    check_made("llama");
}

#[test]
fn mistral() {
    check_made("mistral");
}

#[test]
fn qwen2() {
    check_made("qwen2");
}

#[test]
fn qwen3() {
    check_made("qwen3");
}

#[test]
fn phi3() {
    check_made("phi3");
}

/// The tutor model of this repository.
#[test]
fn tutor_nano() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
    check_model("tutor-nano", &dir, &SCHEMES, TRAINED_TOKENS, false);
}

#[test]
fn tinystories() {
    let Some(dir) = shared("models/tinystories-656k") else { return };
    check_model("tinystories-656k", &dir, &SCHEMES, TRAINED_TOKENS, false);
}

/// Artifacts of another program, the compressed-tensors library.
#[test]
fn artifacts_of_others() {
    for name in ["ct-w8a8-int", "ct-w4a16-g32-pack", "ct-w4a16-g128-pack"] {
        let Some(dir) = shared(&format!("golden/{name}")) else { return };
        check_model(name, &dir, &[], TRAINED_TOKENS, false);
    }
}

/// What the matrix promises is what its file holds: every scheme of every model once.
#[test]
fn every_row_has_one_hash() {
    let mut rows: Vec<&str> = HASHES.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(rows.iter().all(|row| row.split(' ').count() == 3), "lines are `model scheme hash`");
    rows.sort_unstable();
    let keys: Vec<&str> = rows.iter().map(|row| row.rsplit_once(' ').unwrap().0).collect();
    let mut expected: Vec<String> = MADE
        .iter()
        .map(|made| made.name)
        .chain(["tutor-nano", "tinystories-656k"])
        .flat_map(|model| SCHEMES.map(|scheme| format!("{model} {scheme}")))
        .chain(
            ["ct-w8a8-int", "ct-w4a16-g32-pack", "ct-w4a16-g128-pack"]
                .map(|m| format!("{m} as-stored")),
        )
        .collect();
    expected.sort_unstable();
    assert_eq!(keys, expected);
}
