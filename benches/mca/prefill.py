"""Where a prefill's time goes on two cores, by the loops' figures and what is known of tiles and of the memory."""

from dataclasses import dataclass

CORES, CLOCK = 2, 3.4e9
TOKENS = 512

# Of Sapphire Rapids. The optimisation manual: cycles between two tile products, loads from the first-level cache
# and stores. The anchors: 130 GB/s from the second-level cache are a tile of 1 KiB in 27 cycles, which fits the
# 3.1 TOP/s of a core whose four loads for four products all come from there. 5.9 TOP/s from registers are 19
# cycles a product at 3.4 GHz, so either the clock falls to 2.9 GHz or a product takes as long.
PRODUCT, LOAD1, LOAD2, STORE = 19, 8, 27, 16
DRAM, THIRD_CACHE = 28e9, 52e9  # bytes/s of both cores together

PANEL, PAIR, LANES, DEPTH, PANELS = 32, 2, 16, 64, 4
COLUMNS = 640  # of `gemm/squares.rs`


@dataclass
class Shape:
    name: str
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    dim: int
    layers: int

    def linears(self):
        """Rows and columns of a layer's products that share an input."""
        width = (self.heads + 2 * self.kv_heads) * self.dim
        return {
            "qkv": (width, self.hidden),
            "o": (self.hidden, self.heads * self.dim),
            "gate_up": (2 * self.intermediate, self.hidden),
            "down": (self.hidden, self.intermediate),
        }


QWEN = Shape("Qwen2.5-0.5B", 896, 4864, 14, 2, 64, 24)


