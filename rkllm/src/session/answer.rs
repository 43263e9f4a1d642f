//! `Answer`: text as it is generated.

use std::time::Instant;

use super::cancel::{CancelHandle, Ticket};
use super::degenerate::Watch;
use super::matching::Matching;
use super::model::Model;
use super::options::GenerateOptions;
use super::random::fresh_seed;
use super::sampling::Sampler;
use super::sequence::Sequence;
use super::session::{Session, check_prompt};
use super::statistics::Statistics;
use super::stop::{Shown, Stop, StopStrings};
use crate::Result;
use crate::model::TextStream;

/// The conversation an answer belongs to.
pub(super) trait Transcript {
    /// Makes room in a context of `context` tokens for an answer of `answer` tokens so far by letting go
    /// of the oldest messages: the prompt of what stays and the number of messages that went, or `None`
    /// if nothing can go.
    fn slide(&mut self, answer: usize, context: usize) -> Result<Option<(Vec<u32>, usize)>>;

    /// Takes the text of the answer, and whether the model itself had its say.
    fn end(&mut self, text: &str, complete: bool);

    /// The answer failed.
    fn fail(&mut self);
}

/// What an answer begins with.
pub(super) struct Begin<'a> {
    /// Taken by the call that asked before it did anything else.
    pub(super) ticket: Ticket,
    pub(super) begun: Instant,
    pub(super) prompt: Vec<u32>,
    /// The prompt goes after the embeddings that the sequence begins with.
    pub(super) keep_embeddings: bool,
    /// The answer's first text depends on the prompt's last, as in continued text.
    pub(super) in_context: bool,
    pub(super) transcript: Option<Box<dyn Transcript + Send + 'a>>,
    /// Messages that left the history for it.
    pub(super) dropped_messages: usize,
}

/// Tokens of the prompt the text of the first new one may depend on.
const TEXT_CONTEXT: usize = 8;

/// What a step comes to.
enum Chosen {
    Token(u32),
    End(Stop),
}

/// An answer: an iterator of pieces of text, each of whole characters.
///
/// Nothing is computed before the first call of `next`. Text that may be the beginning of a stop string
/// is held back until it cannot be. After an error, and after the end, there are no more pieces.
///
/// Dropping an answer before its end cancels it. What stays is described at
/// [`Chat`](super::Chat#what-stays-of-an-answer) and [`Session::tokens`](super::Session::tokens).
pub struct Answer<'a> {
    sequence: &'a mut Sequence,
    options: &'a GenerateOptions,
    eos: &'a [u32],
    transcript: Option<Box<dyn Transcript + Send + 'a>>,
    text: TextStream<'a>,
    stops: StopStrings,
    watch: Watch,
    sampler: Sampler,
    /// What is left of its constraint; the text is then that of `Matching`.
    matching: Option<Matching>,
    ticket: Ticket,
    begun: Instant,
    /// The prompt, until the first token is computed.
    prompt: Option<Vec<u32>>,
    keep_embeddings: bool,
    tokens: Vec<u32>,
    said: String,
    ended: bool,
    statistics: Statistics,
}

impl<'a> Answer<'a> {
    pub(super) fn begin(session: &'a mut Session, begin: Begin<'a>) -> Result<Self> {
        let Session { model, sequence, options, .. } = session;
        let (model, options): (&'a Model, &'a GenerateOptions) = (model, options);
        options.check(model)?;
        let matching = options.matching(model)?;
        let embedded = if begin.keep_embeddings { sequence.embedded() } else { 0 };
        check_prompt(sequence, &begin.prompt, embedded)?;
        let seed = options.sampling.seed().unwrap_or_else(fresh_seed);
        let mut text = model.tokenizer()?.stream();
        if begin.in_context {
            let first = begin.prompt.len().saturating_sub(TEXT_CONTEXT);
            begin.prompt[first..].iter().try_for_each(|&id| text.push(id).map(drop))?;
        }
        Ok(Self {
            sequence,
            options,
            eos: if options.ignore_eos { &[] } else { model.eos()? },
            transcript: begin.transcript,
            text,
            stops: StopStrings::new(&options.stop),
            watch: Watch::new(!options.allow_degenerate && !options.ignore_eos),
            sampler: Sampler::new(options.sampling.clone(), seed),
            matching,
            ticket: begin.ticket,
            begun: begin.begun,
            statistics: Statistics {
                prompt_tokens: begin.prompt.len(),
                dropped_messages: begin.dropped_messages,
                seed,
                ..Statistics::default()
            },
            prompt: Some(begin.prompt),
            keep_embeddings: begin.keep_embeddings,
            tokens: Vec::new(),
            said: String::new(),
            ended: false,
        })
    }

