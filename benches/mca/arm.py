#!/usr/bin/env python3
"""Costs of the NEON kernels' inner loops by llvm-mca: see README.md.  arm.sh builds the assembly and runs this."""

import re
import sys
from dataclasses import dataclass

import loops
from model import Model, function, run

# Of the RK3588: its big cores, and what its benchmarks say of the memory (shared/reference/peers.md: w8a8 decode
# moves 24 to 30 GB/s).
CORES, CLOCK = 4, 2.3e9
BANDWIDTHS = (24e9, 30e9)
ROWS, BLOCK = 8, 8  # what a decode kernel takes at once: rows, and groups whose scales are fetched


@dataclass
class Arm(Model):
    """A processor, and whether it has `smmla`. `clock`: of four such cores in an RK3588."""

    i8mm: bool = False


MODELS = [
    # LLVM's own entry for the Cortex-A76 was the Cortex-A57's (three wide, one load a cycle) until mid 2026. The
    # Neoverse N1 is the A76's server version; both decode four instructions a cycle, which LLVM's width, in
    # micro-operations, does not say.
    Arm("neoverse-n1", "Cortex-A76: its server version, held to the 4 instructions the A76 decodes", CLOCK, dispatch=4),
    Arm("cortex-a76", "Cortex-A76 as this LLVM has it", CLOCK),
    Arm("cortex-a55", "Cortex-A55, the small cores, at 1.8 GHz", 1.8e9),
    Arm("neoverse-n2", "a server with i8mm", i8mm=True),
]


@dataclass
class Loop:
    """A kernel's inner loop: the function that holds it, and what an instruction of it stands for."""

    name: str
    function: str
    product: str
    macs: int  # of one `product`
    weights: float = 0  # bytes of weights of one `product`, where they come from memory
    group: int = 0  # columns of a group, where the loop computes one at a time


LOOPS = [
    Loop("w8a8 decode", r"4neon4w8a86decode$", "sdot", 16, 16),
    # Each byte of nibbles meets two planes: four products of 16 bytes.
    Loop("w4a16 decode", r"decode_piecesKj0_", "sdot", 16, 4),
    Loop("w4a16_g128 decode", r"decode_piecesKj4_", "sdot", 16, 4, 128),
    Loop("w4a16_g64 decode", r"decode_piecesKj2_", "sdot", 16, 4, 64),
    Loop("w4a16_g32 decode", r"decode_piecesKj1_", "sdot", 16, 4, 32),
    Loop("neon prefill", r"4unit9sdot_tile$", "sdot", 16),
    Loop("neon-i8mm prefill", r"4i8mm10smmla_tile$", "smmla", 32),
]
SCALES = r"4neon6blocks11turn_scales$"


@dataclass
class Shape:
    name: str
    hidden: int
    intermediate: int
    kv: int
    layers: int
    vocabulary: int

    def layer_weights(self):
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.kv
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    def head_weights(self):
        return self.hidden * self.vocabulary


SHAPES = [
    Shape("Qwen2.5-0.5B", 896, 4864, 128, 24, 151_936),
    Shape("TinyLlama-1.1B", 2048, 5632, 256, 22, 32_000),
]


def measure(mca, assembly, model):
    """A row of figures for each loop that the model's processor can run."""
    turn = [line for line in loops.instructions(function(assembly, SCALES)) if loops.mnemonic(line) != "ret"]
    scales = mca.cycles(model, turn)
    rows = []
    for loop in LOOPS:
        if loop.product == "smmla" and not model.i8mm:
            continue
        body = loops.main_loop(function(assembly, loop.function), loop.product)
        if body is None:
            sys.exit(f"arm.py: {loop.name} has no inner loop with {loop.product}")
        products = loops.count(body, loop.product)
        cycles = mca.cycles(model, body)
        read = products * loop.weights
        if loop.group:
            if read != ROWS * loop.group / 2:
                sys.exit(f"arm.py: the loop of {loop.name} is not one group of {ROWS} rows")
            # The eight rows' f16 scales come with the group, fetched for several groups at once.
            cycles += scales / BLOCK
            read += ROWS * 2
        rows.append(
            {
                "loop": loop.name,
                "instructions": len(body),
                "cycles": round(cycles, 2),
                "macs_per_cycle": round(products * loop.macs / cycles, 2),
                "bytes_per_cycle": round(read / cycles, 2) if read else None,
                "gb_per_second": round(read / cycles * CORES * model.clock / 1e9, 1) if read and model.clock else None,
            }
        )
    return rows


