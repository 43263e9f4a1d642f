//! Runs.

use std::time::Instant;

use rkllm::{Error, ErrorKind, Result};
use rkllm_sys::v1_3::{LLMCallState, RKLLMPerfStat};

use super::conversation::{Begun, Composer};
use super::events::{Listener, Said, Told};
use super::fault::{Faults, Trouble};
use super::lane::{self, Lane};
use super::loaded::Loaded;
use super::log::{self, info};
use super::params::{Mode, RunInput, RunParams, SamplingParams};
use super::prompt_cache::PromptCache;
use super::sampling::{self, Sampler};
use super::sequence::{Embed, Output};
use super::text::{Added, Decoder};

/// A run's surroundings.
pub(super) struct Run<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) composer: Composer<'a>,
    pub(super) listener: Listener<'a>,
    pub(super) params: RunParams,
    pub(super) sampling: SamplingParams,
    /// New tokens at most.
    pub(super) limit: usize,
    pub(super) n_keep: i32,
    pub(super) skip_special: bool,
    pub(super) ignore_eos: bool,
    pub(super) cache: Option<&'a PromptCache>,
    pub(super) faults: Faults,
    pub(super) is_aborted: &'a dyn Fn() -> bool,
    /// Called before the end is told, and when the callback has paused.
    pub(super) ends: &'a dyn Fn(),
    /// Told the positions of each place whenever they change.
    pub(super) count: &'a dyn Fn(usize, usize),
}

/// How a run ended without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    Aborted,
    Paused,
}

/// Why a run failed.
pub(super) enum Failure {
    Error(Error),
    /// -1 without ERROR being told.
    Silent,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// One place's answer.
struct Answer {
    sampler: Sampler,
    decoder: Decoder,
    logits: Vec<f32>,
    /// Where in the sequence the input begins that it answers.
    question: usize,
    /// Where it begins in the tokens.
    begins: usize,
    tokens: Vec<u32>,
    text: String,
    new: usize,
    done: bool,
}

#[derive(Default)]
struct Figures {
    prefill_tokens: usize,
    prefill_ms: f32,
    generated: usize,
    generate_ms: f32,
    /// What is left of each place's text: a character that never became whole.
    rests: Vec<String>,
}

impl Run<'_> {
    /// Runs to the end and tells it.
    pub(super) fn run(&self, lanes: &mut [Lane], inputs: Vec<RunInput>) -> Result<(), Failure> {
        if lanes.len() > 1 && self.params.mode != Mode::Generate {
            let what = if self.params.mode == Mode::Logits { "logits" } else { "hidden states" };
            let message = format!("Getting the {what} is not supported for multiple batches.");
            return Err(Error::new(ErrorKind::Unsupported, message).into());
        }
        Sampler::new(self.sampling, 0)?;
        let lora = self.params.lora.as_deref().filter(|name| !name.is_empty());
        lanes.iter_mut().try_for_each(|lane| lane.sequence.choose_lora(lora))?;
        let mut figures = Figures::default();
        let end = self.compute(lanes, inputs, &mut figures);
        let settle = if end.is_err() { Lane::undo } else { Lane::settle };
        lanes.iter_mut().for_each(settle);
        self.counts(lanes);
        if end? != End::Paused {
            self.finish(lanes.len(), &figures);
        } else if log::level() > 0 {
            info!("paused: the callback returned 1");
        }
        Ok(())
    }

    fn compute(
        &self,
        lanes: &mut [Lane],
        inputs: Vec<RunInput>,
        figures: &mut Figures,
    ) -> Result<End, Failure> {
        let from = self.begin(lanes, inputs)?;
        match self.params.mode {
            Mode::Generate => self.generate(lanes, &from, figures),
            mode => self.outputs(&mut lanes[0], from[0], mode, figures),
        }
    }

    fn counts(&self, lanes: &[Lane]) {
        for (index, lane) in lanes.iter().enumerate() {
            (self.count)(index, lane.sequence.items().len());
        }
    }

