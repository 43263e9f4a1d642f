#!/usr/bin/env python3
"""rkllm beside llama.cpp and onnxruntime on this machine: one command from nothing to the table.

    compare.py --work DIR            everything; the first time it builds llama.cpp and makes the models
    compare.py --work DIR --only decode,gemm --models qwen2.5-0.5b --rounds 3
    compare.py --work DIR --plan     every command, and nothing runs; with --assume-amx those of a processor with AMX

In DIR it makes, once: a Python environment; llama.cpp out of llama-cpp-python's source package, with AMX where the processor has it
and without; models of real shapes with random weights, as our artifacts and as GGUF. It builds rkllm in release unless --rkllm and
--bench-gemm name builds. Then both engines take turns, round after round, with the machine's limits measured in the same rounds. Ratios
are taken within a round, and medians over the rounds; `spread` is the lowest and the highest round. Nothing else should be running.
`products` in the last column is the share of the time that one profiled run of ours spent in its linear layers, quantised
inputs and forks included; the rest is attention, norms, rotations and gates.

What is compared:
  decode   64 tokens one by one from an empty context (llama-bench -n 64 -fa off); the share of the limit is weight bytes per token x
           tokens/s over the read bandwidth of as many bytes on as many threads (rkllm bench --kernels --limits)
  depth    32 tokens after 1024 others, -fa off
  gemm     one linear layer, activations quantised before on both sides (ours are packed then, too: quantize_s of bench-gemm), ours with f32 out, onnxruntime's MatMulInteger with int32 out
  prefill  512 tokens, -fa on; the share of the limit is the linear layers' operations (twice for w4a16: two planes) over the peak of
           the int8 unit that the kernel uses
  noamx    the same without AMX on either side
  long     8192 tokens, one cold run each, and our anonymous memory beside that of 512 tokens: pages of the mapped artifact
           are left out, of which other tokens touch other rows of the embedding
  load     whole processes, 8 token ids in, first token out, files in the page cache; llama.cpp's is first_token.cpp on its library
  memory   our VmHWM at a context of 2048
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # nothing is written beside the source

import models
import plan
import processes
import table
import tools
from measure import OnnxRuntime, Ours, Samples, Theirs, rounds
from table import Row

STEPS = ["decode", "depth", "gemm", "prefill", "noamx", "long", "load", "memory"]
SHAPES = ["qwen2.5-0.5b", "qwen2.5-1.5b", "tinyllama-1.1b", "phi-3-mini"]
GEMM_SHAPES = [(m, k, n) for k, n in ((896, 4864), (2048, 5632)) for m in (128, 512)]


class Comparison:
    """Everything the steps need."""

    def __init__(self, args, environment, ours, amx_build, plain_build):
        self.args, self.ours, self.environment = args, ours, environment
        self.amx, self.failures = amx_build is not None, []
        self.theirs = Theirs(amx_build or plain_build, args.threads, args.repeat)
        self.plain = Theirs(plain_build, args.threads, args.repeat) if plain_build else None
        self.onnx = OnnxRuntime(environment, args.threads)

    def attempt(self, step, *model):
        """The step's rows; a step that fails costs no other one."""
        try:
            return step(self, *model)
        except SystemExit as error:
            processes.say(error)
            self.failures.append(str(error))
            return []

    def rounds(self, label, measurements, count=None):
        return rounds(count or self.args.rounds, label, measurements)

    def best_kernel(self):
        return self.ours.kernel or self.ours.kernels()[-1]

    def profile(self, model, prompt, generate, kernel=None):
        """{name: Samples} of where one run's time went, and that run."""
        found = self.ours.profile(model, prompt, generate, kernel)
        shares = {"products share": found["products"] / found["seconds"], "of it head share": found["lm_head"] / found["seconds"]}
        return {name: Samples([value]) for name, value in shares.items()}, found