def bytes_per_weight(scheme):
    if scheme == "w8a8":
        return 1.0
    group = re.search(r"_g(\d+)", scheme)
    return 0.5 + (2 / int(group[1]) if group else 0)


def tokens(rows):
    """Tokens/s of whole models: what the loops allow, what the memory does. Other work is left out."""
    by_name = {row["loop"]: row for row in rows}
    rate = CORES * CLOCK
    bounds = []
    for shape in SHAPES:
        for scheme in ("w8a8", "w4a16", "w4a16_g128", "w4a16_g32"):
            layers = shape.layer_weights() * bytes_per_weight(scheme)
            head = shape.head_weights()  # w8a8 in every scheme
            cycles = layers / by_name[f"{scheme} decode"]["bytes_per_cycle"]
            cycles += head / by_name["w8a8 decode"]["bytes_per_cycle"]
            planes = 1 if scheme == "w8a8" else 2
            prefill = rate / (shape.layer_weights() * planes / by_name["neon prefill"]["macs_per_cycle"])
            bounds.append(
                {
                    "model": shape.name,
                    "scheme": scheme,
                    "megabytes_per_token": round((layers + head) / 1e6),
                    "decode_by_loops": round(rate / cycles, 1),
                    "decode_by_memory": [round(b / (layers + head), 1) for b in BANDWIDTHS],
                    "prefill_by_loops": round(prefill),
                }
            )
    return bounds


def cell(value, form):
    return "" if value is None else format(value, form)


def show(result):
    print(f"llvm-mca {result['llvm_mca']}: a model, not a measurement. It knows no cache misses, no memory and no")
    print("branches that go elsewhere; its data is in the first-level cache.")
    demand = ", ".join(f"{b / 1e9:.0f} GB/s" for b in BANDWIDTHS)
    needed = " and ".join(f"{b:.2f}" for b in result["bytes_per_cycle_demanded"])
    print(f"{demand} on {CORES} cores at {CLOCK / 1e9} GHz demand {needed} bytes/cycle of each core.")
    for model in result["models"]:
        print(f"\n-mcpu={model['cpu']}: model {model['model']}, dispatch width {model['dispatch_width']} ({model['means']})")
        print(f"{'':20}{'cycles':>8}{'bytes/cycle':>13}{'x 4 cores, GB/s':>17}{'MAC/cycle':>11}")
        for row in model["loops"]:
            print(f"{row['loop']:20}{row['cycles']:>8.1f}", end="")
            print(f"{cell(row['bytes_per_cycle'], '.2f'):>13}{cell(row['gb_per_second'], '.1f'):>17}", end="")
            print(f"{row['macs_per_cycle']:>11.1f}")
    print(f"\nTokens/s at most on {CORES} Cortex-A76, by the first model; no attention, norms or threads:")
    print(f"{'':28}{'MB/token':>9}{'decode: loops':>15}{'24 GB/s':>9}{'30 GB/s':>9}{'prefill: loops':>16}")
    for bound in result["tokens_per_second"]:
        low, high = bound["decode_by_memory"]
        name = f"{bound['model']} {bound['scheme']}"
        print(f"{name:28}{bound['megabytes_per_token']:>9}{bound['decode_by_loops']:>15.1f}", end="")
        print(f"{low:>9.1f}{high:>9.1f}{bound['prefill_by_loops']:>16}")


if __name__ == "__main__":
    run(
        __doc__,
        ("-mtriple=aarch64", "-mattr=+dotprod,+i8mm"),
        MODELS,
        measure,
        [bandwidth / CORES / CLOCK for bandwidth in BANDWIDTHS],
        lambda rows: {"tokens_per_second": tokens(rows)},
        show,
    )
