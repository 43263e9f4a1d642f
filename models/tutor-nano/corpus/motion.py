"""Kinematics, dynamics and energy."""

from decimal import Decimal

from .arith import add, div, factor_pair, mul, one_digit, shift, sub
from .family import Numeric, product, qty, quotient

D = qty("d", "la distancia", "the distance", "m")
SPEED = qty("v", "la velocidad", "the speed", "m/s")
T = qty("t", "el tiempo", "the time", "s")
TRIP = qty("t", "la duración del viaje", "the travel time", "h")
D_KM = qty("d", "la distancia del viaje", "the trip distance", "km")
SPEED_KMH = qty("v", "la velocidad media", "the average speed", "km/h")
V0 = qty("v0", "la velocidad inicial", "the initial speed", "m/s")
VF = qty("v", "la velocidad final", "the final speed", "m/s")
ACC = qty("a", "la aceleración", "the acceleration", "m/s²")
M = qty("m", "la masa", "the mass", "kg")
FORCE = qty("F", "la fuerza", "the force", "N")
WEIGHT = qty("P", "el peso", "the weight", "N")
WORK = qty("W", "el trabajo", "the work", "J")
P_MECH = qty("P", "la potencia mecánica", "the mechanical power", "W")
H = qty("h", "la altura", "the height", "m")
EP = qty("Ep", "la energía potencial", "the potential energy", "J")
EC = qty("Ec", "la energía cinética", "the kinetic energy", "J")
MOMENTUM = qty("p", "la cantidad de movimiento", "the momentum", "kg·m/s")


def _acceleration_draw(rng):
    start, seconds = rng.randint(2, 40), one_digit(rng)
    return start, start + seconds * rng.randint(2, 19), seconds


def _acceleration_work(values, lang):
    start, end, seconds = values
    first, gain = sub(end, start)
    second, result = div(gain, seconds)
    return f"a = (v - v0) / t; v - v0 = {first}; a = {second}", result


def _final_speed_draw(rng):
    return rng.randint(2, 60), one_digit(rng), rng.randint(2, 20)


def _final_speed_work(values, lang):
    start, acceleration, seconds = values
    first, gain = mul(acceleration, seconds)
    second, result = add(start, gain)
    return f"v = v0 + a × t; a × t = {first}; v = {second}", result


def _weight_draw(rng):
    return (Decimal(rng.choice([rng.randint(2, 99), rng.randint(100, 999)])),)


def _weight_work(values, lang):
    text, result = shift(values[0], 10, lang)
    return f"P = m × g = {text}", result


def _potential_work(values, lang):
    first, product_mh = mul(*values)
    second, result = shift(product_mh, 10, lang)
    return f"Ep = m × h × g; m × h = {first}; Ep = {second}", result


def _kinetic_draw(rng):
    return 2 * rng.randint(1, 45), rng.randint(2, 3) if rng.random() < 0.45 else one_digit(rng)


def _kinetic_work(values, lang):
    mass, speed = values
    half, half_mass = div(mass, 2)
    first, step = mul(speed, half_mass)
    second, result = mul(speed, step)
    return f"Ec = m × v² / 2; m/2 = {half}; {first}; Ec = {second}", result


def _kinetic_small(rng):
    """Values whose intermediate product keeps two digits."""
    while True:
        mass, speed = _kinetic_draw(rng)
        if mass // 2 * speed <= 99:
            return mass, speed


