#!/usr/bin/env python3
"""rkllm beside llama.cpp and onnxruntime on this machine: one command from nothing to the table.

    compare.py --work DIR            everything; the first time it builds llama.cpp and makes the models
    compare.py --work DIR --only decode,gemm --models qwen2.5-0.5b --rounds 3

In DIR it makes, once: a Python environment; llama.cpp out of llama-cpp-python's source package, with AMX where the processor has it
and without; models of real shapes with random weights, as our artifacts and as GGUF. It builds rkllm in release unless --rkllm and
--programs name builds. Then both engines take turns, round after round, with the machine's limits measured in the same rounds. Ratios
are taken within a round, and medians over the rounds; `spread` is the lowest and the highest round. Nothing else should be running.

What is compared:
  decode   64 tokens one by one from an empty context (llama-bench -n 64 -fa off); the share of the limit is weight bytes per token x
           tokens/s over the read bandwidth of as many bytes on as many threads (bench-machine)
  depth    32 tokens after 1024 others, -fa off
  gemm     one linear layer, activations quantised before on both sides, ours with f32 out, onnxruntime's MatMulInteger with int32 out
  prefill  512 tokens, -fa on; the share of the limit is the linear layers' operations (twice for w4a16: two planes) over the peak of
           the fastest int8 unit
  noamx    the same without AMX on either side
  long     8192 tokens, one cold run each, and our anonymous memory beside that of 512 tokens: pages of the mapped artifact
           are left out, of which other tokens touch other rows of the embedding
  load     whole processes, 8 token ids in, first token out, files in the page cache; llama.cpp's is first_token.cpp on its library
  memory   our VmHWM at a context of 2048
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # nothing is written beside the source

import models
import table
import tools
from measure import OnnxRuntime, Ours, Samples, Theirs, rounds
from table import Row

STEPS = ["decode", "depth", "gemm", "prefill", "noamx", "long", "load", "memory"]
SHAPES = ["qwen2.5-0.5b", "qwen2.5-1.5b", "tinyllama-1.1b", "phi-3-mini"]
GEMM_SHAPES = [(m, k, n) for k, n in ((896, 4864), (2048, 5632)) for m in (128, 512)]


def unit_of(kernel, peaks):
    """The unit that kernel computes on: of its name, or the fastest."""
    named = [unit for unit in peaks if unit == kernel] or [unit for unit in peaks if unit in kernel]
    return named[0] if named else max(peaks, key=peaks.get)


class Comparison:
    """Everything the steps need."""

    def __init__(self, args, environment, ours, amx_build, plain_build):
        self.args, self.ours, self.environment = args, ours, environment
        self.amx = amx_build is not None
        self.theirs = Theirs(amx_build or plain_build, args.threads)
        self.plain = Theirs(plain_build, args.threads) if plain_build else None
        self.onnx = OnnxRuntime(environment, args.threads)

    def rounds(self, label, measurements, count=None):
        return rounds(count or self.args.rounds, label, measurements)

    def peak(self, kernel=None):
        """The peak of the unit our kernel uses."""
        peaks = self.ours.int8_peaks()
        return peaks[unit_of(kernel or self.ours.kernel or self.ours.kernels()[-1], peaks)]


def decode(c, model):
    size = model.decode_bytes()
    found = c.rounds(f"decode 64, {model.shape} {model.scheme}", {
        "read B/s": lambda: c.ours.read_bandwidth(size),
        "rkllm tok/s": lambda: c.ours.decode(model, 0, 64),
        "llama.cpp tok/s": lambda: c.theirs.decode(model, 0, 64),
    })
    share = found["rkllm tok/s"].times(size).over(found["read B/s"])
    peer_bytes = models.peer_decode_bytes(c.environment, model.gguf)
    details = {**found, "rkllm MB/token": Samples([size / 1e6]), "llama.cpp MB/token": Samples([peer_bytes / 1e6])}
    ratio = found["rkllm tok/s"].over(found["llama.cpp tok/s"])
    return [Row(f"{model.shape} decode 64, of the read bandwidth", model.scheme, share, {}, share),
            Row(f"{model.shape} decode 64, ratio", model.scheme, ratio, details, share)]


def depth(c, model):
    found = c.rounds(f"decode 32 at 1024, {model.shape} {model.scheme}", {
        "rkllm tok/s": lambda: c.ours.decode(model, 1024, 32),
        "llama.cpp tok/s": lambda: c.theirs.decode(model, 1024, 32),
    })
    ratio = found["rkllm tok/s"].over(found["llama.cpp tok/s"])
    return [Row(f"{model.shape} decode 32 at depth 1024, ratio", model.scheme, ratio, found)]


def gemm(c):
    rows = []
    for m, k, n in GEMM_SHAPES:
        measurements = {"onnxruntime": lambda: c.onnx.matmul(m, k, n), "peak op/s": c.peak}
        for scheme in c.args.schemes:
            measurements[f"{scheme} op/s"] = lambda scheme=scheme: c.ours.gemm(scheme, m, k, n)
        found = c.rounds(f"GEMM M {m} K {k} N {n}", measurements)
        pairs = [name for name in found if name.startswith("onnxruntime")]
        best = max(pairs, key=lambda name: found[name].median)
        for scheme in c.args.schemes:
            ours = found[f"{scheme} op/s"]
            planes = 2 if scheme.startswith("w4a16") else 1
            details = {"rkllm op/s": ours, **{f"{name} op/s": found[name] for name in pairs}, "peak op/s": found["peak op/s"]}
            rows.append(Row(f"GEMM M {m} K {k} N {n}, ratio to onnxruntime", scheme, ours.over(found[best]), details,
                            ours.times(planes).over(found["peak op/s"])))
    return rows


def prefill(c, model, name="prefill 512", theirs=None, kernel=None):
    theirs = theirs or c.theirs
    found = c.rounds(f"{name}, {model.shape} {model.scheme}", {
        "rkllm tok/s": lambda: c.ours.prefill(model, 512, kernel),
        "llama.cpp tok/s": lambda: theirs.prefill(model, 512),
        "peak op/s": lambda: c.peak(kernel),
    })
    planes = 2 if model.scheme.startswith("w4a16") else 1
    share = found["rkllm tok/s"].times(2 * planes * model.macs()).over(found["peak op/s"])
    ratio = found["rkllm tok/s"].over(found["llama.cpp tok/s"])
    return [Row(f"{model.shape} {name}, ratio", model.scheme, ratio, found, share)]


def noamx(c, model):
    """Our best kernel that is not AMX's against the build without it."""
    kernel = c.ours.kernel or [name for name in c.ours.kernels() if "amx" not in name][-1]
    return prefill(c, model, "prefill 512 without AMX", c.plain or c.theirs, kernel)


