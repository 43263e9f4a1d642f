//! Spanish or English, told from a question; and what the program says in each.

use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Spanish,
    English,
}

/// What the tutor itself says.
pub(crate) struct Words {
    /// The system message: the model's instructions.
    pub(crate) system: &'static str,
    pub(crate) greeting: &'static str,
    pub(crate) interrupted: &'static str,
    pub(crate) saved: &'static str,
    pub(crate) no_answer_yet: &'static str,
    pub(crate) unknown_command: &'static str,
}

const SPANISH: Words = Words {
    system: "Eres un tutor de ingeniería.",
    greeting: "Tutor de ingeniería. Pregunte algo, o /stats, /scheme [nombre], /save ARCHIVO, /load ARCHIVO, \
               /new, /exit. Ctrl-C detiene la respuesta.",
    interrupted: "[interrumpido]",
    saved: "guardado",
    no_answer_yet: "todavía no hay respuesta",
    unknown_command: "no conozco esa orden; hay /stats, /scheme, /save, /load, /new, /exit",
};

const ENGLISH: Words = Words {
    system: "You are an engineering tutor.",
    greeting: "Engineering tutor. Ask something, or /stats, /scheme [name], /save FILE, /load FILE, /new, /exit. \
               Ctrl-C stops the answer.",
    interrupted: "[interrupted]",
    saved: "saved",
    no_answer_yet: "no answer yet",
    unknown_command: "no such command; there are /stats, /scheme, /save, /load, /new, /exit",
};

/// Words that one of the languages has and the other has not.
const SPANISH_WORDS: [&str; 30] = [
    "el",
    "la",
    "los",
    "las",
    "un",
    "una",
    "de",
    "del",
    "en",
    "con",
    "por",
    "para",
    "que",
    "qué",
    "cuál",
    "cuánto",
    "cuánta",
    "cómo",
    "es",
    "son",
    "vale",
    "tiene",
    "hola",
    "gracias",
    "calcula",
    "halla",
    "convierte",
    "pasa",
    "dime",
    "según",
];
const ENGLISH_WORDS: [&str; 30] = [
    "the",
    "an",
    "of",
    "in",
    "with",
    "by",
    "for",
    "that",
    "what",
    "which",
    "how",
    "is",
    "are",
    "has",
    "does",
    "hello",
    "hi",
    "thanks",
    "find",
    "calculate",
    "convert",
    "determine",
    "tell",
    "me",
    "many",
    "much",
    "and",
    "if",
    "to",
    "at",
];

impl Language {
    /// The language of a text; `None` if nothing in it tells, as in "12 V / 4 Ω".
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let count = |words: &[&str]| {
            text.split(|c: char| !c.is_alphabetic()).filter(|word| words.contains(word)).count()
        };
        let marks = text.matches(['¿', '¡', 'ñ', 'á', 'é', 'í', 'ó', 'ú']).count();
        match (count(&SPANISH_WORDS) + marks).cmp(&count(&ENGLISH_WORDS)) {
            std::cmp::Ordering::Greater => Some(Self::Spanish),
            std::cmp::Ordering::Less => Some(Self::English),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// The language of the user's surroundings, for the greeting.
    pub(crate) fn of_environment() -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        match locale {
            Some(locale) if locale.starts_with("es") => Self::Spanish,
            _ => Self::English,
        }
    }

    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::Spanish => &SPANISH,
            Self::English => &ENGLISH,
        }
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "es" => Ok(Self::Spanish),
            "en" => Ok(Self::English),
            other => Err(format!("unknown language {other}: es or en")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_tell_their_language() {
        for question in
            ["¿Qué es la ley de Ohm?", "Convierte 5 m a mm", "calcula la tension con 6 A y 47 ohm"]
        {
            assert_eq!(Language::of(question), Some(Language::Spanish), "{question}");
        }
        for question in ["What is Ohm's law?", "Convert 5 m to mm", "find the voltage if I = 6 A"] {
            assert_eq!(Language::of(question), Some(Language::English), "{question}");
        }
        assert_eq!(Language::of("12 V / 4 Ω"), None);
        assert_eq!(Language::of(""), None);
    }
}
