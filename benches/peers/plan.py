"""What compare.py would run, and nothing run: each command is printed and answered as its program answered before."""

import json
from pathlib import Path

import models
import tools
from processes import Processes, words

KERNELS = ["scalar", "avx2", "avxvnni", "avx512vnni", "amx"]
# Bytes of a decode step, of a KV cache per token, and multiply-accumulates per token, of no model in particular.
DECODE_BYTES, KV_BYTES, MACS = 500_000_000, 12_288, 350_000_000


def line(command, environment=None):
    """A command as a shell takes it."""
    kernel = (environment or {}).get("RKLLM_KERNEL")
    shown = [word if word and not set(word) & set(" \n\"'();<>$&") else repr(word) for word in words(command)]
    return " ".join([*([f"RKLLM_KERNEL={kernel}"] if kernel else []), *shown])


class Plan(Processes):
    """Answers for a processor with AMX or, without it, with AVX2 alone."""

    def __init__(self, amx, show=print):
        self.kernels, self.show, self.commands = KERNELS if amx else KERNELS[:2], show, []

    def say(self, text):
        """Nothing: no value is true."""

    def note(self, command, environment=None):
        self.commands.append(line(command, environment))
        self.show(self.commands[-1])

    def output(self, command, environment):
        self.note(command, environment)
        return self.answer(command)

    def logged(self, command, log):
        self.note(command)

    def seconds(self, command, environment):
        self.note(command, environment)
        return 0.1 if Path(command[0]).name == "rkllm" else 0.4

    def watched(self, command, environment):
        self.note(command, environment)
        tokens = int(command[command.index("--prompt") + 1])
        return self.answer(command), 100_000_000 + KV_BYTES * tokens

    def answer(self, command):
        program = Path(command[0]).name
        if program == "llama-bench":
            return json.dumps([{"samples_ts": [40.0, 41.0, 39.0]}])
        if program == "bench-gemm":
            return json.dumps({"ops_per_s": {"median": 3.1e12}})
        if "--kernels" in command:
            return json.dumps(self.limits(int(command[command.index("--buffer") + 1])))
        if program == "rkllm":
            return json.dumps(speed("--profile" in command, *(int(command[command.index(name) + 1])
                                                             for name in ("--prompt", "--generate"))))
        if "onnx_matmul.py" in " ".join(command):
            return json.dumps({"types": {"u8 x s8": {"ops_per_s": 3.3e12, "exact": True},
                                         "s8 x s8": {"ops_per_s": 2.9e12, "exact": True}}})
        if program == "python3":
            return f"{DECODE_BYTES}\n"
        raise SystemExit(f"compare.py: no answer is known for {line(command)}")

    def limits(self, size):
        def kernel(name):
            runs = name in self.kernels
            return {"name": name, "unavailable": None if runs else f"this processor has no {name}", "active": False,
                    "peak_gmacs_per_s": {"amx": 5750.0, "avx512vnni": 845.0}.get(name, 100.0) if runs else None, "layers": []}
        return {"buffer_bytes": size, "read_gb_per_s": {"median": 30.0}, "kernels": [kernel(name) for name in KERNELS]}


def speed(profiled, prompt, generate):
    """What `rkllm bench --json` says."""
    def phase(tokens):
        return {"tokens": tokens, "seconds": 1.0, "products": 0.9, "lm_head": 0.25, "rest": 0.1} if tokens else None
    profile = {"prefill": phase(prompt), "decode": phase(generate)} if profiled else None
    return {"prefill_tokens_per_s": 300.0 if prompt else None, "decode_tokens_per_s": 55.0 if generate else None,
            "peak_rss_bytes": DECODE_BYTES, "profile": profile}


class Planned(models.Model):
    """A model that may not be there yet."""

    def decode_bytes(self):
        return DECODE_BYTES

    artifact_bytes = decode_bytes

    def warm(self):
        pass

    def kv_bytes(self, tokens):
        return KV_BYTES * tokens

    def macs(self):
        return MACS


def planned_models(args):
    folder = args.work / "models"
    return [Planned(shape, scheme, folder, args.layers) for shape in args.models for scheme in args.schemes]


def peer(args, amx):
    out, _ = tools.configure_command(args.work, tools.Environment(args.work), amx, args.compiler)
    return tools.LlamaCpp(out / "peer" / ("amx" if amx else "no-amx"), amx)


def preparation(args, environment, build_ours, amx):
    """Everything made once."""
    yield build_ours
    yield from environment.commands()
    yield tools.download_command(args.work, environment)
    src = args.work / f"llama.cpp-{tools.LLAMA_CPP_PYTHON}"
    for with_amx in (True, False) if amx else (False,):
        out, configure = tools.configure_command(args.work, environment, with_amx, args.compiler)
        yield configure
        yield tools.build_command(environment, out, args.jobs)
        yield tools.first_token_command(src, out, tools.compilers(args.compiler)[1], peer(args, with_amx).first_token)
    for model in planned_models(args):
        if model.scheme == args.schemes[0]:
            checkpoint = args.work / "models" / model.shape
            f16 = args.work / "models" / f"{model.shape}-f16.gguf"
            shape = model.shape.removesuffix(f"-{args.layers}l")
            yield from models.commands(shape, args.layers, checkpoint, f16, environment)
        yield ["rkllm", "convert", checkpoint, "--dtype", model.scheme, "-o", model.artifact, "--quiet"]
        yield [peer(args, amx).quantize, f16, f"{model.gguf}.part", model.peer_type]
        if amx:
            yield from tools.verify_commands(peer(args, True), peer(args, False), model.gguf, args.threads,
                                             args.work / "logits.f32")
