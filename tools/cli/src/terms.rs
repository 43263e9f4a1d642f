//! Questions with known answers: from a file to prompts, and from a model's tokens to a score.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use rkllm::ErrorKind;
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::eval::{self, AnswerOptions, Term, TermAccuracy};
use rkllm::model::{ChatTemplate, Message, ModelConfig, ModelWeights, RenderOptions, Tokenizer};
use serde::Serialize;

use crate::args::Settings;
use crate::progress::Progress;
use crate::text;

/// The file a model directory may bring.
const FILE: &str = "terms.jsonl";

/// How a question becomes a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Prompt {
    /// By the model's chat template, without thinking first.
    ChatTemplate,
    /// `Question: ...` and `Answer:` on the next line, in Spanish for `es`: the model has no template.
    Plain,
}

/// Questions, ready to be asked.
pub(crate) struct Questions {
    pub(crate) file: String,
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) prompt: Prompt,
    pub(crate) terms: Vec<Term>,
    prompts: Vec<Vec<u32>>,
    options: AnswerOptions,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) correct: bool,
}

/// All answers of one scheme.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answers {
    pub(crate) accuracy: TermAccuracy,
    /// In the order of the questions.
    pub(crate) answers: Vec<Answer>,
}

/// The model's own questions, if it brings some.
pub(crate) fn of_model(model: &Path) -> Option<PathBuf> {
    Some(model.join(FILE)).filter(|path| path.is_file())
}

impl Questions {
    /// Reads the questions in `file` and renders them for the model in `model`.
    pub(crate) fn open(
        file: &Path,
        model: &Path,
        config: &ModelConfig,
        tokenizer: &Tokenizer,
    ) -> anyhow::Result<Self> {
        let name = file.display().to_string();
        let source = fs::read_to_string(file)
            .with_context(|| format!("{name}: cannot read the questions"))?;
        let terms = eval::parse_terms(&source).map_err(|error| error.about(name.clone()))?;
        let template = Template::open(model)?;
        let prompts: Vec<Vec<u32>> =
            terms.iter().map(|term| template.encode(term, tokenizer)).collect::<Result<_, _>>()?;
        let options = AnswerOptions { eos: ends(config, tokenizer), ..AnswerOptions::default() };
        Ok(Self {
            file: name,
            sha256: text::sha256(&source),
            prompt: template.prompt(),
            terms,
            prompts,
            options,
        })
    }

    /// Asks the model all of them: one engine of one thread for each thread to compute with, because whole
    /// answers share nothing and a token of a small model is too little work to be shared.
    pub(crate) fn ask(
        &self,
        weights: &Arc<ModelWeights>,
        tokenizer: &Tokenizer,
        settings: &Settings,
        progress: &mut Progress,
    ) -> rkllm::Result<Answers> {
        let longest = self.prompts.iter().map(Vec::len).max().unwrap_or(0);
        let options = EngineOptions {
            threads: 1,
            context: longest + self.options.max_tokens,
            ..EngineOptions::default()
        };
        let count = settings.threads.min(self.prompts.len());
        let mut engines: Vec<Engine> = (0..count)
            .map(|_| Engine::new(Arc::clone(weights), options))
            .collect::<Result<_, _>>()?;
        let total = self.prompts.len() as u64;
        let progress = Mutex::new(progress);
        let found = eval::answers(&mut engines, &self.prompts, &self.options, &|done| {
            if let Ok(mut progress) = progress.lock() {
                progress.set(done as u64, total, String::new);
            }
            ControlFlow::Continue(())
        })?;
        let answers = self.terms.iter().zip(&found).map(|(term, tokens)| {
            let text = tokenizer.decode(tokens)?.trim().to_owned();
            Ok(Answer { correct: term.accepts(&text), text })
        });
        let answers: Vec<Answer> = answers.collect::<rkllm::Result<_>>()?;
        let correct: Vec<bool> = answers.iter().map(|answer| answer.correct).collect();
        let accuracy = TermAccuracy::of(&self.terms, &correct)
            .ok_or_else(|| rkllm::Error::new(ErrorKind::Input, "no questions were asked"))?;
        Ok(Answers { accuracy, answers })
    }
}

/// What ends an answer: what the model's configuration names, and what the tokenizer does.
fn ends(config: &ModelConfig, tokenizer: &Tokenizer) -> Vec<u32> {
    let mut ends = config.eos_token_ids.clone();
    ends.extend(tokenizer.eos().filter(|eos| !ends.contains(eos)));
    ends
}

/// How this model is asked.
struct Template(Option<ChatTemplate>);

impl Template {
    fn open(model: &Path) -> rkllm::Result<Self> {
        ChatTemplate::open(model).map(Self)
    }

    fn prompt(&self) -> Prompt {
        if self.0.is_some() { Prompt::ChatTemplate } else { Prompt::Plain }
    }

    fn encode(&self, term: &Term, tokenizer: &Tokenizer) -> rkllm::Result<Vec<u32>> {
        let Some(template) = &self.0 else { return plain(term, tokenizer) };
        // A model that thinks first would spend the answer's tokens on it.
        let options = RenderOptions { enable_thinking: Some(false), ..RenderOptions::default() };
        let prompt = template.render(&[Message::user(term.question.as_str())], &options)?;
        tokenizer.encode_chat(&prompt)
    }
}

/// The prompt for a model without a chat template; it begins with BOS once, if the model has one.
fn plain(term: &Term, tokenizer: &Tokenizer) -> rkllm::Result<Vec<u32>> {
    let text = match term.lang.as_str() {
        "es" => format!("Pregunta: {}\nRespuesta:", term.question),
        _ => format!("Question: {}\nAnswer:", term.question),
    };
    let mut tokens: Vec<u32> = tokenizer.bos().into_iter().collect();
    tokens.extend(tokenizer.encode(&text)?);
    Ok(tokens)
}
