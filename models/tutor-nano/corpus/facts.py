"""Tables of facts behind the knowledge families, in Spanish and English."""

SI_UNITS = [  # quantity es, quantity en, unit es, unit en, symbol
    ("la fuerza", "the force", "newton", "newton", "N"),
    ("la energía", "the energy", "julio", "joule", "J"),
    ("la potencia", "the power", "vatio", "watt", "W"),
    ("la tensión", "the voltage", "voltio", "volt", "V"),
    ("la corriente", "the current", "amperio", "ampere", "A"),
    ("la resistencia", "the resistance", "ohmio", "ohm", "Ω"),
    ("la capacidad", "the capacitance", "faradio", "farad", "F"),
    ("la carga eléctrica", "the electric charge", "culombio", "coulomb", "C"),
    ("la presión", "the pressure", "pascal", "pascal", "Pa"),
    ("la frecuencia", "the frequency", "hercio", "hertz", "Hz"),
    ("la longitud", "the length", "metro", "metre", "m"),
    ("la masa", "the mass", "kilogramo", "kilogram", "kg"),
    ("el tiempo", "the time", "segundo", "second", "s"),
    ("la temperatura", "the temperature", "kelvin", "kelvin", "K"),
    ("la inductancia", "the inductance", "henrio", "henry", "H"),
    ("el campo magnético", "the magnetic field", "tesla", "tesla", "T"),
    ("el flujo magnético", "the magnetic flux", "weber", "weber", "Wb"),
    ("la conductancia", "the conductance", "siemens", "siemens", "S"),
    ("la intensidad luminosa", "the luminous intensity", "candela", "candela", "cd"),
]

SYMBOLS = [
    ("la tensión", "the voltage", "V"), ("la corriente", "the current", "I"), ("la resistencia", "the resistance", "R"),
    ("la potencia", "the power", "P"), ("la capacidad", "the capacitance", "C"), ("la carga eléctrica", "the electric charge", "Q"),
    ("la fuerza", "the force", "F"), ("la masa", "the mass", "m"), ("el tiempo", "the time", "t"),
    ("la densidad", "the density", "ρ"), ("el esfuerzo", "the stress", "σ"), ("la deformación unitaria", "the strain", "ε"),
    ("la constante de tiempo", "the time constant", "τ"), ("el rendimiento", "the efficiency", "η"),
    ("la frecuencia", "the frequency", "f"), ("la temperatura", "the temperature", "T"), ("la inductancia", "the inductance", "L"),
    ("la velocidad", "the speed", "v"), ("la altura", "the height", "h"), ("el trabajo", "the work", "W"),
]

FORMULAS = [
    ("la tensión en una resistencia", "the voltage across a resistor", "V = I × R"),
    ("la corriente en una resistencia", "the current in a resistor", "I = V / R"),
    ("la resistencia por la ley de Ohm", "the resistance by Ohm's law", "R = V / I"),
    ("la potencia eléctrica", "the electrical power", "P = I × V"),
    ("la constante de tiempo", "the time constant", "τ = R × C"),
    ("la carga de un condensador", "the charge of a capacitor", "Q = C × V"),
    ("la resistencia total en serie", "the total series resistance", "R = R1 + R2"),
    ("la capacidad total en paralelo", "the total parallel capacitance", "C = C1 + C2"),
    ("el esfuerzo", "the stress", "σ = F / A"),
    ("la deformación unitaria", "the strain", "ε = ΔL / L"),
    ("el módulo de Young", "the Young's modulus", "E = σ / ε"),
    ("la fuerza del muelle", "the spring force", "F = k × x"),
    ("el momento máximo de una viga", "the maximum moment of a beam", "M = L × F / 4"),
    ("la reacción en cada apoyo", "the reaction at each support", "R = F / 2"),
    ("la velocidad", "the speed", "v = d / t"),
    ("la aceleración", "the acceleration", "a = (v - v0) / t"),
    ("la velocidad final", "the final speed", "v = v0 + a × t"),
    ("la energía cinética", "the kinetic energy", "Ec = m × v² / 2"),
    ("la energía potencial", "the potential energy", "Ep = m × h × g"),
    ("el calor", "the heat", "Q = m × c × ΔT"),
    ("la densidad", "the density", "ρ = m / V"),
    ("la presión", "the pressure", "p = F / A"),
    ("el caudal", "the flow rate", "q = V / t"),
    ("el rendimiento", "the efficiency", "η = Pu / Pe"),
]