def tile_cycles(k, group, planes, rates):
    """Cycles of 32 rows with two vectors over all columns: tiles, their sums through memory, the vectors' part."""
    groups = k // group
    steps = groups * -(-group // DEPTH)
    parts = -(-group // COLUMNS)
    products = steps * 2 * PAIR * PRODUCT
    # Weights come from the second-level cache, vectors from the first after the first panel.
    loads = steps * (2 * LOAD2 + PAIR * (LOAD1 + (LOAD2 - LOAD1) / PANELS))
    sums = groups * 2 * PAIR * (parts * STORE + (parts - 1) * LOAD1)
    outputs = PANEL * PAIR * LANES // planes
    scheme = "w8a8" if planes == 1 else "w4a16"
    return {
        "tiles": max(products, loads),
        "sums": sums,
        "epilogue": groups * outputs / rates[f"epilogue {scheme}"],
        "transposition": outputs / rates["transposing outputs"],
    }


# What the processor computes while tiles are multiplied, as far as it looks ahead: 512 instructions.
BESIDE_TILES = ("epilogue", "transposition")


def amx(n, k, scheme, rates, m=TOKENS, weights_from=DRAM):
    """Seconds on both cores for one product of m tokens, by part."""
    planes, group = (1, k) if scheme == "w8a8" else (2, 128)
    tiles = -(-n // PANEL) * -(-m // LANES) * planes / PAIR
    parts = {part: tiles * cycles / CLOCK / CORES for part, cycles in tile_cycles(k, group, planes, rates).items()}
    weights = n * k
    prepared = 0 if planes == 1 else weights * (1 / rates["amx preparing nibbles"] + 1 / rates["amx, nibbles signed"])
    parts["preparing"] = prepared / CLOCK / CORES + weights / planes / weights_from
    # Outputs leave the second-level cache: a line is fetched and written back.
    parts["writing outputs"] = 2 * 4 * n * m / THIRD_CACHE
    return parts


def vnni(n, k, scheme, rates, m=TOKENS, weights_from=DRAM):
    """The same without tiles."""
    planes, groups = (1, 1) if scheme == "w8a8" else (2, k // 128)
    scale = 1 / CLOCK / CORES
    outputs = n * m
    name = "epilogue w8a8" if planes == 1 else "epilogue w4a16, one zero"
    return {
        "products": n * k * m * planes / rates["avx512vnni prefill"] * scale,
        "epilogue": groups * outputs / rates[name] * scale,
        "transposition": outputs / rates["transposing outputs"] * scale,
        "preparing": n * k / rates["amx preparing nibbles"] * scale + n * k / planes / weights_from,
        "writing outputs": 2 * 4 * outputs / THIRD_CACHE,
    }


def rest(shape, scheme, rates, m=TOKENS):
    """Everything but the products of a layer, in seconds on both cores."""
    scale = 1 / CLOCK / CORES
    planes = 1 if scheme == "w8a8" else 2
    quantizer = "quantize8" if planes == 1 else "quantize16"
    values = m * (2 * shape.hidden + shape.heads * shape.dim + shape.intermediate)
    quantised = values * (1 / rates["largest magnitude"] + 1 / rates[quantizer] + planes / rates["packing tokens"])
    scores = shape.heads * m * (m + 1) / 2
    rows = 16  # of a tile of queries, for which keys and values are converted
    converted = scores * shape.dim * 2 / rows / rates["keys to floats"]
    gated = m * shape.intermediate
    through = 4 * (values + 2 * gated + m * shape.hidden * 6)
    return {
        "quantisation": quantised * scale,
        "attention, scores": scores * shape.dim / rates["scores"] * scale,
        "attention, values": scores * shape.dim / rates["sums of values"] * scale,
        "attention, conversion": converted * scale,
        "attention, softmax": scores * (1 / rates["exponentials"] + 1 / rates["quotients"] + 2 / 32) * scale,
        "silu": gated / rates["silu"] * scale,
        "norms": 2 * m * shape.hidden * (1 / rates["norm, squares"] + 1 / 32) * scale,
        "reading activations": through / THIRD_CACHE,
    }


def whole(shape, scheme, kernel, rates):
    layer = rest(shape, scheme, rates)
    for n, k in shape.linears().values():
        for part, seconds in kernel(n, k, scheme, rates).items():
            layer[part] = layer.get(part, 0) + seconds
    parts = {part: round(seconds * shape.layers * 1e3, 1) for part, seconds in layer.items()}
    alone = sum(parts.values())
    total = alone - hidden(parts)
    return {
        "milliseconds": parts,
        "tokens_per_second": round(TOKENS / total * 1e3),
        "tokens_per_second_one_after_another": round(TOKENS / alone * 1e3),
    }


def hidden(parts):
    """The time of what goes on beside the tiles, where there are any."""
    beside = sum(parts[part] for part in BESIDE_TILES)
    return min(beside, parts["tiles"] + parts["sums"]) if "tiles" in parts else 0


GEMMS = [(m, n, k) for m in (128, 512) for n, k in ((4864, 896), (5632, 2048))]
SCHEMES = ("w8a8", "w4a16_g128")
KERNELS = {"amx": amx, "avx512vnni": vnni}


def costs(rates):
    """The model's answers: the whole prefill, and single products."""
    runs, gemms = [], []
    for name, kernel in KERNELS.items():
        for scheme in SCHEMES:
            runs.append({"kernel": name, "scheme": scheme, **whole(QWEN, scheme, kernel, rates)})
            for m, n, k in GEMMS:
                parts = kernel(n, k, scheme, rates, m, THIRD_CACHE)
                rate = 2 * m * n * k / (sum(parts.values()) - hidden(parts))
                parts = {part: round(seconds * 1e6, 1) for part, seconds in parts.items()}
                row = {"m": m, "n": n, "k": k, "tops": round(rate / 1e12, 2), "microseconds": parts}
                gemms.append({"kernel": name, "scheme": scheme, **row})
    return {"model": QWEN.name, "tokens": TOKENS, "runs": runs, "gemms": gemms}


def show(result):
    print(f"\n{result['model']}, prefill of {result['tokens']} on {CORES} cores by these figures:")
    parts = dict.fromkeys(part for run in result["runs"] for part in run["milliseconds"])
    titles = [f"{run['kernel']} {run['scheme']}" for run in result["runs"]]
    print(f"{'milliseconds':24}" + "".join(f"{title:>24}" for title in titles))
    for part in parts:
        cells = [run["milliseconds"].get(part) for run in result["runs"]]
        print(f"{part:24}" + "".join(f"{'' if cell is None else cell:>24}" for cell in cells))
    for title, key in (
        ("tokens/s", "tokens_per_second"),
        ("one after another", "tokens_per_second_one_after_another"),
    ):
        print(f"{title:24}" + "".join(f"{run[key]:>24}" for run in result["runs"]))
    print("Tiles hide the epilogue and the transposition in the first, nothing hides anything in the second.")
    print("\nSingle products, 2MNK counted once, the same weights again and again:")
    for row in result["gemms"]:
        name = f"{row['kernel']} {row['scheme']}"
        spent = ", ".join(f"{part} {us}" for part, us in row["microseconds"].items())
        print(f"{name:24} M {row['m']:4} N {row['n']} K {row['k']:5} {row['tops']:6.2f} TOP/s; microseconds: {spent}")
