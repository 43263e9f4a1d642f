//! Readable strings of a binary file, and what they may mean.

use std::collections::BTreeMap;

use crate::soc::Soc;

/// Shorter strings are chance.
const SHORTEST: usize = 4;
/// Away from the file's ends, strings shorter than a platform's name are nothing.
const WORTHY: usize = 6;
/// A longer string is taken in pieces of this many bytes, of which this many are those before.
const LONGEST: usize = 4096;
const OVERLAP: usize = 128;
/// Strings shown to people: how many, and from which length on.
const SAMPLES: usize = 32;
const SAMPLE: usize = 12;
const SAMPLE_CUT: usize = 120;
/// Four letters occur in gigabytes of weights by chance; types are looked for near the file's ends.
const NEAR: u64 = 1 << 20;
/// How far a value may lie behind its key, in bytes.
const AFTER: u64 = 64;

/// Keys under which the runtime's log names what it reads from a model, and what they are here. An earlier
/// one wins where one holds another.
const KEYS: [(&str, &str); 7] = [
    ("max_context", "context"),
    ("npu_core_num", "npu_cores"),
    ("num_npu_core", "npu_cores"),
    ("target_platform", "platform"),
    ("model_dtype", "dtype"),
    ("quantized_dtype", "dtype"),
    ("rkllm-toolkit", "toolkit"),
];
/// How much of a text behind a key can be its value.
const VALUE: usize = 32;
/// The schemes the toolkit knows, longer ones first.
const DTYPES: [&str; 10] = [
    "w8a8_g128",
    "w8a8_g256",
    "w8a8_g512",
    "w4a16_g32",
    "w4a16_g64",
    "w4a16_g128",
    "w4a8_g32",
    "w8a8",
    "w4a16",
    "fp16",
];

/// What the strings of a file came to, bounded whatever the file holds.
#[derive(Debug, Default)]
pub(super) struct Strings {
    /// Of the file.
    size: u64,
    current: Vec<u8>,
    /// Where `current` began.
    began: u64,
    /// `current` goes on.
    cutting: bool,
    samples: Vec<String>,
    /// A key without a value yet, and where it ended.
    open: Option<(&'static str, &'static str, u64)>,
    keyed: BTreeMap<&'static str, (String, &'static str)>,
    platforms: BTreeMap<String, u64>,
    dtypes: BTreeMap<String, u64>,
    split_tensors: u64,
    last_layer: Option<u32>,
    template: bool,
}

impl Strings {
    /// For a file of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        Self { size, ..Self::default() }
    }

    /// Takes the bytes at `at`.
    pub(super) fn feed(&mut self, bytes: &[u8], at: u64) {
        for (offset, &byte) in bytes.iter().enumerate() {
            if (b' '..=b'~').contains(&byte) || byte == b'\n' || byte == b'\t' {
                if self.current.is_empty() {
                    self.began = at.saturating_add(offset as u64);
                }
                self.current.push(byte);
                if self.current.len() == LONGEST {
                    self.cut();
                }
            } else if !self.current.is_empty() {
                self.finish();
            }
        }
    }

    /// Ends the string that runs, as the file or the part that is searched does.
    pub(super) fn end(&mut self) {
        self.finish();
        self.open = None;
    }

    fn finish(&mut self) {
        let bytes = std::mem::take(&mut self.current);
        let number = self.open.is_some() && bytes.iter().all(u8::is_ascii_digit);
        let long = bytes.len() >= SHORTEST && (bytes.len() >= WORTHY || self.is_near_an_end());
        if long || number || (self.open.is_some() && bytes.len() >= SHORTEST) {
            // Only ASCII was taken.
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.take(&text);
        }
        self.current = bytes;
        self.current.clear();
    }

    /// Takes a string in pieces; each begins with the end of the one before, so that no key is cut in two.
    fn cut(&mut self) {
        let kept = self.current[LONGEST - OVERLAP..].to_vec();
        let began = self.began.saturating_add((LONGEST - OVERLAP) as u64);
        self.cutting = true;
        self.finish();
        self.cutting = false;
        self.open = None;
        (self.current, self.began) = (kept, began);
    }

    fn is_near_an_end(&self) -> bool {
        self.began < NEAR || self.began.saturating_add(NEAR) >= self.size
    }

    fn take(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let lower = text.to_ascii_lowercase();
        if self.samples.len() < SAMPLES && text.len() >= SAMPLE {
            self.samples
                .push(text.trim().replace(['\n', '\t'], " ").chars().take(SAMPLE_CUT).collect());
        }
        self.value(&lower);
        self.key(&lower);
        if let Some(name) = platform(&lower) {
            count(&mut self.platforms, name);
        }
        // A tokenizer's vocabulary may well know fp16.
        if self.is_near_an_end()
            && let Some(name) = dtype(&lower).filter(|name| name != "fp16")
        {
            count(&mut self.dtypes, name);
        }
        if lower.contains("_rkllm_spilt_") || lower.contains("_rkllm_split_") {
            self.split_tensors = self.split_tensors.saturating_add(1);
        }
        let layer =
            lower.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        if let Some(layer) = layer.filter(|layer| *layer < 1000) {
            self.last_layer = self.last_layer.max(Some(layer));
        }
        self.template |= lower.contains("{%") && lower.contains("messages");
    }

    /// A string right behind a key is its value.
    fn value(&mut self, lower: &str) {
        let Some((name, key, end)) = self.open.take() else { return };
        if self.began.saturating_sub(end) <= AFTER
            && let Some(value) = understood(name, &lower[..lower.len().min(VALUE)])
        {
            self.keyed.entry(name).or_insert((value, key));
        }
    }

    fn key(&mut self, lower: &str) {
        for (key, name) in KEYS {
            for (at, _) in lower.match_indices(key) {
                // Only ASCII was taken, so every index is between characters.
                let rest = &lower[at + key.len()..];
                if self.cutting && rest.len() < VALUE {
                    continue; // The next piece has it whole.
                }
                if let Some(value) = understood(name, &rest[..rest.len().min(VALUE)]) {
                    self.keyed.entry(name).or_insert((value, key));
                } else {
                    self.open = Some((name, key, self.began.saturating_add(lower.len() as u64)));
                }
            }
        }
    }

    pub(super) fn samples(&self) -> &[String] {
        &self.samples
    }

    /// Name, value and source of everything found.
    pub(super) fn facts(&self) -> Vec<(&'static str, String, String)> {
        let mut facts = Vec::new();
        for (name, (value, key)) in &self.keyed {
            facts.push((*name, value.clone(), format!("string {key:?}")));
        }
        for (name, counts) in [("platform", &self.platforms), ("dtype", &self.dtypes)] {
            if !counts.is_empty() && !self.keyed.contains_key(name) {
                let all: Vec<&str> = counts.keys().map(String::as_str).collect();
                let times = counts.values().fold(0u64, |sum, count| sum.saturating_add(*count));
                let s = if times == 1 { "" } else { "s" };
                facts.push((name, all.join(", "), format!("{times} string{s}")));
            }
        }
        if let Some(last) = self.last_layer {
            facts.push(("layers", (last + 1).to_string(), "tensor names".into()));
        }
        if self.split_tensors > 0 {
            facts.push((
                "origin",
                "rkllm-toolkit".into(),
                format!("{} tensor names", self.split_tensors),
            ));
        }
        if self.template {
            facts.push(("chat_template", "embedded".into(), "a string with Jinja in it".into()));
        }
        facts
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: String) {
    let count = counts.entry(name).or_default();
    *count = count.saturating_add(1);
}

