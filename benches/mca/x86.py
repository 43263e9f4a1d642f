#!/usr/bin/env python3
"""Costs of the x86-64 kernels' inner loops by llvm-mca: see README.md.  x86.sh builds the assembly and runs this."""

import sys
from dataclasses import dataclass

import loops
import prefill
from model import Model, function, run

# Of the machine in shared/reference/x86-anchors.md.
CORES, CLOCK = 2, 3.4e9
BANDWIDTHS = (28e9, 35e9)

MODELS = [
    # LLVM gives Sapphire Rapids, like Ice Lake, one unit for 512-bit multiplication, that of the client chips its
    # figures were taken on. The machine does 1.95 `vpdpbusd` and 1.9 `vfmadd` of 64 bytes a cycle (the anchors'
    # 0.85 TOP/s and 0.21 TFLOP/s of one core): two units, as Cascade Lake has them in LLVM.
    Model("cascadelake", "two 512-bit units, as Sapphire Rapids has; six instructions a cycle", CLOCK, dispatch=6),
    Model("sapphirerapids", "LLVM's own, with one 512-bit unit for products: a floor", CLOCK),
]


@dataclass
class Loop:
    """A kernel's inner loop: the function that holds it, and what an instruction of it stands for."""

    name: str
    function: str
    counted: str  # the instruction that tells the loop from others
    each: float  # how much of `unit` one of it stands for
    unit: str
    peak: float | None = None  # of `unit` a cycle
    without: str | None = None  # an instruction that other loops of the function have
    straight: bool = False  # the stretch of code up to the next label, whatever loop it is in
    weights: float = 0  # bytes of weights one counted instruction reads
    sums: str | None = None  # the instruction of the stretch that follows every pass, of groups of one pass


KERNELS = "7kernels3int"
ATTEND = r"6Avx512NtB7_8FloatOps6attend5inner$"
LOOPS = [
    Loop("avx512vnni w8a8 decode", r"10avx512vnni4w8a86decode$", "vpdpbusd", 64, "MAC", 128, weights=64),
    Loop("avx512vnni w4a16 decode", r"10avx512vnni5w4a166decode$", "vpdpbusd", 64, "MAC", 128, weights=16),
    Loop(
        "avx512vnni w4a16_g128 decode", r"10avx512vnni5w4a166decode$", "vpdpbusd", 64, "MAC", 128, weights=16,
        sums="vpunpckldq",
    ),
    Loop("avxvnni w8a8 decode", r"7avxvnni4w8a86decode$", "vpdpbusd", 32, "MAC", 64, weights=32),
    Loop("avx2 w8a8 decode", r"4avx24w8a86decode$", "vpmaddwd", 16, "MAC", 32, weights=16),
    Loop("avx2 w4a16 decode", r"4avx25w4a166decode$", "vpmaddubsw", 32, "MAC", 32, weights=8),
    Loop("avx512vnni prefill", r"10Avx512UnitNt.*4dots$", "vpdpbusd", 64, "MAC", 128),
    Loop("avxvnni prefill", r"7avxvnni1__7prefillKm8_", "vpdpbusd", 32, "MAC", 64),
    Loop("avx2 prefill", r"4avx21__7prefillKm8_", "vpmaddwd", 16, "MAC", 32),
    Loop("amx preparing nibbles", r"3amx7prefillKm4_", "vpmovzxwd", 64, "column"),
    Loop("amx, nibbles signed", r"3amx7prefillKm4_", "vpaddb", 64, "column"),
    Loop("epilogue w8a8", r"10avx512vnni7outputs3addKm8_", "vcvtdq2ps", 16, "output", without="vpsubd"),
    Loop("epilogue w4a16", r"10avx512vnni7outputs3addKm4_", "vcvtdq2ps", 8, "output", without="vpsubd"),
    Loop("epilogue w4a16, one zero", r"10avx512vnni7outputs3addKm4_", "vpsubd", 8, "output", without="vpmulld"),
    Loop("epilogue w4a16, zero points", r"10avx512vnni7outputs3addKm4_", "vpmulld", 8, "output"),
    Loop("transposing outputs", r"7AmxUnitNt.*7Squares5writeKm8_", "vinsertf128", 8, "output", straight=True),
    Loop("largest magnitude", r"10avx512vnni9quantize8$", "vpmaxud", 16, "value", without="vpxor"),
    Loop("quantize8", r"10avx512vnni9quantize8$", "vmaxps", 16, "value", without="vdivps"),
    Loop("quantize16", r"10avx512vnni10quantize16$", "vdivps", 16, "value"),
    Loop("packing tokens", r"10avx512vnni9quantize8$", "vinserti32x4", 32, "value", without="vscatterdps"),
    Loop("scores", ATTEND, "vfmadd231ps", 16, "FMA", 32, straight=True),
    Loop("sums of values", ATTEND, "vfmadd231ps", 16, "FMA", 32),
    Loop("keys to floats", ATTEND, "vcvtph2ps", 16, "value"),
    Loop("exponentials", ATTEND, "vscalefps", 16, "score"),
    Loop("quotients", ATTEND, "vminps", 16 * 4 / 3, "score", straight=True),
    Loop("silu", r"6Avx512NtB7_8FloatOps9silu_gate5inner$", "vscalefps", 16, "value"),
    Loop("norm, squares", r"6Avx512NtB7_8FloatOps8rms_norm5inner$", "vfmadd213ps", 16, "value"),
]


