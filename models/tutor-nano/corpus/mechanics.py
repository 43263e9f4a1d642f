"""Strength of materials and machines: stress, strain, beams, levers, gears, efficiency."""

from .arith import div, mul, one_digit, two_digit
from .family import Numeric, difference, product, qty, quotient

AREA = qty("A", "el área", "the area", "mm²")
STRESS = qty("σ", "el esfuerzo", "the stress", "MPa")
F_AXIAL = qty("F", "la fuerza axial", "the axial force", "N")
STRETCH = qty("ΔL", "el alargamiento", "the elongation", "mm")
LENGTH = qty("L", "la longitud", "the length", "m")
STRAIN = qty("ε", "la deformación unitaria", "the strain", "mm/m")
YOUNG = qty("E", "el módulo de Young", "the Young's modulus", "GPa")
K = qty("k", "la constante del muelle", "the spring constant", "N/mm")
X = qty("x", "la deformación del muelle", "the deflection of the spring", "mm")
F_SPRING = qty("F", "la fuerza del muelle", "the spring force", "N")
F_MID = qty("F", "la carga central", "the central load", "kN")
REACTION = qty("R", "la reacción en cada apoyo", "the reaction at each support", "kN")
SPAN = qty("L", "la luz de la viga", "the span of the beam", "m")
MOMENT = qty("M", "el momento máximo", "the maximum moment", "kN·m")
F_TIP = qty("F", "la carga en el extremo", "the load at the tip", "kN")
CANTILEVER = qty("L", "la longitud del voladizo", "the length of the cantilever", "m")
M_FIXED = qty("M", "el momento en el empotramiento", "the moment at the fixed end", "kN·m")
LOAD = qty("F1", "la carga de la palanca", "the load of the lever", "N")
ARM_LOAD = qty("a", "el brazo de la carga", "the load arm", "m")
ARM_EFFORT = qty("b", "el brazo del esfuerzo", "the effort arm", "m")
EFFORT = qty("F2", "el esfuerzo de la palanca", "the effort of the lever", "N")
RATIO = qty("i", "la relación de transmisión", "the gear ratio", "")
Z1 = qty("z1", "el tamaño del piñón", "the size of the pinion", "dientes", "teeth")
Z2 = qty("z2", "el tamaño de la rueda", "the size of the wheel", "dientes", "teeth")
N1 = qty("n1", "la velocidad de entrada", "the input speed", "rpm")
N2 = qty("n2", "la velocidad de salida", "the output speed", "rpm")
P_IN = qty("Pe", "la potencia de entrada", "the input power", "W")
P_OUT = qty("Pu", "la potencia útil", "the useful power", "W")
ETA = qty("η", "el rendimiento", "the efficiency", "%")
P_LOST = qty("Pp", "la potencia perdida", "the lost power", "W")


def _central_draw(rng):
    return 4 * two_digit(rng), one_digit(rng)


def _moment_work(values, lang):
    first, quarter = div(values[0], 4)
    second, moment = mul(values[1], quarter)
    return f"M = L × F / 4; F/4 = {first}; M = {second}", moment


def _reaction_draw(rng):
    return 2 * two_digit(rng), one_digit(rng)


def _reaction_work(values, lang):
    text, result = div(values[0], 2)
    return f"R = F / 2 = {text}", result


def _lever_draw(rng):
    load_arm, effort_arm = rng.sample(range(2, 10), 2)
    return effort_arm * rng.randint(2, 24), load_arm, effort_arm


def _lever_work(values, lang):
    load, load_arm, effort_arm = values
    first, moment = mul(load_arm, load)
    second, effort = div(moment, effort_arm)
    return f"F2 = a × F1 / b; a × F1 = {first}; F2 = {second}", effort


def _input_power(rng):
    return 100 * rng.randint(2, 9)


def _efficiency_draw(rng):
    power = _input_power(rng)
    return power // 100 * rng.randint(11, 99), power


