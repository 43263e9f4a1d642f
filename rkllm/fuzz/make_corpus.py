#!/usr/bin/env python3
"""Write the seeds of corpus/: one small file per kind of input. Needs nothing but Python.

The fuzzer's own finds may be added beside them; each file also runs in the test `corpus`.
"""
import json
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"F32": 4, "F16": 2, "BF16": 2, "I8": 1, "I32": 4, "I64": 8, "F8_E4M3": 1}

BASE = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, vocab_size=6, max_position_embeddings=64)


def config(name, **extra):
    return {"architectures": [name + "ForCausalLM"], **BASE, **extra}


def save(folder, name, data):
    path = os.path.join(HERE, "corpus", folder)
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, name), "wb") as file:
        file.write(data if isinstance(data, bytes) else json.dumps(data).encode())


def safetensors(tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, *content) in tensors.items():
        count = SIZES[dtype]
        for dim in shape:
            count *= dim
        content = content[0] if content else bytes((7 * i + len(name)) % 48 for i in range(count))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def model(dtype, bias=False, fused=False, norms=False, head=True):
    layer = "model.layers.0."
    tensors = {"model.embed_tokens.weight": (dtype, [6, 8]), "model.norm.weight": (dtype, [8])}
    for name in ["input_layernorm", "post_attention_layernorm"]:
        tensors[layer + name + ".weight"] = (dtype, [8])
    for name, n, k in linears(fused):
        tensors[name + ".weight"] = (dtype, [n, k])
        if bias and name[-6] in "qkv":
            tensors[name + ".bias"] = (dtype, [n])
    if norms:
        for name in "qk":
            tensors[layer + f"self_attn.{name}_norm.weight"] = (dtype, [4])
    if head:
        tensors["lm_head.weight"] = (dtype, [6, 8])
    return tensors


def linears(fused=False):
    layer = "model.layers.0."
    attention = [("qkv_proj", 16, 8)] if fused else [("q_proj", 8, 8), ("k_proj", 4, 8), ("v_proj", 4, 8)]
    mlp = [("gate_up_proj", 32, 8)] if fused else [("gate_proj", 16, 8), ("up_proj", 16, 8)]
    return [(f"{layer}self_attn.{name}", n, k) for name, n, k in attention + [("o_proj", 8, 8)]] + [
        (f"{layer}mlp.{name}", n, k) for name, n, k in mlp + [("down_proj", 8, 16)]]