    /// Stops this answer, and no other, from another thread.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.ticket.handle()
    }

    /// Ends it here, if it has not ended.
    #[cfg(feature = "chat")]
    pub(super) fn cancel(&mut self) {
        if !self.ended {
            self.end(Stop::Cancelled);
        }
    }

    /// What the answer took so far; all of it once there are no more pieces.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The text given so far.
    pub fn so_far(&self) -> &str {
        &self.said
    }

    /// The tokens generated so far. The text of the last ones may not have been given yet.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Generates to the end and returns what it took.
    ///
    /// # Errors
    /// The first error of the rest.
    pub fn finish(mut self) -> Result<Statistics> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(self.statistics)
    }

    /// Generates to the end and returns the whole text.
    ///
    /// # Errors
    /// The first error of the rest.
    pub fn text(mut self) -> Result<String> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(std::mem::take(&mut self.said))
    }

    /// One token, and the text that is now certain.
    fn step(&mut self) -> Result<String> {
        if self.ticket.is_cancelled() {
            return Ok(self.end(Stop::Cancelled));
        }
        if self.options.max_tokens == Some(self.tokens.len()) {
            return self.end_with_rest(Stop::MaxTokens);
        }
        if self.sequence.is_full() && self.prompt.is_none() && !self.slide()? {
            return self.end_with_rest(Stop::Context);
        }
        let started = Instant::now();
        let prefill = self.prompt.is_some();
        if let Some(prompt) = self.prompt.take() {
            let reused = self.sequence.begin(prompt, self.keep_embeddings)?;
            if self.tokens.is_empty() {
                self.statistics.reused_tokens = reused;
            }
        }
        let fed = self.sequence.feed(&|| self.ticket.is_cancelled())?;
        let chosen = if fed { self.choose()? } else { Chosen::End(Stop::Cancelled) };
        if prefill {
            self.statistics.prefill += started.elapsed();
        } else {
            self.statistics.decode += started.elapsed();
        }
        match chosen {
            Chosen::End(Stop::Cancelled) => Ok(self.end(Stop::Cancelled)),
            Chosen::End(stop) => self.end_with_rest(stop),
            Chosen::Token(token) => self.take(token),
        }
    }

    fn choose(&mut self) -> Result<Chosen> {
        let (tokens, logits) = (self.sequence.tokens(), self.sequence.logits());
        let prompt = tokens.len() - self.tokens.len();
        let token = match &mut self.matching {
            None => self.sampler.choose(logits, tokens, prompt, None)?,
            Some(matching) => {
                let Some(allowed) = matching.allowed(logits.len(), self.eos)? else {
                    return Ok(Chosen::End(Stop::Complete));
                };
                self.sampler.choose(logits, tokens, prompt, Some(&|id| allowed.has(id)))?
            }
        };
        Ok(match self.eos.contains(&token) {
            true => Chosen::End(Stop::Eos),
            false => Chosen::Token(token),
        })
    }

    fn take(&mut self, token: u32) -> Result<String> {
        self.statistics.time_to_first_token.get_or_insert_with(|| self.begun.elapsed());
        self.sequence.push(token);
        self.tokens.push(token);
        self.statistics.new_tokens = self.tokens.len();
        let piece = match &mut self.matching {
            None => self.text.push(token)?,
            Some(matching) => matching.take(token)?,
        };
        self.statistics.degenerate = self.watch.push(token, &piece);
        let Shown { mut text, stopped } = self.stops.push(&piece);
        self.said += &text;
        if stopped {
            self.end(Stop::StopString);
        } else if self.matching.as_ref().is_some_and(Matching::is_complete) {
            text += &self.end_with_rest(Stop::Complete)?;
        } else if self.statistics.degenerate.is_some() {
            text += &self.end_with_rest(Stop::Degenerate)?;
        } else if self.options.max_tokens == Some(self.tokens.len()) {
            text += &self.end_with_rest(Stop::MaxTokens)?;
        }
        Ok(text)
    }

    /// Computes the conversation anew without its oldest part; false if it has none to spare.
    fn slide(&mut self) -> Result<bool> {
        let Some(transcript) = &mut self.transcript else { return Ok(false) };
        let context = self.sequence.context();
        let Some((mut prompt, dropped)) = transcript.slide(self.tokens.len(), context)? else {
            return Ok(false);
        };
        self.statistics.dropped_messages += dropped;
        prompt.extend_from_slice(&self.tokens);
        self.prompt = Some(prompt);
        Ok(true)
    }

    /// Ends with what was given: text held back is not part of the answer.
    fn end(&mut self, stop: Stop) -> String {
        self.ended = true;
        self.statistics.stop = Some(stop);
        if let Some(mut transcript) = self.transcript.take() {
            transcript.end(&self.said, matches!(stop, Stop::Eos | Stop::Complete));
        }
        String::new()
    }

    /// Ends with the text held back, which nothing can follow now.
    fn end_with_rest(&mut self, stop: Stop) -> Result<String> {
        // The beginning of a character is nothing a constraint would have let stand.
        let rest = if self.matching.is_some() { String::new() } else { self.text.finish()? };
        let Shown { mut text, stopped } = self.stops.push(&rest);
        if !stopped {
            text += &self.stops.finish();
        }
        self.said += &text;
        self.end(if stopped { Stop::StopString } else { stop });
        Ok(text)
    }

    fn fail(&mut self) {
        self.ended = true;
        // What the backend holds after an error is not known.
        self.sequence.clear();
        if let Some(mut transcript) = self.transcript.take() {
            transcript.fail();
        }
    }
}

impl Iterator for Answer<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.step() {
                Ok(text) if text.is_empty() => {}
                Ok(text) => return Some(Ok(text)),
                Err(error) => {
                    self.fail();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl std::iter::FusedIterator for Answer<'_> {}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Stop::Cancelled);
        }
    }
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("said", &self.said)
            .field("ended", &self.ended)
            .field("statistics", &self.statistics)
            .finish_non_exhaustive()
    }
}
