"""The inner loops of functions in assembly that rustc wrote."""

import re
from dataclasses import dataclass

LABEL = re.compile(r"^(\.L\w+|[\w$.]+):")


@dataclass(frozen=True)
class Syntax:
    """How an architecture's assembly is written."""

    branch: re.Pattern  # to a label, which it captures
    elsewhere: frozenset  # what would make a loop more than its instructions, one after another
    comment: str


ARM = Syntax(
    re.compile(r"^\s+(?:b|b\.\w+|cbn?z|tbn?z)\s+(?:[^/]*,\s*)?(\.L\w+)\s*$"),
    frozenset({"bl", "blr", "b", "br", "ret"}),
    "//",
)
X86 = Syntax(re.compile(r"^\s+j[a-z]+\s+(\.L\w+)\s*$"), frozenset({"callq", "jmp", "jmpq", "retq"}), "#")


def functions(path):
    """The lines of every function by its mangled name."""
    found, name, lines = {}, None, []
    with open(path, encoding="utf-8") as file:
        for line in file:
            label = LABEL.match(line)
            if label and label[1].startswith("_R"):
                name, lines = label[1], []
            elif line.startswith(".Lfunc_end") and name:
                found[name] = lines
                name = None
            elif name:
                lines.append(line.rstrip("\n"))
    return found


def instructions(lines, syntax=ARM):
    """What a processor executes of `lines`."""
    kept = (re.split(rf"\s{syntax.comment}", line)[0].rstrip() for line in lines)
    return [line for line in kept if re.match(r"^\s+(\{\w+\}\s*)?[a-z]", line)]


def mnemonic(line):
    return re.sub(r"^\s*\{\w+\}", "", line).split()[0]


def count(loop, name):
    return sum(mnemonic(line) == name for line in loop)


def inner_loops(lines, syntax=ARM):
    """The instructions of every loop without another one, a call or a jump in it, from its label to the branch back."""
    labels = {match[1]: i for i, line in enumerate(lines) if (match := LABEL.match(line))}
    ends = {}
    for i, line in enumerate(lines):
        target = syntax.branch.match(line)
        if target and labels.get(target[1], i) < i:
            ends[labels[target[1]]] = i
    spans = list(ends.items())
    loops = []
    for start, end in spans:
        holds = any((a, b) != (start, end) and start <= a and b <= end for a, b in spans)
        loop = instructions(lines[start : end + 1], syntax)
        if not holds and not syntax.elsewhere & {mnemonic(line) for line in loop}:
            loops.append(loop)
    return loops


def stretches(lines, syntax=ARM):
    """What stands between labels, calls and jumps, where no branch on the way is taken."""
    found, stretch = [], []
    for line in lines:
        code = instructions([line], syntax)
        if LABEL.match(line) or (code and mnemonic(line) in syntax.elsewhere):
            found.append(stretch)
            stretch = []
        else:
            stretch += code
    return [stretch for stretch in [*found, stretch] if stretch]


def most(regions, name):
    """Of `regions` the one with the most instructions `name`, and of those the shortest; None without one."""
    found = [region for region in regions if count(region, name)]
    return min(found, key=lambda region: (-count(region, name), len(region)), default=None)


def main_loop(lines, name, syntax=ARM):
    """Of the inner loops the one with the most instructions `name`, and of those the shortest; None without one."""
    return most(inner_loops(lines, syntax), name)
