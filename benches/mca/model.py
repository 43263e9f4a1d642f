"""llvm-mca, asked what a region of code costs on a processor."""

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass

import loops

ITERATIONS = 200


@dataclass
class Model:
    """A processor as llvm-mca knows it."""

    cpu: str
    means: str
    clock: float | None = None
    dispatch: int | None = None
    name: str = ""
    width: int = 0


def function(assembly, pattern):
    """The one function whose mangled name has `pattern` in it."""
    found = [lines for name, lines in assembly.items() if re.search(pattern, name)]
    if len(found) != 1:
        sys.exit(f"{len(found)} functions match {pattern!r}: the kernels changed, and this script must too")
    return found[0]


class Mca:
    def __init__(self, program, *target):
        self.program = program
        self.target = target

    def version(self):
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True)
        return re.search(r"version (\S+)", said.stdout)[1]

    def cycles(self, model, region, iterations=ITERATIONS):
        """Cycles of one pass in a steady state, on data in the first-level cache. Fills in the model's name and width."""
        command = [self.program, *self.target, f"-mcpu={model.cpu}", f"-iterations={iterations}"]
        command += [f"-dispatch={model.dispatch}"] if model.dispatch else []
        text = "\n".join(region) + "\n"
        ran = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{ran.stderr}")
        model.width = int(re.search(r"Dispatch Width:\s+(\d+)", ran.stdout)[1])
        units = re.search(r"^\[0(?:\.\d)?\]\s+- (\w+?)(?:Unit|Divider|FPDivider|Port)\S*$", ran.stdout, re.M)
        model.name = units[1] if units else model.cpu
        return int(re.search(r"Total Cycles:\s+(\d+)", ran.stdout)[1]) / iterations


def run(about, target, models, measure, demanded, rest, show):
    """The command line of a script: `measure` gives the rows of each model, `rest` what follows from the first's.

    `target` is what llvm-mca is told, `demanded` the bytes a cycle that memory gives each core.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("assembly", help="what rustc --emit asm wrote of the crate, with v0 names")
    parser.add_argument("--llvm-mca", default="llvm-mca", help="the program, of LLVM 19 or newer")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()

    mca = Mca(arguments.llvm_mca, *target)
    assembly = loops.functions(arguments.assembly)
    measured = []
    for model in models:
        rows = measure(mca, assembly, model)
        measured.append(
            {
                "cpu": model.cpu,
                "model": model.name,
                "dispatch_width": model.width,
                "means": model.means,
                "loops": rows,
            }
        )
    result = {
        "llvm_mca": mca.version(),
        "measured": False,
        "bytes_per_cycle_demanded": [round(bytes_a_cycle, 2) for bytes_a_cycle in demanded],
        "models": measured,
        **rest(measured[0]["loops"]),
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
