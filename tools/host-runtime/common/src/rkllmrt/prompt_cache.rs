//! The prompt cache: keys and values of a prompt, in a file.

use std::io::Write;
use std::path::Path;

use rkllm::cpu::Engine;
use rkllm::{Backend, Error, ErrorKind, Result};

use super::sequence::{Item, Sequence};

/// Where the vendor's runtime writes without a path.
pub(super) const DEFAULT_PATH: &str = "./prompt_cache.bin";
/// How a file begins; fingerprint, number of tokens, tokens, state and a checksum follow, little-endian.
const MAGIC: &[u8; 16] = b"rkllm-host-kv-1\n";
/// No prompt is longer.
const MOST_TOKENS: u64 = 1 << 24;

/// A prompt and its state.
#[derive(Debug, Clone)]
pub(super) struct PromptCache {
    fingerprint: u64,
    tokens: Vec<u32>,
    state: Vec<u8>,
}

impl PromptCache {
    /// Copies the state of a sequence that is computed whole.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] with embeddings in it.
    pub(super) fn of(sequence: &Sequence) -> Result<Self> {
        let tokens = sequence.tokens();
        if tokens.len() != sequence.items().len() {
            let message = "a prompt with embeddings is not saved";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let mut state = Vec::new();
        sequence.engine.export_state(&mut state)?;
        let fingerprint = sequence.engine.fingerprint().unwrap_or_default();
        Ok(Self { fingerprint, tokens, state })
    }

    /// Writes it whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let mut bytes = Vec::with_capacity(48 + 4 * self.tokens.len() + self.state.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.fingerprint.to_le_bytes());
        bytes.extend_from_slice(&(self.tokens.len() as u64).to_le_bytes());
        self.tokens.iter().for_each(|id| bytes.extend_from_slice(&id.to_le_bytes()));
        bytes.extend_from_slice(&self.state);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let write = || {
            std::fs::File::create(&part)?.write_all(&bytes)?;
            std::fs::rename(&part, path)
        };
        write().map_err(|error| {
            let _ = std::fs::remove_file(&part);
            Error::io(path, "write the prompt cache", error)
        })
    }

    /// Reads one that this model's engine wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], and [`ErrorKind::Format`] for another model's or what is none.
    pub(super) fn load(path: &Path, sequence: &mut Sequence) -> Result<Self> {
        let refused = |why: &str| {
            Error::new(ErrorKind::Format, why.to_owned()).about(path.display().to_string())
        };
        let about = std::fs::metadata(path).map_err(|error| Error::io(path, "open", error))?;
        let longest = sequence.engine.state_bytes(sequence.engine.context()).unwrap_or(u64::MAX);
        if !about.is_file() || about.len() > longest.saturating_add(4 * MOST_TOKENS) {
            return Err(refused("no prompt cache of this model"));
        }
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", error))?;
        let Some((body, sum)) = bytes.split_last_chunk::<8>() else {
            return Err(refused("no prompt cache"));
        };
        if !body.starts_with(MAGIC) || body.len() < 32 {
            return Err(refused("no prompt cache of this runtime"));
        }
        if u64::from_le_bytes(*sum) != checksum(body) {
            return Err(refused("the prompt cache is damaged"));
        }
        let number = |at: usize| {
            let bytes = body[at..].first_chunk::<8>().copied().unwrap_or_default();
            u64::from_le_bytes(bytes)
        };
        let (fingerprint, count) = (number(16), number(24));
        if !is_of(&mut sequence.engine, fingerprint) {
            return Err(refused("the prompt cache is of another model"));
        }
        let size = usize::try_from(count).ok().filter(|_| count <= MOST_TOKENS);
        let size = size.filter(|count| body.len() >= 32 + 4 * count);
        let Some(count) = size else { return Err(refused("the prompt cache is damaged")) };
        let (ids, state) = body[32..].split_at(4 * count);
        let tokens: Vec<u32> = ids.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id)).collect();
        if sequence.engine.state_bytes(count) != Some(state.len() as u64) {
            return Err(refused("the prompt cache does not fit this context"));
        }
        Ok(Self { fingerprint, tokens, state: state.to_vec() })
    }

    /// Positions it has of what `items` begin with.
    pub(super) fn common(&self, sequence: &Sequence) -> usize {
        if sequence.engine.fingerprint() != Some(self.fingerprint) {
            return 0;
        }
        let items = sequence.items();
        let same = |(id, item): &(&u32, &Item)| matches!(item, Item::Token(own) if own == *id);
        self.tokens.iter().zip(items).take_while(same).count()
    }

    /// Puts its first `kept` positions in the place of what the sequence has computed.
    pub(super) fn restore(&self, sequence: &mut Sequence, kept: usize) -> Result<()> {
        sequence.import(self.tokens.len(), &mut self.state.as_slice(), kept)
    }
}

/// Whether the engine, with one of its adapters or none, makes states of this fingerprint.
fn is_of(engine: &mut Engine, fingerprint: u64) -> bool {
    let names: Vec<Option<String>> = engine.loras().map(|name| Some(name.to_owned())).collect();
    let now = engine.lora().map(str::to_owned);
    let mut found = false;
    for name in names.into_iter().chain([None]) {
        found |=
            engine.set_lora(name.as_deref()).is_ok() && engine.fingerprint() == Some(fingerprint);
    }
    // The name was in force before.
    let _ = engine.set_lora(now.as_deref());
    found
}

/// FNV-1a over 64-bit words: finds damage, not malice.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0xcbf2_9ce4_8422_2325, |sum, w| step(sum, u64::from_le_bytes(*w)));
    rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)))
}