def decode(c, model):
    size = model.decode_bytes()
    found = c.rounds(f"decode 64, {model.shape} {model.scheme}", {
        "read B/s": lambda: c.ours.read_bandwidth(size),
        "rkllm tok/s": lambda: c.ours.decode(model, 0, 64),
        "llama.cpp tok/s": lambda: c.theirs.decode(model, 0, 64),
    })
    share = found["rkllm tok/s"].times(size).over(found["read B/s"])
    peer_bytes = models.peer_decode_bytes(c.environment, model.gguf)
    shares, profile = c.profile(model, 0, 64)
    products = Samples([size * profile["tokens"] / profile["products"]])
    details = {**found, "rkllm MB/token": Samples([size / 1e6]), "llama.cpp MB/token": Samples([peer_bytes / 1e6]), **shares,
               "products B/s": products}
    ratio = found["rkllm tok/s"].over(found["llama.cpp tok/s"])
    return [Row(f"{model.shape} decode 64, of the read bandwidth", model.scheme, share, {}, share),
            Row(f"{model.shape} decode 64, ratio", model.scheme, ratio, details, share)]


def depth(c, model):
    found = c.rounds(f"decode 32 at 1024, {model.shape} {model.scheme}", {
        "rkllm tok/s": lambda: c.ours.decode(model, 1024, 32),
        "llama.cpp tok/s": lambda: c.theirs.decode(model, 1024, 32),
    })
    ratio = found["rkllm tok/s"].over(found["llama.cpp tok/s"])
    shares, _ = c.profile(model, 1024, 32)
    return [Row(f"{model.shape} decode 32 at depth 1024, ratio", model.scheme, ratio, {**found, **shares})]


def gemm(c):
    rows = []
    for m, k, n in GEMM_SHAPES:
        measurements = {"onnxruntime": lambda: c.onnx.matmul(m, k, n), "peak": lambda: c.ours.int8_peak(c.best_kernel())}
        for scheme in c.args.schemes:
            measurements[f"{scheme} op/s"] = lambda scheme=scheme: c.ours.gemm(scheme, m, k, n)
        found = c.rounds(f"GEMM M {m} K {k} N {n}", measurements)
        pairs = [name for name in found if name.startswith("onnxruntime")]
        best = max(pairs, key=lambda name: found[name].median)
        for scheme in c.args.schemes:
            ours = found[f"{scheme} op/s"]
            planes = 2 if scheme.startswith("w4a16") else 1
            peak = {name: found[name] for name in found if name == "peak op/s"}
            details = {"rkllm op/s": ours, **{f"{name} op/s": found[name] for name in pairs}, **peak}
            rows.append(Row(f"GEMM M {m} K {k} N {n}, ratio to onnxruntime", scheme, ours.over(found[best]), details,
                            ours.times(planes).over(peak["peak op/s"]) if peak else None))
    return rows


def prefill(c, model, name="prefill 512", theirs=None, kernel=None):
    theirs = theirs or c.theirs
    found = c.rounds(f"{name}, {model.shape} {model.scheme}", {
        "rkllm tok/s": lambda: c.ours.prefill(model, 512, kernel),
        "llama.cpp tok/s": lambda: theirs.prefill(model, 512),
        "peak": lambda: c.ours.int8_peak(kernel or c.best_kernel()),
    })
    operations = 2 * (2 if model.scheme.startswith("w4a16") else 1) * model.macs()
    share = found["rkllm tok/s"].times(operations).over(found["peak op/s"]) if "peak op/s" in found else None
    ratio = found["rkllm tok/s"].over(found["llama.cpp tok/s"])
    shares, profile = c.profile(model, 512, 0, kernel)
    products = Samples([operations * profile["tokens"] / profile["products"]])
    return [Row(f"{model.shape} {name}, ratio", model.scheme, ratio, {**found, **shares, "products op/s": products}, share)]


def noamx(c, model):
    """Our best kernel that is not AMX's against the build without it."""
    without = [name for name in c.ours.kernels() if name != "amx"]
    kernel = c.ours.kernel if c.ours.kernel in without else without[-1]
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
    shares, _ = c.profile(model, tokens, 0)
    return [Row(f"{model.shape} prefill {tokens}, ratio", model.scheme, ratio, {**found, **shares}),
            Row(f"{model.shape} prefill {tokens}, anonymous memory over 512 but for KV, MB", model.scheme, extra, memory)]