    /// Puts the inputs in place, all or none. Returns where each begins.
    fn begin(&self, lanes: &mut [Lane], inputs: Vec<RunInput>) -> Result<Vec<usize>> {
        let keep = self.params.keep_history;
        let context = self.loaded.context();
        let composed: Vec<_> = lanes
            .iter()
            .zip(inputs)
            .map(|(lane, input)| lane.compose(&self.composer, input, keep))
            .collect::<Result<_>>()?;
        for Begun { items, from, .. } in &composed {
            let new = items.len() - from;
            // Only what was there before may go, and of that not what is to be kept.
            let stays = || match keep {
                true => lane::kept(self.n_keep, items, &self.composer).min(*from),
                false => *from,
            };
            if items.len() > context && stays() + new > context {
                let message = match stays() {
                    0 => format!("the prompt has {new} tokens, max_context_len is {context}"),
                    stays => format!(
                        "the prompt has {new} tokens and {stays} before it are kept, max_context_len is {context}"
                    ),
                };
                return Err(Error::new(ErrorKind::Context, message));
            }
        }
        let mut starts = Vec::new();
        for (lane, begun) in lanes.iter_mut().zip(composed) {
            let mut start = begun.from;
            let wanted = match self.params.mode {
                Mode::Generate => usize::MAX,
                _ => start,
            };
            let new = begun.items.len() - start;
            lane.begin(begun, wanted, keep, self.cache)?;
            while lane.sequence.items().len() > context {
                start -= lane.shift(self.n_keep, start, 0, &self.composer)?;
            }
            starts.push(lane.sequence.items().len().saturating_sub(new));
        }
        self.counts(lanes);
        Ok(starts)
    }

    /// Computes what waits in a sequence. False if the run was aborted.
    fn feed(
        &self,
        lane: &mut Lane,
        output: Output,
        from: usize,
        sink: &mut dyn FnMut(&[f32]),
    ) -> Result<bool> {
        let (composer, hidden) = (self.composer, self.loaded.hidden());
        let ask = |ids: &[u32]| composer.callbacks.embeddings(composer.number, ids, hidden);
        let embed: Option<&Embed<'_>> = if self.loaded.has_embedding { None } else { Some(&ask) };
        lane.sequence.feed(output, from, embed, self.is_aborted, sink)
    }

    /// Logits or hidden states of the input, in one result.
    fn outputs(
        &self,
        lane: &mut Lane,
        from: usize,
        mode: Mode,
        figures: &mut Figures,
    ) -> Result<End, Failure> {
        self.trouble(0)?;
        let begun = Instant::now();
        figures.prefill_tokens = lane.sequence.items().len() - from;
        let output = if mode == Mode::Logits { Output::Logits } else { Output::Hidden };
        let mut values = Vec::new();
        let whole = self.feed(lane, output, from, &mut |row| values.extend_from_slice(row))?;
        figures.prefill_ms = milliseconds(begun);
        if !whole {
            return Ok(End::Aborted);
        }
        self.save(std::slice::from_ref(lane))?;
        let mut told = Told::nothing();
        match mode {
            Mode::Logits => told.logits = &values,
            _ => told.hidden = &values,
        }
        let said = self.listener.tell(&[told], LLMCallState::RKLLM_RUN_NORMAL);
        let paused = said == Said::Pause;
        if paused {
            (self.ends)();
        }
        lane.end("", self.params.keep_history, paused);
        Ok(if paused { End::Paused } else { End::Finished })
    }

    fn generate(
        &self,
        lanes: &mut [Lane],
        questions: &[usize],
        figures: &mut Figures,
    ) -> Result<End, Failure> {
        let begun = Instant::now();
        let answers = self.prefill(lanes, questions, figures);
        figures.prefill_ms = milliseconds(begun);
        let keep = self.params.keep_history;
        let Some(mut answers) = answers? else {
            lanes.iter_mut().for_each(|lane| lane.end("", keep, false));
            return Ok(End::Aborted);
        };
        let prompts = self.save(lanes);
        let begun = Instant::now();
        let end = self.decode(lanes, &mut answers, figures);
        figures.generate_ms = milliseconds(begun);
        if end.is_err() && figures.generated == 0 {
            // Nothing was told: `run` takes the input back.
            return end;
        }
        let paused = matches!(end, Ok(End::Paused));
        for (lane, answer) in lanes.iter_mut().zip(&mut answers) {
            if !paused {
                let rest = answer.decoder.finish(self.loaded.tokenizer.as_ref())?;
                answer.text += &rest;
                figures.rests.push(rest);
            }
            lane.end(&answer.text, keep, paused);
        }
        prompts?;
        end
    }