def long(c, model):
    tokens, reports = c.args.long_tokens, {}

    def run_ours(count):
        speed, anonymous = c.ours.prefill_once(model, count)
        reports.setdefault(count, []).append(anonymous / 1e6)
        return speed

    found = c.rounds(f"prefill {tokens}, {model.shape} {model.scheme}", {
        "rkllm tok/s": lambda: run_ours(tokens),
        "rkllm 512 tok/s": lambda: run_ours(512),
        "llama.cpp tok/s": lambda: c.theirs.prefill_once(model, tokens),
    }, c.args.long_rounds)
    peak, short_peak = Samples(reports[tokens]), Samples(reports[512])
    kv = (model.kv_bytes(tokens) - model.kv_bytes(512)) / 1e6
    extra = peak.zip(short_peak, lambda more, less: more - less - kv)
    ratio = found["rkllm tok/s"].over(found["llama.cpp tok/s"])
    memory = {f"{tokens} MB": peak, "512 MB": short_peak, "KV MB": Samples([kv])}
    return [Row(f"{model.shape} prefill {tokens}, ratio", model.scheme, ratio, found),
            Row(f"{model.shape} prefill {tokens}, anonymous memory over 512 but for KV, MB", model.scheme, extra, memory)]


def load(c, model):
    models.warm(model.artifact)
    models.warm(model.gguf)
    found = c.rounds(f"first token, {model.shape} {model.scheme}", {
        "rkllm s": lambda: c.ours.first_token(model),
        "llama.cpp s": lambda: c.theirs.first_token(model),
    }, 3 * c.args.rounds)
    ratio = found["rkllm s"].over(found["llama.cpp s"])
    return [Row(f"{model.shape} first token, ratio of times", model.scheme, ratio, found)]


def memory(c, model):
    report = c.ours.bench(model, 1984, 64, repeat=1, warmup=0)
    peak, artifact = report["peak_rss_bytes"] / 1e6, model.artifact_bytes() / 1e6
    details = {"VmHWM MB": Samples([peak]), "artifact MB": Samples([artifact])}
    return [Row(f"{model.shape} peak memory over the artifact, MB", model.scheme, Samples([peak - artifact]), details)]


def steps_of(c, made):
    """Rows of the steps asked for. What a bar names of a single model runs on that one only, if it is there."""
    small = [model for model in made if model.shape == "qwen2.5-0.5b"] or made[:len(c.args.schemes)]
    on = {"decode": (decode, made), "depth": (depth, made), "prefill": (prefill, made), "noamx": (noamx, small),
          "long": (long, small), "load": (load, made), "memory": (memory, small)}
    for step in c.args.only:
        if step == "gemm":
            yield from gemm(c)
            continue
        function, chosen = on[step]
        for model in chosen:
            yield from function(c, model)