def quantised(bits, group=None, symmetric=True, scale="F32", embedding="F16"):
    tensors = model("F16", head=False)
    floats = b"\x00\x3c" if scale == "F16" else b"\x00\x00\x80\x3f"
    rows = [(name, n, k, bits, group or k, symmetric) for name, n, k in linears()]
    rows.append(("lm_head" if embedding == "F16" else "model.embed_tokens", 6, 8, 8, 8, True))
    for name, n, k, bits, size, even in rows:
        tensors.pop(name + ".weight", None)
        groups = k // size
        if bits == 4:
            tensors[name + ".weight_packed"] = ("I32", [n, -(-k // 8)])
            tensors[name + ".weight_shape"] = ("I64", [2], struct.pack("<2q", n, k))
        else:
            tensors[name + ".weight"] = ("I8", [n, k])
        tensors[name + ".weight_scale"] = (scale, [n, groups], floats * (n * groups))
        if not even:
            shape = ("I32", [-(-n // 8), groups]) if bits == 4 else ("I8", [n, groups])
            tensors[name + ".weight_zero_point"] = shape
    return tensors


def args(bits, group=None, symmetric=True, dynamic=False):
    strategy = "group" if group else "token" if dynamic else "channel"
    return dict(num_bits=bits, type="int", symmetric=symmetric, strategy=strategy, group_size=group,
                dynamic=dynamic, actorder=None, block_structure=None)


def scheme(bits, group=None, symmetric=True, target="Linear"):
    return dict(targets=[target], weights=args(bits, group, symmetric), output_activations=None,
                input_activations=None if bits == 4 else args(8, group, dynamic=True),
                format="pack-quantized" if bits == 4 else "int-quantized")


def rules(bits, group=None, symmetric=True, head="lm_head"):
    groups = {"group_0": scheme(8, target=head), "group_1": scheme(bits, group, symmetric)}
    return dict(quantization_config=dict(
        quant_method="compressed-tensors", format="mixed-precision", quantization_status="compressed",
        config_groups=groups, ignore=[], kv_cache_scheme=None, sparsity_config={}, transform_config={}))


def artifact(name, configuration, tensors, metadata=None):
    save("artifact", name, json.dumps(configuration).encode() + b"\0" + safetensors(tensors, metadata))


for kind in ["Llama", "Mistral", "Qwen2", "Qwen3", "Phi3"]:
    save("config", kind.lower(), config(kind))
save("config", "tokens", config("Llama", bos_token_id=None, eos_token_id=[1, 2], head_dim=None,
                                hidden_act="gelu_pytorch_tanh", tie_word_embeddings=True, rms_norm_eps=1e-5))
save("config", "windows", config("Qwen3", head_dim=4, use_sliding_window=True, sliding_window=8,
                                 max_window_layers=0, layer_types=["sliding_attention"]))
short, long = [1.0, 1.5], [2.0, 8.0]
for kind, scaling in dict(
        linear=dict(type="linear", factor=2.0), dynamic=dict(rope_type="dynamic", factor=2.0),
        llama3=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                    original_max_position_embeddings=32),
        yarn=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=32.0, beta_slow=1.0,
                  mscale=1.0, mscale_all_dim=0.5, truncate=False),
        longrope=dict(type="longrope", short_factor=short, long_factor=long)).items():
    save("config", "rope-" + kind, config("Llama", rope_theta=1e4, rope_scaling=scaling))
save("config", "rope-parameters", config("Phi3", original_max_position_embeddings=32, rope_parameters=dict(
    rope_type="longrope", rope_theta=5e5, partial_rotary_factor=1.0, short_factor=short, long_factor=long)))

save("safetensors", "empty", safetensors({}))
save("safetensors", "types", safetensors({name: (name, [2, 3]) for name in SIZES}))
save("safetensors", "shapes", safetensors({"scalar": ("F32", []), "none": ("F32", [0, 4]), "cube": ("I8", [2, 2, 2])}))
save("safetensors", "alias", safetensors({"a": ("F32", [2])}, {"format": "pt", "b": "a"}))
save("safetensors", "model", safetensors(model("BF16", bias=True)))
save("safetensors", "lying-length", struct.pack("<Q", 1 << 60) + b"{}")

artifact("llama-f32", config("Llama"), model("F32"))
artifact("qwen2-bf16", config("Qwen2", tie_word_embeddings=True), model("BF16", bias=True, head=False))
artifact("qwen3-f16", config("Qwen3", head_dim=4), model("F16", norms=True))
artifact("phi3-f16", config("Phi3"), model("F16", fused=True))
alias = model("F32", head=False)
alias["lm_head.weight"] = alias.pop("model.embed_tokens.weight")
artifact("alias", config("Llama", tie_word_embeddings=True), alias,
         {"model.embed_tokens.weight": "lm_head.weight"})
artifact("w8a8", config("Llama", **rules(8)), quantised(8))
artifact("w8a8-g4-zero-points", config("Llama", **rules(8, 4, False, r"re:.*lm_head$")),
         quantised(8, 4, False, "F16"))
artifact("w4a16-g8", config("Llama", **rules(4, 8)), quantised(4, 8, scale="F16"))
artifact("w4a16-zero-points", config("Llama", **rules(4, None, False)), quantised(4, symmetric=False))
artifact("int8-embedding", config("Llama", tie_word_embeddings=True, **rules(4)), quantised(4, embedding="I8"))


def vendor(case, name, *parts):
    content = b"".join(part if isinstance(part, bytes) else part.encode() + b"\0" for part in parts)
    save("vendor_file", case, name.encode() + b"\0" + content)


magic = bytes([0xf1, 2, 3, 4, 0, 0, 0, 1])
line = ("rkllm-toolkit version: {}, max_context_limit: {}, npu_core_num: {}, target_platform: {}, "
        "model_dtype: {}")
vendor("log-line", "m.rkllm", magic, line.format("1.2.1", 4096, 3, "RK3588", "W8A8"))
vendor("contradiction", "m-w4a16_g64-rk3576_v1.2.1.rkllm", magic, line.format("1.3.0", 16384, 3, "RK3588", "w8a8_g128"))
vendor("old", "m.rkllm", magic, line.format("1.0.2b6", 512, 9, "rk3562", "w4a8_g32"))
vendor("keys", "Qwen2.5-1.5B.rkllm", magic, "max_context_limit", "4096", "npu_core_num", "3", "target_platform",
       "RK3588S", "model_dtype", "fp16", "rkllm-toolkit", "1.1.4")
vendor("tensors", "0.5b-w8a8.rkllm.part", magic, "blk.0.attn_q.weight", "blk.27.ffn_down.weight_rkllm_spilt_0",
       "blk.4294967295.x", "{% for message in messages %}{{ message.content }}{% endfor %}")
vendor("json", "m.rkllm", magic, json.dumps(dict(target_platform="rv1126b", max_context=4096, num_npu_core=1,
                                                 quantized_dtype="w4a16_g128")))
vendor("end-mark", "m.rkllm", magic + b"\x81" * (1 << 10), b"rkllm-toolkit version: 1.1.4\0")
vendor("lfs-pointer", "m.rkllm", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32
       + b"\nsize 1693413512\n")
vendor("html", "m.rkllm", b"\n<!DOCTYPE html><title>404</title>")
for kind, start in dict(gguf=b"GGUF\3\0\0\0", rknn=b"RKNN\0\0\0\0\6", zip=b"PK\3\4", elf=b"\x7fELF\2\1",
                        safetensors=b"\x40" + bytes(7) + b'{"a":{}}').items():
    vendor(kind, "m.rkllm", start)
