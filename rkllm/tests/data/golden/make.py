#!/usr/bin/env python3
"""Make the tiny golden models in this folder: one directory per case, with

  config.json           what a checkpoint of that kind says, spelled as such checkpoints spell it
  model.safetensors     seeded random weights (or two shards and an index)
  golden.safetensors    input_ids [1, T] int64 and logits [1, T, V] float32

The logits come from transformers, float32, eager attention, one forward pass over all T tokens, with the weights as
rounded to the stored dtype. Norm weights and biases are random too: ones and zeros would hide a missing term.

Each case names what it is about in `differs` (the same weights with the feature off, or done in a plausible wrong way,
must move a logit by more than 1e-3) and `same` (settings that must have no effect). Every case is also run with uniform
attention, without RoPE, with plain norms, without biases and with query heads grouped the wrong way.

The cases named *-rope-parameters-* are computed from the old spelling; then config.json is rewritten as transformers 5
spells it (4.57 would ignore `rope_parameters` without a word). transformers 5.23 reads every directory to the same
logits, except phi3-su, whose spelling it no longer takes.

Made with torch 2.8.0, transformers 4.57.1, numpy 2.4.6, safetensors 0.8.0. Weights and token ids come from numpy
(PCG64 seeded by the case name), so only the last bits of the logits depend on the machine.

  make.py                 write every case
  make.py NAME...         write these
  make.py --check         write nothing; compare with the committed files (weights exactly, logits to 1e-4)
  make.py --list          names only
"""
import argparse
import copy
import json
import os
import sys
import tempfile
import zlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
DROP = object()  # as a value: leave this key out
MOVED = 1e-3  # what counts as a difference in a logit
STILL = 1e-5  # what counts as none

# ---------------------------------------------------------------- configs

COMMON = dict(
    hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=64, max_position_embeddings=128, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
    tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
)
FAMILIES = {
    "llama": ("LlamaForCausalLM", dict(attention_bias=False, mlp_bias=False, rope_scaling=None)),
    "mistral": ("MistralForCausalLM", dict(head_dim=8, sliding_window=None)),
    "qwen2": ("Qwen2ForCausalLM", dict(use_sliding_window=False, sliding_window=64, max_window_layers=2,
                                       tie_word_embeddings=True, rms_norm_eps=1e-6)),
    "qwen3": ("Qwen3ForCausalLM", dict(attention_bias=False, head_dim=8, use_sliding_window=False,
                                       sliding_window=None, max_window_layers=2, tie_word_embeddings=True,
                                       rms_norm_eps=1e-6, rope_scaling=None)),
    "phi3": ("Phi3ForCausalLM", dict(sliding_window=None, original_max_position_embeddings=128,
                                     rope_scaling=None, pad_token_id=0)),
}
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def config_of(case):
    family = case["family"]
    architecture, base = FAMILIES[family]
    config = {"architectures": [architecture], "model_type": family, **COMMON, **base,
              "torch_dtype": case.get("dtype", "float16"), **case.get("config", {})}
    return {k: v for k, v in config.items() if v is not DROP}


def with_(config, changes):
    out = copy.deepcopy(config)
    for key, value in changes.items():
        if value is DROP:
            out.pop(key, None)
        else:
            out[key] = copy.deepcopy(value)
    return out


def new_spelling(config):
    """The spelling of transformers 5: all about RoPE in `rope_parameters`, `dtype` for `torch_dtype`. Phi-3 keeps
    `original_max_position_embeddings` outside too, and there it wins."""
    config = copy.deepcopy(config)
    rope = config.pop("rope_scaling", None) or {}
    rope["rope_type"] = rope.pop("type", rope.get("rope_type", "default"))
    rope["rope_theta"] = config.pop("rope_theta")
    if "partial_rotary_factor" in config:
        rope["partial_rotary_factor"] = config.pop("partial_rotary_factor")
    if "original_max_position_embeddings" in config:
        rope["original_max_position_embeddings"] = config["original_max_position_embeddings"]
    config["rope_parameters"] = rope
    config["dtype"] = config.pop("torch_dtype")
    return config


# ---------------------------------------------------------------- cases

