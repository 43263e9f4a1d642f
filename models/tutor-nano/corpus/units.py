"""Unit conversions and number bases."""

from dataclasses import dataclass

from .arith import check_chain, div, mul, num, one_decimal, shift
from .family import Item, held_out_prompt

CONVERT = {
    "es": [
        "Convierte {x} {a} a {b}.", "¿Cuántos {b} son {x} {a}?", "Pasa {x} {a} a {b}.", "Expresa {x} {a} en {b}.",
        "¿A cuántos {b} equivalen {x} {a}?", "Necesito {x} {a} en {b}.", "Tengo {x} {a}; dame el valor en {b}.",
        "Escribe {x} {a} en {b}.", "Un dato es {x} {a}. ¿Cuánto es en {b}?", "{x} {a} en {b}, por favor.",
    ],
    "en": [
        "Convert {x} {a} to {b}.", "How many {b} are {x} {a}?", "Change {x} {a} into {b}.", "Express {x} {a} in {b}.",
        "How many {b} do {x} {a} equal?", "I need {x} {a} in {b}.", "I have {x} {a}; give me the value in {b}.",
        "Write {x} {a} in {b}.", "A value is {x} {a}. How much is it in {b}?", "{x} {a} in {b}, please.",
    ],
}
CONVERT_LESSON = {
    "es": ["Para pasar de {a} a {b}: {x} {a} = {work}.", "Si un plano indica {x} {a}, en {b} son {work}.",
           "El valor {x} {a} se expresa en {b} así: {work}."],
    "en": ["To change from {a} to {b}: {x} {a} = {work}.", "If a drawing shows {x} {a}, in {b} it is {work}.",
           "The value {x} {a} is expressed in {b} like this: {work}."],
}


@dataclass
class Conversion:
    """A family of conversions; `pairs` lists (from, to, draw, work), work(x, lang) gives text and result."""

    name: str
    pairs: list
    weight: float = 1.0

    def _make(self, rng, lang, held_out, patterns):
        while True:
            source, target, draw, work = rng.choice(self.pairs)
            value = draw(rng)
            pattern = rng.choice(patterns[lang])
            text, result = work(value, lang)
            check_chain(text)
            shown = num(value, lang)
            filled = pattern.format(x=shown, a=source, b=target, work=f"{text} {target}")
            if held_out_prompt(shown) == held_out:
                return filled, f"{shown} {source} = {text} {target}", f"{num(result, lang)} {target}", shown

    def item(self, rng, lang, held_out):
        """A conversion question."""
        question, answer, expect, _ = self._make(rng, lang, held_out, CONVERT)
        return Item(self.name, lang, question, answer, expect)

    def lesson(self, rng, lang, held_out):
        """A sentence with a worked conversion, and the number given."""
        text, _, _, shown = self._make(rng, lang, held_out, CONVERT_LESSON)
        return text, shown


def _times(factor):
    return lambda value, lang: shift(value, factor, lang)


def _whole(rng):
    return rng.randint(2, 99) if rng.random() < 0.9 else 100 * rng.randint(1, 9)


def _thousands(rng):
    """A multiple of one hundred, so that a division by 1000 leaves one decimal at most."""
    return 100 * rng.randint(2, 999)


def _sixty(value, lang):
    text, tens = mul(6, value)
    return f"{text}; {tens}×10 = {tens * 10}", tens * 10


