"""Heat, temperature, pressure, flow and density."""

from decimal import Decimal

from .arith import add, mul, shift, two_digit
from .family import Numeric, difference, product, qty, quotient

M = qty("m", "la masa", "the mass", "kg")
SPECIFIC = qty("c", "el calor específico", "the specific heat", "kJ/(kg·°C)")
RISE = qty("ΔT", "el aumento de temperatura", "the temperature rise", "°C")
HEAT = qty("Q", "el calor", "the heat", "kJ")
T1 = qty("T1", "la temperatura inicial", "the initial temperature", "°C")
T2 = qty("T2", "la temperatura final", "the final temperature", "°C")
CELSIUS = qty("Tc", "la temperatura en grados", "the Celsius temperature", "°C")
KELVIN = qty("T", "la temperatura absoluta", "the absolute temperature", "K")
FORCE = qty("F", "la fuerza", "the force", "N")
AREA = qty("A", "la superficie", "the surface", "m²")
PRESSURE = qty("p", "la presión", "the pressure", "Pa")
VOLUME = qty("V", "el volumen", "the volume", "L")
MINUTES = qty("t", "el tiempo", "the time", "min")
FLOW = qty("q", "el caudal", "the flow rate", "L/min")
MASS_G = qty("m", "la masa", "the mass", "g")
CM3 = qty("V", "el volumen", "the volume", "cm³")
DENSITY = qty("ρ", "la densidad", "the density", "g/cm³")
DEPTH = qty("h", "la profundidad en agua", "the depth of water", "m")
P_WATER = qty("p", "la presión del agua", "the water pressure", "kPa")


def _heat_draw(rng):
    while True:
        mass, specific = rng.randint(1, 9), rng.randint(1, 4)
        if 2 <= mass * specific <= 9:
            return mass, specific, two_digit(rng)


def _heat_work(values, lang):
    mass, specific, rise = values
    second, result = mul(mass * specific, rise)
    return f"Q = m × c × ΔT; m × c = {mass}×{specific} = {mass * specific}; Q = {second}", result


def _kelvin_work(values, lang):
    text, result = add(int(values[0]), 273)
    return f"T = Tc + 273 = {text}", result


def _water_work(values, lang):
    text, result = shift(values[0], 10, lang)
    return f"p = ρ × g × h = {text}", result


def _depth_draw(rng):
    if rng.random() < 0.5:
        return (Decimal(rng.randint(11, 499)) / 10,)
    return (Decimal(rng.randint(2, 300)),)


FAMILIES = [
    Numeric("heat", HEAT, (M, SPECIFIC, RISE), "m × c × ΔT", _heat_draw, _heat_work, lambda m, c, t: m * c * t, {
        "es": ["Calentamos {m} de un material con c = {c} y ΔT = {ΔT}.", "Un líquido de {m} con c = {c} sube {ΔT}."],
        "en": ["We heat {m} of a material with c = {c} and ΔT = {ΔT}.", "A liquid of {m} with c = {c} rises {ΔT}."]}, 1.3),
    difference("temperature-rise", RISE, (T2, T1), "T2 - T1", {
        "es": ["El agua pasa de {T1} a {T2}.", "Un horno sube de {T1} a {T2}.", "Una pieza se calienta de {T1} a {T2}."],
        "en": ["Water goes from {T1} to {T2}.", "An oven rises from {T1} to {T2}.", "A part is heated from {T1} to {T2}."]}),
    Numeric("absolute-temperature", KELVIN, (CELSIUS,), "Tc + 273", lambda rng: (rng.randint(11, 300),), _kelvin_work,
            lambda c: c + 273, {
        "es": ["Un gas está a {Tc}.", "El agua está a {Tc}.", "Un horno está a {Tc}."],
        "en": ["A gas is at {Tc}.", "Water is at {Tc}.", "An oven is at {Tc}."]}),
    quotient("pressure", PRESSURE, (FORCE, AREA), "F / A", {
        "es": ["Una fuerza de {F} actúa sobre {A}.", "Un depósito apoya {F} en {A}.", "Una placa de {A} recibe {F}."],
        "en": ["A force of {F} acts on {A}.", "A tank rests {F} on {A}.", "A plate of {A} receives {F}."]}),
    product("pressure-force", FORCE, (AREA, PRESSURE), "A × p", {
        "es": ["Una presión de {p} actúa sobre {A}.", "Una placa de {A} está a {p}.", "Un gas a {p} empuja {A}."],
        "en": ["A pressure of {p} acts on {A}.", "A plate of {A} is at {p}.", "A gas at {p} pushes {A}."]}),
    quotient("flow-rate", FLOW, (VOLUME, MINUTES), "V / t", {
        "es": ["Un grifo llena {V} en {t}.", "Una bomba mueve {V} en {t}.", "Por una tubería pasan {V} en {t}."],
        "en": ["A tap fills {V} in {t}.", "A pump moves {V} in {t}.", "A pipe passes {V} in {t}."]}),
    product("flow-volume", VOLUME, (MINUTES, FLOW), "t × q", {
        "es": ["Una bomba de {q} trabaja {t}.", "Un grifo de {q} está abierto {t}.", "Una tubería lleva {q} durante {t}."],
        "en": ["A pump of {q} works for {t}.", "A tap of {q} is open for {t}.", "A pipe carries {q} for {t}."]}),
    quotient("density", DENSITY, (MASS_G, CM3), "m / V", {
        "es": ["Una pieza de {V} tiene {m}.", "Un bloque de {m} ocupa {V}.", "Una muestra de {V} pesa {m}."],
        "en": ["A part of {V} has {m}.", "A block of {m} fills {V}.", "A sample of {V} weighs {m}."]}),
    Numeric("water-pressure", P_WATER, (DEPTH,), "ρ × g × h", _depth_draw, _water_work, lambda h: 10 * h, {
        "es": ["Un buzo baja a {h}.", "Un sensor está a {h} bajo el agua.", "Un depósito de agua tiene {h} de fondo."],
        "en": ["A diver goes down to {h}.", "A sensor is {h} under water.", "A water tank is {h} deep."]}, 0.7),
]