DEFINITIONS = [  # ((term, definition, key word), ...) es, en; the key word must occur in the definition
    (("la tensión", "la energía por unidad de carga entre dos puntos", "carga"),
     ("the voltage", "the energy per unit of charge between two points", "charge")),
    (("la corriente", "el flujo de carga eléctrica por un conductor", "flujo"),
     ("the current", "the flow of electric charge through a conductor", "flow")),
    (("la resistencia", "la oposición al paso de la corriente", "oposición"),
     ("the resistance", "the opposition to the passage of current", "opposition")),
    (("la potencia", "la energía transferida por unidad de tiempo", "tiempo"),
     ("the power", "the energy transferred per unit of time", "time")),
    (("el esfuerzo", "la fuerza interna por unidad de área", "área"),
     ("the stress", "the internal force per unit of area", "area")),
    (("la deformación unitaria", "el alargamiento dividido entre la longitud inicial", "alargamiento"),
     ("the strain", "the elongation divided by the initial length", "elongation")),
    (("la densidad", "la masa por unidad de volumen", "volumen"),
     ("the density", "the mass per unit of volume", "volume")),
    (("la presión", "la fuerza perpendicular que actúa sobre cada unidad de superficie", "superficie"),
     ("the pressure", "the perpendicular force that acts on each unit of surface", "surface")),
    (("la velocidad", "la distancia recorrida en cada unidad de tiempo", "distancia"),
     ("the speed", "the distance covered in each unit of time", "distance")),
    (("la aceleración", "el cambio de velocidad por unidad de tiempo", "velocidad"),
     ("the acceleration", "the change of speed per unit of time", "speed")),
    (("el rendimiento", "la parte de la energía de entrada que se aprovecha", "entrada"),
     ("the efficiency", "the part of the input energy that is used", "input")),
    (("el caudal", "el volumen de fluido que pasa en cada unidad de tiempo", "fluido"),
     ("the flow rate", "the volume of fluid that passes in each unit of time", "fluid")),
    (("la viscosidad", "la resistencia de un fluido a fluir", "fluir"),
     ("the viscosity", "the resistance of a fluid to flowing", "flowing")),
    (("la dureza", "la resistencia de un material a ser rayado", "rayado"),
     ("the hardness", "the resistance of a material to being scratched", "scratched")),
    (("la tenacidad", "la energía que absorbe un material antes de romperse", "absorbe"),
     ("the toughness", "the energy that a material absorbs before breaking", "absorbs")),
    (("la ductilidad", "la capacidad de un material de deformarse sin romperse", "deformarse"),
     ("the ductility", "the ability of a material to deform without breaking", "deform")),
    (("la elasticidad", "la capacidad de un material de recuperar su forma", "forma"),
     ("the elasticity", "the ability of a material to recover its shape", "shape")),
    (("la fatiga", "el fallo de una pieza por cargas repetidas", "repetidas"),
     ("the fatigue", "the failure of a part under repeated loads", "repeated")),
    (("la corrosión", "el deterioro de un metal por reacción con su entorno", "metal"),
     ("the corrosion", "the damage of a metal by reaction with its surroundings", "metal")),
    (("la frecuencia", "el número de ciclos por segundo", "ciclos"),
     ("the frequency", "the number of cycles per second", "cycles")),
    (("el par", "el efecto de giro de una fuerza alrededor de un eje", "giro"),
     ("the torque", "the turning effect of a force about an axis", "turning")),
    (("el condensador", "un componente que almacena carga entre dos placas", "placas"),
     ("the capacitor", "a component that stores charge between two plates", "plates")),
    (("la bobina", "un componente que guarda energía en un campo magnético", "magnético"),
     ("the inductor", "a component that stores energy in a magnetic field", "magnetic")),
    (("el diodo", "un componente que deja pasar la corriente en un solo sentido", "sentido"),
     ("the diode", "a component that lets current pass in one direction only", "direction")),
    (("el transistor", "un semiconductor que amplifica o conmuta señales", "amplifica"),
     ("the transistor", "a semiconductor that amplifies or switches signals", "amplifies")),
    (("el fusible", "un elemento que corta el circuito cuando hay demasiada corriente", "corta"),
     ("the fuse", "an element that opens the circuit when there is too much current", "opens")),
    (("el transformador", "una máquina que cambia la tensión alterna con dos devanados", "devanados"),
     ("the transformer", "a machine that changes alternating voltage with two windings", "windings")),
    (("el relé", "un interruptor accionado por un electroimán", "electroimán"),
     ("the relay", "a switch operated by an electromagnet", "electromagnet")),
    (("el rodamiento", "un elemento que guía un eje con poca fricción", "fricción"),
     ("the bearing", "an element that guides a shaft with little friction", "friction")),
    (("el engranaje", "un par de ruedas dentadas que transmite el giro", "dentadas"),
     ("the gear", "a pair of toothed wheels that transmits rotation", "toothed")),
    (("la polea", "una rueda con una ranura para una cuerda", "ranura"),
     ("the pulley", "a wheel with a groove for a rope", "groove")),
    (("la viga", "una barra que soporta cargas a flexión", "flexión"),
     ("the beam", "a bar that carries loads in bending", "bending")),
    (("la bomba", "una máquina que da energía a un líquido para moverlo", "líquido"),
     ("the pump", "a machine that gives energy to a liquid to move it", "liquid")),
    (("la válvula", "un dispositivo que abre o cierra el paso de un fluido", "cierra"),
     ("the valve", "a device that opens or closes the way of a fluid", "closes")),
]

