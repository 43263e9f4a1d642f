"""The few arithmetic skills that every family shares, each written in one fixed way.

Products split the second factor into tens and units, divisions split the dividend, powers of ten move the
point. A model that learns these steps once can use them in every family and both languages.
"""

import re
from decimal import Decimal
from functools import lru_cache

LANGS = ("es", "en")


def num(value, lang):
    """Write a number: an integer as it is, a decimal with the comma (es) or point (en) of the language."""
    text = format(Decimal(value).normalize(), "f")
    return text.replace(".", ",") if lang == "es" else text


def mul(a, b):
    """Write a×b for a one-digit a: '6×47 = 240+42 = 282'. Returns the text and the product."""
    tens, unit = b - b % 10, b % 10
    if tens == 0 or unit == 0 or tens % 100 == 0:
        return f"{a}×{b} = {a * b}", a * b
    return f"{a}×{b} = {a * tens}+{a * unit} = {a * b}", a * b


def div(n, d):
    """Write the exact n/d for a one-digit d: '282/6 = 240/6+42/6 = 40+7 = 47'. Returns text and quotient."""
    quotient, rest = divmod(n, d)
    if rest:
        raise ValueError(f"{n}/{d} is not exact")
    tens, unit = quotient - quotient % 10, quotient % 10
    if tens == 0 or unit == 0:
        return f"{n}/{d} = {quotient}", quotient
    return f"{n}/{d} = {d * tens}/{d}+{d * unit}/{d} = {tens}+{unit} = {quotient}", quotient


def _places(value):
    """The places of a number that are not zero: 273 gives 200, 70 and 3."""
    text = str(value)
    return [int(digit) * 10 ** (len(text) - 1 - i) for i, digit in enumerate(text) if digit != "0"]


def _in_steps(a, b, sign):
    """Write a+b or a-b one place of b at a time: '74+59 = 74+50+9 = 124+9 = 133'."""
    places, value, sides = _places(b), a, [f"{a}{sign}{b}"]
    while len(places) > 1:
        sides.append(sign.join(map(str, [value, *places])))
        value += places[0] if sign == "+" else -places[0]
        places = places[1:]
        if len(places) == 1:
            sides.append(f"{value}{sign}{places[0]}")
    result = a + b if sign == "+" else a - b
    return " = ".join([*sides, str(result)]), result


def add(a, b):
    """Write a+b. Returns the text and the sum."""
    return _in_steps(a, b, "+")


def sub(a, b):
    """Write a-b. Returns the text and the difference."""
    return _in_steps(a, b, "-")


def shift(value, factor, lang):
    """Write value times a power of ten (factor > 1) or divided by it (factor < 0)."""
    result = Decimal(value) * factor if factor > 0 else Decimal(value) / -factor
    sign = "×" if factor > 0 else "/"
    return f"{num(value, lang)}{sign}{abs(factor)} = {num(result, lang)}", result


def one_digit(rng):
    """A factor or divisor from 2 to 9."""
    return rng.randint(2, 9)


def two_digit(rng):
    """Mostly 11 to 99, now and then one digit or a round hundred."""
    pick = rng.random()
    if pick < 0.88:
        return rng.randint(11, 99)
    if pick < 0.95:
        return rng.randint(2, 9)
    return 100 * rng.randint(1, 9)


def factor_pair(rng):
    """The two factors of a product: one digit first."""
    return one_digit(rng), two_digit(rng)


def dividend_pair(rng):
    """An exact dividend and its one-digit divisor."""
    divisor, quotient = one_digit(rng), two_digit(rng)
    return divisor * quotient, divisor


def addends(rng):
    """Two terms of a sum: the first of two digits, or three with a final zero; the second of two digits."""
    first = rng.randint(11, 99) if rng.random() < 0.7 else 10 * rng.randint(10, 60)
    return first, rng.randint(11, 99)


def minuend_pair(rng):
    """A number of two or three digits and a smaller one of two."""
    taken = rng.randint(11, 99)
    return rng.randint(11, 99) + taken, taken


def one_decimal(rng):
    """A value such as 4.7, 47 or 8 for unit conversions."""
    if rng.random() < 0.7:
        return Decimal(rng.randint(11, 999)) / 10
    return Decimal(rng.randint(2, 99))


@lru_cache(maxsize=1 << 16)
def _value(text):
    """Value of an arithmetic expression, or None where the text is not one."""
    plain = text.strip().replace("×", "*").replace(",", ".")
    if not re.fullmatch(r"[0-9.+\-*/()]+", plain):
        return None
    return eval(plain, {"__builtins__": {}})  # only digits and operators get here


def check_chain(text):
    """Recompute every 'a = b = c' of a worked text; raises ValueError where two sides differ."""
    for step in re.split(r"[;:→]", text):
        sides = step.split("=")
        if len(sides) < 2:
            continue
        last = re.match(r"[0-9.,+\-×/() ]*[0-9]", sides[-1])
        sides[-1] = last.group(0) if last else sides[-1]
        values = [value for value in map(_value, sides) if value is not None]
        if any(abs(value - values[0]) > 1e-9 for value in values[1:]):
            raise ValueError(f"wrong arithmetic in {text!r}")