def load(c, model):
    model.warm()
    found = c.rounds(f"first token, {model.shape} {model.scheme}", {
        "rkllm s": lambda: c.ours.first_token(model),
        "llama.cpp s": lambda: c.theirs.first_token(model),
    }, 3 * c.args.rounds)
    ratio = found["rkllm s"].over(found["llama.cpp s"])
    return [Row(f"{model.shape} first token, ratio of times", model.scheme, ratio, found)]


def memory(c, model):
    report = c.ours.bench(model, 1984, 64, repeat=1, warmup=0)
    peak, artifact = (report["peak_rss_bytes"] or math.nan) / 1e6, model.artifact_bytes() / 1e6
    details = {"VmHWM MB": Samples([peak]), "artifact MB": Samples([artifact])}
    return [Row(f"{model.shape} peak memory over the artifact, MB", model.scheme, Samples([peak - artifact]), details)]


def steps_of(c, made):
    """Rows of the steps asked for. What a bar names of a single model runs on that one only, if it is there."""
    small = [model for model in made if model.shape == "qwen2.5-0.5b"] or made[:len(c.args.schemes)]
    on = {"decode": (decode, made), "depth": (depth, made), "prefill": (prefill, made), "noamx": (noamx, small),
          "long": (long, small), "load": (load, made), "memory": (memory, small)}
    for step in c.args.only:
        if step == "gemm":
            yield from c.attempt(gemm)
            continue
        function, chosen = on[step]
        for model in chosen:
            yield from c.attempt(function, model)


def build_command(args):
    return ["cargo", "build", "--profile", args.profile, "-p", "rkllm-cli", "-p", "rkllm-benches", "--bins",
            "--message-format", "json-render-diagnostics"]