def _efficiency_work(values, lang):
    text, result = div(values[0], values[1] // 100)
    return f"η = Pu / Pe; 1 % = {values[1]}/100 = {values[1] // 100}; η = {text}", result


def _useful_draw(rng):
    return _input_power(rng), rng.randint(11, 99)


def _useful_work(values, lang):
    text, result = mul(values[0] // 100, values[1])
    return f"Pu = Pe × η; 1 % = {values[0]}/100 = {values[0] // 100}; Pu = {text}", result


FAMILIES = [
    quotient("stress", STRESS, (F_AXIAL, AREA), "F / A", {
        "es": ["Una barra de {A} soporta {F}.", "Un cable de {A} aguanta {F}.", "Tiramos con {F} de una varilla de {A}.",
               "Un tornillo de {A} recibe {F}."],
        "en": ["A bar of {A} carries {F}.", "A cable of {A} holds {F}.", "We pull a rod of {A} with {F}.",
               "A bolt of {A} takes {F}."]}),
    product("axial-force", F_AXIAL, (AREA, STRESS), "A × σ", {
        "es": ["Una barra de {A} trabaja a {σ}.", "Un cable de {A} resiste {σ}.", "En una varilla de {A} hay {σ}."],
        "en": ["A bar of {A} works at {σ}.", "A cable of {A} resists {σ}.", "A rod of {A} is stressed to {σ}."]}),
    quotient("strain", STRAIN, (STRETCH, LENGTH), "ΔL / L", {
        "es": ["Una barra de {L} se alarga {ΔL}.", "Un cable de {L} se estira {ΔL}.", "Una pieza de {L} crece {ΔL}."],
        "en": ["A bar of {L} gets {ΔL} longer.", "A cable of {L} stretches {ΔL}.", "A piece of {L} grows by {ΔL}."]}),
    quotient("youngs-modulus", YOUNG, (STRESS, STRAIN), "σ / ε", {
        "es": ["Un material a {σ} se deforma {ε}.", "En un ensayo medimos {σ} y {ε}.", "Una probeta da {ε} con {σ}."],
        "en": ["A material at {σ} is strained by {ε}.", "In a test we measure {σ} and {ε}.",
               "A specimen gives {ε} at {σ}."]}),
    product("spring-force", F_SPRING, (K, X), "k × x", {
        "es": ["Un muelle de {k} se comprime {x}.", "Estiramos {x} un muelle de {k}.", "Un resorte de {k} cede {x}."],
        "en": ["A spring of {k} is compressed {x}.", "We stretch a spring of {k} by {x}.",
               "A spring of {k} yields {x}."]}),
    Numeric("beam-reaction", REACTION, (F_MID, SPAN), "F / 2", _reaction_draw, _reaction_work, lambda f, s: f / 2, {
        "es": ["Una viga biapoyada de {L} lleva {F} en el centro.", "En el centro de una viga de {L} hay {F}.",
               "Una viga apoyada de {L} recibe {F} en su centro."],
        "en": ["A simply supported beam of {L} carries {F} at the centre.", "There are {F} at the centre of a beam of {L}.",
               "A supported beam of {L} takes {F} at its centre."]}),
    Numeric("beam-moment", MOMENT, (F_MID, SPAN), "L × F / 4", _central_draw, _moment_work, lambda f, s: f * s / 4, {
        "es": ["Una viga biapoyada de {L} lleva {F} en el centro.", "En el centro de una viga de {L} hay {F}.",
               "Una viga apoyada de {L} recibe {F} en su centro."],
        "en": ["A simply supported beam of {L} carries {F} at the centre.", "There are {F} at the centre of a beam of {L}.",
               "A supported beam of {L} takes {F} at its centre."]}, 1.5),
    product("cantilever-moment", M_FIXED, (CANTILEVER, F_TIP), "L × F", {
        "es": ["Un voladizo de {L} lleva {F} en la punta.", "Una ménsula de {L} soporta {F} en el extremo.",
               "Colgamos {F} del extremo de un voladizo de {L}."],
        "en": ["A cantilever of {L} carries {F} at the tip.", "A bracket of {L} holds {F} at its end.",
               "We hang {F} from the end of a cantilever of {L}."]}),
    Numeric("lever", EFFORT, (LOAD, ARM_LOAD, ARM_EFFORT), "a × F1 / b", _lever_draw, _lever_work,
            lambda load, a, b: a * load / b, {
        "es": ["Una palanca levanta {F1} con brazo de carga a = {a} y brazo de esfuerzo b = {b}.",
               "En una palanca, F1 = {F1}, a = {a} y b = {b}."],
        "en": ["A lever lifts {F1} with load arm a = {a} and effort arm b = {b}.",
               "In a lever, F1 = {F1}, a = {a} and b = {b}."]}, 1.7),
    product("gear-teeth", Z2, (RATIO, Z1), "i × z1", {
        "es": ["Un engranaje reduce {i} veces y su piñón tiene {z1}.", "El piñón tiene {z1} y la relación es {i}.",
               "Un reductor de relación {i} usa un piñón de {z1}."],
        "en": ["A gear pair reduces {i} times and its pinion has {z1}.", "The pinion has {z1} and the ratio is {i}.",
               "A reducer of ratio {i} uses a pinion of {z1}."]}),
    quotient("gear-speed", N2, (N1, RATIO), "n1 / i", {
        "es": ["Un motor gira a {n1} y un reductor divide entre {i}.", "Un reductor de relación {i} recibe {n1}.",
               "El eje de entrada gira a {n1} con relación {i}."],
        "en": ["A motor turns at {n1} and a reducer divides by {i}.", "A reducer of ratio {i} receives {n1}.",
               "The input shaft turns at {n1} with ratio {i}."]}),
    Numeric("efficiency", ETA, (P_OUT, P_IN), "Pu / Pe", _efficiency_draw, _efficiency_work,
            lambda useful, given: 100 * useful / given, {
        "es": ["Un motor absorbe {Pe} y entrega {Pu}.", "Una bomba recibe {Pe} y da {Pu}.",
               "De {Pe} de entrada se aprovechan {Pu}."],
        "en": ["A motor absorbs {Pe} and delivers {Pu}.", "A pump receives {Pe} and gives {Pu}.",
               "Of {Pe} at the input, {Pu} are used."]}),
    Numeric("useful-power", P_OUT, (P_IN, ETA), "Pe × η", _useful_draw, _useful_work,
            lambda given, percent: given * percent / 100, {
        "es": ["Un motor de {η} de rendimiento absorbe {Pe}.", "Una bomba recibe {Pe} y rinde un {η}.",
               "Una máquina con rendimiento de {η} toma {Pe}."],
        "en": ["A motor of {η} efficiency absorbs {Pe}.", "A pump receives {Pe} and is {η} efficient.",
               "A machine with an efficiency of {η} takes {Pe}."]}),
    difference("lost-power", P_LOST, (P_IN, P_OUT), "Pe - Pu", {
        "es": ["Un motor absorbe {Pe} y entrega {Pu}.", "Una bomba recibe {Pe} y da {Pu}.",
               "De {Pe} de entrada se aprovechan {Pu}."],
        "en": ["A motor absorbs {Pe} and delivers {Pu}.", "A pump receives {Pe} and gives {Pu}.",
               "Of {Pe} at the input, {Pu} are used."]}),
]
