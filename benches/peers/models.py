"""Random-weight models of real shapes, as both engines read them, made once."""

import json
import os
import shutil

from tools import HERE, run, say

# Ours, and the peer's type that carries as many bits.
SCHEMES = {"w8a8": "Q8_0", "w4a16_g128": "Q4_0"}


class Model:
    """One shape in one scheme: our artifact and the peer's file."""

    def __init__(self, shape, scheme, folder):
        self.shape, self.scheme, self.peer_type = shape, scheme, SCHEMES[scheme]
        self.artifact = folder / f"{shape}-{scheme}"
        self.gguf = folder / f"{shape}-{self.peer_type}.gguf"

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

    def kv_bytes(self, tokens):
        """Bytes of the keys and values of so many tokens, f16."""
        config = self.config()
        head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        return tokens * config["num_hidden_layers"] * 2 * config["num_key_value_heads"] * head * 2

    def macs(self):
        """Multiply-accumulates of the linear layers per prompt token, the head left out: only the last
        token of a prompt needs it."""
        c = self.config()
        head = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        q, kv = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
        layer = c["hidden_size"] * (2 * q + 2 * kv + 3 * c["intermediate_size"])
        return c["num_hidden_layers"] * layer


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


def make(shapes, schemes, folder, environment, rkllm, quantize, keep):
    """Makes what is missing; the checkpoints in between are removed unless `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    models = [Model(shape, scheme, folder) for shape in shapes for scheme in schemes]
    for shape in shapes:
        missing = [model for model in models if model.shape == shape and not model.done]
        if not missing:
            continue
        checkpoint, f16 = folder / shape, folder / f"{shape}-f16.gguf"
        log = folder / f"{shape}.log"
        if not (checkpoint / "model.safetensors").exists():
            say(f"{shape}: random checkpoint")
            run([environment.python, HERE / "random_checkpoint.py", shape, f"{checkpoint}.part"], log)
            os.rename(f"{checkpoint}.part", checkpoint)
        for model in missing:
            if not (model.artifact / "rkllm.json").exists():
                say(f"{shape}: {model.scheme}")
                shutil.rmtree(model.artifact, ignore_errors=True)
                run([rkllm, "convert", checkpoint, "--dtype", model.scheme, "-o", model.artifact, "--quiet"], log)
            if not model.gguf.exists():
                if not f16.exists():
                    say(f"{shape}: GGUF")
                    run([environment.python, HERE / "make_gguf.py", checkpoint, f"{f16}.part"], log)
                    os.rename(f"{f16}.part", f16)
                say(f"{shape}: {model.peer_type}")
                run([quantize, f16, f"{model.gguf}.part", model.peer_type], log)
                os.rename(f"{model.gguf}.part", model.gguf)
        if not keep:
            f16.unlink(missing_ok=True)
            shutil.rmtree(checkpoint, ignore_errors=True)
    return models


def warm(path):
    """Reads files into the page cache."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with open(file, "rb", buffering=0) as stream:
            while stream.read(1 << 24):
                pass

