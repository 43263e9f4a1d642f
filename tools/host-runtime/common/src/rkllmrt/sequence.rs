//! One sequence: what it holds, and how much of it the engine has computed.

use std::io::Read;
use std::sync::Arc;

use rkllm::cpu::Engine;
use rkllm::{Backend, Input, Result, Want};

use super::loaded::CHUNK;

/// What stands at a position.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Token(u32),
    /// An embedding `[hidden]`.
    Row(Arc<[f32]>),
}

/// Gives the embeddings of tokens, for a model without its own.
pub(super) type Embed<'a> = dyn Fn(&[u32]) -> Result<Vec<f32>> + 'a;

/// What is computed of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Logits,
    Hidden,
}

/// A sequence on an engine of its own. The engine holds the first [`Backend::position`] items; the others
/// wait to be computed.
pub(super) struct Sequence {
    pub(super) engine: Engine,
    items: Vec<Item>,
}

impl Sequence {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, items: Vec::new() }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The tokens, without embeddings.
    pub(super) fn tokens(&self) -> Vec<u32> {
        let token = |item: &Item| if let Item::Token(id) = item { Some(*id) } else { None };
        self.items.iter().filter_map(token).collect()
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.engine.reset();
    }

    /// Computes with this adapter from now on, or none. What another one computed is computed again.
    pub(super) fn choose_lora(&mut self, name: Option<&str>) -> Result<()> {
        if self.engine.lora() != name {
            self.engine.set_lora(name)?;
            self.engine.reset();
        }
        Ok(())
    }

    /// Puts `items` in the place of the sequence. What both begin with stays computed, up to `from` at
    /// most and but for the last item, whose output is wanted.
    pub(super) fn set(&mut self, items: Vec<Item>, from: usize) -> Result<()> {
        let computed = &self.items[..self.engine.position().min(self.items.len())];
        let common = computed.iter().zip(&items).take_while(|(a, b)| a == b).count();
        let kept = common.min(from).min(items.len().saturating_sub(1));
        self.engine.truncate(kept)?;
        self.items = items;
        Ok(())
    }

    /// As [`Sequence::set`] for what a file holds of the items' beginning.
    pub(super) fn import(&mut self, len: usize, state: &mut dyn Read, kept: usize) -> Result<()> {
        self.engine.import_state(len, state)?;
        self.engine.truncate(kept)
    }

    pub(super) fn push(&mut self, token: u32) {
        self.items.push(Item::Token(token));
    }

    /// Forgets items; what stood after them is computed again, at its new place.
    pub(super) fn remove(&mut self, range: std::ops::Range<usize>) -> Result<()> {
        let end = range.end.min(self.items.len());
        let start = range.start.min(end);
        self.items.drain(start..end);
        self.engine.truncate(self.engine.position().min(start))
    }

    /// Computes what waits. `sink` gets the outputs of the items from `from` on, or of the last one alone
    /// where that is the length or more. False if `cancelled` said so before the end.
    pub(super) fn feed(
        &mut self,
        output: Output,
        from: usize,
        embed: Option<&Embed<'_>>,
        cancelled: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[f32]),
    ) -> Result<bool> {
        let len = self.items.len();
        while self.engine.position() < len {
            if cancelled() {
                return Ok(false);
            }
            let first = self.engine.position();
            let is_token = |item: &Item| matches!(item, Item::Token(_));
            let kind = is_token(&self.items[first]);
            let mut end = (first + CHUNK).min(len);
            if first < from {
                end = end.min(from);
            }
            let span = self.items[first..end].iter().take_while(|item| is_token(item) == kind);
            let end = first + span.count();
            let want = match () {
                () if first >= from => Want::All,
                () if end == len => Want::Last,
                () => Want::Nothing,
            };
            let values = values(&self.items[first..end], embed)?;
            let input = match &values {
                Values::Tokens(tokens) => Input::Tokens(tokens),
                Values::Rows(rows) => Input::Embeddings(rows),
            };
            let mut sink = |_: usize, row: &[f32]| {
                sink(row);
                Ok(())
            };
            match (output, input) {
                (Output::Hidden, input) => self.engine.forward_hidden(input, want, &mut sink)?,
                (Output::Logits, Input::Tokens(ids)) => {
                    self.engine.forward(ids, want, &mut sink)?
                }
                (Output::Logits, Input::Embeddings(rows)) => {
                    self.engine.forward_embeddings(rows, want, &mut sink)?;
                }
            }
        }
        Ok(true)
    }
}

enum Values {
    Tokens(Vec<u32>),
    Rows(Vec<f32>),
}

/// What the engine takes for items of one kind.
fn values(items: &[Item], embed: Option<&Embed<'_>>) -> Result<Values> {
    let mut tokens = Vec::new();
    let mut rows = Vec::new();
    for item in items {
        match item {
            Item::Token(id) => tokens.push(*id),
            Item::Row(row) => rows.extend_from_slice(row),
        }
    }
    Ok(match embed {
        _ if !rows.is_empty() => Values::Rows(rows),
        Some(embed) => Values::Rows(embed(&tokens)?),
        None => Values::Tokens(tokens),
    })
}

impl std::fmt::Debug for Sequence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequence")
            .field("items", &self.items.len())
            .field("computed", &self.engine.position())
            .finish_non_exhaustive()
    }
}