def build_ours(args):
    """Paths of rkllm, bench-gemm and bench-machine."""
    programs = {"rkllm": args.rkllm, "bench-gemm": None, "bench-machine": None}
    if args.programs:
        programs.update({name: args.programs / name for name in ("bench-gemm", "bench-machine")})
    if all(programs.values()):
        return programs
    tools.say(f"building rkllm, profile {args.profile}")
    command = ["cargo", "build", "--profile", args.profile, "-p", "rkllm-cli", "-p", "rkllm-benches", "--bins",
               "--message-format", "json-render-diagnostics"]
    try:
        done = subprocess.run(command, cwd=tools.HERE.parent.parent, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise tools.Missing("cargo not found", "Rust's stable toolchain, by rustup") from None
    if done.returncode != 0:
        raise SystemExit("compare.py: rkllm could not be built")
    for line in done.stdout.splitlines():
        message = json.loads(line)
        name = message.get("target", {}).get("name")
        if name in programs and not programs[name] and message.get("executable"):
            programs[name] = Path(message["executable"])
    return programs


def machine(environment):
    """What a reader of the figures has to know."""
    names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(), "processors": os.cpu_count(), "amx": tools.has_amx(),
        "system": platform.platform(), "llama_cpp_python": tools.LLAMA_CPP_PYTHON,
        "onnxruntime": environment.version("onnxruntime"),
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda known: lambda text: [known[known.index(word)] for word in text.split(",")]  # noqa: E731
    parser.add_argument("--work", type=Path, required=True, help="folder for everything made once")
    parser.add_argument("--only", type=words(STEPS), default=STEPS, metavar=",".join(STEPS), help="steps (default: all)")
    parser.add_argument("--models", type=words(SHAPES), default=["qwen2.5-0.5b", "tinyllama-1.1b"],
                        metavar=",".join(SHAPES), help="shapes (default: those with bars)")
    parser.add_argument("--schemes", type=words(list(table.SCHEMES)), default=list(table.SCHEMES), metavar=",".join(table.SCHEMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long-rounds", type=int, default=1, help="rounds of 8192 tokens (default: 1)")
    parser.add_argument("--long-tokens", type=int, default=8192, metavar="N", help="another prompt for the step long; the bar is for 8192")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernel", help="ours, instead of the best (RKLLM_KERNEL)")
    parser.add_argument("--compiler", help="llama.cpp's C compiler, for example clang (default: cc)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="of its build")
    parser.add_argument("--rkllm", type=Path, help="a built rkllm")
    parser.add_argument("--programs", type=Path, metavar="DIR", help="with bench-gemm and bench-machine")
    parser.add_argument("--profile", default="release", help="of our build (default: release)")
    parser.add_argument("--keep", action="store_true", help="keep the checkpoints the models are made of")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    args = parser.parse_args()
    if min(args.rounds, args.long_rounds, args.threads, args.jobs) < 1 or args.long_tokens <= 512:
        parser.error("rounds, threads and jobs are at least 1, --long-tokens more than 512")
    return args


def main():
    args = arguments()
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    programs = build_ours(args)
    environment = tools.Environment(args.work).make(args.work / "venv.log")
    amx = tools.build(args.work, environment, True, args.jobs, args.compiler) if tools.has_amx() else None
    plain = tools.build(args.work, environment, False, args.jobs, args.compiler)
    made = models.make(args.models, args.schemes, args.work / "models", environment, programs["rkllm"],
                       (amx or plain).quantize, args.keep)
    about = machine(environment)
    if amx:
        about["amx_agrees"] = {model.gguf.name: tools.verify(amx, plain, model.gguf, args.threads, args.work) for model in made}
    ours = Ours(programs["rkllm"], programs["bench-gemm"], programs["bench-machine"], args.threads, args.kernel)
    about |= {"threads": args.threads, "kernels": ours.kernels(), "kernel": args.kernel or "best"}
    comparison = Comparison(args, environment, ours, amx, plain)
    rows = []
    for row in steps_of(comparison, made):
        rows.append(row)
        if args.json:  # after every row: a run that is stopped keeps what it has
            text = json.dumps({"machine": about, "rows": [row.as_json(comparison.amx) for row in rows]}, indent=1)
            args.json.write_text(text + "\n")
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    if not comparison.amx:
        print("This processor has no AMX: bars against a peer with AMX are shown, not judged.")
    print(f"{args.rounds} rounds, {args.threads} threads\n")
    print(table.show(rows, comparison.amx))
    return 0


if __name__ == "__main__":
    sys.exit(main())
