#!/usr/bin/env python3
"""Trains tutor-nano with plain torch on a CPU; resumable, fixed seeds.

    python3 generate.py && python3 tokenizer.py && python3 train.py

Documents are packed into rows of 256 tokens, attention stays inside a document and positions start at zero in
each. Longer lessons go into rows of 512 tokens, which every tenth step uses. The user's words weigh 0.2 in the
loss, everything else 1. The learning rate warms up, stays, and falls linearly to zero over the last part. Matrices
of the layers use Muon (momentum with orthogonalised updates, which also keeps outliers out of the weights), the
embedding and the norms AdamW.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

from model import Shape, Tutor, config_json
from tokenizer import render

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
SHORT, LONG = 256, 512
LONG_EVERY = 10
USER_WEIGHT = 0.2
SEED = 7


def spans(document):
    """A document as (text, loss weight) pieces; joined they are what the chat template or the lesson gives."""
    if "text" in document:
        return [("<|endoftext|>", 0.0), (document["text"], 1.0)]
    pieces = [("<|endoftext|>", 0.0)]
    for message in document["messages"]:
        role, content = message["role"], message["content"]
        if role == "assistant":
            pieces += [("<|im_start|>assistant\n", USER_WEIGHT), (f"{content}<|im_end|>", 1.0), ("\n", USER_WEIGHT)]
        else:
            pieces.append((f"<|im_start|>{role}\n{content}<|im_end|>\n", USER_WEIGHT))
    assert "".join(text for text, _ in pieces) == render(document["messages"])
    return pieces


def encode(tokenizer, document):
    """Token ids of a whole document and the loss weight of each, found by character offsets."""
    pieces = spans(document)
    encoding = tokenizer.encode("".join(text for text, _ in pieces))
    ends, weights, at = [], [], 0
    for text, weight in pieces:
        at += len(text)
        ends.append(at)
        weights.append(weight)
    piece, out = 0, []
    for start, _ in encoding.offsets:
        while start >= ends[piece]:
            piece += 1
        out.append(weights[piece])
    return encoding.ids, out


def pack(documents, length):
    """First-fit packing into rows: tensors of ids, weights, document numbers and positions, each [rows, length]."""
    rows, open_rows = [], []
    for ids, weights in documents:
        for row in open_rows:
            if row[0] + len(ids) <= length:
                break
        else:
            row = [0, []]
            open_rows.append(row)
            if len(open_rows) > 24:
                rows.append(open_rows.pop(0))
        row[0] += len(ids)
        row[1].append((ids, weights))
    rows += open_rows
    shape = (len(rows), length)
    ids, number = torch.zeros(shape, dtype=torch.int16), torch.full(shape, -1, dtype=torch.int16)
    weight, position = torch.zeros(shape), torch.zeros(shape, dtype=torch.int16)
    for r, (_, content) in enumerate(rows):
        at = 0
        for n, (tokens, weights) in enumerate(content):
            end = at + len(tokens)
            ids[r, at:end] = torch.tensor(tokens, dtype=torch.int16)
            weight[r, at:end] = torch.tensor(weights)
            number[r, at:end] = n
            position[r, at:end] = torch.arange(len(tokens), dtype=torch.int16)
            at = end
    return ids, weight, number, position


def load_rows():
    """The packed corpus as short and long rows, cached in build/rows.pt."""
    cache = BUILD / "rows.pt"
    if cache.is_file():
        return torch.load(cache)
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    with open(BUILD / "corpus.jsonl", encoding="utf-8") as lines:
        documents = [encode(tokenizer, json.loads(line)) for line in lines]
    short = [document for document in documents if len(document[0]) <= SHORT]
    long = [document for document in documents if SHORT < len(document[0]) <= LONG]
    packed = pack(short, SHORT), pack(long, LONG)
    torch.save(packed, cache)
    return packed


def orthogonal(matrices):
    """Newton-Schulz: the nearest matrices with equal singular values; matrices [n, rows, columns], rows <= columns."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


class Muon:
    """Momentum with orthogonalised updates for the matrices of the layers."""

    def __init__(self, parameters, momentum=0.95):
        self.groups, self.momentum = {}, momentum
        for parameter in parameters:
            self.groups.setdefault(tuple(sorted(parameter.shape)), []).append(parameter)
        self.buffers = {key: [torch.zeros_like(p) for p in group] for key, group in self.groups.items()}

    @torch.no_grad()
    def step(self, rate, decay):
        """One update with the learning rate `rate`."""
        for key, group in self.groups.items():
            updates = []
            for parameter, buffer in zip(group, self.buffers[key]):
                buffer.lerp_(parameter.grad, 1 - self.momentum)
                update = parameter.grad.lerp(buffer, self.momentum)
                updates.append(update if update.shape[0] <= update.shape[1] else update.T)
            for parameter, update in zip(group, orthogonal(torch.stack(updates))):
                if parameter.shape[0] > parameter.shape[1]:
                    update = update.T
                scale = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                parameter.mul_(1 - rate * decay).add_(update, alpha=-rate * scale)

    def state_dict(self):
        """Momentum buffers."""
        return {str(key): buffers for key, buffers in self.buffers.items()}

    def load_state_dict(self, state):
        """Restore the momentum buffers."""
        self.buffers = {key: state[str(key)] for key in self.buffers}


