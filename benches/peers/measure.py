"""One measurement of either side, each a process of its own, and rounds that take turns."""

import json
import os
import statistics

from processes import run, say, seconds, watched
from tools import HERE


class Samples:
    """Values of one quantity, one per round."""

    def __init__(self, values):
        self.values = list(values)

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def spread(self):
        return min(self.values), max(self.values)

    def zip(self, other, operation):
        """Per round, so that what slows a round slows both sides of it."""
        return Samples(operation(a, b) for a, b in zip(self.values, other.values))

    def over(self, other):
        return self.zip(other, lambda a, b: a / b)

    def times(self, factor):
        return Samples(value * factor for value in self.values)


def rounds(count, label, measurements):
    """Runs every measurement once a round, in turn forwards and backwards; {name: Samples}. A measurement
    returns a number or {name: number}."""
    found = {}
    for number in range(count):
        order = list(measurements.items())
        if number % 2:
            order.reverse()
        for name, measurement in order:
            value = measurement()
            for key, one in (value if isinstance(value, dict) else {name: value}).items():
                found.setdefault(key, []).append(one)
        shown = ", ".join(f"{key} {short(values[-1])}" for key, values in found.items())
        say(f"  {label}, round {number + 1} of {count}, load {os.getloadavg()[0]:.1f}: {shown}")
    return {key: Samples(values) for key, values in found.items()}


def short(value):
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if abs(value) >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:.4g}"


class Ours:
    """The rkllm binary and bench-gemm."""

    def __init__(self, rkllm, gemm, threads, kernel=None, repeat=3):
        self.rkllm, self.gemm_program, self.repeat = rkllm, gemm, repeat
        self.threads, self.kernel = threads, kernel

    def environment(self, kernel=None):
        chosen = kernel or self.kernel
        return {**os.environ, **({"RKLLM_KERNEL": chosen} if chosen else {})}

    def kernels(self):
        """Those this processor runs, the preferred one last."""
        return [kernel["name"] for kernel in self.limits()["kernels"] if kernel["unavailable"] is None]

    def bench_command(self, model, prompt, generate, repeat, warmup):
        return [self.rkllm, "bench", model.artifact, "--prompt", prompt, "--generate", generate, "--threads",
                self.threads, "--repeat", repeat, "--warmup", warmup, "--json", "--quiet"]

    def bench(self, model, prompt, generate, repeat=None, warmup=1, kernel=None):
        command = self.bench_command(model, prompt, generate, repeat or self.repeat, warmup)
        return json.loads(run(command, env=self.environment(kernel)))

    def profile(self, model, prompt, generate, kernel=None):
        """Seconds of each product of one run, of all of them and of the rest."""
        command = [*self.bench_command(model, prompt, generate, 1, 1), "--profile"]
        profile = json.loads(run(command, env=self.environment(kernel)))["profile"]
        return profile["decode"] or profile["prefill"]

    def prefill_once(self, model, tokens):
        """Tokens per second of one cold run, and the most anonymous memory it had, in bytes: pages of the
        mapped artifact are not counted, of which other tokens touch other rows of the embedding."""
        said, anonymous = watched(self.bench_command(model, tokens, 0, 1, 0), self.environment())
        return json.loads(said)["prefill_tokens_per_s"], anonymous

    def decode(self, model, depth, tokens):
        return self.bench(model, depth, tokens)["decode_tokens_per_s"]

    def prefill(self, model, tokens, kernel=None, **how):
        return self.bench(model, tokens, 0, kernel=kernel, **how)["prefill_tokens_per_s"]

    def first_token(self, model):
        """Seconds of a whole process: 8 token ids in, the first token out."""
        return seconds(self.bench_command(model, 8, 0, 1, 0), self.environment())

    def gemm(self, scheme, m, k, n):
        command = [self.gemm_program, "--kernel", self.kernel or "best", "--scheme", scheme, "--threads", self.threads,
                   "--m", m, "--k", k, "--n", n]
        return json.loads(run(command, env=self.environment()))["ops_per_s"]["median"]

    def limits(self, size=1 << 20):
        """What this machine allows: memory of `size` bytes read, int8 products of registers."""
        command = [self.rkllm, "bench", "--kernels", "--limits", "--buffer", max(size, 1 << 20),
                   "--threads", self.threads, "--json", "--quiet"]
        return json.loads(run(command, env=self.environment()))

    def read_bandwidth(self, size):
        return self.limits(size)["read_gb_per_s"]["median"] * 1e9

    def int8_peak(self, kernel):
        """{"peak op/s": operations per second of that kernel's unit}, or {} if there is no figure for it."""
        peaks = {known["name"]: known["peak_gmacs_per_s"] for known in self.limits()["kernels"]}
        return {"peak op/s": peaks[kernel] * 2e9} if peaks.get(kernel) else {}


class Theirs:
    """A build of llama.cpp."""

    def __init__(self, build, threads, repeat=3):
        self.build, self.threads, self.repeat = build, threads, repeat

    def bench(self, model, *arguments, repeat=None):
        command = [self.build.bench, "-m", model.gguf, "-t", self.threads, "-r", repeat or self.repeat, "-o", "json", *arguments]
        rows = json.loads(run(command))
        if len(rows) != 1:
            raise SystemExit(f"compare.py: llama-bench gave {len(rows)} results where one was expected")
        return statistics.median(rows[0]["samples_ts"])

    def decode(self, model, depth, tokens):
        return self.bench(model, "-p", 0, "-n", tokens, "-d", depth, "-fa", "off")

    def prefill(self, model, tokens):
        return self.bench(model, "-p", tokens, "-n", 0, "-fa", "on")

    def prefill_once(self, model, tokens):
        return self.bench(model, "-p", tokens, "-n", 0, "-fa", "on", "--no-warmup", repeat=1)

    def first_token(self, model):
        return seconds([self.build.first_token, model.gguf, self.threads])


class OnnxRuntime:
    """MatMulInteger of onnxruntime."""

    def __init__(self, environment, threads):
        self.environment, self.threads = environment, threads

    def matmul(self, m, k, n):
        """{types: operations per second}."""
        command = [self.environment.python, HERE / "onnx_matmul.py", "--threads", self.threads,
                   "--m", m, "--k", k, "--n", n]
        types = json.loads(run(command))["types"]
        # Without VNNI, u8 x s8 sums saturate in int16: faster, and another result.
        inexact = {name: "" if found["exact"] else ", saturating" for name, found in types.items()}
        return {f"onnxruntime {name}{inexact[name]}": found["ops_per_s"] for name, found in types.items()}

