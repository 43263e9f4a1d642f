"""Circuits: Ohm's law, power, energy, resistors, RC, capacitors."""

from .arith import div, dividend_pair, mul, one_digit
from .family import Numeric, difference, product, qty, quotient, total

V = qty("V", "la tensión", "the voltage", "V")
CURRENT = qty("I", "la corriente", "the current", "A")
CURRENT_MA = qty("I", "la corriente", "the current", "mA")
R = qty("R", "la resistencia", "the resistance", "Ω")
R_K = qty("R", "la resistencia", "the resistance", "kΩ")
P = qty("P", "la potencia eléctrica", "the electrical power", "W")
T_H = qty("t", "el tiempo de uso", "the time of use", "h")
E_WH = qty("E", "la energía consumida", "the energy used", "Wh")
P_LOAD = qty("P", "la potencia del aparato", "the power of the appliance", "W")
CAPACITY = qty("C", "la capacidad de la batería", "the capacity of the battery", "mAh")
T_LIFE = qty("t", "la duración de la batería", "the battery life", "h")
I_LOAD = qty("I", "el consumo", "the load current", "mA")
Q = qty("Q", "la carga eléctrica", "the electric charge", "C")
T_S = qty("t", "el tiempo", "the time", "s")
R1 = qty("R1", "la primera resistencia en serie", "the first series resistor", "Ω")
R2 = qty("R2", "la segunda resistencia en serie", "the second series resistor", "Ω")
R_SERIES = qty("R", "la resistencia total en serie", "the total series resistance", "Ω")
N_RES = qty("n", "el número de resistencias en paralelo", "the number of parallel resistors", "")
R_EACH = qty("R1", "la resistencia de cada una", "the resistance of each one", "Ω")
R_PARALLEL = qty("R", "la resistencia equivalente en paralelo", "the equivalent parallel resistance", "Ω")
V_SOURCE = qty("V", "la tensión de la fuente", "the source voltage", "V")
V1 = qty("V1", "la tensión en la primera carga", "the voltage across the first load", "V")
V2 = qty("V2", "la tensión en la segunda carga", "the voltage across the second load", "V")
D1 = qty("R1", "la resistencia superior del divisor", "the upper resistor of the divider", "kΩ")
D2 = qty("R2", "la resistencia inferior del divisor", "the lower resistor of the divider", "kΩ")
V_OUT = qty("Vs", "la tensión de salida del divisor", "the output voltage of the divider", "V")
C_UF = qty("C", "la capacidad", "the capacitance", "µF")
TAU = qty("τ", "la constante de tiempo", "the time constant", "ms")
T_FULL = qty("t", "el tiempo de carga completa", "the full charging time", "ms")
Q_UC = qty("Q", "la carga del condensador", "the charge of the capacitor", "µC")
V_CAP = qty("V", "la tensión del condensador", "the capacitor voltage", "V")
C1 = qty("C1", "el primer condensador en paralelo", "the first parallel capacitor", "µF")
C2 = qty("C2", "el segundo condensador en paralelo", "the second parallel capacitor", "µF")
C_PARALLEL = qty("C", "la capacidad total en paralelo", "the total parallel capacitance", "µF")


def _divider_draw(rng):
    """Source voltage and two resistors in kΩ whose sum has one digit and divides the voltage."""
    upper = rng.randint(1, 7)
    lower = rng.randint(1, 8 - upper) if upper < 7 else 1
    return (upper + lower) * rng.randint(2, 40), upper, lower


def _divider_work(values, lang):
    volts, upper, lower = values
    first, current = div(volts, upper + lower)
    second, out = mul(lower, current)
    return f"Vs = R2 × I; R1+R2 = {upper}+{lower} = {upper + lower}; I = {first}; Vs = {second}", out


