//! One place of the batch: a sequence and its conversation.

use rkllm::model::Message;
use rkllm::{Error, ErrorKind, Result};

use super::conversation::{Before, Begun, Composer};
use super::log;
use super::log::{info, warning};
use super::params::RunInput;
use super::prompt_cache::PromptCache;
use super::sequence::Sequence;

/// What is kept from run to run.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) sequence: Sequence,
    /// The conversation, while the sequence is just what the template makes of it.
    messages: Option<Vec<Message>>,
    /// The last run is kept for the next one with history.
    keeps: bool,
    /// The last run was paused in single-turn mode.
    pub(super) paused: bool,
}

impl Lane {
    pub(super) fn new(sequence: Sequence) -> Self {
        Self { sequence, messages: None, keeps: false, paused: false }
    }

    /// What the sequence will be with this input; nothing is changed yet. With it, where the input begins.
    pub(super) fn compose(
        &self,
        composer: &Composer<'_>,
        input: RunInput,
        keep_history: bool,
    ) -> Result<(Begun, usize)> {
        let goes_on = self.paused || (keep_history && self.keeps);
        let items = if goes_on { self.sequence.items() } else { &[] };
        let messages = self.messages.as_deref().filter(|_| goes_on);
        let before = Before { items, messages, paused: self.paused };
        let begun = composer.begin(before, input)?;
        let from = items.len().min(begun.items.len().saturating_sub(1));
        Ok((begun, from))
    }

    /// Puts it in place. Outputs are wanted of the items from `wanted` on.
    pub(super) fn begin(
        &mut self,
        begun: Begun,
        wanted: usize,
        keep_history: bool,
        cache: Option<&PromptCache>,
    ) -> Result<()> {
        let before = rkllm::Backend::position(&self.sequence.engine);
        self.sequence.set(begun.items, wanted)?;
        let reused = rkllm::Backend::position(&self.sequence.engine);
        self.messages = begun.messages;
        self.paused = false;
        self.keeps = keep_history;
        if let Some(cache) = cache {
            let len = self.sequence.items().len();
            let common = cache.common(&self.sequence).min(len - 1).min(wanted);
            if common > reused {
                cache.restore(&mut self.sequence, common)?;
                if log::level() > 1 {
                    info!("prompt cache: {common} of {len} tokens");
                }
            }
        }
        if log::level() > 1 {
            let len = self.sequence.items().len();
            info!("kv cache: {before} before, {reused} of {len} kept");
        }
        Ok(())
    }

    /// The answer that ended or was ended.
    pub(super) fn end(&mut self, answer: &str, keep_history: bool, paused: bool) {
        self.paused = paused && !keep_history;
        if let Some(messages) = &mut self.messages {
            messages.push(Message::assistant(answer));
        }
    }

    /// Makes room in a full context: of what stands after the positions to keep, the older half goes.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] where nothing can go.
    pub(super) fn shift(&mut self, n_keep: i32, composer: &Composer<'_>) -> Result<()> {
        let items = self.sequence.items();
        let keep = match usize::try_from(n_keep) {
            Ok(keep) => keep,
            Err(_) => composer.system_len(items),
        };
        let len = items.len();
        let goes = len.saturating_sub(keep) / 2;
        if goes == 0 {
            let message =
                format!("the context of {len} positions is full, of which {keep} are kept");
            return Err(Error::new(ErrorKind::Context, message));
        }
        warning!("context full: positions {keep} to {} are dropped", keep + goes);
        self.sequence.remove(keep..keep + goes)?;
        self.messages = None;
        Ok(())
    }

    /// Forgets everything, but perhaps the system prompt.
    pub(super) fn clear(
        &mut self,
        keep_system_prompt: bool,
        composer: &Composer<'_>,
    ) -> Result<()> {
        self.paused = false;
        let kept = match keep_system_prompt {
            true => composer.system_len(self.sequence.items()),
            false => 0,
        };
        if kept == 0 {
            self.sequence.clear();
            self.messages = None;
            self.keeps = false;
            return Ok(());
        }
        self.messages = self.messages.take().map(|_| composer.system());
        self.sequence.remove(kept..usize::MAX)
    }
}