FAMILIES = [
    product("distance", D, (SPEED, T), "v × t", {
        "es": ["Un coche va a {v} durante {t}.", "Un robot avanza a {v} durante {t}.", "Una cinta se mueve a {v} por {t}.",
               "Un dron vuela a {v} durante {t}."],
        "en": ["A car moves at {v} for {t}.", "A robot advances at {v} for {t}.", "A belt moves at {v} for {t}.",
               "A drone flies at {v} for {t}."]}),
    quotient("speed", SPEED, (D, T), "d / t", {
        "es": ["Un coche recorre {d} en {t}.", "Un robot avanza {d} en {t}.", "Un tren cubre {d} en {t}.",
               "Un ascensor sube {d} en {t}."],
        "en": ["A car covers {d} in {t}.", "A robot advances {d} in {t}.", "A train travels {d} in {t}.",
               "A lift rises {d} in {t}."]}),
    quotient("travel-time", TRIP, (D_KM, SPEED_KMH), "d / v", {
        "es": ["Un ciclista recorre {d} a {v}.", "Un barco navega {d} a {v}.", "Un tractor hace {d} a {v}."],
        "en": ["A cyclist covers {d} at {v}.", "A boat sails {d} at {v}.", "A tractor travels {d} at {v}."]}),
    Numeric("acceleration", ACC, (V0, VF, T), "(v - v0) / t", _acceleration_draw, _acceleration_work,
            lambda start, end, seconds: (end - start) / seconds, {
        "es": ["Un coche pasa de {v0} a {v} en {t}.", "Un tren acelera de {v0} a {v} en {t}.",
               "Una moto sube de {v0} a {v} en {t}."],
        "en": ["A car goes from {v0} to {v} in {t}.", "A train speeds up from {v0} to {v} in {t}.",
               "A motorbike rises from {v0} to {v} in {t}."]}, 1.3),
    Numeric("final-speed", VF, (V0, ACC, T), "v0 + a × t", _final_speed_draw, _final_speed_work,
            lambda start, acceleration, seconds: start + acceleration * seconds, {
        "es": ["Un coche parte a {v0} y acelera {a} durante {t}.", "Un tren va a {v0} y acelera a {a} por {t}.",
               "Un móvil con {v0} acelera {a} durante {t}."],
        "en": ["A car starts at {v0} and accelerates {a} for {t}.", "A train moves at {v0} and accelerates at {a} for {t}.",
               "A body with {v0} accelerates {a} for {t}."]}, 1.4),
    product("newton-force", FORCE, (ACC, M), "a × m", {
        "es": ["Un bloque de {m} acelera a {a}.", "Empujamos un carro de {m} con aceleración {a}.",
               "Una pieza de {m} se acelera a {a}."],
        "en": ["A block of {m} accelerates at {a}.", "We push a cart of {m} with acceleration {a}.",
               "A part of {m} is accelerated at {a}."]}),
    Numeric("weight", WEIGHT, (M,), "m × g", _weight_draw, _weight_work, lambda m: 10 * m, {
        "es": ["Una caja tiene {m}.", "Un motor tiene una masa de {m}.", "Colgamos {m} de una grúa."],
        "en": ["A box has {m}.", "A motor has a mass of {m}.", "We hang {m} from a crane."]}, 0.7),
    product("work", WORK, (D, FORCE), "d × F", {
        "es": ["Empujamos con {F} a lo largo de {d}.", "Una fuerza de {F} mueve un bloque {d}.",
               "Arrastramos una caja {d} con {F}."],
        "en": ["We push with {F} along {d}.", "A force of {F} moves a block {d}.", "We drag a box {d} with {F}."]}),
    quotient("mechanical-power", P_MECH, (WORK, T), "W / t", {
        "es": ["Una grúa hace {W} en {t}.", "Un motor realiza {W} en {t}.", "Una bomba da {W} en {t}."],
        "en": ["A crane does {W} in {t}.", "A motor performs {W} in {t}.", "A pump gives {W} in {t}."]}),
    Numeric("potential-energy", EP, (M, H), "m × h × g", factor_pair, _potential_work, lambda m, h: 10 * m * h, {
        "es": ["Una masa de {m} está a {h} de altura.", "Subimos {m} a {h}.", "Un depósito de {m} está a {h}."],
        "en": ["A mass of {m} is at a height of {h}.", "We lift {m} to {h}.", "A tank of {m} is at {h}."]}, 1.2),
    Numeric("kinetic-energy", EC, (M, SPEED), "m × v² / 2", _kinetic_small, _kinetic_work,
            lambda m, v: m * v * v / 2, {
        "es": ["Un carro de {m} va a {v}.", "Una masa de {m} se mueve a {v}.", "Un robot de {m} avanza a {v}."],
        "en": ["A cart of {m} moves at {v}.", "A mass of {m} travels at {v}.", "A robot of {m} advances at {v}."]}, 1.7),
    product("momentum", MOMENTUM, (SPEED, M), "v × m", {
        "es": ["Un carro de {m} va a {v}.", "Una masa de {m} se mueve a {v}.", "Un robot de {m} avanza a {v}."],
        "en": ["A cart of {m} moves at {v}.", "A mass of {m} travels at {v}.", "A robot of {m} advances at {v}."]}),
]
