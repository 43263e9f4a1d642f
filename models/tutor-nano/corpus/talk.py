"""Small talk: what a tutor says besides engineering. Not scored."""

from dataclasses import dataclass

from .family import Item

TOPICS_ES = "circuitos, materiales, máquinas, movimiento, calor, fluidos, unidades y binario"
TOPICS_EN = "circuits, materials, machines, motion, heat, fluids, units and binary"

OUTSIDE = {
    "es": [
        "¿Quién ganó el partido ayer?", "¿Qué tiempo hará mañana?", "Cuéntame un chiste.", "Escribe un poema de amor.",
        "¿Cuál es la capital de Francia?", "¿Qué película me recomiendas?", "Dame una receta de tortilla.",
        "¿Quién es el presidente?", "Traduce esta frase al alemán.", "¿Qué opinas de la política?",
        "¿Cuándo empezó la guerra?", "Canta una canción.", "¿Cuál es tu color favorito?", "¿Dónde puedo comprar zapatos?",
    ],
    "en": [
        "Who won the match yesterday?", "What will the weather be tomorrow?", "Tell me a joke.", "Write a love poem.",
        "What is the capital of France?", "Which film do you recommend?", "Give me a recipe for an omelette.",
        "Who is the president?", "Translate this sentence into German.", "What do you think of politics?",
        "When did the war begin?", "Sing a song.", "What is your favourite colour?", "Where can I buy shoes?",
    ],
}
TALK = {
    "talk-greeting": {
        "es": (["Hola.", "Buenos días.", "Buenas tardes.", "Hola, ¿qué tal?", "Hola, tutor.", "Buenas.", "¡Hola!", "Saludos."],
               "Hola. Soy un tutor de ingeniería. ¿Qué quieres calcular?"),
        "en": (["Hello.", "Good morning.", "Good afternoon.", "Hi, how are you?", "Hello, tutor.", "Hi.", "Hello!", "Greetings."],
               "Hello. I am an engineering tutor. What do you want to calculate?")},
    "talk-skills": {
        "es": (["¿Qué sabes hacer?", "¿En qué me puedes ayudar?", "¿Qué temas conoces?", "¿Quién eres?", "¿Para qué sirves?",
                "¿Qué puedo preguntarte?", "Dime qué sabes.", "¿De qué sabes?"],
               f"Soy un tutor pequeño. Sé resolver problemas básicos de {TOPICS_ES}."),
        "en": (["What can you do?", "How can you help me?", "Which topics do you know?", "Who are you?", "What are you for?",
                "What can I ask you?", "Tell me what you know.", "What do you know about?"],
               f"I am a small tutor. I can solve basic problems of {TOPICS_EN}.")},
    "talk-thanks": {
        "es": (["Gracias.", "Muchas gracias.", "Perfecto, gracias.", "Gracias por la ayuda.", "Entendido, gracias.",
                "¡Genial!", "Muy bien.", "Ahora lo entiendo."], "De nada. Pregunta lo que necesites."),
        "en": (["Thanks.", "Thank you very much.", "Perfect, thanks.", "Thanks for the help.", "Understood, thanks.",
                "Great!", "Very good.", "Now I understand."], "You are welcome. Ask whatever you need.")},
    "talk-goodbye": {
        "es": (["Adiós.", "Hasta luego.", "Hasta mañana.", "Me voy.", "Nos vemos.", "Eso es todo.", "Chao.", "Terminamos."],
               "Hasta pronto. Buen trabajo."),
        "en": (["Goodbye.", "See you later.", "See you tomorrow.", "I am leaving.", "See you.", "That is all.", "Bye.",
                "We are done."], "See you soon. Good work.")},
    "talk-outside": {
        "es": (OUTSIDE["es"], f"Solo sé ingeniería básica: {TOPICS_ES}."),
        "en": (OUTSIDE["en"], f"I only know basic engineering: {TOPICS_EN}.")},
}


@dataclass
class Talk:
    """A family of small talk with one fixed answer per language."""

    name: str
    weight: float = 1.0

    def item(self, rng, lang, held_out):
        """A remark and its answer; small talk has no held-out side."""
        questions, answer = TALK[self.name][lang]
        return Item(self.name, lang, rng.choice(questions), answer, "", "talk")


FAMILIES = [Talk(name) for name in TALK]
