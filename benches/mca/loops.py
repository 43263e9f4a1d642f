"""The inner loops of functions in assembly that rustc wrote for aarch64."""

import re

LABEL = re.compile(r"^(\.L\w+|[\w$.]+):")
BRANCH = re.compile(r"^\s+(?:b|b\.\w+|cbn?z|tbn?z)\s+(?:[^/]*,\s*)?(\.L\w+)\s*$")
# What would make a loop more than its instructions, one after another.
ELSEWHERE = {"bl", "blr", "b", "br", "ret"}


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


def instructions(lines):
    """What a processor executes of `lines`."""
    kept = (re.split(r"\s//", line)[0].rstrip() for line in lines)
    return [line for line in kept if re.match(r"^\s+[a-z]", line)]


def mnemonic(line):
    return line.split()[0]


def count(loop, name):
    return sum(mnemonic(line) == name for line in loop)


def inner_loops(lines):
    """The instructions of every loop without another one, a call or a jump in it, from its label to the branch back."""
    labels = {match[1]: i for i, line in enumerate(lines) if (match := LABEL.match(line))}
    ends = {}
    for i, line in enumerate(lines):
        target = BRANCH.match(line)
        if target and labels.get(target[1], i) < i:
            ends[labels[target[1]]] = i
    spans = list(ends.items())
    loops = []
    for start, end in spans:
        holds = any((a, b) != (start, end) and start <= a and b <= end for a, b in spans)
        loop = instructions(lines[start : end + 1])
        if not holds and not ELSEWHERE & {mnemonic(line) for line in loop}:
            loops.append(loop)
    return loops


def main_loop(lines, name):
    """Of the inner loops the one with the most instructions `name`, and of those the shortest; None without one."""
    loops = [loop for loop in inner_loops(lines) if count(loop, name)]
    return min(loops, key=lambda loop: (-count(loop, name), len(loop)), default=None)