    /// Computes the prompts; `None` if the run was aborted.
    fn prefill(
        &self,
        lanes: &mut [Lane],
        questions: &[usize],
        figures: &mut Figures,
    ) -> Result<Option<Vec<Answer>>> {
        let mut answers = Vec::new();
        for (lane, &question) in lanes.iter_mut().zip(questions) {
            let computed = rkllm::Backend::position(&lane.sequence.engine);
            figures.prefill_tokens += lane.sequence.items().len() - computed;
            let mut logits = Vec::new();
            let sink = &mut |row: &[f32]| row.clone_into(&mut logits);
            if !self.feed(lane, Output::Logits, usize::MAX, sink)? {
                return Ok(None);
            }
            let tokens = lane.sequence.tokens();
            answers.push(Answer {
                sampler: Sampler::new(self.sampling, sampling::seed())?,
                decoder: Decoder::new(self.skip_special),
                logits,
                question,
                begins: tokens.len(),
                tokens,
                text: String::new(),
                new: 0,
                done: false,
            });
        }
        Ok(Some(answers))
    }

    /// Token after token, of all places at once.
    fn decode(
        &self,
        lanes: &mut [Lane],
        answers: &mut [Answer],
        figures: &mut Figures,
    ) -> Result<End, Failure> {
        for step in 0.. {
            if (self.is_aborted)() {
                return Ok(End::Aborted);
            }
            self.trouble(step)?;
            let mut told = Vec::new();
            let mut waiting = true;
            for (lane, answer) in lanes.iter_mut().zip(answers.iter_mut()) {
                let (mut of_lane, incomplete) = self.next(lane, answer)?;
                if !answer.done {
                    let text = std::mem::take(&mut of_lane.text);
                    (of_lane.token, of_lane.text) = self.faults.spoil(step, of_lane.token, text);
                    waiting &= incomplete;
                }
                told.push(of_lane);
            }
            if answers.iter().all(|answer| answer.done) {
                return Ok(End::Finished);
            }
            figures.generated += answers.iter().filter(|answer| !answer.done).count();
            self.faults.slow(self.is_aborted);
            self.counts(lanes);
            let state = match waiting {
                true => LLMCallState::RKLLM_RUN_WAITING,
                false => LLMCallState::RKLLM_RUN_NORMAL,
            };
            if self.listener.tell(&told, state) == Said::Pause {
                (self.ends)();
                return Ok(End::Paused);
            }
            for (lane, answer) in lanes.iter_mut().zip(answers.iter_mut()) {
                if answer.done || answer.new >= self.limit {
                    continue;
                }
                if !self.room(lane, &mut answer.question)? {
                    answer.new = self.limit;
                    continue;
                }
                let logits = &mut answer.logits;
                let sink = &mut |row: &[f32]| row.clone_into(logits);
                if !self.feed(lane, Output::Logits, usize::MAX, sink)? {
                    return Ok(End::Aborted);
                }
            }
        }
        Ok(End::Finished)
    }

    /// Room for the token that waits: in a conversation the window shifts, over the question only when nothing that may
    /// go is left before it; elsewhere the answer ends.
    fn room(&self, lane: &mut Lane, question: &mut usize) -> Result<bool> {
        let context = self.loaded.context();
        if lane.sequence.items().len() <= context {
            return Ok(true);
        }
        if !self.params.keep_history {
            return Ok(false);
        }
        let kept = lane::kept(self.n_keep, lane.sequence.items(), &self.composer);
        if kept >= context {
            return Ok(false);
        }
        // All that stays is computed again: not for a position or two at each token.
        let least = context / 8;
        if *question > kept {
            *question -= lane.shift(self.n_keep, *question, least, &self.composer)?;
        } else {
            lane.shift(self.n_keep, usize::MAX, least, &self.composer)?;
        }
        Ok(lane.sequence.items().len() <= context)
    }

