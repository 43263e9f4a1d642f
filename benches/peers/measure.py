"""One measurement of either side, each a process of its own, and rounds that take turns."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tools import HERE, run, say


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
    """The rkllm binary and the programs of this package."""

    def __init__(self, rkllm, gemm, machine, threads, kernel=None):
        self.rkllm, self.gemm_program, self.machine = rkllm, gemm, machine
        self.threads, self.kernel = threads, kernel

    def environment(self, kernel=None):
        chosen = kernel or self.kernel
        return {**os.environ, **({"RKLLM_KERNEL": chosen} if chosen else {})}

    def kernels(self):
        """Those this processor runs, the preferred one last."""
        return json.loads(run([self.machine, "--only", "kernels"]))["kernels"]

    def bench(self, model, prompt, generate, repeat=3, warmup=1, kernel=None):
        command = [self.rkllm, "bench", model.artifact, "--prompt", prompt, "--generate", generate, "--threads",
                   self.threads, "--repeat", repeat, "--warmup", warmup, "--json", "--quiet"]
        return json.loads(run(command, env=self.environment(kernel)))

    def prefill_once(self, model, tokens):
        """Tokens per second of one cold run, and the most anonymous memory it had, in bytes: pages of the
        mapped artifact are not counted, of which other tokens touch other rows of the embedding."""
        command = [self.rkllm, "bench", model.artifact, "--prompt", tokens, "--generate", 0, "--threads", self.threads,
                   "--repeat", 1, "--warmup", 0, "--json", "--quiet"]
        said, anonymous = watched(command, self.environment())
        return json.loads(said)["prefill_tokens_per_s"], anonymous

    def decode(self, model, depth, tokens):
        return self.bench(model, depth, tokens)["decode_tokens_per_s"]

    def prefill(self, model, tokens, kernel=None, **how):
        return self.bench(model, tokens, 0, kernel=kernel, **how)["prefill_tokens_per_s"]

    def first_token(self, model):
        """Seconds of a whole process: 8 token ids in, the first token out."""
        return seconds([self.rkllm, "bench", model.artifact, "--prompt", 8, "--generate", 0, "--threads", self.threads,
                        "--repeat", 1, "--warmup", 0, "--json", "--quiet"], self.environment())

    def gemm(self, scheme, m, k, n):
        command = [self.gemm_program, "--kernel", self.kernel or "best", "--scheme", scheme, "--threads", self.threads,
                   "--m", m, "--k", k, "--n", n]
        return json.loads(run(command, env=self.environment()))["ops_per_s"]["median"]

    def read_bandwidth(self, size):
        command = [self.machine, "--threads", self.threads, "--bytes", size, "--only", "read", "--repeat", 3]
        return json.loads(run(command))["read"]["bytes_per_s"]

    def int8_peaks(self):
        """{unit: operations per second}."""
        command = [self.machine, "--threads", self.threads, "--only", "int8", "--repeat", 3]
        rates = json.loads(run(command))["int8"]["ops_per_s"]
        return {unit: rate["median"] for unit, rate in rates.items()}


class Theirs:
    """A build of llama.cpp."""

    def __init__(self, build, threads):
        self.build, self.threads = build, threads

    def bench(self, model, *arguments, repeat=3):
        command = [self.build.bench, "-m", model.gguf, "-t", self.threads, "-r", repeat, "-o", "json", *arguments]
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
        return seconds([self.build.first_token, model.gguf, self.threads], os.environ)


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


def watched(command, environment):
    """What a process prints, and the largest RssAnon seen, looked at twenty times a second."""
    peak = 0
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, env=environment)
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            sizes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
            peak = max([peak, *(1024 * size for size in sizes)])
            time.sleep(0.05)
        if process.wait() != 0:
            raise SystemExit(f"compare.py: {command[0]} failed ({process.returncode})")
        out.seek(0)
        return out.read(), peak


def seconds(command, environment):
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    took = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"compare.py: {command[0]} failed ({done.returncode}): {done.stderr[-1000:]}")
    return took
