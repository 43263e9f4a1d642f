"""Numeric families: quantities, phrasing and the split between training and held-out number tuples."""

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from .arith import add, addends, check_chain, div, dividend_pair, factor_pair, minuend_pair, mul, num, sub

NUMBER = re.compile(r"(?<![\w.,])(?:0x[0-9a-f]+|[0-9]+(?:[.,][0-9]+)?)", re.IGNORECASE)
HELD_OUT_ONE_IN = 10


def numbers_of(text):
    """The sorted tuple of the numbers of a text, normalised; digits inside a symbol such as R1 do not count."""
    found = []
    for raw in NUMBER.findall(text):
        if raw[:2].lower() == "0x":
            found.append(raw.lower())
        else:
            found.append(format(Decimal(raw.replace(",", ".")).normalize(), "f"))
    return tuple(sorted(found))


def normalise(text):
    """A prompt in lower case with single spaces and no closing or opening punctuation."""
    return re.sub(r"\s+", " ", re.sub(r"[¿?¡!.:;,]+(?=\s|$)|[¿¡]", " ", text.lower())).strip()


@cache
def is_reserved(key):
    """True for the tenth of all tuples (or prompt texts) kept out of training, in every family and language."""
    digest = hashlib.sha256("|".join(key).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def held_out_prompt(text):
    """True where a prompt belongs to the held-out side: by its numbers, or by its words where it has none."""
    return is_reserved(numbers_of(text) or (normalise(text),))


@dataclass(frozen=True)
class Quantity:
    """A physical quantity: symbol, name with article in each language, unit in each language."""

    sym: str
    es: str
    en: str
    unit_es: str
    unit_en: str

    def name(self, lang):
        """Name with article."""
        return self.es if lang == "es" else self.en

    def unit(self, lang):
        """Unit symbol, empty for a pure number."""
        return self.unit_es if lang == "es" else self.unit_en

    def value(self, value, lang):
        """Value with unit."""
        return f"{num(value, lang)} {self.unit(lang)}".strip()


def qty(sym, es, en, unit, unit_en=None):
    """A quantity whose unit is the same in both languages unless `unit_en` says otherwise."""
    return Quantity(sym, es, en, unit, unit if unit_en is None else unit_en)


def contract(text, lang):
    """Spanish contractions: 'de el' is written 'del', 'a el' is written 'al'."""
    return text.replace(" de el ", " del ").replace(" a el ", " al ") if lang == "es" else text


def cap(text):
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


@dataclass
class Item:
    """One question with its answer and what a scorer expects of it."""

    family: str
    lang: str
    question: str
    answer: str
    expect: str
    kind: str = "number"


ASK = {
    "es": [
        "¿Cuánto vale {z}?", "Calcula {z}.", "¿Cuál es {z}?", "Halla {z}.", "Determina {z}.", "¿Qué valor tiene {z}?",
    ],
    "en": [
        "What is {z}?", "Calculate {z}.", "Find {z}.", "How large is {z}?", "Determine {z}.", "Work out {z}.",
    ],
}
GENERIC = {
    "es": [
        "Calcula {z} si {pairs}.", "¿Cuánto vale {z} si {pairs}?", "Datos: {syms}. Halla {z}.",
        "Sé que {pairs}. ¿Cuál es {z}?", "Necesito {z}: {syms}.", "Si {pairs}, ¿cuánto vale {z}?",
        "Ayúdame a calcular {z}. Tengo {syms}.", "{syms}. ¿Cuál es {z}?", "Halla {z} sabiendo que {pairs}.",
    ],
    "en": [
        "Calculate {z} if {pairs}.", "What is {z} if {pairs}?", "Given: {syms}. Find {z}.",
        "I know that {pairs}. What is {z}?", "I need {z}: {syms}.", "If {pairs}, how large is {z}?",
        "Help me calculate {z}. I have {syms}.", "{syms}. What is {z}?", "Find {z} knowing that {pairs}.",
    ],
}
LESSON = {
    "es": [
        "{Z} se calcula con {formula}. Por ejemplo, si {pairs}, {z} es {work}.",
        "{ctx} Entonces {z} es {work}.",
        "Para hallar {z} se usa {formula}. Si {pairs}, resulta {work}.",
        "{ctx} Con la fórmula de {z} se obtiene {work}.",
        "Ejemplo: {syms}. {Z} es {work}.",
    ],
    "en": [
        "{Z} is calculated with {formula}. For example, if {pairs}, {z} is {work}.",
        "{ctx} Then {z} is {work}.",
        "To find {z} we use {formula}. If {pairs}, we get {work}.",
        "{ctx} With the formula of {z} we obtain {work}.",
        "Example: {syms}. {Z} is {work}.",
    ],
}
IS = {"es": "{} es de {}", "en": "{} is {}"}
AND = {"es": " y ", "en": " and "}
ANSWER = {"es": "{Z} es {work}", "en": "{Z} is {work}"}


def join(parts, lang):
    """'a, b and c' in the language."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + AND[lang] + parts[-1]


@dataclass
class Numeric:
    """A family that computes one quantity from others.

    `draw(rng)` gives the input values, `work(values, lang)` the worked text that ends in the number and the
    result, `law(*values)` the same result straight from the formula, used only to check. `ctx` holds
    situations per language, with the inputs by symbol in braces.
    """

    name: str
    out: Quantity
    ins: tuple
    formula: str
    draw: object
    work: object
    law: object
    ctx: dict
    weight: float = 1.0

    def values(self, rng, held_out):
        """Input values on the wanted side of the split."""
        while True:
            values = self.draw(rng)
            key = tuple(sorted(num(value, "en") for value in values))
            if is_reserved(key) == held_out:
                return values

    def worked(self, values, lang):
        """The worked text with unit, and the result; both checked."""
        text, result = self.work(values, lang)
        check_chain(text)
        if abs(float(result) - float(self.law(*map(float, values)))) > 1e-9:
            raise ValueError(f"{self.name}: {values} gives {result}, the law disagrees")
        return f"{text} {self.out.unit(lang)}".strip(), result

    def slots(self, rng, values, lang):
        """The pieces that question and lesson patterns fill in."""
        order = list(range(len(values)))
        rng.shuffle(order)
        shown = [(self.ins[i], self.ins[i].value(values[i], lang)) for i in order]
        by_symbol = {q.sym: q.value(v, lang) for q, v in zip(self.ins, values)}
        name = self.out.name(lang)
        return {
            "z": name,
            "Z": cap(name),
            "pairs": join([IS[lang].format(q.name(lang), value) for q, value in shown], lang),
            "syms": ", ".join(f"{q.sym} = {value}" for q, value in shown),
            "ctx": rng.choice(self.ctx[lang]).format(**by_symbol),
            "formula": f"{self.out.sym} = {self.formula}",
        }

    def item(self, rng, lang, held_out):
        """A question and its worked answer."""
        values = self.values(rng, held_out)
        slots = self.slots(rng, values, lang)
        if rng.random() < 0.5:
            question = rng.choice(GENERIC[lang]).format(**slots)
        else:
            question = slots["ctx"] + " " + rng.choice(ASK[lang]).format(**slots)
        if held_out_prompt(question) != held_out:
            raise ValueError(f"{self.name}: a question must show every input and no other number: {question}")
        work, result = self.worked(values, lang)
        answer = ANSWER[lang].format(work=work, **slots)
        return Item(self.name, lang, contract(question, lang), contract(answer, lang), self.out.value(result, lang))

    def lesson(self, rng, lang, held_out):
        """A sentence or two of prose with a worked example, and the same without formula and working."""
        values = self.values(rng, held_out)
        slots = self.slots(rng, values, lang)
        pattern = rng.choice(LESSON[lang])
        given = pattern.format(work="", **{**slots, "formula": ""})
        text = pattern.format(work=self.worked(values, lang)[0], **slots)
        return contract(text, lang), contract(given, lang)


def product(name, out, ins, formula, ctx, weight=1.0):
    """A family out = ins[0] × ins[1], with a one-digit first factor."""
    def work(values, lang):
        text, result = mul(*values)
        return f"{out.sym} = {formula} = {text}", result

    return Numeric(name, out, ins, formula, factor_pair, work, lambda a, b: a * b, ctx, weight)


def quotient(name, out, ins, formula, ctx, weight=1.0):
    """A family out = ins[0] / ins[1], exact, with a one-digit divisor."""
    def work(values, lang):
        text, result = div(*values)
        return f"{out.sym} = {formula} = {text}", result

    return Numeric(name, out, ins, formula, dividend_pair, work, lambda a, b: a / b, ctx, weight)


def total(name, out, ins, formula, ctx, weight=1.0):
    """A family out = ins[0] + ins[1]."""
    def work(values, lang):
        text, result = add(*values)
        return f"{out.sym} = {formula} = {text}", result

    return Numeric(name, out, ins, formula, addends, work, lambda a, b: a + b, ctx, weight)


def difference(name, out, ins, formula, ctx, weight=1.0):
    """A family out = ins[0] - ins[1], with a positive result."""
    def work(values, lang):
        text, result = sub(*values)
        return f"{out.sym} = {formula} = {text}", result

    return Numeric(name, out, ins, formula, minuend_pair, work, lambda a, b: a - b, ctx, weight)
