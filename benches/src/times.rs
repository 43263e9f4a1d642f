//! Repeated timings and command lines of the programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Seconds of repeated runs.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<f64>);

impl Times {
    /// Adds one run.
    pub fn push(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    /// The middle one.
    ///
    /// # Panics
    /// If there is none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// `{"median", "best", "worst", "runs"}` of `work` per second.
    ///
    /// # Panics
    /// If there is none.
    pub fn rates(&self, work: f64) -> Value {
        let fold = |f: fn(f64, f64) -> f64| self.0.iter().copied().reduce(f).expect("a run");
        json!({
            "median": work / self.median(), "best": work / fold(f64::min),
            "worst": work / fold(f64::max), "runs": self.0.len(),
        })
    }
}

/// `--name value` pairs of the command line, over `defaults`.
///
/// # Errors
/// What is wrong with it, and the names there are.
pub fn options(defaults: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
    let mut found: BTreeMap<String, String> =
        defaults.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let known = word.strip_prefix("--").filter(|&name| found.contains_key(name));
        let (Some(name), Some(value)) = (known, words.next()) else {
            let names: Vec<String> =
                defaults.iter().map(|(name, value)| format!("[--{name} {value}]")).collect();
            return Err(format!("cannot read {word}; options and defaults: {}", names.join(" ")));
        };
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}
