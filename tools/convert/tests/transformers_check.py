"""Runs artifacts of `rkllm convert` in transformers + compressed-tensors and compares logits.

    python transformers_check.py ARTIFACT [--logits OURS.safetensors] [--ids 1,2,3]

Each comparison is given as the largest and the mean absolute difference:
- with a plain float model whose weights are dequantised here, from the bytes of the artifact, by the
  rules of NUMERICS.md, and whose int8 layers see activations rounded by the same rules;
- with `logits` [tokens, vocab] of `rkllm logits ARTIFACT --tokens ... -o OURS.safetensors`, if given.

The floor is transformers against itself with another order of additions (eager attention for sdpa): a last bit
can flip the rounding of an int8 activation, and the flip travels on. Nothing that adds in its own order comes
closer. Ours also keeps keys and values in f16, which moves more activations.

Not part of the tests: it needs torch 2.8, transformers 4.57 and compressed-tensors 0.12.
"""
import argparse
import json
import os
import pathlib

os.environ.setdefault("TQDM_DISABLE", "1")

import torch
import transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM


def tensors(directory):
    found = {}
    for path in sorted(pathlib.Path(directory).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}
    return found


def nibbles(words, count, dim):
    """Unsigned nibbles of int32 words, lowest first along `dim`, `count` of them."""
    shifts = torch.arange(8, dtype=torch.int32) * 4
    if dim == 0:
        words = words.T
    values = ((words[..., None] >> shifts) & 15).reshape(words.shape[0], -1)[:, :count]
    return values.T if dim == 0 else values


def dequantized(stored):
    """Float weights by module, and for each quantised module its group size and bits."""
    weights, kinds = {}, {}
    for name, value in stored.items():
        module, _, part = name.rpartition(".")
        if part in ("weight_scale", "weight_shape", "weight_zero_point"):
            continue
        scale = stored.get(f"{module}.weight_scale")
        if scale is None or part == "bias":
            weights[name] = value.float()
            continue
        zero = stored.get(f"{module}.weight_zero_point")
        if part == "weight_packed":
            n, k = stored[f"{module}.weight_shape"].tolist()
            q, bits = nibbles(value, k, 1) - 8, 4
            zero = None if zero is None else nibbles(zero, n, 0) - 8
        else:
            (n, k), q, bits = value.shape, value.int(), 8
        groups = scale.shape[1]
        q = q.reshape(n, groups, k // groups)
        if zero is not None:
            q = q - zero.int()[..., None]
        weights[f"{module}.weight"] = (q.float() * scale.float()[..., None]).reshape(n, k)
        kinds[module] = (k // groups, bits)
    return weights, kinds


def rounded(group, bits):
    """Activations as the int8 layers see them; int4 layers see floats in transformers."""

    def hook(_module, inputs):
        x = inputs[0]
        grouped = x.reshape(*x.shape[:-1], -1, group)
        scale = (grouped.abs().amax(-1, keepdim=True) / 127.5).clamp(min=2.0**-23)
        return ((torch.clamp(torch.round(grouped / scale), -128, 127) * scale).reshape(x.shape),)

    return hook if bits == 8 else None


def reference(directory):
    config = AutoConfig.from_pretrained(directory)
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    weights, kinds = dequantized(tensors(directory))
    model.load_state_dict(weights)
    for name, module in model.named_modules():
        if name in kinds and (hook := rounded(*kinds[name])):
            module.register_forward_pre_hook(hook)
    return model


def report(what, a, b):
    diff = (a - b).abs()
    print(f"{what}: max {diff.max():.3g} mean {diff.mean():.3g} of logits up to {b.abs().max():.3g}, "
          f"top-1 agrees on {(a.argmax(-1) == b.argmax(-1)).float().mean():.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--logits")
    parser.add_argument("--ids")
    args = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model, info = AutoModelForCausalLM.from_pretrained(
        args.artifact, dtype=torch.float32, output_loading_info=True)
    model.eval()
    assert not any(info.values()), info
    vocab = model.config.vocab_size
    ids = [int(i) for i in args.ids.split(",")] if args.ids else [1 + i * 37 % (vocab - 1) for i in range(64)]
    ids = torch.tensor([ids])
    with torch.no_grad():
        logits = model(ids).logits[0]
        # The first pass unpacks compressed layers; the second must not differ.
        again = model(ids).logits[0]
        expected = reference(args.artifact)(ids).logits[0]
        eager = AutoModelForCausalLM.from_pretrained(
            args.artifact, dtype=torch.float32, attn_implementation="eager")(ids).logits[0]
    scheme = json.loads((pathlib.Path(args.artifact) / "rkllm.json").read_text())["scheme"]
    print(f"{args.artifact} ({scheme}), {ids.shape[1]} tokens")
    report("transformers, second pass against first", again, logits)
    report("transformers against dequantised here", logits, expected)
    report("floor: eager against sdpa", eager, logits)
    if args.logits:
        with safe_open(args.logits, "pt") as file:
            ours = file.get_tensor("logits")
        report("ours against transformers", ours, logits)


if __name__ == "__main__":
    main()