LINEAR = dict(rope_type="linear", factor=4.0)
LINEAR_OLD = dict(type="linear", factor=4.0)
DYNAMIC = dict(rope_type="dynamic", factor=4.0)
# head_dim 16 and theta 1000 put the bands of yarn and llama3 inside the 8 frequencies
BANDS = dict(num_attention_heads=2, num_key_value_heads=1, rope_theta=1000.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=2.0, beta_slow=0.25)
YARN_SHORT = {k: v for k, v in YARN.items() if not k.startswith("beta")}
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
SHORT8, LONG8 = [1.05, 1.2, 1.5, 2.0], [1.1, 1.5, 3.0, 8.0]
SHORT12, LONG12 = [1.0, 1.05, 1.1, 1.2, 1.3, 1.4], [1.1, 1.4, 2.0, 3.5, 6.0, 11.0]
LONGROPE = dict(type="longrope", short_factor=SHORT8, long_factor=LONG8)
LONGROPE12 = dict(type="longrope", short_factor=SHORT12, long_factor=LONG12)
PHI = dict(max_position_embeddings=96, original_max_position_embeddings=24)
OFF = dict(rope_scaling=None)


def rope(**changes):
    return lambda base: {k: v for k, v in {**base, **changes}.items() if v is not DROP}


def yarn(case_rope, **differs):
    """`differs` maps a label to changes of the rope_scaling table."""
    return {"no scaling": OFF, "linear instead": dict(rope_scaling=LINEAR),
            **{label: dict(rope_scaling=rope(**change)(case_rope)) for label, change in differs.items()}}


YARN_FACTOR = {**YARN, "attention_factor": 0.7}
YARN_MSCALE = {**YARN, "mscale": 2.0, "mscale_all_dim": 0.5}
YARN_ONE_MSCALE = {**YARN, "mscale": 2.0}
YARN_EXACT = {**YARN, "truncate": False}
YARN_BARE = dict(rope_type="yarn", factor=4.0, beta_fast=2.0, beta_slow=0.25)

