//! One place of the batch: a sequence and its conversation.

use rkllm::model::Message;
use rkllm::{Error, ErrorKind, Result};

use super::conversation::{Before, Begun, Composer};
use super::log;
use super::log::{info, warning};
use super::params::RunInput;
use super::prompt_cache::PromptCache;
use super::sequence::{Item, Sequence};

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
    /// What there was before the input that is being computed.
    former: Option<Former>,
}

/// A lane as it was.
#[derive(Debug)]
struct Former {
    items: Vec<Item>,
    messages: Option<Vec<Message>>,
    keeps: bool,
    paused: bool,
}

impl Lane {
    pub(super) fn new(sequence: Sequence) -> Self {
        Self { sequence, messages: None, keeps: false, paused: false, former: None }
    }

    /// What the sequence will be with this input; nothing is changed yet.
    pub(super) fn compose(
        &self,
        composer: &Composer<'_>,
        input: RunInput,
        keep_history: bool,
    ) -> Result<Begun> {
        let goes_on = self.paused || (keep_history && self.keeps);
        let items = if goes_on { self.sequence.items() } else { &[] };
        let messages = self.messages.as_deref().filter(|_| goes_on);
        let before = Before { items, messages, paused: self.paused };
        composer.begin(before, input)
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
        self.former = Some(Former {
            items: self.sequence.items().to_vec(),
            messages: self.messages.clone(),
            keeps: self.keeps,
            paused: self.paused,
        });
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

    /// The input stays.
    pub(super) fn settle(&mut self) {
        self.former = None;
    }

    /// As if the input had not come, if it failed before anything was told: it would stand there without an answer.
    pub(super) fn undo(&mut self) {
        let Some(former) = self.former.take() else { return };
        let Former { items, messages, keeps, paused } = former;
        // What the cache has lost of them is computed again with the next input.
        if items.is_empty() {
            self.sequence.clear();
        } else if self.sequence.set(items, usize::MAX).is_err() {
            return self.forget();
        }
        (self.messages, self.keeps, self.paused) = (messages, keeps, paused);
    }

    /// The answer that ended or was ended.
    pub(super) fn end(&mut self, answer: &str, keep_history: bool, paused: bool) {
        self.settle();
        self.paused = paused && !keep_history;
        if let Some(messages) = &mut self.messages {
            messages.push(Message::assistant(answer));
        }
    }

    /// Makes room in a full context: of what stands from the positions to keep up to `until`, the older half goes, and
    /// at least `least` if there are so many. Returns how many go.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] where nothing can go.
    pub(super) fn shift(
        &mut self,
        n_keep: i32,
        until: usize,
        least: usize,
        composer: &Composer<'_>,
    ) -> Result<usize> {
        let items = self.sequence.items();
        let (keep, len) = (kept(n_keep, items, composer), items.len());
        let span = until.min(len).saturating_sub(keep);
        // The token that was just chosen is not yet computed.
        let (half, most) = match until < len {
            true => (span.div_ceil(2), span),
            false => (span / 2, span.saturating_sub(1)),
        };
        let goes = half.max(least.min(most));
        if goes == 0 {
            let message =
                format!("the context of {len} positions is full, of which {keep} are kept");
            return Err(Error::new(ErrorKind::Context, message));
        }
        warning!("context full: positions {keep} to {} are dropped", keep + goes);
        self.sequence.remove(keep..keep + goes)?;
        self.messages = None;
        Ok(goes)
    }

    pub(super) fn forget(&mut self) {
        self.sequence.clear();
        (self.messages, self.former) = (None, None);
        (self.keeps, self.paused) = (false, false);
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
            self.forget();
            return Ok(());
        }
        // Of whatever followed, what is left is the template's again.
        self.messages = Some(composer.system());
        self.sequence.remove(kept..usize::MAX)
    }
}

/// Positions at the beginning that a full context keeps: `n_keep`, or those of the system prompt.
pub(super) fn kept(n_keep: i32, items: &[Item], composer: &Composer<'_>) -> usize {
    usize::try_from(n_keep).unwrap_or_else(|_| composer.system_shared(items))
}
