#!/usr/bin/env python3
"""Write a Hugging Face checkpoint of a real model's shape with random weights, to measure speed and memory without
downloading anything. Needs numpy only; memory stays under 100 MB whatever the model's size.

  random_checkpoint.py qwen2.5-0.5b OUT [--dtype bf16|f16|f32] [--shard-bytes N] [--seed N] [--set KEY=JSON ...]
  random_checkpoint.py --list

Matrices and biases are N(0, 0.02), norm weights 1. A tensor's values depend on the seed and its name alone, not on
sharding or dtype (beyond rounding, half to even). There is no tokenizer: the weights say nothing anyway.
"""
import argparse
import json
import os
import sys
import zlib

import numpy as np

PRESETS = {
    "qwen2.5-0.5b": {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02,
        "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 24, "model_type": "qwen2",
        "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "use_cache": True, "use_mrope": False, "use_sliding_window": False, "vocab_size": 151936,
    },
    "tinyllama-1.1b": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 5632,
        "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 22,
        "num_key_value_heads": 4, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None,
        "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True,
        "vocab_size": 32000,
    },
    "qwen2.5-1.5b": {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 1536, "initializer_range": 0.02,
        "intermediate_size": 8960, "max_position_embeddings": 32768, "max_window_layers": 28, "model_type": "qwen2",
        "num_attention_heads": 12, "num_hidden_layers": 28, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "use_cache": True, "use_mrope": False, "use_sliding_window": False, "vocab_size": 151936,
    },
    "phi-3-mini": {
        "architectures": ["Phi3ForCausalLM"], "attention_bias": False, "bos_token_id": 1, "eos_token_id": 32000,
        "hidden_act": "silu", "hidden_size": 3072, "initializer_range": 0.02, "intermediate_size": 8192,
        "max_position_embeddings": 4096, "model_type": "phi3", "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 32, "original_max_position_embeddings": 4096, "pad_token_id": 32000,
        "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0, "sliding_window": 2047,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": 32064,
    },
    "tiny": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 160,
        "max_position_embeddings": 256, "model_type": "llama", "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": 512,
    },
}
DTYPES = {"bf16": ("BF16", 2, "bfloat16"), "f16": ("F16", 2, "float16"), "f32": ("F32", 4, "float32")}
CHUNK = 1 << 22  # values made at a time


def shapes(config):
    """(name, shape) of every tensor, in the order of the forward pass."""
    hidden, inter, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or hidden // heads
    bias = config["model_type"] == "qwen2"
    fused = config["model_type"] == "phi3"
    yield "model.embed_tokens.weight", (vocab, hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", (hidden,)
        if fused:
            yield layer + "self_attn.qkv_proj.weight", ((heads + 2 * kv) * head_dim, hidden)
        for name, rows in () if fused else (("q", heads), ("k", kv), ("v", kv)):
            yield f"{layer}self_attn.{name}_proj.weight", (rows * head_dim, hidden)
            if bias:
                yield f"{layer}self_attn.{name}_proj.bias", (rows * head_dim,)
        yield layer + "self_attn.o_proj.weight", (hidden, heads * head_dim)
        yield layer + "post_attention_layernorm.weight", (hidden,)
        if fused:
            yield layer + "mlp.gate_up_proj.weight", (2 * inter, hidden)
        else:
            yield layer + "mlp.gate_proj.weight", (inter, hidden)
            yield layer + "mlp.up_proj.weight", (inter, hidden)
        yield layer + "mlp.down_proj.weight", (hidden, inter)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocab, hidden)


def count(shape):
    return int(np.prod(shape, dtype=np.int64))


def encode(x, dtype):
    """The bytes of x (float32), rounded half to even."""
    if dtype == "bf16":
        bits = x.view(np.uint32)
        bits += 0x7FFF + ((bits >> 16) & 1)  # finite and small: cannot overflow
        return (bits >> 16).astype("<u2").tobytes()
    return x.astype({"f16": "<f2", "f32": "<f4"}[dtype]).tobytes()


def write_values(file, name, shape, dtype, seed):
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    left = count(shape)
    while left:
        n = min(left, CHUNK)
        x = np.ones(n, np.float32) if "norm" in name else rng.standard_normal(n, dtype=np.float32) * np.float32(0.02)
        file.write(encode(x, dtype))
        left -= n


def write_file(path, tensors, dtype, seed):
    tag, size, _ = DTYPES[dtype]
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        header[name] = {"dtype": tag, "shape": list(shape), "data_offsets": [at, at + size * count(shape)]}
        at += size * count(shape)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors:
            write_values(file, name, shape, dtype, seed)


def split(tensors, size, limit):
    """Whole tensors into shards of at most `limit` bytes (a larger tensor is a shard of its own)."""
    shards, filled = [[]], 0
    for name, shape in tensors:
        n = size * count(shape)
        if limit and shards[-1] and filled + n > limit:
            shards.append([])
            filled = 0
        shards[-1].append((name, shape))
        filled += n
    return shards


def write_checkpoint(out, config, dtype, seed, shard_bytes):
    _, size, torch_name = DTYPES[dtype]
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "config.json"), "w") as f:
        f.write(json.dumps({**config, "torch_dtype": torch_name}, indent=2) + "\n")
    tensors = list(shapes(config))
    total = size * sum(count(shape) for _, shape in tensors)
    parts = split(tensors, size, shard_bytes)
    if len(parts) == 1:
        write_file(os.path.join(out, "model.safetensors"), tensors, dtype, seed)
        return total
    weight_map = {}
    for i, part in enumerate(parts):
        file = f"model-{i + 1:05}-of-{len(parts):05}.safetensors"
        write_file(os.path.join(out, file), part, dtype, seed)
        weight_map.update({name: file for name, _ in part})
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    with open(os.path.join(out, "model.safetensors.index.json"), "w") as f:
        f.write(json.dumps(index, indent=2) + "\n")
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?", choices=list(PRESETS), help="whose shape")
    parser.add_argument("out", nargs="?", metavar="OUT", help="directory to write")
    parser.add_argument("--dtype", choices=list(DTYPES), default="bf16", help="stored type (default: bf16)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--shard-bytes", type=int, default=0, metavar="N", help="at most N bytes a file (default: one)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="change a field of config.json")
    parser.add_argument("--list", action="store_true", help="print the presets")
    args = parser.parse_args()
    if args.list:
        for name, config in PRESETS.items():
            print(f"{name}: {sum(count(s) for _, s in shapes(config)):,} parameters")
        return 0
    if not args.out:
        parser.error("a preset and an output directory are needed")
    config = dict(PRESETS[args.preset])
    for change in args.set:
        key, sep, value = change.partition("=")
        if not sep:
            parser.error(f"--set {change}: expected KEY=JSON")
        try:
            config[key] = json.loads(value)
        except ValueError:
            parser.error(f"--set {change}: {value!r} is not JSON")
    total = write_checkpoint(args.out, config, args.dtype, args.seed, args.shard_bytes)
    print(f"{args.out}: {total:,} bytes of weights, {args.dtype}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