def _over_sixty(value, lang):
    text, result = div(value // 10, 6)
    return f"{value}/10 = {value // 10}; {text}", result


def _kmh(value, lang):
    first, ninth = div(value, 9)
    second, half = div(ninth, 2)
    third, result = mul(5, half)
    return f"{first}; {second}; {third}", result


def _kmh_draw(rng):
    return 18 * rng.randint(1, 40)


def _sixty_draw(rng):
    return 60 * rng.randint(2, 99)


CONVERSIONS = [
    Conversion("convert-length", [
        ("m", "mm", one_decimal, _times(1000)), ("km", "m", one_decimal, _times(1000)),
        ("mm", "m", _thousands, _times(-1000)), ("m", "cm", one_decimal, _times(100))]),
    Conversion("convert-resistance", [
        ("kΩ", "Ω", one_decimal, _times(1000)), ("Ω", "kΩ", _thousands, _times(-1000)),
        ("MΩ", "kΩ", one_decimal, _times(1000))]),
    Conversion("convert-current", [
        ("A", "mA", one_decimal, _times(1000)), ("mA", "A", _thousands, _times(-1000))]),
    Conversion("convert-mass", [
        ("kg", "g", one_decimal, _times(1000)), ("g", "kg", _thousands, _times(-1000)),
        ("t", "kg", one_decimal, _times(1000))]),
    Conversion("convert-time", [("min", "s", _whole, _sixty), ("h", "min", _whole, _sixty),
                                ("s", "min", _sixty_draw, _over_sixty)], 1.3),
    Conversion("convert-pressure", [("bar", "kPa", one_decimal, _times(100)), ("MPa", "kPa", one_decimal, _times(1000))]),
    Conversion("convert-speed", [("km/h", "m/s", _kmh_draw, _kmh)], 0.9),
]

BASE = {
    "bin-hex": {
        "es": ["Convierte el binario {x} a hexadecimal.", "¿Cuál es el hexadecimal de {x}?", "Pasa {x} de binario a hexadecimal.",
               "Escribe en hexadecimal el binario {x}.", "Tengo el byte {x}. ¿Cuál es su hexadecimal?",
               "Expresa {x} en hexadecimal.", "El binario {x}, ¿qué es en hexadecimal?", "Binario {x} a hexadecimal."],
        "en": ["Convert binary {x} to hexadecimal.", "What is the hexadecimal of {x}?", "Change {x} from binary to hexadecimal.",
               "Write the binary {x} in hexadecimal.", "I have the byte {x}. What is its hexadecimal?",
               "Express {x} in hexadecimal.", "What is binary {x} in hexadecimal?", "Binary {x} to hexadecimal."]},
    "hex-bin": {
        "es": ["Convierte {x} a binario.", "¿Cuál es el binario de {x}?", "Pasa {x} de hexadecimal a binario.",
               "Escribe {x} en binario.", "Tengo el byte {x}. ¿Cómo es en binario?", "Expresa {x} en binario.",
               "El hexadecimal {x}, ¿qué es en binario?", "Hexadecimal {x} a binario."],
        "en": ["Convert {x} to binary.", "What is the binary of {x}?", "Change {x} from hexadecimal to binary.",
               "Write {x} in binary.", "I have the byte {x}. What is it in binary?", "Express {x} in binary.",
               "What is hexadecimal {x} in binary?", "Hexadecimal {x} to binary."]},
    "bin-dec": {
        "es": ["Convierte el binario {x} a decimal.", "¿Cuál es el decimal de {x}?", "Pasa {x} de binario a decimal.",
               "Escribe en decimal el binario {x}.", "¿Qué valor decimal tiene {x} en binario?", "Expresa {x} en decimal.",
               "El binario {x}, ¿qué es en decimal?", "Binario {x} a decimal."],
        "en": ["Convert binary {x} to decimal.", "What is the decimal of {x}?", "Change {x} from binary to decimal.",
               "Write the binary {x} in decimal.", "What decimal value has binary {x}?", "Express {x} in decimal.",
               "What is binary {x} in decimal?", "Binary {x} to decimal."]},
    "hex-dec": {
        "es": ["Convierte {x} a decimal.", "¿Cuál es el valor decimal de {x}?", "Pasa {x} de hexadecimal a decimal.",
               "Escribe {x} en decimal.", "Tengo {x}. ¿Cuánto es en decimal?", "Expresa {x} como decimal.",
               "El hexadecimal {x}, ¿qué es en decimal?", "Hexadecimal {x} a decimal."],
        "en": ["Convert {x} to decimal.", "What is the decimal value of {x}?", "Change {x} from hexadecimal to decimal.",
               "Write {x} in decimal.", "I have {x}. How much is it in decimal?", "Express {x} as decimal.",
               "What is hexadecimal {x} in decimal?", "Hexadecimal {x} to decimal."]},
    "dec-hex": {
        "es": ["Convierte {x} a hexadecimal.", "¿Cuál es el hexadecimal del decimal {x}?", "Pasa {x} de decimal a hexadecimal.",
               "Escribe el decimal {x} en hexadecimal.", "Tengo el decimal {x}. ¿Cuál es su hexadecimal?",
               "Expresa el decimal {x} en hexadecimal.", "El decimal {x}, ¿qué es en hexadecimal?", "Decimal {x} a hexadecimal."],
        "en": ["Convert {x} to hexadecimal.", "What is the hexadecimal of decimal {x}?", "Change {x} from decimal to hexadecimal.",
               "Write decimal {x} in hexadecimal.", "I have decimal {x}. What is its hexadecimal?",
               "Express decimal {x} in hexadecimal.", "What is decimal {x} in hexadecimal?", "Decimal {x} to hexadecimal."]},
}
BASE_LESSON = {
    "es": {"bin-hex": "El binario {x} en hexadecimal: {work}.", "hex-bin": "El hexadecimal {x} en binario: {work}.",
           "bin-dec": "El binario {x} en decimal: {work}.", "hex-dec": "El hexadecimal {x} en decimal: {work}.",
           "dec-hex": "El decimal {x} en hexadecimal: {work}."},
    "en": {"bin-hex": "Binary {x} in hexadecimal: {work}.", "hex-bin": "Hexadecimal {x} in binary: {work}.",
           "bin-dec": "Binary {x} in decimal: {work}.", "hex-dec": "Hexadecimal {x} in decimal: {work}.",
           "dec-hex": "Decimal {x} in hexadecimal: {work}."},
}


def _nibbles(byte):
    return byte >> 4, byte & 15


def _bin_hex(byte):
    high, low = _nibbles(byte)
    return f"{byte:08b}", f"{high:04b} → {high:X}, {low:04b} → {low:X}; 0x{byte:02X}", f"0x{byte:02X}"


def _hex_bin(byte):
    high, low = _nibbles(byte)
    return f"0x{byte:02X}", f"{high:X} → {high:04b}, {low:X} → {low:04b}; {byte:08b}", f"{byte:08b}"


def _hex_dec(byte):
    high, low = _nibbles(byte)
    return f"0x{byte:02X}", f"16×{high}+{low} = {16 * high}+{low} = {byte}", str(byte)


def _dec_hex(byte):
    high, low = _nibbles(byte)
    return str(byte), f"{byte} = {16 * high}+{low} = 16×{high}+{low}; {high} → {high:X}, {low} → {low:X}; 0x{byte:02X}", f"0x{byte:02X}"


def _bin_dec(value):
    bits, steps, total = f"{value:b}", [], 0
    for bit in bits:
        total = 2 * total + int(bit)
        steps.append(f"{bit} → {total}")
    return bits, f"{', '.join(steps)}; {total}", str(total)


@dataclass
class Base:
    """A family that changes the base of a number. `limits` is the range drawn from."""

    name: str
    convert: object
    limits: tuple
    weight: float = 1.0

    def _draw(self, rng, held_out):
        while True:
            shown, work, expect = self.convert(rng.randint(*self.limits))
            check_chain(work)
            if held_out_prompt(shown) == held_out:
                return shown, work, expect

    def item(self, rng, lang, held_out):
        """A base conversion question."""
        shown, work, expect = self._draw(rng, held_out)
        question = rng.choice(BASE[self.name][lang]).format(x=shown)
        kind = "number" if self.name.endswith("dec") else "term"
        return Item(self.name, lang, question, work, expect, kind)

    def lesson(self, rng, lang, held_out):
        """A sentence with a worked base conversion, and the number given."""
        shown, work, _ = self._draw(rng, held_out)
        return BASE_LESSON[lang][self.name].format(x=shown, work=work), shown


BASES = [
    Base("bin-hex", _bin_hex, (16, 255), 1.6),
    Base("hex-bin", _hex_bin, (16, 255), 1.6),
    Base("bin-dec", _bin_dec, (8, 127), 1.8),
    Base("hex-dec", _hex_dec, (17, 255), 1.8),
    Base("dec-hex", _dec_hex, (17, 255), 1.8),
]
FAMILIES = CONVERSIONS + BASES
