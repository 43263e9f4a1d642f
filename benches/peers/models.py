"""Random-weight models of real shapes, as both engines read them, made once."""

import json
import os
import shutil

from processes import run, say
from tools import HERE

# Ours, and the peer's type that carries as many bits.
SCHEMES = {"w8a8": "Q8_0", "w4a16_g128": "Q4_0"}


class Model:
    """One shape in one scheme: our artifact and the peer's file."""

    def __init__(self, shape, scheme, folder, layers=None):
        """With `layers` the shape has so many, and bears that in its name: no bar is about it."""
        self.shape = f"{shape}-{layers}l" if layers else shape
        self.scheme, self.peer_type = scheme, SCHEMES[scheme]
        self.artifact = folder / f"{self.shape}-{scheme}"
        self.gguf = folder / f"{self.shape}-{self.peer_type}.gguf"

    @property
    def done(self):
        return (self.artifact / "rkllm.json").exists() and self.gguf.exists()

    def config(self):
        return json.loads((self.artifact / "config.json").read_text())

    def artifact_bytes(self):
        return sum(path.stat().st_size for path in self.artifact.glob("*.safetensors"))

    def decode_bytes(self):
        """Weight bytes a decode step reads: every tensor but the embedding, of which it reads one row."""
        total = 0
        for path in self.artifact.glob("*.safetensors"):
            with open(path, "rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            for name, tensor in header.items():
                if name != "__metadata__" and name != "model.embed_tokens.weight":
                    start, end = tensor["data_offsets"]
                    total += end - start
        return total

    def warm(self):
        """Reads both files into the page cache."""
        for path in [*sorted(self.artifact.iterdir()), self.gguf]:
            with open(path, "rb", buffering=0) as stream:
                while stream.read(1 << 24):
                    pass

    def kv_bytes(self, tokens):
        """Bytes of the keys and values of so many tokens, f16."""
        config = self.config()
        head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        return tokens * config["num_hidden_layers"] * 2 * config["num_key_value_heads"] * head * 2

    def macs(self):
        """Multiply-accumulates of the linear layers per prompt token. The head, and in the last layer all that comes
        after keys and values, are left out: only the last token of a prompt needs them."""
        c = self.config()
        head = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        q, kv = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
        layer = c["hidden_size"] * (2 * q + 2 * kv + 3 * c["intermediate_size"])
        return (c["num_hidden_layers"] - 1) * layer + c["hidden_size"] * (q + 2 * kv)


def peer_decode_bytes(environment, gguf):
    """The same of the peer's file: a tied embedding is its head, and read whole."""
    code = """if 1:
        import sys
        from gguf import GGUFReader
        sizes = {t.name: int(t.n_bytes) for t in GGUFReader(sys.argv[1]).tensors}
        if "output.weight" in sizes:
            sizes.pop("token_embd.weight")
        print(sum(sizes.values()))
    """
    return int(run([environment.python, "-c", code, gguf]))


def commands(shape, layers, checkpoint, f16, environment):
    """What makes the random checkpoint, and its GGUF."""
    changes = ["--set", f"num_hidden_layers={layers}"] if layers else []
    return ([environment.python, HERE / "random_checkpoint.py", shape, f"{checkpoint}.part", *changes],
            [environment.python, HERE / "make_gguf.py", checkpoint, f"{f16}.part"])


def make(shapes, schemes, folder, environment, rkllm, quantize, keep, layers=None):
    """Makes what is missing; the checkpoints in between are removed unless `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for shape in shapes:
        models = [Model(shape, scheme, folder, layers) for scheme in schemes]
        made += models
        missing = [model for model in models if not model.done]
        if not missing:
            continue
        name = models[0].shape
        checkpoint, f16, log = folder / name, folder / f"{name}-f16.gguf", folder / f"{name}.log"
        write, export = commands(shape, layers, checkpoint, f16, environment)
        if not (checkpoint / "model.safetensors").exists():
            say(f"{name}: random checkpoint")
            run(write, log)
            os.rename(f"{checkpoint}.part", checkpoint)
        for model in missing:
            if not (model.artifact / "rkllm.json").exists():
                say(f"{name}: {model.scheme}")
                shutil.rmtree(model.artifact, ignore_errors=True)
                run([rkllm, "convert", checkpoint, "--dtype", model.scheme, "-o", model.artifact, "--quiet"], log)
            if not model.gguf.exists():
                if not f16.exists():
                    say(f"{name}: GGUF")
                    run(export, log)
                    os.rename(f"{f16}.part", f16)
                say(f"{name}: {model.peer_type}")
                run([quantize, f16, f"{model.gguf}.part", model.peer_type], log)
                os.rename(f"{model.gguf}.part", model.gguf)
        if not keep:
            f16.unlink(missing_ok=True)
            shutil.rmtree(checkpoint, ignore_errors=True)
    return made
