//! What the fuzzer calls with bytes it makes up, and the test `corpus` with bytes it keeps. Each target
//! says whether the bytes were accepted.
#![allow(dead_code)] // each fuzz target uses one

use rkllm::Bytes;
use rkllm::model::{Checkpoint, ModelConfig, TensorIndex, WeightOptions};
use rkllm::quant::{Group, QuantScheme};

/// The text of a `config.json`.
pub(crate) fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(config) = ModelConfig::from_json(text) else { return false };
    assert_eq!(config.sliding_window.len(), config.num_hidden_layers);
    assert!(config.num_attention_heads % config.num_key_value_heads == 0);
    assert!(config.rope.rotary_dim <= config.head_dim && config.rope.rotary_dim % 2 == 0);
    assert!(config.q_size() >= config.kv_size());
    for context in [1, config.max_position_embeddings, usize::MAX >> 32] {
        let table = config.rope.table(2, context);
        assert_eq!(table.cos.len(), config.rope.rotary_dim);
        assert!(table.cos.iter().chain(&table.sin).all(|value| value.is_finite()));
    }
    true
}

/// A safetensors file.
pub(crate) fn safetensors(data: &[u8]) -> bool {
    let Ok(index) = TensorIndex::from_bytes("fuzz", Bytes::new(data.to_vec())) else {
        return false;
    };
    let mut stored = 0;
    for name in index.names() {
        let info = index.get(name).expect("a name that is listed");
        stored += info.bytes();
        let mut copy = vec![0; info.bytes() as usize];
        index.read_range(name, 0, &mut copy).expect("inside the file");
        if let Ok(tensor) = index.tensor(name) {
            assert_eq!(*tensor.data, *copy);
            assert_eq!(tensor.elements(), tensor.shape.iter().product::<usize>());
        }
        assert!(index.read_range(name, 1, &mut copy).is_err() || copy.is_empty());
    }
    assert!(stored <= data.len() as u64);
    true
}

/// A `config.json`, a zero byte, and a safetensors file.
pub(crate) fn artifact(data: &[u8]) -> bool {
    let Some(end) = data.iter().position(|&byte| byte == 0) else { return false };
    let Ok(config) = std::str::from_utf8(&data[..end]) else { return false };
    let tensors = Bytes::new(data[end + 1..].to_vec());
    let Ok(checkpoint) = Checkpoint::from_bytes(config, tensors) else { return false };
    let options = WeightOptions::default();
    let mut accepted = false;
    for dtype in [None, Some(QuantScheme::F16), Some(QuantScheme::W4A16(Group::Channel))] {
        let Ok(weights) = checkpoint.weights(dtype, &options) else { continue };
        assert_eq!(weights.layers.len(), checkpoint.config().num_hidden_layers);
        let mut row = vec![0.0; weights.config.hidden_size];
        let last = weights.config.vocab_size as u32 - 1;
        weights.embed_tokens.row(last, &mut row).expect("a row of the table");
        assert!(weights.lm_head.stored_bytes() > 0);
        accepted = true;
    }
    accepted
}

/// The name of a file, a zero byte, and its content; small inputs are looked at again as if they had the
/// length of a model and ended early. Accepted is what may be a model of which something was found.
#[cfg(feature = "npu")]
pub(crate) fn vendor_file(data: &[u8]) -> bool {
    use std::io::Cursor;

    use rkllm::npu::file::{Certainty, InspectOptions, Verdict, inspect_reader};
    use rkllm::soc::Soc;

    let Some(end) = data.iter().position(|&byte| byte == 0) else { return false };
    let name = String::from_utf8_lossy(&data[..end]);
    let bytes = &data[end + 1..];
    let options = InspectOptions { deep: false, target: Some(Soc::Rk3588) };
    let small = inspect_reader(Cursor::new(bytes), bytes.len() as u64, &name, &options).unwrap();
    assert!(small.searched == bytes.len() as u64 && small.size == small.searched);
    let length = bytes.len().max(1 << 20) as u64;
    let found = inspect_reader(Cursor::new(bytes), length, &name, &options).unwrap();
    for found in [&small, &found] {
        assert!(found.strings.len() <= 32 && found.magic.len() <= 32);
        assert!(found.strings.iter().all(|s| s.bytes().all(|b| (b' '..=b'~').contains(&b))));
        assert!(found.items.iter().all(|item| item.value.len() <= 128 && !item.from.is_empty()));
        assert!(found.problems.iter().all(|p| !p.message.is_empty() && !p.advice.is_empty()));
        let clean = matches!(found.verdict(), Verdict::Plausible | Verdict::Unrecognized);
        assert_eq!(clean, found.problems.is_empty());
        assert!(found.fits_target.is_none() || found.item("platform").is_some());
    }
    let inferred = |item: &&rkllm::npu::file::Item| item.certainty == Certainty::Inferred;
    found.verdict() != Verdict::NotAModel && found.items.iter().filter(inferred).count() > 0
}