    /// The next token of one place, and whether its text ends inside a character.
    fn next(&self, lane: &mut Lane, answer: &mut Answer) -> Result<(Told<'static>, bool)> {
        let mut told = Told::nothing();
        if answer.done || answer.new >= self.limit {
            answer.done = true;
            return Ok((told, false));
        }
        let id = answer.sampler.choose(&answer.logits, &answer.tokens, answer.begins)?;
        if self.loaded.eos.contains(&id) && !self.ignore_eos && !self.faults.flood() {
            answer.done = true;
            // A template of the caller's begins after what ended the answer.
            if self.params.keep_history && self.composer.settings.frame.is_some() {
                lane.sequence.push(id);
            }
            return Ok((told, false));
        }
        lane.sequence.push(id);
        answer.tokens.push(id);
        answer.new += 1;
        told.token = id as i32;
        match answer.decoder.push(self.loaded.tokenizer.as_ref(), id)? {
            Added::Incomplete => Ok((told, true)),
            Added::Text(text) => {
                answer.text += &text;
                told.text = text.into_bytes();
                Ok((told, false))
            }
        }
    }

    fn trouble(&self, told: usize) -> Result<(), Failure> {
        self.faults.run(told).map_err(|trouble| match trouble {
            Trouble::Error => {
                Failure::Error(Error::new(ErrorKind::Runtime, "matmul(w8a8) run failed"))
            }
            Trouble::Fail => Failure::Silent,
        })
    }

    /// Saves the prompt, computed whole, if that is asked for.
    fn save(&self, lanes: &[Lane]) -> Result<(), Failure> {
        let Some(path) = &self.params.save_prompt_cache else { return Ok(()) };
        PromptCache::of(&lanes[0].sequence)?.save(path)?;
        info!("prompt cache saved to {}", path.display());
        Ok(())
    }

    fn finish(&self, places: usize, figures: &Figures) {
        let perf = RKLLMPerfStat {
            prefill_time_ms: figures.prefill_ms,
            prefill_tokens: figures.prefill_tokens as i32,
            generate_time_ms: figures.generate_ms,
            generate_tokens: figures.generated as i32,
            memory_usage_mb: peak_memory_mb(),
        };
        if log::level() > 0 {
            report(&perf);
        }
        let rest = |place: usize| figures.rests.get(place).cloned().unwrap_or_default();
        let told = |place| Told { perf, text: rest(place).into_bytes(), ..Told::nothing() };
        let told: Vec<_> = (0..places).map(told).collect();
        (self.ends)();
        self.listener.tell(&told, LLMCallState::RKLLM_RUN_FINISH);
    }
}

fn milliseconds(since: Instant) -> f32 {
    since.elapsed().as_secs_f32() * 1000.0
}

fn report(perf: &RKLLMPerfStat) {
    let line = |stage: &str, ms: f32, tokens: i32| {
        let (each, rate) = match tokens {
            0 => (0.0, 0.0),
            _ => (ms / tokens as f32, tokens as f32 * 1000.0 / ms.max(1e-3)),
        };
        info!("{stage:<9} {ms:>12.2} {tokens:>8} {each:>14.2} {rate:>14.2}");
    };
    info!("stage       total (ms)   tokens  ms per token   tokens per s");
    line("Prefill", perf.prefill_time_ms, perf.prefill_tokens);
    line("Generate", perf.generate_time_ms, perf.generate_tokens);
    info!("memory usage {:.2} MB", perf.memory_usage_mb);
}

/// `VmHWM` of the process.
fn peak_memory_mb() -> f32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f32>().ok());
    kib.map_or(0.0, |kib| kib / 1024.0)
}