CASES = {
    # shapes
    "llama-bias": dict(family="llama", config=dict(attention_bias=True, mlp_bias=True)),
    "llama-head-dim": dict(family="llama", config=dict(head_dim=12), model_differs=["scale of hidden / heads"]),
    "llama-head-dim-absent": dict(family="llama", config=dict(rope_scaling=DROP)),
    "llama-head-dim-null": dict(family="llama", config=dict(head_dim=None)),
    "llama-mqa": dict(family="llama", config=dict(num_key_value_heads=1, tie_word_embeddings=True)),
    # Only what has no default, so every default counts: as many KV heads as heads, theta 10000, eps 1e-6, silu, untied.
    "llama-sparse-config": dict(
        family="llama",
        config={k: DROP for k in ("num_key_value_heads", "rms_norm_eps", "rope_theta", "hidden_act", "rope_scaling",
                                  "tie_word_embeddings", "attention_bias", "mlp_bias", "max_position_embeddings",
                                  "bos_token_id", "eos_token_id", "torch_dtype")},
        differs={"theta 500000": dict(rope_theta=500000.0), "gelu": dict(hidden_act="gelu")},
        same={"the defaults spelled out": dict(num_key_value_heads=4, rms_norm_eps=1e-6, rope_theta=10000.0)}),
    "llama-odd-sizes": dict(family="llama", config=dict(hidden_size=36, num_attention_heads=3, num_key_value_heads=3,
                                                        intermediate_size=52, vocab_size=77)),
    "qwen2-odd-sizes": dict(family="qwen2", config=dict(hidden_size=42, num_attention_heads=7, num_key_value_heads=1,
                                                        intermediate_size=46, vocab_size=67)),
    "llama-gelu-tanh": dict(family="llama", config=dict(hidden_act="gelu_pytorch_tanh"),
                            differs={"silu": dict(hidden_act="silu")}, gate_scale=2.0),
    "qwen2-untied": dict(family="qwen2", config=dict(tie_word_embeddings=False), model_differs=["head tied"]),
    "qwen3-bias-head-dim": dict(family="qwen3", config=dict(attention_bias=True, head_dim=24, intermediate_size=36),
                                model_differs=["scale of hidden / heads", "no q/k norm"]),
    # files
    "llama-f32": dict(family="llama", dtype="float32", config=dict(tie_word_embeddings=True, intermediate_size=33)),
    "llama-f16": dict(family="llama", dtype="float16"),
    "qwen2-bf16": dict(family="qwen2", dtype="bfloat16"),
    "llama-sharded": dict(family="llama", shards=2),
    # RoPE
    "llama-rope-linear": dict(family="llama", tokens=32, config=dict(rope_scaling=LINEAR), differs={"off": OFF}),
    "llama-rope-linear-type": dict(family="llama", tokens=32, config=dict(rope_scaling=LINEAR_OLD),
                                   differs={"off": OFF}, same={"rope_type": dict(rope_scaling=LINEAR)}),
    "llama-rope-dynamic-short": dict(
        family="llama", tokens=32, config=dict(rope_scaling=DYNAMIC, max_position_embeddings=32),
        differs={"applied at once": dict(max_position_embeddings=16), "linear": dict(rope_scaling=LINEAR)},
        same={"off": OFF}),
    "llama-rope-dynamic-long": dict(
        family="llama", tokens=40, config=dict(rope_scaling=DYNAMIC, max_position_embeddings=16),
        differs={"off": OFF, "linear": dict(rope_scaling=LINEAR)}),
    "llama-rope-yarn": dict(
        family="llama", tokens=40, config=dict(rope_scaling=YARN, max_position_embeddings=64, **BANDS),
        differs=yarn(YARN, **{"attention factor 1": dict(attention_factor=1.0), "default betas": dict(
            beta_fast=DROP, beta_slow=DROP), "original from max": dict(original_max_position_embeddings=64),
            "not truncated": dict(truncate=False)}),
        same={"max_position_embeddings": dict(max_position_embeddings=128)}),
    "llama-rope-yarn-defaults": dict(
        family="llama", tokens=40, config=dict(rope_scaling=YARN_SHORT, max_position_embeddings=64, **BANDS),
        differs=yarn(YARN_SHORT, **{"attention factor 1": dict(attention_factor=1.0), "other betas": dict(
            beta_fast=2.0, beta_slow=0.25)}),
        same={"betas 32 and 1": dict(rope_scaling={**YARN_SHORT, "beta_fast": 32.0, "beta_slow": 1.0})}),
    "llama-rope-yarn-attention-factor": dict(
        family="llama", tokens=40, config=dict(rope_scaling=YARN_FACTOR, max_position_embeddings=64, **BANDS),
        differs=yarn(YARN_FACTOR, **{"factor not given": dict(attention_factor=DROP)})),
    "llama-rope-yarn-mscale": dict(
        family="llama", tokens=40, config=dict(rope_scaling=YARN_MSCALE, max_position_embeddings=64, **BANDS),
        differs=yarn(YARN_MSCALE, **{"no mscale": dict(mscale=DROP, mscale_all_dim=DROP),
                                     "mscale 1": dict(mscale=1.0)})),
    "llama-rope-yarn-one-mscale": dict(
        family="llama", tokens=40, config=dict(rope_scaling=YARN_ONE_MSCALE, max_position_embeddings=64, **BANDS),
        differs=yarn(YARN_ONE_MSCALE, **{"taken alone": dict(attention_factor=0.1 * 2.0 * float(np.log(4.0)) + 1.0)}),
        same={"no mscale": dict(rope_scaling=YARN)}),
    "llama-rope-yarn-no-truncate": dict(
        family="llama", tokens=40, config=dict(rope_scaling=YARN_EXACT, max_position_embeddings=64, **BANDS),
        differs=yarn(YARN_EXACT, truncated=dict(truncate=True))),
    "llama-rope-yarn-no-original": dict(
        family="llama", tokens=40, config=dict(rope_scaling=YARN_BARE, max_position_embeddings=16, **BANDS),
        differs={**yarn(YARN_BARE), "divided by the factor": dict(max_position_embeddings=4)},
        same={"given": dict(rope_scaling=YARN)}),
    "llama-rope-llama3": dict(
        family="llama", tokens=40, config=dict(rope_scaling=LLAMA3, max_position_embeddings=256, **BANDS),
        differs={"off": OFF, "linear": dict(rope_scaling=dict(rope_type="linear", factor=8.0)),
                 "no smooth band": dict(rope_scaling={**LLAMA3, "high_freq_factor": 1.0001})}),
    # RoPE as transformers 5 spells it
    "qwen2-rope-parameters-default": dict(
        family="qwen2", config=dict(rope_theta=300.0), spell=new_spelling,
        differs={"theta 10000": dict(rope_theta=10000.0)}),
    "qwen2-rope-parameters-llama3": dict(
        family="qwen2", tokens=40, config=dict(rope_scaling=LLAMA3, max_position_embeddings=256, **BANDS),
        spell=new_spelling, differs={"off": OFF, "theta 10000": dict(rope_theta=10000.0)}),
    "qwen2-rope-parameters-yarn": dict(
        family="qwen2", tokens=40, config=dict(rope_scaling=YARN, max_position_embeddings=64, **BANDS),
        spell=new_spelling, differs={"off": OFF, "theta 10000": dict(rope_theta=10000.0)}),
    "phi3-rope-parameters-longrope": dict(
        family="phi3", tokens=32, config=dict(rope_scaling=LONGROPE12, num_attention_heads=2, num_key_value_heads=1,
                                              partial_rotary_factor=0.75, **PHI),
        spell=new_spelling, differs={"short factors": dict(rope_scaling={**LONGROPE12, "long_factor": SHORT12})}),
    # Phi-3
    "phi3-longrope-short": dict(
        family="phi3", tokens=24, config=dict(rope_scaling=LONGROPE, **PHI),
        differs={"off": OFF, "long factors": dict(rope_scaling={**LONGROPE, "short_factor": LONG8}),
                 "factors 1": dict(rope_scaling={**LONGROPE, "short_factor": [1.0] * 4}),
                 "attention factor 1": dict(max_position_embeddings=24)}),
    "phi3-longrope-long": dict(
        family="phi3", tokens=25, config=dict(rope_scaling=LONGROPE, **PHI),
        differs={"off": OFF, "short factors": dict(rope_scaling={**LONGROPE, "long_factor": SHORT8}),
                 "attention factor 1": dict(max_position_embeddings=24)}),
    "phi3-su": dict(
        family="phi3", tokens=32, config=dict(rope_scaling={**LONGROPE, "type": "su"}, **PHI),
        differs={"off": OFF}, same={"longrope": dict(rope_scaling=LONGROPE)}),
    "phi3-longrope-partial-rotary": dict(
        family="phi3", tokens=32, config=dict(rope_scaling=LONGROPE12, num_attention_heads=2, num_key_value_heads=1,
                                              partial_rotary_factor=0.75, **PHI),
        differs={"off": OFF, "short factors": dict(rope_scaling={**LONGROPE12, "long_factor": SHORT12})}),
    # Without rope_scaling, original_max_position_embeddings means nothing, though T is past it.
    "phi3-partial-rotary": dict(
        family="phi3", tokens=32, config=dict(partial_rotary_factor=0.5, **PHI),
        differs={"whole head": dict(partial_rotary_factor=1.0)},
        same={"original_max_position_embeddings": dict(original_max_position_embeddings=96)}),
    "phi3-sliding-window": dict(
        family="phi3", config=dict(sliding_window=6),
        differs={"off": dict(sliding_window=None), "one more": dict(sliding_window=7),
                 "one less": dict(sliding_window=5)}),
    # sliding windows
    "mistral-sliding-window": dict(
        family="mistral", config=dict(head_dim=12, sliding_window=5), model_differs=["scale of hidden / heads"],
        differs={"off": dict(sliding_window=None), "one more": dict(sliding_window=6),
                 "one less": dict(sliding_window=4)}),
    "mistral-sliding-null": dict(family="mistral", config=dict(sliding_window=None),
                                 differs={"a window": dict(sliding_window=16)}),
    "qwen2-sliding-window": dict(
        family="qwen2", config=dict(use_sliding_window=True, sliding_window=6, max_window_layers=1),
        differs={"off": dict(use_sliding_window=False), "every layer": dict(max_window_layers=0),
                 "the first layer": dict(layer_types=["sliding_attention", "full_attention"]),
                 "one more": dict(sliding_window=7), "one less": dict(sliding_window=5)},
        same={"layer_types": dict(layer_types=["full_attention", "sliding_attention"], max_window_layers=0)}),
    "qwen2-sliding-ignored": dict(
        family="qwen2", config=dict(use_sliding_window=False, sliding_window=4, max_window_layers=0),
        differs={"on": dict(use_sliding_window=True)}, same={"null": dict(sliding_window=None)}),
    # layer_types wins over max_window_layers, which alone would say full, sliding.
    "qwen3-layer-types": dict(
        family="qwen3", config=dict(use_sliding_window=True, sliding_window=6, max_window_layers=1,
                                    layer_types=["sliding_attention", "full_attention"]),
        model_differs=["no q/k norm"],
        differs={"off": dict(use_sliding_window=False, layer_types=DROP), "max_window_layers": dict(layer_types=DROP),
                 "every layer": dict(layer_types=["sliding_attention"] * 2)}),
}

