"""What the comparison has to show, row by row, and what was seen."""

# Per scheme (w8a8, w4a16_g128): what is asked of each row. Ratios are to the peer.
AT_LEAST, AT_MOST = "at least", "at most"
BARS = {
    "qwen2.5-0.5b decode 64, of the read bandwidth": (AT_LEAST, 0.90, 0.80),
    "qwen2.5-0.5b decode 64, ratio": (AT_LEAST, 1.15, 1.10),
    "tinyllama-1.1b decode 64, ratio": (AT_LEAST, 1.08, 1.15),
    "GEMM M 128 K 896 N 4864, ratio to onnxruntime": (AT_LEAST, 0.9, 0.5),
    "GEMM M 512 K 896 N 4864, ratio to onnxruntime": (AT_LEAST, 0.9, 0.5),
    "GEMM M 128 K 2048 N 5632, ratio to onnxruntime": (AT_LEAST, 0.9, 0.5),
    "GEMM M 512 K 2048 N 5632, ratio to onnxruntime": (AT_LEAST, 0.9, 0.5),
    "qwen2.5-0.5b prefill 512, ratio": (AT_LEAST, 3.5, 2.5),
    "tinyllama-1.1b prefill 512, ratio": (AT_LEAST, 4.5, 3.0),
    "qwen2.5-0.5b prefill 512 without AMX, ratio": (AT_LEAST, 3.0, 2.0),
    "qwen2.5-0.5b prefill 8192, ratio": (AT_LEAST, 2.0, 1.5),
    # Our own limit for "flat": what is left when the larger KV cache is taken off.
    "qwen2.5-0.5b prefill 8192, anonymous memory over 512 but for KV, MB": (AT_MOST, 16, 16),
    "qwen2.5-0.5b first token, ratio of times": (AT_MOST, 0.5, 0.5),
    "tinyllama-1.1b first token, ratio of times": (AT_MOST, 0.5, 0.5),
    "qwen2.5-0.5b peak memory over the artifact, MB": (AT_MOST, 120, 120),
}
# Rows whose bar does not depend on a peer with AMX.
WITHOUT_AMX = ("without AMX", "bandwidth", "memory")
SCHEMES = ("w8a8", "w4a16_g128")


class Row:
    """One line: `seen` is what the bar is about (Samples); `details` what it came from, {name: Samples};
    `limit` the share of the machine's limit (Samples or None)."""

    def __init__(self, name, scheme, seen, details, limit=None):
        self.name, self.scheme, self.seen, self.details, self.limit = name, scheme, seen, details, limit

    @property
    def bar(self):
        if self.name not in BARS:
            return None
        sense, *bars = BARS[self.name]
        return sense, bars[SCHEMES.index(self.scheme)]

    def verdict(self, amx):
        """pass, NOT, or why there is none."""
        if self.bar is None:
            return "no bar"
        if not amx and not any(word in self.name for word in WITHOUT_AMX):
            return "no AMX here"
        sense, bar = self.bar
        good = self.seen.median >= bar if sense == AT_LEAST else self.seen.median <= bar
        return "pass" if good else "NOT"

    def as_json(self, amx):
        return {
            "row": self.name, "scheme": self.scheme, "bar": self.bar, "seen": self.seen.median,
            "spread": self.seen.spread, "rounds": self.seen.values, "verdict": self.verdict(amx),
            "of_the_limit": self.limit and self.limit.median,
            "details": {name: samples.values for name, samples in self.details.items()},
        }


def number(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def quantity(name, value):
    if name.endswith(" share"):
        return f"{name[:-len(' share')]} {value:.1%}"
    for ending, unit in (("B/s", "GB/s"), ("op/s", "GOP/s")):
        if name.endswith(ending):
            return f"{name[:-len(ending)].strip()} {number(value / 1e9)} {unit}"
    return f"{name} {number(value)}"


def show(rows, amx):
    """The table as text."""
    head = ("row", "scheme", "bar", "seen", "spread", "of limit", "", "medians")
    lines = [head]
    for row in rows:
        bar = "" if row.bar is None else f"{'>=' if row.bar[0] == AT_LEAST else '<='} {row.bar[1]}"
        low, high = row.seen.spread
        lines.append((
            row.name, row.scheme, bar, number(row.seen.median), f"{number(low)} to {number(high)}",
            f"{row.limit.median:.0%}" if row.limit else "", row.verdict(amx),
            ", ".join(quantity(name, samples.median) for name, samples in row.details.items()),
        ))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    text = "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths)), line[-1]]).rstrip()
                     for line in lines)
    verdicts = [row.verdict(amx) for row in rows]
    return f"{text}\n\n{verdicts.count('pass')} pass, {verdicts.count('NOT')} not, {len(rows)} rows"