CONDUCTIVITY = [
    (es, en, "conductor", "conductor") for es, en in (
        ("el cobre", "copper"), ("el aluminio", "aluminium"), ("la plata", "silver"), ("el oro", "gold"),
        ("el hierro", "iron"), ("el acero", "steel"), ("el latón", "brass"), ("el bronce", "bronze"),
        ("el estaño", "tin"), ("el plomo", "lead"), ("el grafito", "graphite"), ("el níquel", "nickel"))
] + [
    (es, en, "aislante", "insulator") for es, en in (
        ("el vidrio", "glass"), ("la goma", "rubber"), ("la madera seca", "dry wood"), ("la porcelana", "porcelain"),
        ("el papel", "paper"), ("la mica", "mica"), ("el teflón", "teflon"), ("el cuarzo", "quartz"), ("el nailon", "nylon"),
        ("el corcho", "cork"))
] + [
    (es, en, "semiconductor", "semiconductor") for es, en in (
        ("el silicio", "silicon"), ("el germanio", "germanium"), ("el arseniuro de galio", "gallium arsenide"))
]

DUCTILITY = [
    (es, en, "dúctil", "ductile") for es, en in (
        ("el cobre", "copper"), ("el aluminio", "aluminium"), ("la plata", "silver"), ("el oro", "gold"),
        ("el acero dulce", "mild steel"), ("el latón", "brass"), ("el plomo", "lead"), ("el níquel", "nickel"),
        ("el estaño", "tin"), ("el platino", "platinum"))
] + [
    (es, en, "frágil", "brittle") for es, en in (
        ("el vidrio", "glass"), ("la porcelana", "porcelain"), ("la fundición gris", "grey cast iron"),
        ("el hormigón", "concrete"), ("el ladrillo", "brick"), ("el yeso", "plaster"), ("el grafito", "graphite"),
        ("la cerámica", "ceramic"), ("el silicio", "silicon"), ("el cuarzo", "quartz"))
]

INSTRUMENTS = [
    ("la tensión", "the voltage", "el voltímetro", "the voltmeter"),
    ("la corriente", "the current", "el amperímetro", "the ammeter"),
    ("la resistencia", "the resistance", "el óhmetro", "the ohmmeter"),
    ("la potencia eléctrica", "the electrical power", "el vatímetro", "the wattmeter"),
    ("la presión de un gas", "the pressure of a gas", "el manómetro", "the manometer"),
    ("la presión atmosférica", "the atmospheric pressure", "el barómetro", "the barometer"),
    ("la temperatura", "the temperature", "el termómetro", "the thermometer"),
    ("la humedad", "the humidity", "el higrómetro", "the hygrometer"),
    ("la fuerza", "the force", "el dinamómetro", "the dynamometer"),
    ("la velocidad de giro", "the rotation speed", "el tacómetro", "the tachometer"),
    ("el caudal", "the flow rate", "el caudalímetro", "the flowmeter"),
    ("el tiempo", "the time", "el cronómetro", "the stopwatch"),
    ("la masa", "the mass", "la balanza", "the balance"),
    ("el espesor", "the thickness", "el micrómetro", "the micrometer"),
    ("la velocidad de un coche", "the speed of a car", "el velocímetro", "the speedometer"),
    ("la velocidad del viento", "the wind speed", "el anemómetro", "the anemometer"),
    ("la forma de una señal", "the shape of a signal", "el osciloscopio", "the oscilloscope"),
    ("la frecuencia", "the frequency", "el frecuencímetro", "the frequency counter"),
    ("la iluminación", "the illumination", "el luxómetro", "the luxmeter"),
    ("la aceleración", "the acceleration", "el acelerómetro", "the accelerometer"),
]

PREFIXES = [  # prefix es, prefix en, factor es, factor en
    ("kilo", "kilo", "mil", "a thousand"), ("mega", "mega", "un millón", "a million"),
    ("giga", "giga", "mil millones", "a thousand million"), ("hecto", "hecto", "cien", "a hundred"),
    ("deca", "deca", "diez", "ten"), ("deci", "deci", "una décima", "a tenth"),
    ("centi", "centi", "una centésima", "a hundredth"), ("mili", "milli", "una milésima", "a thousandth"),
    ("micro", "micro", "una millonésima", "a millionth"),
]
