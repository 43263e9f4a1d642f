//! A golden model with a tokenizer and a chat template.

use rkllm::model::{Checkpoint, Load, Tokenizer};
use rkllm::session::{GenerateOptions, Model, ModelOptions};
use serde_json::json;

use crate::common::data;

/// Turns of `<|role|>text</s>`; refuses two questions in a row as Mistral's does.
pub(crate) const TEMPLATE: &str = "\
{%- set ns = namespace(last='') -%}
{%- for m in messages -%}
{%- if m.role == 'user' and ns.last == 'user' -%}
{{- raise_exception('roles must alternate') -}}
{%- endif -%}
{%- set ns.last = m.role -%}
{{- '<|' + m.role + '|>' + m.content + eos_token -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}";

/// A byte-level tokenizer of 64 tokens: special ones, letters, and bytes of which two make a character.
pub(crate) fn tokenizer_json() -> String {
    let special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"];
    let mut tokens: Vec<String> = special.iter().map(ToString::to_string).collect();
    tokens.extend(('a'..='z').map(String::from));
    // Stand-ins of GPT-2 for space, newline, and the bytes C3, A9, B1, C2, BF, F0.
    tokens.extend(["Ġ", "Ċ", "Ã", "©", "±", "Â", "¿", "ð", "?", "."].map(String::from));
    tokens.extend(('0'..='9').map(String::from));
    let merges = ["t h", "th e", "Ġ the", "a n", "i n", "o n", "Ã ©", "e r", "r e", "Ġ a", "q u"];
    tokens.extend(merges.map(|pair| pair.replace(' ', "")));
    assert_eq!(tokens.len(), 64);
    let vocab: serde_json::Map<_, _> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let added: Vec<_> = special
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": bytes, "decoder": bytes, "post_processor": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges}
    })
    .to_string()
}

/// The golden model `name` in `scheme`, as stored where it is empty.
pub(crate) fn build(name: &str, scheme: &str, options: ModelOptions) -> Model {
    let checkpoint = Checkpoint::open(data(&format!("golden/{name}")), Load::Map).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer_json()).unwrap();
    let config = json!({"bos_token": "<s>", "eos_token": "</s>"}).to_string();
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    let options = match scheme {
        "" => options,
        scheme => options.with_dtype(scheme.parse().unwrap()),
    };
    options.with_template(TEMPLATE).build(&checkpoint, tokenizer).unwrap()
}

/// The model most tests take: one thread, small chunks.
pub(crate) fn model() -> Model {
    sized(128)
}

/// The same with a context of `tokens`.
pub(crate) fn sized(tokens: usize) -> Model {
    build("llama-f32", "", options().with_context(tokens))
}

pub(crate) fn options() -> ModelOptions {
    Model::options().with_threads(1).with_prefill_chunk(4).with_context(128)
}

/// `tokens` tokens, whatever the model wants.
pub(crate) fn long(tokens: usize) -> GenerateOptions {
    GenerateOptions::default().with_max_tokens(tokens).with_ignore_eos(true)
}