def build_ours(args):
    """Paths of rkllm and bench-gemm."""
    programs = {"rkllm": args.rkllm, "bench-gemm": args.bench_gemm}
    if all(programs.values()):
        return programs
    processes.say(f"building rkllm, profile {args.profile}")
    try:
        done = subprocess.run(build_command(args), cwd=tools.HERE.parent.parent, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise processes.Missing("cargo not found", "Rust's stable toolchain, by rustup") from None
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


def known_kernels(limits):
    """{"int8 TOP/s": of those that run, "cannot run": why}."""
    peaks = {kernel["name"]: kernel["peak_gmacs_per_s"] for kernel in limits["kernels"] if kernel["unavailable"] is None}
    return {"int8 TOP/s": {name: peak and round(2e-3 * peak, 3) for name, peak in peaks.items()},
            "cannot run": {kernel["name"]: kernel["unavailable"] for kernel in limits["kernels"] if kernel["unavailable"]}}


def arguments(words_given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda known: lambda text: [known[known.index(word)] for word in text.split(",")]  # noqa: E731
    parser.add_argument("--work", type=Path, required=True, help="folder for everything made once")
    parser.add_argument("--only", type=words(STEPS), default=STEPS, metavar=",".join(STEPS), help="steps (default: all)")
    parser.add_argument("--models", type=words(SHAPES), default=["qwen2.5-0.5b", "tinyllama-1.1b"],
                        metavar=",".join(SHAPES), help="shapes (default: those with bars)")
    parser.add_argument("--schemes", type=words(list(table.SCHEMES)), default=list(table.SCHEMES), metavar=",".join(table.SCHEMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3, help="runs of either engine within a round, of which the median counts (default: 3)")
    parser.add_argument("--long-rounds", type=int, default=3, help="rounds of 8192 tokens (default: 3)")
    parser.add_argument("--long-tokens", type=int, default=8192, metavar="N", help="another prompt for the step long; the bar is for 8192")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernel", help="ours, instead of the best (RKLLM_KERNEL)")
    parser.add_argument("--compiler", help="llama.cpp's C compiler, for example clang (default: cc)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="of its build")
    parser.add_argument("--rkllm", type=Path, help="a built rkllm")
    parser.add_argument("--bench-gemm", type=Path, help="a built bench-gemm")
    parser.add_argument("--profile", default="release", help="of our build (default: release)")
    parser.add_argument("--layers", type=int, metavar="N", help="shapes with so many layers, to try this script: no bar is about them")
    parser.add_argument("--plan", action="store_true", help="print every command and run none")
    parser.add_argument("--assume-amx", action="store_true", help="with --plan: as on a processor with AMX")
    parser.add_argument("--build-for", metavar="MARCH", help="build llama.cpp as for another processor (sapphirerapids), look "
                        "whether its tile configuration is whole, and stop")
    parser.add_argument("--keep", action="store_true", help="keep the checkpoints the models are made of")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    args = parser.parse_args(words_given)
    least = (args.rounds, args.repeat, args.long_rounds, args.threads, args.jobs, args.layers or 1)
    if min(least) < 1 or args.long_tokens <= 512:
        parser.error("rounds, repeats, threads, jobs and layers are at least 1, --long-tokens more than 512")
    for option, program in (("--rkllm", args.rkllm), ("--bench-gemm", args.bench_gemm)):
        if program and not (program.is_file() and os.access(program, os.X_OK)):
            parser.error(f"{option} {program}: no program is there")
    return args


def show_plan(args):
    """Every command in order, with answers of before instead of runs."""
    amx = args.assume_amx or tools.has_amx()
    args.rounds = args.long_rounds = 1  # the others are the same
    processes.current = plan.Plan(amx)
    environment = tools.Environment(args.work)
    print("\n".join(plan.line(command) for command in plan.preparation(args, environment, build_command(args), amx)))
    peers = {with_amx: plan.peer(args, with_amx) for with_amx in ((True, False) if amx else (False,))}
    ours = Ours("rkllm", "bench-gemm", args.threads, args.kernel, args.repeat)
    comparison = Comparison(args, environment, ours, peers.get(True), peers[False])
    for row in steps_of(comparison, plan.planned_models(args)):
        print(f"=> {row.name}, {row.scheme}{'' if row.bar is None else ', bar ' + str(row.bar[1])}")
    return 0


def build_for(args):
    """What a processor without AMX can prove of the build with it: that it compiles, and to what."""
    environment = tools.Environment(args.work).make(args.work / "venv.log")
    for amx in (True, False):
        peer = tools.build(args.work, environment, amx, args.jobs, args.compiler, args.build_for)
        stores = tools.tile_stores(processes.run(["objdump", "-d", "--no-show-raw-insn", peer.bench]))
        print(f"{peer.bench}: {len(stores)} tile configurations loaded, stores before each: {stores}")
        if amx and min(stores, default=0) < tools.TILE_STORES:
            raise SystemExit("compare.py: the tile configuration is not whole: try another compiler, --compiler clang")
        if not amx and stores:
            raise SystemExit("compare.py: the build without AMX loads a tile configuration")
    return 0


def main():
    args = arguments()
    args.work = args.work.resolve()
    if args.plan:
        return show_plan(args)
    args.work.mkdir(parents=True, exist_ok=True)
    if args.build_for:
        return build_for(args)
    programs = build_ours(args)
    environment = tools.Environment(args.work).make(args.work / "venv.log")
    amx = tools.build(args.work, environment, True, args.jobs, args.compiler) if tools.has_amx() else None
    plain = tools.build(args.work, environment, False, args.jobs, args.compiler)
    made = models.make(args.models, args.schemes, args.work / "models", environment, programs["rkllm"],
                       (amx or plain).quantize, args.keep, args.layers)
    about = machine(environment)
    if amx:
        about["amx_agrees"] = {model.gguf.name: tools.verify(amx, plain, model.gguf, args.threads, args.work) for model in made}
    ours = Ours(programs["rkllm"], programs["bench-gemm"], args.threads, args.kernel, args.repeat)
    peer = amx or plain
    about["logits_cosine"] = {model.artifact.name: tools.same_model(programs["rkllm"], peer, model, args.threads, args.work)
                              for model in made}
    limits = ours.limits()
    about |= {"threads": args.threads, "kernel": args.kernel or "best", **known_kernels(limits),
              "fork and join us": limits["fork_us"]["median"], "after a pause us": limits["fork_after_sleep_us"]["median"]}
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
    for failure in comparison.failures:
        print(failure)
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