/// The value of a fact in a text, if it has one.
fn understood(name: &str, text: &str) -> Option<String> {
    match name {
        "platform" => platform(text),
        "dtype" => dtype(text),
        "toolkit" => version(text),
        _ => {
            // What is left of the key: `max_context_limit`.
            let digits = text.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
            let digits = digits.trim_start_matches(|c: char| " :=\"'".contains(c));
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end]
                .parse::<u32>()
                .ok()
                .filter(|value| *value > 0)
                .map(|value| value.to_string())
        }
    }
}

/// The first of `words` that stands in `text` with no letter or digit around it.
fn word<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
    words.iter().copied().find(|word| {
        text.match_indices(word).any(|(at, _)| {
            let after = &text[at + word.len()..];
            edge(text[..at].chars().next_back())
                && edge(after.chars().next())
                && !after.starts_with("_g")
        })
    })
}

/// A supported chip in a text of small letters.
pub(super) fn platform(lower: &str) -> Option<String> {
    if !lower.contains("rk") && !lower.contains("rv") {
        return None;
    }
    let found = Soc::ALL.into_iter().find(|soc| word(lower, &[&soc.to_string()]).is_some());
    // Chips are sold with an s behind their names.
    let named =
        || word(lower, &["rk3588s", "rk3576s"]).map(|name| name.trim_end_matches('s').into());
    found.map(|soc| soc.to_string()).or_else(named)
}

/// A scheme of the toolkit in a text of small letters.
pub(super) fn dtype(lower: &str) -> Option<String> {
    word(lower, &DTYPES).map(str::to_owned)
}

/// A version of three numbers in a text.
pub(super) fn version(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == 'b';
    text.split(|c: char| !is_part(c)).find_map(|word| {
        let word = word.trim_matches(|c: char| c == '.' || c == 'b');
        let numbers = word.split_once('b').map_or(word, |(numbers, _)| numbers);
        let parts: Vec<&str> = numbers.split('.').collect();
        let whole =
            |part: &&str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        (parts.len() == 3 && parts.iter().all(whole)).then(|| word.to_owned())
    })
}

/// Parameters by a name such as `qwen2.5-1.5b-instruct` or `smollm-135m`.
pub(super) fn parameters(lower: &str) -> Option<f64> {
    lower.split(['-', '_', ' ']).find_map(|part| {
        let (number, unit) = match (part.strip_suffix('b'), part.strip_suffix('m')) {
            (Some(number), _) => (number, 1e9),
            (_, Some(number)) => (number, 1e6),
            _ => return None,
        };
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value: f64 = number.parse().ok().filter(|_| plain)?;
        (0.05..=1000.0).contains(&value).then_some(value * unit)
    })
}

/// Bits of a weight.
pub(super) fn bits(dtype: &str) -> Option<f64> {
    match dtype.get(..2)? {
        "w8" => Some(8.0),
        "w4" => Some(4.0),
        "fp" => Some(16.0),
        _ => None,
    }
}
