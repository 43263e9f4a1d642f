"""Families of facts without numbers: definitions, units, symbols, formulas, materials, instruments, prefixes."""

from dataclasses import dataclass

from .facts import CONDUCTIVITY, DEFINITIONS, DUCTILITY, FORMULAS, INSTRUMENTS, PREFIXES, SI_UNITS, SYMBOLS
from .family import Item, cap, contract, is_reserved, normalise


@dataclass
class Facts:
    """A family of facts.

    `rows[lang]` lists (slots, expected): slots fill the patterns of `ask[lang]`, `answer[lang]` and
    `lesson[lang]`. A (pattern, row) combination is held out by the hash of its text.
    """

    name: str
    ask: dict
    answer: dict
    rows: dict
    lesson_patterns: dict
    weight: float = 2.2

    def _fill(self, rng, lang, held_out, patterns):
        while True:
            slots, expected = rng.choice(self.rows[lang])
            pattern = rng.choice(patterns[lang])
            given = contract(pattern.format(**{**slots, "f": "", "v": ""}), lang)
            if is_reserved((normalise(given),)) == held_out:
                return cap(contract(pattern.format(**slots), lang)), slots, expected, given

    def item(self, rng, lang, held_out):
        """A question about one fact."""
        question, slots, expected, _ = self._fill(rng, lang, held_out, self.ask)
        answer = cap(contract(self.answer[lang].format(**slots), lang))
        return Item(self.name, lang, question, answer, expected, "term")

    def lesson(self, rng, lang, held_out):
        """A sentence that states one fact, and the same without its formula or value."""
        text, _, _, given = self._fill(rng, lang, held_out, self.lesson_patterns)
        return text, given


def _rows(table, make):
    """Rows of both languages: make(lang index, record) gives (slots, expected)."""
    return {lang: [make(i, record) for record in table] for i, lang in enumerate(("es", "en"))}


def _unit_row(i, record):
    quantity, unit, symbol = record[i], record[2 + i], record[4]
    return {"q": quantity, "u": unit, "s": symbol}, unit


def _measured_row(i, record):
    return {"q": record[i], "u": record[2 + i], "s": record[4]}, record[i].split(" ", 1)[1]


def _symbol_row(i, record):
    return {"q": record[i], "s": record[2]}, record[2]


def _formula_row(i, record):
    return {"q": record[i], "f": record[2]}, record[2]


def _definition_row(i, record):
    term, text, key = record[i]
    return {"t": term, "d": text}, key


def _term_row(i, record):
    term, text, _ = record[i]
    return {"t": term, "d": text}, term.split(" ", 1)[1]


def _class_row(i, record):
    return {"m": record[i], "c": record[2 + i]}, record[2 + i].split(" ")[-1]


def _instrument_row(i, record):
    return {"q": record[i], "i": record[2 + i]}, record[2 + i].split(" ", 1)[1]


def _prefix_row(i, record):
    return {"p": record[i], "v": record[2 + i]}, record[2 + i]


