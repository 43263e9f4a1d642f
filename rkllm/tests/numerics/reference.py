"""The rules of rkllm/NUMERICS.md in plain Python: a second implementation that judges the first.

A binary32 value is a Python float that binary32 can hold. Sums, products, quotients and square roots of
such values are computed in binary64 and rounded once more by `f32`: 53 >= 2 * 24 + 2 bits, so the second
rounding never changes what a single one would give, subnormal results included. `fma` takes more care.
"""
import math
import struct

INF = math.inf


# ---- binary32 and binary16 ----

def f32(x):
    """Rounds to binary32, half to even."""
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(INF, x)


def f16(x):
    """Rounds to binary16, half to even."""
    try:
        return struct.unpack("<e", struct.pack("<e", x))[0]
    except OverflowError:
        return math.copysign(INF, x)


def bits32(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def bits16(x):
    return struct.unpack("<H", struct.pack("<e", x))[0]


def from_bits(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def fma(a, b, c):
    """a * b + c, rounded once: the binary64 sum is rounded to odd, which no second rounding can spoil."""
    product = a * b  # exact: 48 bits, far from binary64's limits
    total = product + c
    if math.isfinite(total):
        part = total - product
        error = (product - (total - part)) + (c - part)  # exact (Knuth's two-sum)
        even = struct.unpack("<Q", struct.pack("<d", total))[0] & 1 == 0
        if error != 0 and even:
            total = math.nextafter(total, math.copysign(INF, error))
    return f32(total)


# ---- sums, exp and what is made of them ----

def tree(lanes, rounded=f32):
    for h in (8, 4, 2, 1):
        for j in range(h):
            lanes[j] = rounded(lanes[j] + lanes[j + h])
    return lanes[0]


def dot16(a, b):
    lanes = [0.0] * 16
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        lanes[i % 16] = fma(x, y, lanes[i % 16])
    return tree(lanes)


def sum16(a, start=0):
    """The first value is the one at absolute index `start`."""
    lanes = [0.0] * 16
    for i, x in enumerate(a, start):
        lanes[i % 16] = f32(lanes[i % 16] + x)
    return tree(lanes)


LOG2_E, LN2_HI, LN2_LO = map(from_bits, (0x3FB8AA3B, 0x3F317200, 0x35BFBE8E))
EXP_MAX = f32(88.72284)
EXP_POLYNOMIAL = [from_bits(b) for b in
                  (0x39509294, 0x3AB6A1B1, 0x3C088870, 0x3D2AAA74, 0x3E2AAAAB, 0x3F000000)]


def exp(x):
    if x < -104.0:
        return 0.0
    if x > EXP_MAX:
        return INF
    n = round(f32(x * LOG2_E))
    r = fma(n, -LN2_HI, x)
    r = fma(n, -LN2_LO, r)
    p = EXP_POLYNOMIAL[0]
    for c in EXP_POLYNOMIAL[1:]:
        p = fma(p, r, c)
    y = f32(fma(p, f32(r * r), r) + 1.0)
    half = n >> 1
    return f32(f32(y * 2.0**half) * 2.0 ** (n - half))


def rms_norm(x, w, eps):
    r = f32(1.0 / f32(math.sqrt(f32(f32(dot16(x, x) / f32(len(x))) + eps))))
    return [f32(f32(v * r) * s) for v, s in zip(x, w, strict=True)]


def silu_gate(g, u):
    return f32(f32(g / f32(1.0 + exp(-g))) * u)


def gelu_gate(g, u):
    t = f32(f32(f32(0.044715) * g) * g)
    v = f32(f32(0.7978845608) * fma(t, g, g))
    return f32(f32(g / f32(1.0 + exp(f32(-2.0 * v)))) * u)


def softmax(s, start):
    m = max(s)
    e = [exp(f32(v - m)) for v in s]
    t = sum16(e, start)
    return [f32(v / t) for v in e]


def attention(q, keys, values, start):
    """One query head over the visible positions; the first of them is position `start`."""
    factor = f32(1.0 / f32(math.sqrt(f32(len(q)))))
    p = softmax([f32(dot16(q, k) * factor) for k in keys], start)
    out = [0.0] * len(q)
    for weight, value in zip(p, values, strict=True):
        out = [fma(weight, v, o) for v, o in zip(value, out, strict=True)]
    return out


def away_from_tie(x):
    """Rounds a binary64 transcendental to binary32, and checks that another libm, a few units off in
    binary64's last place, would round to the same value."""
    assert f32(x * (1 - 2.0**-50)) == f32(x) == f32(x * (1 + 2.0**-50)), x
    return f32(x)


def rope_table(theta, rotary, position):
    """Cosines and sines of one position, default rope (no scaling, attention factor 1)."""
    inverse = [away_from_tie(1.0 / math.pow(theta, 2 * i / rotary)) for i in range(rotary // 2)]
    angles = [f32(f32(position) * f) for f in inverse]
    return [away_from_tie(math.cos(a)) for a in angles], [away_from_tie(math.sin(a)) for a in angles]


def rotate(x, cos, sin):
    half = len(cos)
    first, second = list(x[:half]), list(x[half:2 * half])
    for i, (c, s) in enumerate(zip(cos, sin, strict=True)):
        x1, x2 = first[i], second[i]
        first[i] = fma(x1, c, -f32(x2 * s))
        second[i] = fma(x2, c, f32(x1 * s))
    return first + second + list(x[2 * half:])


# ---- weights ----

def clamp(v, lo, hi):
    return max(lo, min(hi, v))


def chunks(row, size):
    assert len(row) % size == 0, "a group size must divide K"
    return [row[i:i + size] for i in range(0, len(row), size)]


RATIOS = [1.0] + [i / 64 for i in range(72, 31, -1) if i != 64]


def weight_scale(lo, hi, bits, symmetric):
    """The scale in f32, before it is rounded to the type it is stored in."""
    if symmetric:
        scale = f32(max(-lo, hi) / {8: 127.5, 4: 7.5}[bits])
    else:
        scale = f32(f32(hi - lo) / {8: 255.0, 4: 15.0}[bits])
    return max(scale, 2.0**-126)


def squared_error(group, q, z, scale):
    lanes = [0.0] * 16
    for i, (w, v) in enumerate(zip(group, q, strict=True)):
        d = w - (v - z) * scale
        lanes[i % 16] += d * d
    return tree(lanes, float)


def quantize_group(group, bits, symmetric, stored, ratios):
    """(scale, q of each column, z); `stored` rounds a scale to its type. None if that type is f16 and a scale is
    outside its normal range."""
    low, high = {8: (-128, 127), 4: (-8, 7)}[bits]
    best = None
    for ratio in ratios:
        lo, hi, z = f32(min(0.0, *group) * ratio), f32(max(0.0, *group) * ratio), 0
        scale = stored(weight_scale(lo, hi, bits, symmetric) if any(group) else 1.0)
        assert scale < INF or stored is f16, "a scale is not finite"
        if stored is f16 and not 2.0**-14 <= scale <= 65504.0:
            return None
        if not symmetric:
            z = clamp(round(f32(low - f32(lo / scale))), low, high)
        q = [clamp(round(f32(w / scale)) + z, low, high) for w in group]
        error = squared_error(group, q, z, scale)
        if best is None or error < best[0]:
            best = error, (scale, q, z)
    return best[1]


def quantize_weights(rows, bits, group=None, symmetric=True, ratios=(1.0,)):
    """`rows` is `[N][K]`; `group` is None for one scale per row; `ratios` is RATIOS for the clip rule mse."""
    assert all(math.isfinite(w) for row in rows for w in row), "a weight is not finite"
    size = group or len(rows[0])
    for stored in (f16, f32) if group else (f32,):
        done = [[quantize_group(part, bits, symmetric, stored, ratios) for part in chunks(row, size)] for row in rows]
        if all(part for row in done for part in row):
            break
    return {
        "bits": bits, "group": size, "symmetric": symmetric, "scale_type": stored.__name__,
        "scales": [[scale for scale, _, _ in row] for row in done],
        "q": [[v for _, q, _ in row for v in q] for row in done],
        "z": [[z for _, _, z in row] for row in done],
    }


def packed_row(q, bits):
    """The bytes of one row."""
    if bits == 8:
        return bytes(v & 255 for v in q)
    nibbles = [v + 8 for v in q] + [0] * (-len(q) % 8)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2]))


# ---- activations and products ----

def quantize_activations(x, bits, group=None):
    """Per group of one token: (scale, values): int8 of w8a8, or the 16-bit X of w4a16."""
    low, high = {8: (-128, 127), 16: (-32639, 32639)}[bits]
    out = []
    for part in chunks(x, group or len(x)):
        scale = max(f32(max(map(abs, part)) / {8: 127.5, 16: 32639.0}[bits]), 2.0**-23)
        out.append((scale, [clamp(round(f32(v / scale)), low, high) for v in part]))
    return out


def planes(values):
    """(lo, hi) of 16-bit values; both are signed bytes."""
    lo = [(v & 255) - 256 if v & 128 else v & 255 for v in values]
    return lo, [(v - l) // 256 for v, l in zip(values, lo, strict=True)]


def i32(v):
    assert -(2**31) <= v < 2**31, "an i32 sum overflows"
    return v


def product(w, x, bias=None):
    """One token `x` `[K]` times quantised weights `[N][K]`."""
    grouped, out = [], []
    for scale, values in quantize_activations(x, {8: 8, 4: 16}[w["bits"]], w["group"]):
        grouped.append((scale, [values] if w["bits"] == 8 else planes(values)))
    for n, row in enumerate(w["q"]):
        y = 0.0
        for g, (part, (scale, parts)) in enumerate(zip(chunks(row, w["group"]), grouped, strict=True)):
            sums = [f32(i32(i32(sum(a * b for a, b in zip(part, p, strict=True))) - i32(w["z"][n][g] * sum(p))))
                    for p in parts]
            s = sums[0] if len(sums) == 1 else fma(sums[1], 256.0, sums[0])
            y = fma(s, f32(w["scales"][n][g] * scale), y)
        out.append(y if bias is None else f32(y + bias[n]))
    return out


# ---- a whole model (Qwen2) ----

class Model:
    """A Qwen2 checkpoint, quantised in memory: `bits` is 8 (w8a8), 4 (w4a16), 16 (f16) or None (f32)."""

    def __init__(self, config, tensors, bits=None, group=None):
        self.config, self.tensors, self.linears = config, dict(tensors), {}
        self.cached = f16 if bits in (8, 4) else f32
        for name, t in tensors.items():
            if bits == 16 and isinstance(t[0], list) or bits and name == "model.embed_tokens.weight":
                self.tensors[name] = [[f16(v) for v in row] for row in t]
        if bits in (8, 4):
            self.linears = {name[:-7]: quantize_weights(w, bits, group) for name, w in tensors.items()
                            if name.endswith("_proj.weight")}
            self.linears["lm_head"] = quantize_weights(tensors["lm_head.weight"], 8)

    def linear(self, name, x):
        bias = self.tensors.get(name + ".bias")
        if name in self.linears:
            return product(self.linears[name], x, bias)
        y = [dot16(x, w) for w in self.tensors[name + ".weight"]]
        return y if bias is None else [f32(v + b) for v, b in zip(y, bias, strict=True)]

    def norm(self, name, x):
        return rms_norm(x, self.tensors[name + ".weight"], f32(self.config["rms_norm_eps"]))

    def forward(self, tokens):
        """The logits of each position."""
        c = self.config
        heads, kv_heads, size = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        cache = [([], []) for _ in range(c["num_hidden_layers"])]
        logits = []
        for position, token in enumerate(tokens):
            x = self.tensors["model.embed_tokens.weight"][token]
            cos, sin = rope_table(c["rope_theta"], size, position)
            for layer, (keys, values) in enumerate(cache):
                name = f"model.layers.{layer}."
                h = self.norm(name + "input_layernorm", x)
                q, k, v = (chunks(self.linear(f"{name}self_attn.{p}_proj", h), size) for p in "qkv")
                keys.append([[self.cached(e) for e in rotate(head, cos, sin)] for head in k])
                values.append([[self.cached(e) for e in head] for head in v])
                window = c["use_sliding_window"] and layer >= c["max_window_layers"]
                start = max(0, position + 1 - c["sliding_window"]) if window else 0
                out = []
                for i, head in enumerate(q):
                    shared = i // (heads // kv_heads)
                    out += attention(rotate(head, cos, sin), [e[shared] for e in keys[start:]],
                                     [e[shared] for e in values[start:]], start)
                x = add(x, self.linear(name + "self_attn.o_proj", out))
                h = self.norm(name + "post_attention_layernorm", x)
                gate, up = (self.linear(f"{name}mlp.{p}_proj", h) for p in ("gate", "up"))
                gated = [silu_gate(g, u) for g, u in zip(gate, up, strict=True)]
                x = add(x, self.linear(name + "mlp.down_proj", gated))
            logits.append(self.linear("lm_head", self.norm("model.norm", x)))
        return logits


def add(x, y):
    return [f32(a + b) for a, b in zip(x, y, strict=True)]


# ---- measures, in binary64 ----

def exp_sum(logits):
    """(m, t)"""
    m = max(logits)
    lanes = [0.0] * 16
    for i, v in enumerate(logits):
        lanes[i % 16] += exp(f32(v - m))
    return m, tree(lanes, float)


def log_probabilities(logits):
    m, t = exp_sum(logits)
    return [v - m - math.log(t) for v in logits]


def perplexity(rows, targets):
    total = 0.0
    for row, target in zip(rows, targets, strict=True):
        total += -log_probabilities(row)[target]
    return math.exp(total / len(targets))


def kl_divergence(p_logits, q_logits):
    m, t = exp_sum(p_logits)
    rows = zip(p_logits, log_probabilities(p_logits), log_probabilities(q_logits), strict=True)
    return sum(exp(f32(v - m)) / t * (p - q) for v, p, q in rows)