def region(loop, lines):
    if loop.straight:
        # The stretch's first products of every sum are of other forms of the instruction.
        return loops.most(loops.stretches(lines, loops.X86), loop.counted)
    found = loops.inner_loops(lines, loops.X86)
    if loop.without:
        found = [body for body in found if not loops.count(body, loop.without)]
    return loops.most(found, loop.counted)


def measure(mca, assembly, model):
    """A row of figures for each loop."""
    rows = []
    for loop in LOOPS:
        lines = function(assembly, loop.function)
        body = region(loop, lines)
        if body is None:
            sys.exit(f"x86.py: {loop.name} has no loop with {loop.counted}")
        forms = [loop.counted]
        if loop.unit == "FMA":
            forms = ["vfmadd132ps", "vfmadd213ps", "vfmadd231ps"]
        counted = sum(loops.count(body, form) for form in forms)
        if loop.sums:
            body = body + loops.most(loops.stretches(lines, loops.X86), loop.sums)
        cycles = mca.cycles(model, body, 20 if loop.straight else 200)
        rate, read = counted * loop.each / cycles, counted * loop.weights
        rows.append(
            {
                "loop": loop.name,
                "instructions": len(body),
                "cycles": round(cycles, 2),
                "per_cycle": round(rate, 2),
                "unit": loop.unit,
                "peak": loop.peak,
                "bytes_per_cycle": round(read / cycles, 2) if read else None,
                "gb_per_second": round(read / cycles * CORES * model.clock / 1e9, 1) if read else None,
            }
        )
    return rows


def show(result):
    print(f"llvm-mca {result['llvm_mca']}: a model, not a measurement. It knows no cache misses, no memory and no")
    print("branches that go elsewhere; its data is in the first-level cache.")
    needed = " and ".join(f"{b:.2f}" for b in result["bytes_per_cycle_demanded"])
    demand = " to ".join(f"{b / 1e9:.0f}" for b in BANDWIDTHS)
    print(f"{demand} GB/s on {CORES} cores at {CLOCK / 1e9} GHz demand {needed} bytes/cycle of each core.")
    for model in result["models"]:
        print(f"\n-mcpu={model['cpu']}: model {model['model']}, dispatch width {model['dispatch_width']} ({model['means']})")
        print(f"{'':30}{'cycles':>8}{'per cycle':>12}{'of peak':>18}{'bytes/cycle':>13}{'x 2 cores, GB/s':>17}")
        for row in model["loops"]:
            of = f"{row['per_cycle'] / row['peak']:.0%} of {row['peak']:.0f}" if row["peak"] else ""
            print(f"{row['loop']:30}{row['cycles']:>8.1f}{row['per_cycle']:>12.2f} {row['unit']:7}{of:>10}", end="")
            if row["bytes_per_cycle"]:
                print(f"{row['bytes_per_cycle']:>13.2f}{row['gb_per_second']:>17.1f}", end="")
            print()
    prefill.show(result["prefill"])


if __name__ == "__main__":
    run(
        __doc__,
        ("-mtriple=x86_64", "-mattr=+avx512vnni,+avxvnni"),
        MODELS,
        measure,
        [bandwidth / CORES / CLOCK for bandwidth in BANDWIDTHS],
        lambda rows: {"prefill": prefill.costs({row["loop"]: row["per_cycle"] for row in rows})},
        show,
    )