def loss_of(model, batch):
    """Weighted cross-entropy of a batch of rows, summed over its documents and divided by the weight."""
    ids, weight, number, position = (part for part in batch)
    ids, position = ids.long(), position.long()
    same = number[:, :, None] == number[:, None, :]
    mask = (same & torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril())[:, None]
    hidden = model.hidden(ids, positions=position, mask=mask)[:, :-1]
    weight = weight[:, 1:] * (number[:, 1:] == number[:, :-1])
    keep = weight > 0
    logits = F.linear(hidden[keep], model.embed_tokens.weight)
    losses = F.cross_entropy(logits, ids[:, 1:][keep], reduction="none")
    kept = weight[keep]
    return (losses * kept).sum() / kept.sum()


def rate_at(step, steps, warm, decay_from):
    """Factor of the learning rate: warm-up, plateau, linear fall to zero."""
    if step < warm:
        return (step + 1) / warm
    return min(1.0, max(0.0, (steps - step) / (steps * (1 - decay_from))))


def batch_at(short, long, step, count):
    """The rows of a step: `count` short ones, every tenth step half as many long ones."""
    rows, first, count = (short, step - step // LONG_EVERY, count)
    if step % LONG_EVERY == LONG_EVERY - 1:
        rows, first, count = long, step // LONG_EVERY, count // 2
    total = len(rows[0])
    pick = [(first * count + i) % total for i in range(count)]
    return [part[pick] for part in rows]


def save(path, value):
    """Write a checkpoint so that a crash leaves the old or the new one whole."""
    torch.save(value, f"{path}.tmp")
    os.replace(f"{path}.tmp", path)


def export(model, folder):
    """Write config.json and model.safetensors (float16)."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.checkpoint(), str(folder / "model.safetensors.tmp"), metadata={"format": "pt"})
    os.replace(folder / "model.safetensors.tmp", folder / "model.safetensors")
    (folder / "config.json").write_text(config_json(model.shape), encoding="utf-8")


def optimisers(model):
    """Muon for the layers' matrices, AdamW for the embedding and the norms."""
    inner = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    outer = [p for name, p in model.named_parameters() if p.dim() == 1 or "embed" in name]
    return Muon(inner), torch.optim.AdamW(outer, lr=0.0, betas=(0.9, 0.95), weight_decay=0.01)


def options_of():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1850)
    parser.add_argument("--rows", type=int, default=16, help="rows of 256 tokens in a step")
    parser.add_argument("--muon", type=float, default=0.02, help="learning rate of the layers' matrices")
    parser.add_argument("--adam", type=float, default=0.004, help="learning rate of the embedding and the norms")
    parser.add_argument("--decay-from", type=float, default=0.6, help="part of the steps after which the rate falls")
    parser.add_argument("--stop", type=int, default=0, help="stop after this step, for a trial")
    parser.add_argument("--checkpoint", type=Path, default=BUILD / "checkpoint.pt")
    return parser.parse_args()


class Run:
    """A training run that can be stopped and resumed."""

    def __init__(self, options):
        self.options = options
        self.model = Tutor(Shape())
        self.muon, self.adam = optimisers(self.model)
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        if options.checkpoint.is_file():
            state = torch.load(options.checkpoint)
            for name in ("model", "muon", "adam"):
                getattr(self, name).load_state_dict(state[name])
            self.step, self.seconds, self.tokens = state["step"], state["seconds"], state["tokens"]

    def save(self):
        """Write the checkpoint and the model."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "muon", "adam")}
        save(self.options.checkpoint, {**parts, "step": self.step, "seconds": self.seconds, "tokens": self.tokens})
        export(self.model, BUILD / "model")

    def advance(self, batch):
        """One update; returns the loss before it."""
        began = time.time()
        loss = loss_of(self.model, batch)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        factor = rate_at(self.step, self.options.steps, 60, self.options.decay_from)
        self.adam.param_groups[0]["lr"] = self.options.adam * factor
        self.adam.step()
        self.muon.step(self.options.muon * factor, 0.05)
        self.step += 1
        self.tokens += int((batch[2] >= 0).sum())
        self.seconds += time.time() - began
        return loss.item()


def main():
    """Train from the checkpoint, if there is one, to the last step."""
    options = options_of()
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    short, long = load_rows()
    run = Run(options)
    size = sum(p.numel() for p in run.model.parameters())
    print(time.strftime("started %H:%M:%S"), f"{size} parameters, {len(short[0])} short and {len(long[0])} long rows,",
          f"from step {run.step} of {options.steps}", flush=True)
    mean = 0.0
    while run.step < (options.stop or options.steps):
        mean += run.advance(batch_at(short, long, run.step, options.rows)) / 20
        if run.step % 20 == 0:
            print(f"step {run.step} loss {mean:.4f} tokens {run.tokens} seconds {run.seconds:.0f} "
                  f"tokens/s {run.tokens / run.seconds:.0f}", flush=True)
            mean = 0.0
        if run.step % 100 == 0 or run.step == options.steps:
            run.save()
    print(time.strftime("finished %H:%M:%S"), flush=True)


if __name__ == "__main__":
    main()