# ---------------------------------------------------------------- weights

def round_to(x, dtype):
    """x (float32) rounded half to even to `dtype`; bfloat16 as its uint16 bits."""
    if dtype == "bfloat16":
        bits = x.view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return x.astype(dtype)


def widen(x, dtype):
    return (x.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else x.astype(np.float32)


def make_tensors(shapes, case, rng):
    """Random weights of order 1 through the network: attention is neither uniform nor one-hot."""
    out = {}
    for name in sorted(shapes):
        x = rng.standard_normal(shapes[name], dtype=np.float32)
        if "norm" in name:
            x = 1 + 0.25 * x
        elif name.endswith("bias"):
            x *= 0.3
        elif "embed_tokens" in name or "lm_head" in name:
            x *= 0.25
        elif "self_attn" in name:
            x *= 0.25
        else:
            x *= 0.2 * (case.get("gate_scale", 1.0) if "gate" in name else 1.0)
        out[name] = round_to(x, case.get("dtype", "float16"))
    return out


def write_safetensors(path, tensors, metadata):
    """The format by hand, so that bfloat16 needs no torch: tensors maps name -> (dtype name, array)."""
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for _, array in tensors.values():
            f.write(np.ascontiguousarray(array).tobytes())


def write_case(directory, written, tensors, dtype, shards):
    os.makedirs(directory, exist_ok=True)
    for old in os.listdir(directory):
        os.remove(os.path.join(directory, old))
    with open(os.path.join(directory, "config.json"), "w") as f:
        f.write(json.dumps(written, indent=2) + "\n")
    typed = {name: (DTYPES[dtype], array) for name, array in tensors.items()}
    metadata = {"format": "pt"}
    if shards == 1:
        write_safetensors(os.path.join(directory, "model.safetensors"), typed, metadata)
        return
    names, weight_map = list(typed), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = names[i::shards]  # alternating, so that one layer spans both files
        write_safetensors(os.path.join(directory, file), {n: typed[n] for n in part}, metadata)
        weight_map.update({n: file for n in part})
    index = {"metadata": {"total_size": sum(a.nbytes for _, a in typed.values())},
             "weight_map": dict(sorted(weight_map.items()))}
    with open(os.path.join(directory, "model.safetensors.index.json"), "w") as f:
        f.write(json.dumps(index, indent=2) + "\n")


# ---------------------------------------------------------------- transformers

def build(config, state=None):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = copy.deepcopy(config)
    family = config.pop("model_type")
    config.pop("torch_dtype", None)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **config), dtype=torch.float32,
                                             attn_implementation="eager").eval()
    if state is not None:
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
        model.tie_weights()
    return model


