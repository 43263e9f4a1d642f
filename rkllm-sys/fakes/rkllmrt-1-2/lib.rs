//! librkllmrt 1.2.3 for tests. See `../rkllmrt/mod.rs`.

#[path = "../facts.rs"]
mod facts;
#[path = "../rkllmrt/mod.rs"]
mod rkllmrt;

/// The vendor's layouts.
const FACTS: &str = include_str!("../../tests/data/rkllm-abi-1.2.1.json");
/// `rkllm_init` takes the callback itself, `rkllm_is_running` is 0 while running.
const IS_1_3: bool = false;
/// Bytes of `RKLLMParam`, in words.
const PARAM_WORDS: usize = 208 / 8;

/// What a reader of the file finds.
#[unsafe(no_mangle)]
pub static rkllm_fake_version: [u8; 65] =
    *b"RKLLM SDK (version: 1.2.3 | target: Linux | build: fake for test)";
