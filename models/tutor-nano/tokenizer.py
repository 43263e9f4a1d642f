#!/usr/bin/env python3
"""Trains the byte-level BPE tokenizer of tutor-nano on build/corpus.jsonl and writes its files."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent
VOCABULARY = 2048
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SAMPLE = 60_000
CHAT_TEMPLATE = (
    "{{- bos_token }}{% for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"
)


def render(messages):
    """A conversation exactly as the chat template renders it."""
    turns = (f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return "<|endoftext|>" + "".join(turns)


def texts(count):
    """Plain texts of the first documents."""
    with open(HERE / "build" / "corpus.jsonl", encoding="utf-8") as lines:
        for _, line in zip(range(count), lines):
            document = json.loads(line)
            if "text" in document:
                yield document["text"]
            else:
                yield from (m["role"] + "\n" + m["content"] for m in document["messages"])


def train():
    """Train and pad to exactly VOCABULARY entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False, min_frequency=2)
    tokenizer.train_from_iterator(texts(SAMPLE), trainer)
    missing = VOCABULARY - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([f"<|unused{i}|>" for i in range(missing)])
    return tokenizer


def write(tokenizer):
    """Write tokenizer.json, tokenizer_config.json and generation_config.json."""
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    config = {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": SPECIAL[0], "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False, "eos_token": SPECIAL[2], "model_max_length": 1024, "pad_token": SPECIAL[0],
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    generation = {"bos_token_id": 0, "eos_token_id": [2, 0], "pad_token_id": 0, "do_sample": False, "max_new_tokens": 96}
    for name, fields in (("tokenizer_config.json", config), ("generation_config.json", generation)):
        (HERE / name).write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(train())