def logits_of(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(ids), use_cache=False).logits.float().numpy()


def heads_of(model):
    c = model.config
    return c.num_attention_heads, c.num_key_value_heads, model.model.layers[0].self_attn.head_dim


def spoil(model, how):
    """Change a loaded model so that it computes something plausible and wrong; None where that has no meaning."""
    import torch

    heads, kv, head_dim = heads_of(model)
    with torch.no_grad():
        for layer in model.model.layers:
            attn = layer.self_attn
            fused = getattr(attn, "qkv_proj", None)
            if how == "uniform attention":
                if fused is not None:
                    fused.weight[heads * head_dim:(heads + kv) * head_dim] = 0
                else:
                    attn.k_proj.weight.zero_()
                    if attn.k_proj.bias is not None:
                        attn.k_proj.bias.zero_()
                    if hasattr(attn, "k_norm"):
                        attn.k_norm.weight.zero_()
            elif how == "query heads interleaved":
                if kv in (1, heads):
                    return None
                order = torch.arange(heads).view(kv, -1).T.reshape(-1)
                rows = (order[:, None] * head_dim + torch.arange(head_dim)).reshape(-1)
                q = fused if fused is not None else attn.q_proj
                q.weight[:heads * head_dim] = q.weight[rows].clone()
                if q.bias is not None:
                    q.bias[:heads * head_dim] = q.bias[rows].clone()
                attn.o_proj.weight.copy_(attn.o_proj.weight[:, rows].clone())
            elif how == "scale of hidden / heads":
                attn.scaling = (model.config.hidden_size // heads) ** -0.5
            elif how == "no q/k norm":
                attn.q_norm = attn.k_norm = torch.nn.Identity()
        if how == "no RoPE":
            r = model.model.rotary_emb
            r.rope_type = "default"
            r.inv_freq = torch.zeros_like(r.inv_freq)
        elif how == "norm weights 1":
            for name, p in model.named_parameters():
                if "norm" in name:
                    p.fill_(1)
        elif how == "no biases":
            biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
            if not biases:
                return None
            for p in biases:
                p.zero_()
        elif how == "head tied":
            model.lm_head.weight.copy_(model.model.embed_tokens.weight)
    return model


SPOILS = ["uniform attention", "no RoPE", "norm weights 1", "no biases", "query heads interleaved"]


def run(name, case, directory):
    import torch
    from transformers import AutoModelForCausalLM

    dtype, config = case.get("dtype", "float16"), config_of(case)
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    tied = build(config).config.tie_word_embeddings
    shapes = {k: tuple(v.shape) for k, v in build(config).state_dict().items() if not (tied and k == "lm_head.weight")}
    tensors = make_tensors(shapes, case, rng)
    ids = rng.integers(0, config["vocab_size"], (1, case.get("tokens", 24)), dtype=np.int64)
    write_case(directory, config, tensors, dtype, case.get("shards", 1))
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    logits = logits_of(model, ids)
    golden = {"input_ids": ("I64", ids), "logits": ("F32", logits)}
    write_safetensors(os.path.join(directory, "golden.safetensors"), golden, None)
    if "spell" in case:
        with open(os.path.join(directory, "config.json"), "w") as f:
            f.write(json.dumps(case["spell"](config), indent=2) + "\n")

    state = {k: torch.from_numpy(widen(v, dtype)) for k, v in tensors.items()}
    far = lambda m: float(np.abs(logits_of(m, ids) - logits).max())
    assert far(build(config, state)) <= STILL, "the files do not load as the config says"
    lines, bad = [], []

    def note(label, value, ok):
        lines.append(f"    {label:<44} {value:9.2e}{'' if ok else '   <-- WRONG'}")
        if not ok:
            bad.append(label)

    for how in SPOILS + case.get("model_differs", []):
        wrong = spoil(build(config, state), how)
        if wrong is not None:
            value = far(wrong)
            note(how, value, value > MOVED)
    for label, changes in case.get("differs", {}).items():
        value = far(build(with_(config, changes), state))
        note(label, value, value > MOVED)
    for label, changes in case.get("same", {}).items():
        value = far(build(with_(config, changes), state))
        note("no effect: " + label, value, value <= STILL)
    size = sum(os.path.getsize(os.path.join(directory, f)) for f in os.listdir(directory))
    print(f"{name}: {size} bytes, T {ids.shape[1]}, logits std {logits.std():.2f}, max {np.abs(logits).max():.2f}")
    print("\n".join(lines), flush=True)
    return bad


def compare(made, kept):
    """What differs between two case directories."""
    from safetensors.numpy import load_file

    out = []
    if sorted(os.listdir(made)) != sorted(os.listdir(kept)):
        return ["files"]
    for file in sorted(os.listdir(made)):
        a, b = os.path.join(made, file), os.path.join(kept, file)
        if file == "golden.safetensors":
            x, y = load_file(a), load_file(b)
            if not np.array_equal(x["input_ids"], y["input_ids"]) or np.abs(x["logits"] - y["logits"]).max() > 1e-4:
                out.append(file)
        elif open(a, "rb").read() != open(b, "rb").read():
            out.append(file)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases to make (default: all)")
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--out", default=HERE, help="where the case directories go (default: beside this script)")
    args = parser.parse_args()
    if args.list:
        print("\n".join(CASES))
        return 0
    unknown = [n for n in args.names if n not in CASES]
    if unknown:
        parser.error(f"unknown case: {', '.join(unknown)}")

    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}; "
          f"greatest change of a logit, more than {MOVED} unless it says no effect (at most {STILL})")
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.names or CASES:
            directory = os.path.join(scratch if args.check else args.out, name)
            failed += [f"{name}: {label}" for label in run(name, CASES[name], directory)]
            if args.check:
                failed += [f"{name}: {file} differs" for file in compare(directory, os.path.join(args.out, name))]
    for line in failed:
        print("FAILED", line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
