#!/usr/bin/env python3
"""Measures tutor-nano: term accuracy on terms.jsonl and perplexity on the eval texts, float32 math on the stored weights.

    python3 evaluate.py                      the committed model, writes accuracy.json
    python3 evaluate.py --model build/model  another folder with config.json and model.safetensors, prints only
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional as F

from model import Shape, Tutor
from tokenizer import render

HERE = Path(__file__).resolve().parent
WINDOW = 512
NEW_TOKENS = 96
ENDS = (2, 0)


def load(folder):
    """The model of a folder, weights widened to float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = Tutor(Shape(**{name: config[name] for name in Shape.__dataclass_fields__}))
    tensors = load_file(str(folder / "model.safetensors"))
    model.load_state_dict({name.removeprefix("model."): t.float() for name, t in tensors.items()})
    return model.eval()


@torch.no_grad()
def greedy(model, prompts):
    """Greedy continuations of prompts of equal length: lists of ids without the end token."""
    caches = [{} for _ in model.layers]
    ids = torch.tensor(prompts)
    positions = torch.arange(ids.shape[1])[None]
    answers, open_ = [[] for _ in prompts], [True] * len(prompts)
    for _ in range(NEW_TOKENS):
        logits = model(ids, positions=positions, caches=caches)[:, -1]
        picked = logits.argmax(-1)
        for i, token in enumerate(picked.tolist()):
            open_[i] = open_[i] and token not in ENDS
            if open_[i]:
                answers[i].append(token)
        if not any(open_):
            break
        ids, positions = picked[:, None], positions[:, -1:] + 1
    return answers


def answer_all(model, tokenizer, terms):
    """The greedy answer to every question, through the chat template and without a system prompt."""
    groups = defaultdict(list)
    for i, term in enumerate(terms):
        prompt = render([{"role": "user", "content": term["question"]}]) + "<|im_start|>assistant\n"
        groups[len(ids := tokenizer.encode(prompt).ids)].append((i, ids))
    answers = [""] * len(terms)
    for group in groups.values():
        for (i, _), ids in zip(group, greedy(model, [ids for _, ids in group])):
            answers[i] = tokenizer.decode(ids)
    return answers


def tidy(text):
    """Decimal comma between digits to point, white space collapsed."""
    return re.sub(r"\s+", " ", re.sub(r"(?<=[0-9]),(?=[0-9])", ".", text)).strip()


def number_right(answer, expect):
    """The last number equals the expected one and the expected unit follows as a whole symbol, case and all."""
    value, _, unit = tidy(expect).partition(" ")
    found = list(re.finditer(r"[0-9]+(?:\.[0-9]+)?", tidy(answer)))
    if not found or Decimal(found[-1].group()) != Decimal(value):
        return False
    rest = tidy(answer)[found[-1].end():].lstrip()
    return rest.startswith(unit) and (not unit or re.match(r"$|[\s.,;:!?)]", rest[len(unit):]) is not None)


def term_right(answer, expected):
    """One of the expected terms occurs as whole words, in any case."""
    text = tidy(answer).lower()
    return any(re.search(rf"(?<!\w){re.escape(tidy(term).lower())}(?!\w)", text) for term in expected)


def right(term, answer):
    """The scoring rule of terms.jsonl."""
    if term["kind"] == "number":
        return number_right(answer, term["expect"])
    return term_right(answer, [term["expect"], *term.get("accept", [])])


@torch.no_grad()
def perplexity(model, tokenizer, text):
    """The windows method: BOS once, windows of 512, a fresh context each. Returns tokens scored and perplexity."""
    ids = [0] + tokenizer.encode(text).ids
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(ids) - 1, WINDOW):
        targets = ids[start + 1:start + 1 + WINDOW]
        logits = model(torch.tensor([ids[start:start + len(targets)]]))[0]
        total += F.cross_entropy(logits, torch.tensor(targets), reduction="none").double().sum()
    return len(ids) - 1, torch.exp(total / (len(ids) - 1)).item()


def share(marks):
    """Right, total and per cent of a list of booleans."""
    return {"right": sum(marks), "total": len(marks), "percent": round(100 * sum(marks) / len(marks), 2)}


def measure(folder, show_wrong):
    """Every figure of the model in `folder`."""
    model, tokenizer = load(folder), Tokenizer.from_file(str(HERE / "tokenizer.json"))
    terms = [json.loads(line) for line in (HERE / "terms.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = answer_all(model, tokenizer, terms)
    marks = [right(term, answer) for term, answer in zip(terms, answers)]
    groups = {"lang": defaultdict(list), "kind": defaultdict(list), "family": defaultdict(list)}
    for term, mark, answer in zip(terms, marks, answers):
        for key, group in groups.items():
            group[term[key]].append(mark)
        if show_wrong and not mark:
            print(f"{term['id']}: {term['question']}\n  expected {term['expect']!r}, got: {answer}")
    texts = {}
    for lang in ("es", "en"):
        scored, value = perplexity(model, tokenizer, (HERE / f"eval.{lang}.txt").read_text(encoding="utf-8"))
        texts[f"eval.{lang}.txt"] = {"tokens_scored": scored, "perplexity": round(value, 5)}
    return {"term_accuracy": share(marks), "perplexity": texts,
            **{f"by_{key}": {name: share(m) for name, m in group.items()} for key, group in groups.items()}}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE)
    parser.add_argument("--wrong", action="store_true", help="print the wrong answers")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = measure(options.model, options.wrong)
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    if options.model == HERE:
        (HERE / "accuracy.json").write_text(text, encoding="utf-8")
    low = {name: f"{s['right']}/{s['total']}" for name, s in figures["by_family"].items() if s["right"] < s["total"]}
    print(figures["term_accuracy"], figures["by_lang"], figures["by_kind"], figures["perplexity"], low, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