FAMILIES = [
    Facts("si-unit", {
        "es": ["¿Cuál es la unidad SI de {q}?", "¿En qué unidad se mide {q}?", "Dime la unidad de {q}.",
               "¿Qué unidad tiene {q} en el SI?", "Unidad de {q} en el sistema internacional.",
               "¿Con qué unidad se expresa {q}?", "Nombra la unidad SI de {q}.", "No recuerdo la unidad de {q}."],
        "en": ["What is the SI unit of {q}?", "In which unit is {q} measured?", "Tell me the unit of {q}.",
               "Which unit does {q} have in the SI?", "Unit of {q} in the international system.",
               "With which unit is {q} expressed?", "Name the SI unit of {q}.", "I forgot the unit of {q}."]},
        {"es": "La unidad SI de {q} es el {u} ({s})", "en": "The SI unit of {q} is the {u} ({s})"},
        _rows(SI_UNITS, _unit_row),
        {"es": ["La unidad SI de {q} es el {u} ({s}).", "En el SI, {q} se mide con el {u} ({s}).",
                "Para {q} se usa el {u}, de símbolo {s}.", "{q} se expresa en el SI con el {u} ({s})."],
         "en": ["The SI unit of {q} is the {u} ({s}).", "In the SI, {q} is measured with the {u} ({s}).",
                "For {q} we use the {u}, with symbol {s}.", "{q} is expressed in the SI with the {u} ({s})."]}),
    Facts("unit-quantity", {
        "es": ["¿Qué magnitud se mide en {u}?", "¿Qué mide el {u}?", "El {u} es la unidad de qué magnitud?",
               "¿Para qué magnitud se usa el {u}?", "Dime qué magnitud mide el {u}.", "¿De qué es unidad el {u}?",
               "Un valor está en {u}. ¿Qué magnitud es?", "¿A qué magnitud corresponde el {u} ({s})?"],
        "en": ["Which quantity is measured in {u}?", "What does the {u} measure?", "The {u} is the unit of which quantity?",
               "For which quantity is the {u} used?", "Tell me which quantity the {u} measures.",
               "What is the {u} a unit of?", "A value is in {u}. Which quantity is it?",
               "To which quantity does the {u} ({s}) belong?"]},
        {"es": "El {u} ({s}) mide {q}", "en": "The {u} ({s}) measures {q}"},
        _rows(SI_UNITS, _measured_row),
        {"es": ["El {u} ({s}) mide {q}.", "Con el {u} se mide {q}.", "El símbolo {s} es del {u}, que mide {q}."],
         "en": ["The {u} ({s}) measures {q}.", "With the {u} we measure {q}.", "The symbol {s} is for the {u}, which measures {q}."]}),
    Facts("symbol", {
        "es": ["¿Con qué símbolo se representa {q}?", "¿Qué letra representa {q}?", "Símbolo de {q}.",
               "¿Cómo se escribe {q} en una fórmula?", "Dime el símbolo de {q}.", "¿Qué símbolo usamos para {q}?",
               "¿Cuál es el símbolo de {q}?", "En las fórmulas, ¿qué letra es {q}?"],
        "en": ["Which symbol represents {q}?", "Which letter represents {q}?", "Symbol of {q}.",
               "How is {q} written in a formula?", "Tell me the symbol of {q}.", "Which symbol do we use for {q}?",
               "What is the symbol of {q}?", "In formulas, which letter is {q}?"]},
        {"es": "El símbolo de {q} es {s}", "en": "The symbol of {q} is {s}"},
        _rows(SYMBOLS, _symbol_row),
        {"es": ["El símbolo de {q} es {s}.", "En las fórmulas, {q} se escribe {s}.", "{q} se representa con {s}."],
         "en": ["The symbol of {q} is {s}.", "In formulas, {q} is written {s}.", "{q} is represented by {s}."]}),
    Facts("formula", {
        "es": ["¿Cuál es la fórmula de {q}?", "Escribe la fórmula de {q}.", "¿Cómo se calcula {q}?", "Fórmula de {q}.",
               "Recuérdame la fórmula de {q}.", "¿Con qué fórmula se halla {q}?", "Dame la fórmula de {q}.",
               "¿Qué fórmula da {q}?"],
        "en": ["What is the formula of {q}?", "Write the formula of {q}.", "How is {q} calculated?", "Formula of {q}.",
               "Remind me of the formula of {q}.", "With which formula do we find {q}?", "Give me the formula of {q}.",
               "Which formula gives {q}?"]},
        {"es": "La fórmula de {q} es {f}", "en": "The formula of {q} is {f}"},
        _rows(FORMULAS, _formula_row),
        {"es": ["La fórmula de {q} es {f}.", "{q} se calcula con {f}.", "Con {f} se halla {q}."],
         "en": ["The formula of {q} is {f}.", "{q} is calculated with {f}.", "With {f} we find {q}."]}),
    Facts("definition", {
        "es": ["¿Qué es {t}?", "Define {t}.", "Explícame qué es {t}.", "¿Qué significa {t}?", "Dame la definición de {t}.",
               "No entiendo qué es {t}.", "¿Podrías definir {t}?", "¿Cómo se define {t}?", "Háblame de {t}."],
        "en": ["What is {t}?", "Define {t}.", "Explain to me what {t} is.", "What does {t} mean?",
               "Give me the definition of {t}.", "I do not understand what {t} is.", "Could you define {t}?",
               "How is {t} defined?", "Tell me about {t}."]},
        {"es": "{t} es {d}", "en": "{t} is {d}"}, _rows(DEFINITIONS, _definition_row),
        {"es": ["{t} es {d}.", "Llamamos {t} a esto: {d}.", "Por definición, {t} es {d}."],
         "en": ["{t} is {d}.", "We call this {t}: {d}.", "By definition, {t} is {d}."]}, weight=4.0),
    Facts("term", {
        "es": ["¿Cómo se llama esto: {d}?", "¿Qué término corresponde a {d}?", "¿Qué nombre recibe {d}?",
               "Dime el término: {d}.", "¿Qué palabra significa {d}?", "Busco el nombre de {d}.",
               "En ingeniería, ¿qué es {d}?", "Término técnico para {d}."],
        "en": ["What is this called: {d}?", "Which term matches {d}?", "What name is given to {d}?", "Tell me the term: {d}.",
               "Which word means {d}?", "I am looking for the name of {d}.", "In engineering, what is {d}?",
               "Technical term for {d}."]},
        {"es": "Es {t}", "en": "It is {t}"}, _rows(DEFINITIONS, _term_row),
        {"es": ["{d}: así se define {t}.", "El nombre técnico de {d} es {t}."],
         "en": ["{d}: this is how {t} is defined.", "The technical name of {d} is {t}."]}, weight=4.0),
    Facts("conductivity", {
        "es": ["¿{m} es conductor o aislante?", "¿Conduce la electricidad {m}?", "¿Qué tipo de material eléctrico es {m}?",
               "¿{m} deja pasar la corriente?", "Clasifica {m}: conductor, aislante o semiconductor.",
               "Eléctricamente, ¿qué es {m}?", "¿Sirve {m} como conductor o como aislante?", "Dime si {m} conduce."],
        "en": ["Is {m} a conductor or an insulator?", "Does {m} conduct electricity?", "What electrical type of material is {m}?",
               "Does {m} let current pass?", "Classify {m}: conductor, insulator or semiconductor.",
               "Electrically, what is {m}?", "Does {m} serve as conductor or as insulator?", "Tell me whether {m} conducts."]},
        {"es": "{m} es un material {c}", "en": "{m} is a material of type {c}"}, _rows(CONDUCTIVITY, _class_row),
        {"es": ["{m} es un material {c}.", "Para la corriente, {m} es {c}.", "Se sabe que {m} es {c}."],
         "en": ["{m} is a material of type {c}.", "For the current, {m} is of type {c}.", "It is known that {m} is of type {c}."]}),
    Facts("ductility", {
        "es": ["¿{m} es dúctil o frágil?", "¿Cómo se rompe {m}, dúctil o frágil?", "¿Se deforma mucho {m} antes de romperse?",
               "Clasifica {m}: dúctil o frágil.", "¿Es frágil {m}?", "Mecánicamente, ¿qué es {m}, dúctil o frágil?",
               "¿Avisa {m} antes de romperse?", "Dime si {m} es dúctil."],
        "en": ["Is {m} ductile or brittle?", "How does {m} break, ductile or brittle?", "Does {m} deform a lot before it breaks?",
               "Classify {m}: ductile or brittle.", "Is {m} brittle?", "Mechanically, what is {m}, ductile or brittle?",
               "Does {m} warn before it breaks?", "Tell me whether {m} is ductile."]},
        {"es": "{m} es un material {c}", "en": "{m} is a material that is {c}"}, _rows(DUCTILITY, _class_row),
        {"es": ["{m} es un material {c}.", "En un ensayo, {m} es {c}.", "Al romperse, {m} es {c}."],
         "en": ["{m} is a material that is {c}.", "In a test, {m} is {c}.", "When it breaks, {m} is {c}."]}),
    Facts("instrument", {
        "es": ["¿Con qué instrumento se mide {q}?", "¿Qué aparato mide {q}?", "Quiero medir {q}. ¿Qué uso?",
               "Nombra el instrumento que mide {q}.", "¿Qué necesito para medir {q}?", "Instrumento para {q}.",
               "¿Cómo se llama el medidor de {q}?", "En el taller, ¿con qué se mide {q}?"],
        "en": ["With which instrument is {q} measured?", "Which device measures {q}?", "I want to measure {q}. What do I use?",
               "Name the instrument that measures {q}.", "What do I need to measure {q}?", "Instrument for {q}.",
               "What is the meter of {q} called?", "In the workshop, with what is {q} measured?"]},
        {"es": "Para medir {q} se usa {i}", "en": "To measure {q} we use {i}"}, _rows(INSTRUMENTS, _instrument_row),
        {"es": ["Para medir {q} se usa {i}.", "Con {i} se mide {q}.", "En el taller, {q} se mide con {i}."],
         "en": ["To measure {q} we use {i}.", "With {i} we measure {q}.", "In the workshop, {q} is measured with {i}."]}),
    Facts("prefix", {
        "es": ["¿Qué factor es el prefijo {p}?", "¿Cuánto vale el prefijo {p}?", "Significado del prefijo {p}.",
               "¿Por cuánto multiplica {p}?", "Dime el valor de {p} como prefijo.", "En el SI, ¿qué significa {p}?",
               "¿Qué número representa {p}?", "Recuérdame el factor de {p}."],
        "en": ["Which factor is the prefix {p}?", "How much is the prefix {p} worth?", "Meaning of the prefix {p}.",
               "By how much does {p} multiply?", "Tell me the value of {p} as a prefix.", "In the SI, what does {p} mean?",
               "Which number does {p} stand for?", "Remind me of the factor of {p}."]},
        {"es": "El prefijo {p} multiplica por {v}", "en": "The prefix {p} multiplies by {v}"},
        _rows(PREFIXES, _prefix_row),
        {"es": ["El prefijo {p} multiplica por {v}.", "Delante de una unidad, {p} vale {v}."],
         "en": ["The prefix {p} multiplies by {v}.", "In front of a unit, {p} is worth {v}."]}, weight=1.5),
]
