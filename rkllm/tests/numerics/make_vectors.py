#!/usr/bin/env python3
"""Writes ../data/numerics.json and ../data/numerics-model/ from reference.py; `--check` compares instead.

Floats are hexadecimal bit patterns, 8 digits for binary32, 4 for binary16, 16 for binary64. An array is one string:
words with a space between, or `lcg SEED COUNT` (see `Lcg`), or `cycle COUNT WORD WORD ...`. Matrices are row-major.
"""
import json
import struct
import sys
from fractions import Fraction
from pathlib import Path

import reference as r

DATA = Path(__file__).resolve().parent.parent / "data"
ONE_BELOW = r.from_bits(0x3F7FFFFF)


class Lcg:
    """Knuth's MMIX generator. A value is made of the upper half `u` of the state after each step:
    (u >> 8) - 2^23, times 2^-23, times 2^((u & 7) - 4), which binary32 holds exactly."""

    def __init__(self, seed):
        self.state = seed

    def word(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 32

    def floats(self, count):
        words = [self.word() for _ in range(count)]
        return [((u >> 8) - 2**23) * 2.0**-23 * 2.0 ** ((u & 7) - 4) for u in words]

    def any_float(self):
        """Any finite binary32, exponents near zero more often than not."""
        u, e = self.word(), self.word()
        exponent = 127 + e % 41 - 20 if e & 0x300 else e // 1024 % 255
        return r.from_bits(u & 0x807FFFFF | exponent << 23)


def h32(values):
    return " ".join(f"{r.bits32(v):08x}" for v in values)


def h16(values):
    return " ".join(f"{r.bits16(v):04x}" for v in values)


def h64(values):
    return " ".join(struct.pack(">d", v).hex() for v in values)


def floats(spec):
    """What an array string stands for."""
    words = spec.split()
    if words[:1] == ["lcg"]:
        return Lcg(int(words[1])).floats(int(words[2]))
    if words[:1] == ["cycle"]:
        return [r.from_bits(int(words[2 + i % (len(words) - 2)], 16)) for i in range(int(words[1]))]
    return [r.from_bits(int(w, 16)) for w in words]


# ---- floats ----

def f16_cases():
    random = Lcg(1)
    edges = [0.0, -0.0, 1.0, 2049.0, 2051.0, 65504.0, 65519.99609375, 65520.0, -65520.0, 1e30, 3.4e38, 2.0**-14,
             2.0**-14 - 2.0**-25, 2.0**-14 - 2.0**-26, 2.0**-24, 2.0**-25, 1.5 * 2.0**-24, 2.5 * 2.0**-24,
             r.f32(2.0**-25 * (1 + 2.0**-23)), 2.0**-26, 2.0**-149, 1 + 2.0**-11, 1 + 3 * 2.0**-11, r.INF, -r.INF]
    near = [random.any_float() for _ in range(200)]
    halves = [r.f32(r.f16(v) * (1 + 2.0**-12)) for v in random.floats(60)]
    x = [r.f32(v) for v in edges + near + halves]
    return [{"x": h32(x), "y": h16(map(r.f16, x))}]


def fma_cases():
    random = Lcg(2)
    ulp = 2.0**-23
    cases = [((1 + ulp) * 2.0**-24, 1 - ulp, 1 + ulp), ((1 + ulp) * 2.0**-24, 1 - ulp, 1.0),
             (-(1 + ulp) * 2.0**-24, 1 - ulp, 1 + ulp), (2.0**-75, 2.0**-75, 0.0), (2.0**-75, 2.0**-75, 2.0**-149),
             (2.0**-75, -(2.0**-75), 3 * 2.0**-149), (1 + ulp, 1 + ulp, -1 - 2 * ulp), (2.0**-149, 2.0**-149, 1.0),
             (2.0**-149, -(2.0**-149), ONE_BELOW), (2.0**100, 2.0**28, -(2.0**127)), (3.0, 5.0, -15.0), (-0.0, 1.0, -0.0)]
    for _ in range(300):
        a, b, c = (random.any_float() for _ in range(3))
        cases += [(a, b, c), (a, b, -r.f32(a * b))]
    return [{k: h32(column) for k, column in zip("abcy", zip(*[(a, b, c, r.fma(a, b, c)) for a, b, c in cases]))}]


def exp_cases():
    random = Lcg(3)
    edges = [0.0, -0.0, 1.0, -1.0, 2.0**-149, -(2.0**-149), 1e-8, -1e-8, 2.0**-24, 2.0**-25, 88.0, 88.7, 88.72283, -87.0,
             -87.3365, -88.0, -100.0, -103.0, -103.97, -103.9721, -103.98, -104.0, -104.00001, -1e30, 1e30, -r.INF, r.INF,
             r.from_bits(0x42B17217), r.EXP_MAX, r.from_bits(0x42B17219), 0.34657359, 0.3465736, -0.34657359, 1.0397208]
    ties = [(k + 0.5) / r.LOG2_E for k in range(-150, 128, 5)]  # of n, most of them
    x = [r.f32(v) for v in edges + ties + [v * 12 for v in random.floats(200)] + random.floats(100)]
    return [{"x": h32(x), "y": h32(map(r.exp, x))}]


def dot_cases():
    random, out = Lcg(4), []
    for n in (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 100, 127, 257):
        a, b = random.floats(n), random.floats(n)
        halves = [r.f16(v) for v in b]
        out.append({"a": h32(a), "b": h32(b), "y": h32([r.dot16(a, b)]), "b_f16": h16(halves),
                    "y_f16": h32([r.dot16(a, halves)])})
    return out


def norm_cases():
    random = Lcg(5)
    out = []
    for n, eps, factor in ((1, 1e-6, 1), (2, 1e-5, 1), (17, 1e-6, 1), (64, 1e-5, 2.0**-20), (33, 1e-6, 2.0**40),
                           (100, 1e-6, 0), (896, 1e-6, 1)):
        x, w = [v * factor for v in random.floats(n)], random.floats(n)
        out.append({"x": h32(x), "w": h32(w), "eps": h32([r.f32(eps)]), "y": h32(r.rms_norm(x, w, r.f32(eps)))})
    return out


def gate_cases():
    random = Lcg(6)
    g = [0.0, -0.0, 1.0, -1.0, 88.7, -88.7, 89.0, -89.0, -104.5, 104.5, 1e30, -1e30, 2.0**-149, -(2.0**-130), 3e-5, 10.0]
    g = [r.f32(v) for v in g] + [v * 4 for v in random.floats(200)]
    u = random.floats(len(g))
    return [{"g": h32(g), "u": h32(u), "silu": h32(map(r.silu_gate, g, u)), "gelu": h32(map(r.gelu_gate, g, u))}]


def softmax_cases():
    random = Lcg(7)
    out = []
    for n, start, factor in ((1, 0, 1), (2, 15, 1), (3, 3, 1), (15, 0, 4), (16, 0, 1), (16, 5, 1), (17, 1000, 1),
                             (33, 13, 16), (100, 0, 2), (100, 7, 2), (40, 9, 0)):
        s = [v * factor for v in random.floats(n)]
        assert len({r.sum16(s, first) for first in range(16)}) == 1  # the tree does not mind a rotation of the lanes
        out.append({"start": start, "s": h32(s), "p": h32(r.softmax(s, start))})
    return out


def attention_cases():
    random = Lcg(8)
    out = []
    for size, n, start in ((16, 1, 0), (16, 20, 0), (20, 9, 5), (64, 5, 14), (96, 18, 3), (2, 40, 31)):
        q, k, v = random.floats(size), random.floats(size * n), random.floats(size * n)
        o = r.attention(q, r.chunks(k, size), r.chunks(v, size), start)
        out.append({"head_dim": size, "start": start, "q": h32(q), "k": h32(k), "v": h32(v), "o": h32(o)})
    return out


def rope_cases():
    random = Lcg(9)
    out = []
    for theta, head_dim, rotary, positions in ((10000.0, 16, 16, (0, 1, 2, 100)), (1e6, 64, 64, (3, 4097)),
                                               (10000.0, 96, 48, (1, 511)), (500000.0, 128, 128, (8191,))):
        for position in positions:
            cos, sin = r.rope_table(theta, rotary, position)
            x = random.floats(head_dim)
            out.append({"theta": h64([theta]), "rotary_dim": rotary, "position": position, "cos": h32(cos), "sin": h32(sin),
                        "x": h32(x), "y": h32(r.rotate(x, cos, sin))})
    return out


# ---- weights and activations ----

def weight_case(name, spec, k, bits, group=None, symmetric=True, ratios=(1.0,)):
    done = r.quantize_weights(r.chunks(floats(spec), k), bits, group, symmetric, ratios)
    scales = [s for row in done["scales"] for s in row]
    case = {"name": name, "w": spec, "k": k, "bits": bits, "group": group, "symmetric": symmetric,
            "scale_type": done["scale_type"],
            "scales": h16(scales) if done["scale_type"] == "f16" else h32(scales),
            "data": b"".join(r.packed_row(row, bits) for row in done["q"]).hex()}
    return case if symmetric else case | {"z": [z for row in done["z"] for z in row]}


def weight_cases():
    ties = [v + 0.5 for v in range(-9, 9)]
    rows = {
        "ties, int8 scale 1": (ties + [127.5, -127.5, 126.5, 125.5, -126.5, 0.49999997, -0.50000006], 8, None),
        "ties, int8 scale 1 in f16": (ties + [127.5, -127.5], 8, 10),
        "ties, int4 scale 1": ([-7.5] + ties[2:-2] + [7.5], 4, None),
        "clamped at both ends": ([7.5, -7.5, 7.4999995, -7.4999995, 6.5, -6.5, 7.0, -7.0], 4, 4),
        "positive only": ([0.5, 1.0, 7.25, 3.3, 2.0, 6.9], 4, 6),
        "negative only": ([-0.5, -1.0, -7.25, -3.3, -2.0, -6.9], 8, 6),
        "zero points at ties": ([-4.5, 10.5, 9.5, 1.5, 2.5, -0.5], 4, None),
        "odd zero point, ties": ([-5.0, 10.0, 0.5, 1.5, -0.5, 2.5], 4, None),
        "zero point at a tie made by the division": ([-8.313451766967773, 19.398054122924805, 1.0], 4, None),
        "zero point at a tie made by the subtraction": ([-0.50000006, 254.5, 1.5], 8, None),
        "int8 zero point at a tie": ([-100.5, 154.5, 0.5, -0.5, 3.0, 1.5], 8, None),
        "zero groups": ([0.0, -0.0, 0.0, 0.0, 1.0, -2.0, 0.5, -0.0, 0.0, 0.0, 0.0, 0.0], 4, 4),
        "all zero": ([0.0] * 6, 8, None),
        "negative zeros": ([-0.0] * 6, 4, 2),
        "scale 2^-14 exactly": ([7.5 * 2.0**-14, 2.0**-15, 1.0, -0.3], 4, 2),
        "scale rounds up to 2^-14": ([7.5 * (2.0**-14 - 2.0**-27), 2.0**-15, 1.0, -0.3], 4, 2),
        "scale below 2^-14": ([7.5 * (2.0**-14 - 2.0**-23), 2.0**-15, 1.0, -0.3], 4, 2),
        "scale rounds down to 65504": ([7.5 * 65519.0, 1e5, 1.0, -0.3], 4, 2),
        "scale above 65504": ([7.5 * 65521.0, 1e5, 1.0, -0.3], 4, 2),
        "int8 scale below 2^-14 in one group": ([2.0**-10, 2.0**-12, 1.0, -0.3], 8, 2),
        "subnormal weights": ([2.0**-140, -(2.0**-141), 2.0**-149, 0.0], 8, None),
        "scale rounds to zero": ([2.0**-149, 0.0, -(2.0**-149), 0.0], 8, None),
        "scale at the floor": ([2.0**-126 * 7, -(2.0**-127), 2.0**-126, 2.0**-126 * 8], 4, None),
        "subnormal group": ([2.0**-140, -(2.0**-149), 2.0, 0.3], 4, 2),
    }
    out = []
    for name, (row, bits, group) in rows.items():
        for symmetric in (True, False):
            spec = h32([r.f32(v) for v in row])
            out.append(weight_case(name, spec, len(row), bits, group, symmetric))
    seed = 1
    for n, k, group in ((3, 1, None), (3, 3, None), (2, 7, None), (2, 9, None), (4, 33, None), (3, 64, 32), (2, 60, 6),
                        (2, 64, 64), (3, 256, 128), (2, 130, 10)):
        for bits in (8, 4):
            for symmetric in (True, False):
                out.append(weight_case("random", f"lcg {seed} {n * k}", k, bits, group, symmetric))
                seed += 1
    return out


def clip_cases():
    """The same with the clip rule mse."""
    rows = {
        "scale 1 before 68/64, both exact": ([255.0, 0.0], 8, None),
        "60/64 is exact": ([-4.0, 0.0, 0.0], 4, None),
        "a scale that is tried is below 2^-14": ([7.5 * 1.5 * 2.0**-14, 2.0**-14, 1.0, -0.3], 4, 2),
        "a scale that is tried is above 65504": ([7.5 * 65504 / 1.1, 1e5, 1.0, -0.3], 4, 2),
        "zero groups": ([0.0, -0.0, 1.0, -0.4], 4, 2),
        "subnormal weights": ([2.0**-149, -(2.0**-149), 2.0**-124, -(2.0**-126)], 4, None),
        "squares below f32's range": ([v * 2.0**-100 for v in (1.0, 0.7, -0.33, 0.21, -0.9, 0.5)], 4, None),
        "the last ratio": ([15.0] + [1.0, -1.0, 3.0, -3.0, 5.0, -5.0, 7.0, -7.0] * 40, 4, None),
        "one outlier": ([8.0] + [0.1 * i for i in range(-20, 20)] + [0.73], 4, None),
    }
    specs = [(name, h32(map(r.f32, row)), len(row), bits, group) for name, (row, bits, group) in rows.items()]
    for i, (n, k, group) in enumerate(((2, 7, None), (2, 33, None), (3, 64, 32), (2, 60, 6), (2, 128, 64), (1, 200, None))):
        specs += [("random", f"lcg {500 + 2 * i + bits // 8} {n * k}", k, bits, group) for bits in (8, 4)]
    return [weight_case(*spec, symmetric, r.RATIOS) for spec in specs for symmetric in (True, False)]


def activation_cases(bits):
    top = {8: 127.5, 16: 32639.0}[bits]
    edges = {
        8: [127.5, -127.5, 126.5, -126.5, 125.5, 0.5, -0.5, 1.5, -1.5, 2.5, 0.0, -0.0, 127.0, -127.0, 100.49999],
        16: [32639.0, -32639.0, 128, -128, 127, -127, 255, -255, 256, -256, 129, -129, 32512, -32512, 32511, 32513,
             -32511, -32513, 32639 - 127, -32640 + 128, 0.5, -0.5, 1.5, -1.5, 127.5, 128.5, -128.5, -127.5, 0.0, -0.0],
    }[bits]
    specs = [(h32([r.f32(v * f) for v in edges]), len(edges), None) for f in (1.0, 0.25, 1 / 3)]
    specs += [(h32([0.0] * 6), 6, 2), (h32([r.f32(v) for v in (1e-10, -1e-10, 1e-5, -3e-6, 0.0, 2.0**-149)]), 6, None),
              (h32([r.f32(v) for v in (top * 2.0**-23, 2.0**-23, -(2.0**-24), 3 * 2.0**-24, 1e-7, 5e-8)]), 6, 2),
              (h32([r.f32(v) for v in (3e38, -1e38, 1.0, -2.0, 0.0, 0.0)]), 6, 2)]
    specs += [(f"lcg {900 + i} {n * k}", k, group) for i, (n, k, group) in enumerate(
        ((1, 1, None), (2, 3, None), (3, 33, None), (2, 64, 32), (2, 130, 10), (1, 192, 64), (2, 100, 4)))]
    out = []
    for spec, k, group in specs:
        done = [g for row in r.chunks(floats(spec), k) for g in r.quantize_activations(row, bits, group)]
        out.append({"x": spec, "k": k, "group": group, "scales": h32(s for s, _ in done),
                    "q": [v for _, values in done for v in values]})
    return out


def product_cases():
    random = Lcg(10)
    minus, plus = h32([-1.0]), h32([1.0])
    specs = []  # (weights, activations, M, N, K, group, biased)
    for i, (m, n, k, group) in enumerate((
            (1, 1, 1, None), (2, 3, 3, None), (3, 5, 17, None), (1, 4, 31, None), (2, 3, 33, None), (1, 2, 127, None),
            (2, 7, 129, None), (3, 3, 64, 32), (2, 5, 60, 6), (1, 3, 128, 64), (2, 2, 384, 128), (1, 2, 1027, None),
            (1, 2, 130, 26), (2, 2, 512, 512))):
        specs.append((f"lcg {2000 + i} {n * k}", f"lcg {3000 + i} {m * k}", m, n, k, group, i % 2 == 0))
    big = 9001
    specs += [(f"cycle {big} {minus}", f"cycle {big} {minus}", 1, 1, big, None, False),  # the largest sums, both signs
              (f"cycle {big} {minus}", f"cycle {big} {plus}", 1, 1, big, None, False),
              (f"cycle {2 * big} {minus} {minus} {plus}", f"cycle {2 * big} {minus} {plus} {plus}", 2, 2, big, None, True),
              (f"lcg 77 {2 * big}", f"lcg 78 {big}", 1, 2, big, None, True),
              (h32([7.5 * (2.0**-14 - 2.0**-23), 2.0**-15, 1.0, -0.3]), h32([1.0, -3.0, 0.1, 2.0]), 1, 1, 4, 2, False),
              (f"cycle 8 {h32([0.0])}", "lcg 5 8", 1, 1, 8, 4, True)]  # f32 scales in groups; zero weights
    out = []
    for w, x, m, n, k, group, biased in specs:
        bias = random.floats(n) if biased else None
        for bits in (8, 4):
            for symmetric in (True, False):
                quantized = r.quantize_weights(r.chunks(floats(w), k), bits, group, symmetric)
                y = [v for row in r.chunks(floats(x), k) for v in r.product(quantized, row, bias)]
                out.append({"w": w, "x": x, "m": m, "n": n, "k": k, "group": group, "bits": bits, "symmetric": symmetric,
                            "bias": bias and h32(bias), "y": h32(y)})
    return out


# ---- measures and the whole model ----

def measure_cases():
    random = Lcg(11)
    rows = [[1.0], [0.0] * 17, [v * 30 for v in random.floats(33)], random.floats(100), [-1e4, 0.0, 1e4, 9999.5]]
    rows = [[r.f32(v) for v in row] for row in rows] + [[v * 4 for v in random.floats(203)]]
    pair, targets = [random.floats(40), random.floats(40)], [3, 39]
    return {"log_probabilities": [{"logits": h32(row), "t": h64([r.exp_sum(row)[1]]), "y": h64(r.log_probabilities(row))}
                                  for row in rows],
            "perplexity": [{"logits": h32(sum(pair, [])), "targets": targets, "y": h64([r.perplexity(pair, targets)])}],
            "kl": [{"p": h32(p), "q": h32(q), "y": h64([r.kl_divergence(p, q)])}
                   for p, q in (pair, pair[::-1], pair[:1] * 2)]}


CONFIG = {"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
          "head_dim": 24, "hidden_act": "silu", "hidden_size": 32, "initializer_range": 0.02, "intermediate_size": 64,
          "max_position_embeddings": 64, "max_window_layers": 1, "model_type": "qwen2", "num_attention_heads": 4,
          "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
          "sliding_window": 5, "tie_word_embeddings": False, "torch_dtype": "float32", "use_cache": True,
          "use_sliding_window": True, "vocab_size": 48}
TOKENS = [1, 7, 45, 13, 13, 2, 30, 47, 0, 21, 9, 33, 40, 5, 18, 26, 11, 38, 3, 44]


def checkpoint():
    """{name: f32 vector or matrix} from the generator, in the order of the names below."""
    c, random = CONFIG, Lcg(7)
    hidden, middle, vocab = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    heads, kv = (c["head_dim"] * c[f"num_{part}_heads"] for part in ("attention", "key_value"))

    def matrix(n, k, factor):
        return [[v * factor for v in random.floats(k)] for _ in range(n)]

    tensors = {"model.embed_tokens.weight": matrix(vocab, hidden, 0.5), "lm_head.weight": matrix(vocab, hidden, 0.25)}
    norms = ["model.norm"]
    for layer in range(c["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        norms += [name + "input_layernorm", name + "post_attention_layernorm"]
        for part, n, k in (("self_attn.q", heads, hidden), ("self_attn.k", kv, hidden), ("self_attn.v", kv, hidden),
                           ("self_attn.o", hidden, heads), ("mlp.gate", middle, hidden), ("mlp.up", middle, hidden),
                           ("mlp.down", hidden, middle)):
            tensors[f"{name}{part}_proj.weight"] = matrix(n, k, 0.125)
            if part[-1] in "qkv" and part.startswith("self"):
                tensors[f"{name}{part}_proj.bias"] = [v * 0.5 for v in random.floats(n)]
    for norm in norms:
        tensors[norm + ".weight"] = [r.f32(1.0 + v * 0.125) for v in random.floats(hidden)]
    return tensors


def safetensors(tensors):
    header, body = {}, b""
    for name, t in sorted(tensors.items()):
        flat = [v for row in t for v in row] if isinstance(t[0], list) else t
        data = struct.pack(f"<{len(flat)}f", *flat)
        shape = [len(t), len(t[0])] if isinstance(t[0], list) else [len(t)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return struct.pack("<Q", len(text)) + text + body


def model_cases(tensors):
    schemes = {"f32": (None, None), "f16": (16, None), "w8a8": (8, None), "w4a16": (4, None), "w4a16_g32": (4, 32)}
    return [{"tokens": TOKENS, "scheme": scheme,
             "logits": h32(sum(r.Model(CONFIG, tensors, bits, group).forward(TOKENS), []))}
            for scheme, (bits, group) in schemes.items()]


# ---- the reference's own arithmetic against exact fractions ----

def nearest32(x):
    """A Fraction rounded to binary32, half to even, by integers alone (no overflow)."""
    exponent = max(-149, x.numerator.bit_length() - x.denominator.bit_length() - 25)  # or a little below
    while abs(x) / Fraction(2) ** exponent >= 2**24:
        exponent += 1
    return float(round(x / Fraction(2) ** exponent) * Fraction(2) ** exponent)


def check_arithmetic():
    random = Lcg(99)
    for _ in range(3000):
        a, b, c = (random.any_float() for _ in range(3))
        c = (c, -r.f32(a * b), r.f32(a * b * 2.0**-24))[random.word() % 3]
        if abs(a * b) + abs(c) < 2.0**127:
            assert r.fma(a, b, c) == nearest32(Fraction(a) * Fraction(b) + Fraction(c)), (a, b, c)
        if b and 2.0**-140 < abs(a / b) < 2.0**127:
            assert r.f32(a / b) == nearest32(Fraction(a) / Fraction(b)), (a, b)


def main():
    check_arithmetic()
    tensors = checkpoint()
    groups = {"f16": f16_cases(), "fma": fma_cases(), "exp": exp_cases(), "dot16": dot_cases(), "rms_norm": norm_cases(),
              "gates": gate_cases(), "softmax": softmax_cases(), "attention": attention_cases(), "rope": rope_cases(),
              "weights": weight_cases(), "clip": clip_cases(), "activations8": activation_cases(8),
              "activations16": activation_cases(16), "products": product_cases(), **measure_cases(), "model": model_cases(tensors)}
    lines = [f' {json.dumps(name)}: [\n' + ",\n".join("  " + json.dumps(case) for case in cases) + "\n ]"
             for name, cases in groups.items()]
    files = {"numerics.json": ("{\n" + ",\n".join(lines) + "\n}\n").encode(),
             "numerics-model/config.json": (json.dumps(CONFIG, indent=2) + "\n").encode(),
             "numerics-model/model.safetensors": safetensors(tensors)}
    for name, content in files.items():
        path = DATA / name
        if sys.argv[1:] == ["--check"]:
            if path.read_bytes() != content:
                sys.exit(f"{path} is not what make_vectors.py writes; run it and look at the difference")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


if __name__ == "__main__":
    main()
