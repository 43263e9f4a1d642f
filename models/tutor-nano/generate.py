#!/usr/bin/env python3
"""Generates the corpus and held-out data of tutor-nano; Python standard library only, same bytes everywhere.

    python3 generate.py            writes terms.jsonl, eval.es.txt, eval.en.txt and build/corpus.jsonl
    python3 generate.py --check    regenerates everything in memory and exits 0 only if the committed files are
                                   what the generator gives and nothing held out occurs in the training corpus
"""

import argparse
import json
import random
import sys
from pathlib import Path

from corpus import documents
from corpus.family import normalise, numbers_of

HERE = Path(__file__).resolve().parent
DOCUMENTS = 130_000
SEED = 20261121


def held_out():
    """The committed held-out files (name to text) and the prompts in them."""
    records = documents.terms(random.Random(SEED + 1))
    files = {"terms.jsonl": documents.terms_text(records)}
    prompts = [record["question"] for record in records]
    for offset, lang in enumerate(("es", "en")):
        parts = documents.eval_paragraphs(random.Random(SEED + 2 + offset), lang)
        files[f"eval.{lang}.txt"] = "".join(text + "\n" for text, _ in parts)
        prompts += [given for _, statements in parts for given in statements]
    return files, prompts


def corpus(count):
    """The training documents, one after another."""
    rng = random.Random(SEED)
    for _ in range(count):
        yield documents.document(rng)


def write(count):
    """Write every file."""
    for name, text in held_out()[0].items():
        (HERE / name).write_text(text, encoding="utf-8", newline="\n")
    build = HERE / "build"
    build.mkdir(exist_ok=True)
    with open(build / "corpus.jsonl", "w", encoding="utf-8", newline="\n") as out:
        for document in corpus(count):
            out.write(json.dumps(document, ensure_ascii=False) + "\n")


def training_prompts(count):
    """Every prompt of the corpus: the user's turns, and the statements of lessons without their working."""
    for document in corpus(count):
        if "messages" in document:
            yield from (turn["content"] for turn in document["messages"] if turn["role"] == "user")
        else:
            yield from document["given"]


def check(count):
    """Problems found, as lines of text, and a summary."""
    files, held = held_out()
    problems = []
    for name, text in files.items():
        path = HERE / name
        if not path.is_file() or path.read_bytes() != text.encode("utf-8"):
            problems.append(f"{name} is not what the generator gives; run generate.py")
    tuples = {numbers_of(text) for text in held} - {()}
    texts = {normalise(text) for text in held}
    prompts = set(training_prompts(count))
    for prompt in prompts:
        if numbers_of(prompt) in tuples:
            problems.append(f"number tuple of a held-out item in training: {prompt}")
        elif normalise(prompt) in texts:
            problems.append(f"held-out prompt in training: {prompt}")
    summary = (f"{len(held)} held-out prompts with {len(tuples)} number tuples against {len(prompts)} distinct "
               f"training prompts: {len(problems)} overlaps or differences")
    return problems, summary


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="verify the committed files and the split")
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="number of training documents")
    arguments = parser.parse_args()
    if not arguments.check:
        write(arguments.documents)
        return 0
    problems, summary = check(arguments.documents)
    for problem in problems[:20]:
        print(problem, file=sys.stderr)
    print(summary)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