def _full_draw(rng):
    resistance = one_digit(rng)
    return resistance, rng.randint(2, 99 // resistance)


def _full_work(values, lang):
    first, tau = mul(*values)
    second, full = mul(5, tau)
    return f"t = 5 × τ; τ = {first}; t = {second}", full


def _parallel_draw(rng):
    each, count = dividend_pair(rng)
    return count, each


def _parallel_work(values, lang):
    text, result = div(values[1], values[0])
    return f"R = R1 / n = {text}", result


FAMILIES = [
    product("ohm-voltage", V, (CURRENT, R), "I × R", {
        "es": ["Por una resistencia de {R} pasa una corriente de {I}.", "Una bobina de {R} lleva {I}.",
               "Un calefactor de {R} trabaja con {I}.", "Circulan {I} por un cable de {R}."],
        "en": ["A current of {I} flows through a resistor of {R}.", "A coil of {R} carries {I}.",
               "A heater of {R} works with {I}.", "A wire of {R} carries {I}."]}),
    quotient("ohm-current", CURRENT, (V, R), "V / R", {
        "es": ["Conectamos una resistencia de {R} a una fuente de {V}.", "Una lámpara de {R} está a {V}.",
               "En una resistencia de {R} caen {V}.", "Un circuito de {R} se alimenta con {V}."],
        "en": ["We connect a resistor of {R} to a source of {V}.", "A lamp of {R} is supplied with {V}.",
               "A resistor of {R} has {V} across it.", "A circuit of {R} is fed with {V}."]}),
    quotient("ohm-resistance", R, (V, CURRENT), "V / I", {
        "es": ["Una carga a {V} consume {I}.", "Medimos {V} y {I} en una resistencia.",
               "Un cable con {V} entre sus extremos lleva {I}.", "Con {V} pasan {I} por un elemento."],
        "en": ["A load at {V} draws {I}.", "We measure {V} and {I} at a resistor.",
               "A wire with {V} across its ends carries {I}.", "With {V}, an element carries {I}."]}),
    product("electric-power", P, (CURRENT, V), "I × V", {
        "es": ["Un motor a {V} consume {I}.", "Una plancha toma {I} de una red de {V}.",
               "Una fuente de {V} entrega {I}.", "Un equipo de {V} absorbe {I}."],
        "en": ["A motor at {V} draws {I}.", "An iron takes {I} from a supply of {V}.",
               "A source of {V} delivers {I}.", "A device of {V} absorbs {I}."]}),
    product("electric-energy", E_WH, (T_H, P_LOAD), "t × P", {
        "es": ["Una lámpara de {P} está encendida {t}.", "Un ventilador de {P} funciona {t}.",
               "Usamos un aparato de {P} durante {t}.", "Un televisor de {P} trabaja {t}."],
        "en": ["A lamp of {P} is on for {t}.", "A fan of {P} runs for {t}.",
               "We use an appliance of {P} for {t}.", "A television of {P} works for {t}."]}),
    quotient("battery-life", T_LIFE, (CAPACITY, I_LOAD), "C / I", {
        "es": ["Una batería de {C} alimenta un sensor de {I}.", "Un reloj gasta {I} de una pila de {C}.",
               "Una placa consume {I} de una batería de {C}.", "Descargamos una batería de {C} con {I}."],
        "en": ["A battery of {C} feeds a sensor of {I}.", "A clock draws {I} from a cell of {C}.",
               "A board takes {I} from a battery of {C}.", "We discharge a battery of {C} with {I}."]}),
    product("electric-charge", Q, (CURRENT, T_S), "I × t", {
        "es": ["Una corriente de {I} circula durante {t}.", "Un cable lleva {I} durante {t}.",
               "Una fuente da {I} durante {t}.", "Pasan {I} por un conductor durante {t}."],
        "en": ["A current of {I} flows for {t}.", "A wire carries {I} for {t}.",
               "A source gives {I} for {t}.", "A conductor carries {I} during {t}."]}),
    total("series-resistors", R_SERIES, (R1, R2), "R1 + R2", {
        "es": ["Hay dos resistencias en serie de {R1} y {R2}.", "Conectamos en serie {R1} y {R2}.",
               "Un circuito en serie tiene {R1} y {R2}.", "Unimos en serie una resistencia de {R1} y otra de {R2}."],
        "en": ["There are two resistors in series of {R1} and {R2}.", "We connect {R1} and {R2} in series.",
               "A series circuit has {R1} and {R2}.", "A resistor of {R1} is in series with one of {R2}."]}),
    Numeric("parallel-resistors", R_PARALLEL, (N_RES, R_EACH), "R1 / n", _parallel_draw, _parallel_work,
            lambda count, each: each / count, {
        "es": ["Hay {n} resistencias iguales de {R1} en paralelo.", "Conectamos en paralelo {n} resistencias de {R1}.",
               "Un circuito tiene {n} ramas en paralelo de {R1}.", "Ponemos {n} lámparas de {R1} en paralelo."],
        "en": ["There are {n} equal resistors of {R1} in parallel.", "We connect {n} resistors of {R1} in parallel.",
               "A circuit has {n} parallel branches of {R1}.", "We put {n} lamps of {R1} in parallel."]}),
    difference("kirchhoff-voltage", V2, (V_SOURCE, V1), "V - V1", {
        "es": ["Una fuente de {V} alimenta dos cargas en serie y en la primera caen {V1}.",
               "Dos cargas en serie están a {V}; la primera tiene {V1}.",
               "En una malla de {V}, la primera carga toma {V1}."],
        "en": ["A source of {V} feeds two loads in series and the first takes {V1}.",
               "Two loads in series are at {V}; the first has {V1}.",
               "In a loop of {V}, the first load takes {V1}."]}),
    Numeric("voltage-divider", V_OUT, (V_SOURCE, D1, D2), "V × R2 / (R1 + R2)", _divider_draw, _divider_work,
            lambda volts, upper, lower: volts * lower / (upper + lower), {
        "es": ["Un divisor de tensión a {V} tiene R1 = {R1} y R2 = {R2}.",
               "Alimentamos con {V} un divisor con {R1} arriba y {R2} abajo.",
               "Un divisor reparte {V} entre R1 = {R1} y R2 = {R2}."],
        "en": ["A voltage divider at {V} has R1 = {R1} and R2 = {R2}.",
               "We feed {V} to a divider with {R1} above and {R2} below.",
               "A divider splits {V} between R1 = {R1} and R2 = {R2}."]}, 1.5),
    product("rc-time", TAU, (R_K, C_UF), "R × C", {
        "es": ["Un circuito RC tiene {R} y {C}.", "Cargamos {C} a través de {R}.",
               "Un filtro RC usa {R} y {C}.", "Un temporizador lleva {R} y {C}."],
        "en": ["An RC circuit has {R} and {C}.", "We charge {C} through {R}.",
               "An RC filter uses {R} and {C}.", "A timer has {R} and {C}."]}),
    Numeric("rc-full-charge", T_FULL, (R_K, C_UF), "5 × R × C", _full_draw, _full_work, lambda r, c: 5 * r * c, {
        "es": ["Un circuito RC tiene {R} y {C}.", "Cargamos {C} a través de {R}.",
               "Un condensador de {C} se carga con {R}."],
        "en": ["An RC circuit has {R} and {C}.", "We charge {C} through {R}.",
               "A capacitor of {C} charges through {R}."]}, 1.3),
    product("capacitor-charge", Q_UC, (C_UF, V_CAP), "C × V", {
        "es": ["Un condensador de {C} está a {V}.", "Conectamos un condensador de {C} a {V}.",
               "Cargamos un condensador de {C} hasta {V}."],
        "en": ["A capacitor of {C} is at {V}.", "We connect a capacitor of {C} to {V}.",
               "We charge a capacitor of {C} up to {V}."]}),
    quotient("capacitor-voltage", V_CAP, (Q_UC, C_UF), "Q / C", {
        "es": ["Un condensador de {C} guarda {Q}.", "Un condensador de {C} tiene {Q}.",
               "Ponemos {Q} en un condensador de {C}."],
        "en": ["A capacitor of {C} stores {Q}.", "A capacitor of {C} holds {Q}.",
               "We put {Q} in a capacitor of {C}."]}),
    total("capacitors-parallel", C_PARALLEL, (C1, C2), "C1 + C2", {
        "es": ["Hay dos condensadores en paralelo de {C1} y {C2}.", "Unimos en paralelo {C1} y {C2}.",
               "Un filtro tiene {C1} y {C2} en paralelo."],
        "en": ["There are two capacitors in parallel of {C1} and {C2}.", "We join {C1} and {C2} in parallel.",
               "A filter has {C1} and {C2} in parallel."]}),
]
