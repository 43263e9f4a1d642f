#!/usr/bin/env python3
"""An f16 GGUF of a checkpoint of random_checkpoint.py (one file; qwen2, llama, phi3), for llama.cpp to be measured with.

  make_gguf.py CHECKPOINT OUT.gguf

The vocabulary is made up: bytes, then names by number. With a tokenizer.json (byte-level BPE with the GPT-2 split)
its tokens are written instead. One tensor is in memory at a time.
"""

import argparse
import json
import os

import gguf
import numpy as np

NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
OUTSIDE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
           "lm_head.weight": "output.weight"}
STORED = {"F16": np.float16, "F32": np.float32}


def their_name(name):
    if name in OUTSIDE:
        return OUTSIDE[name]
    parts = name.split(".")
    return f"blk.{parts[2]}.{NAMES['.'.join(parts[3:-1])]}.{parts[-1]}"


def add_config(writer, config, arch):
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_name("random")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    if arch in ("llama", "phi3"):
        writer.add_rope_dimension_count(head_dim)
    if arch == "phi3" and config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])


def add_vocabulary(writer, config, tokenizer):
    count = config["vocab_size"]
    writer.add_tokenizer_model("gpt2")
    if os.path.exists(tokenizer):
        with open(tokenizer) as file:
            read = json.load(file)
        tokens, kinds = [f"[PAD{i}]" for i in range(count)], [5] * count
        for text, i in read["model"]["vocab"].items():
            tokens[i], kinds[i] = text, 1
        for added in read["added_tokens"]:
            tokens[added["id"]], kinds[added["id"]] = added["content"], 3
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in read["model"]["merges"]]
        writer.add_tokenizer_pre("gpt-2")
        bos, eos = config["bos_token_id"], config["eos_token_id"]
    else:
        # GPT-2's alphabet of bytes first, so that every byte has a token.
        plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = iter(range(256, 512))
        alphabet = [chr(byte if byte in plain else next(others)) for byte in range(256)]
        tokens = (alphabet + [f"<t{i}>" for i in range(256, count)])[:count]
        kinds, merges = [1] * count, [alphabet[32] + " " + alphabet[97]]
        writer.add_tokenizer_pre("qwen2")
        bos = eos = count - 1
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(bos)
    writer.add_eos_token_id(eos)
    writer.add_add_bos_token(os.path.exists(tokenizer))


def interleave(x, heads):
    """llama.cpp's llama turns neighbours where Hugging Face turns halves."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    args = parser.parse_args()
    with open(os.path.join(args.checkpoint, "config.json")) as file:
        config = json.load(file)
    arch = config["model_type"]
    writer = gguf.GGUFWriter(args.out, arch)
    add_config(writer, config, arch)
    add_vocabulary(writer, config, os.path.join(args.checkpoint, "tokenizer.json"))
    with open(os.path.join(args.checkpoint, "model.safetensors"), "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        wanted = {name: np.dtype(np.float16 if len(tensor["shape"]) == 2 else np.float32) for name, tensor in header.items()}
        for name, tensor in header.items():
            size = int(np.prod(tensor["shape"])) * wanted[name].itemsize
            writer.add_tensor_info(their_name(name), tensor["shape"], wanted[name], size)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor in header.items():
            start, end = tensor["data_offsets"]
            file.seek(8 + length + start)
            raw = file.read(end - start)
            if tensor["dtype"] == "BF16":
                x = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
            else:
                x = np.frombuffer(raw, STORED[tensor["dtype"]])
            x = x.reshape(tensor["shape"])
            if arch == "llama" and ("q_proj" in name or "k_proj" in name):
                x = interleave(x, config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
            writer.write_tensor_data(x.astype(wanted[name]))
    writer.close()


if __name__ == "__main__":
    main()
