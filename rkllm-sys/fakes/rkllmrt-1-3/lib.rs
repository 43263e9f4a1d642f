//! librkllmrt 1.3.0 for tests. See `../rkllmrt/mod.rs`.

#[path = "../facts.rs"]
mod facts;
#[path = "../rkllmrt/mod.rs"]
mod rkllmrt;

/// The vendor's layouts.
const FACTS: &str = include_str!("../../tests/data/rkllm-abi-1.3.0.json");
/// `rkllm_init` takes a struct of callbacks, `rkllm_is_running` is 1 while running.
const IS_1_3: bool = true;
/// Bytes of `RKLLMParam`, in words.
const PARAM_WORDS: usize = 184 / 8;

/// What a reader of the file finds.
#[unsafe(no_mangle)]
pub static rkllm_fake_version: [u8; 65] =
    *b"RKLLM SDK (version: 1.3.0 | target: Linux | build: fake for test)";
