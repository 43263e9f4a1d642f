"""Documents made of the families: chats, lessons and arithmetic drills, and the held-out files."""

import json

from . import electricity, knowledge, mechanics, motion, talk, thermofluids, units
from .arith import LANGS, add, addends, div, dividend_pair, factor_pair, minuend_pair, mul, sub
from .family import held_out_prompt

AREAS = [
    electricity.FAMILIES, mechanics.FAMILIES, motion.FAMILIES, thermofluids.FAMILIES, units.FAMILIES, knowledge.FAMILIES,
]
SCORED = [family for area in AREAS for family in area]
ALL = SCORED + talk.FAMILIES
WEIGHTS = [family.weight for family in SCORED] + [0.35 * family.weight for family in talk.FAMILIES]
SYSTEM = {
    "es": ["Eres un tutor de ingeniería.", "Eres un tutor de ingeniería. Responde en español.", "Responde paso a paso."],
    "en": ["You are an engineering tutor.", "You are an engineering tutor. Answer in English.", "Answer step by step."],
}
EVAL_PARAGRAPHS = {"es": 46, "en": 46}


def chat(rng):
    """One to three questions of one language with their answers."""
    lang = rng.choice(LANGS)
    messages = []
    if rng.random() < 0.15:
        messages.append({"role": "system", "content": rng.choice(SYSTEM[lang])})
    turns = rng.choices((1, 2, 3), (75, 17, 8))[0]
    for family in rng.choices(ALL, WEIGHTS, k=turns):
        item = family.item(rng, lang, False)
        messages.append({"role": "user", "content": item.question})
        messages.append({"role": "assistant", "content": item.answer})
    return {"messages": messages}


def paragraph(rng, lang, held_out):
    """Two or three statements about one area: the text and the given part of each statement."""
    area = rng.choice(AREAS)
    parts = [family.lesson(rng, lang, held_out) for family in rng.choices(area, k=rng.randint(2, 3))]
    return " ".join(text for text, _ in parts), [given for _, given in parts]


def lesson(rng):
    """One to four paragraphs of one language."""
    lang = rng.choice(LANGS)
    parts = [paragraph(rng, lang, False) for _ in range(rng.choices((1, 2, 3, 4), (55, 15, 20, 10))[0])]
    return {"text": "\n".join(text for text, _ in parts) + "\n", "given": [g for _, given in parts for g in given]}


def _drill_line(rng):
    """One worked operation and its given part."""
    kind = rng.randrange(4)
    while True:
        if kind == 0:
            a, b = factor_pair(rng)
            given, text = f"{a}×{b}", mul(a, b)[0]
        elif kind == 1:
            a, b = dividend_pair(rng)
            given, text = f"{a}/{b}", div(a, b)[0]
        elif kind == 2:
            a, b = addends(rng)
            given, text = f"{a}+{b}", add(a, b)[0]
        else:
            a, b = minuend_pair(rng)
            given, text = f"{a}-{b}", sub(a, b)[0]
        if not held_out_prompt(given):
            return text, given


def drill(rng):
    """Worked operations, one per line."""
    lines = [_drill_line(rng) for _ in range(rng.randint(3, 8))]
    return {"text": "\n".join(text for text, _ in lines) + "\n", "given": [given for _, given in lines]}


def document(rng):
    """A training document."""
    pick = rng.random()
    if pick < 0.83:
        return chat(rng)
    return lesson(rng) if pick < 0.93 else drill(rng)


def eval_paragraphs(rng, lang):
    """Held-out lesson paragraphs: text and given parts."""
    return [paragraph(rng, lang, True) for _ in range(EVAL_PARAGRAPHS[lang])]


def terms(rng):
    """The held-out questions as records for terms.jsonl."""
    records, asked = [], set()
    for index, family in enumerate(SCORED):
        for side, lang in enumerate(LANGS):
            count, wanted = 0, 2 if (index + side) % 3 else 1
            while count < wanted:
                item = family.item(rng, lang, True)
                if item.question in asked:
                    continue
                asked.add(item.question)
                count += 1
                records.append({
                    "id": f"{item.family}-{lang}-{count:02d}", "family": item.family, "lang": lang,
                    "question": item.question, "expect": item.expect, "kind": item.kind, "answer": item.answer,
                })
    return records


def terms_text(records):
    """terms.jsonl as text; the worked answer stays out of it."""
    lines = [{key: value for key, value in record.items() if key != "answer"} for record in records]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
