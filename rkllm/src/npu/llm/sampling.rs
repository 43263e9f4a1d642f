//! `NpuSampling`: how the vendor's runtime chooses tokens.

use rkllm_sys::v1_3::RKLLMSamplingParam;

use crate::{Error, ErrorKind, Result};

/// How the runtime chooses tokens. What is left out stays as the runtime has it: as the model was loaded,
/// or by its own defaults (top-k 40, top-p 0.9, temperature 0.8, repetition penalty 1.1).
///
/// ```
/// use rkllm::npu::NpuSampling;
///
/// let careful = NpuSampling::default().with_temperature(0.3).with_top_p(0.8);
/// assert!(careful.check().is_ok());
/// assert!(NpuSampling::default().with_top_p(1.5).check().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NpuSampling {
    pub(super) top_k: Option<i32>,
    pub(super) top_p: Option<f32>,
    pub(super) temperature: Option<f32>,
    pub(super) repeat_penalty: Option<f32>,
    pub(super) frequency_penalty: Option<f32>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) mirostat: Option<i32>,
    pub(super) mirostat_tau: Option<f32>,
    pub(super) mirostat_eta: Option<f32>,
}

impl NpuSampling {
    /// The most likely token, without a penalty.
    pub fn greedy() -> Self {
        Self::default().with_top_k(1).with_repeat_penalty(1.0)
    }

    /// Draws from the `k` likeliest tokens; 1 is greedy.
    #[must_use]
    pub fn with_top_k(mut self, k: i32) -> Self {
        self.top_k = Some(k);
        self
    }

    /// Draws from the fewest tokens of probability `p` together; in (0, 1].
    #[must_use]
    pub fn with_top_p(mut self, p: f32) -> Self {
        self.top_p = Some(p);
        self
    }

    /// Flattens (above 1) or sharpens (below 1) the distribution; 0 is greedy.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Makes tokens that occurred less likely; 1 does nothing.
    #[must_use]
    pub fn with_repeat_penalty(mut self, penalty: f32) -> Self {
        self.repeat_penalty = Some(penalty);
        self
    }

    /// The same, by how often they occurred; -2 to 2, 0 does nothing.
    #[must_use]
    pub fn with_frequency_penalty(mut self, penalty: f32) -> Self {
        self.frequency_penalty = Some(penalty);
        self
    }

    /// The same, once; -2 to 2, 0 does nothing.
    #[must_use]
    pub fn with_presence_penalty(mut self, penalty: f32) -> Self {
        self.presence_penalty = Some(penalty);
        self
    }

    /// Mirostat of this version (1 or 2; 0 is off) with its target surprise and learning rate.
    #[must_use]
    pub fn with_mirostat(mut self, version: i32, tau: f32, eta: f32) -> Self {
        self.mirostat = Some(version);
        self.mirostat_tau = Some(tau);
        self.mirostat_eta = Some(eta);
        self
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] naming the number and what it may be.
    pub fn check(&self) -> Result<()> {
        let floats = [
            ("top_p", self.top_p, f32::MIN_POSITIVE, 1.0),
            ("temperature", self.temperature, 0.0, f32::MAX),
            ("repeat_penalty", self.repeat_penalty, f32::MIN_POSITIVE, f32::MAX),
            ("frequency_penalty", self.frequency_penalty, -2.0, 2.0),
            ("presence_penalty", self.presence_penalty, -2.0, 2.0),
            ("mirostat_tau", self.mirostat_tau, 0.0, f32::MAX),
            ("mirostat_eta", self.mirostat_eta, 0.0, f32::MAX),
        ];
        for (name, value, least, most) in floats {
            // Not a comparison of the contrary: NaN is in no range.
            if value.is_some_and(|value| !(least..=most).contains(&value)) {
                let found = value.unwrap_or_default();
                return Err(refuse(name, &format!("a number from {least:e} to {most:e}"), found));
            }
        }
        if let Some(k) = self.top_k.filter(|k| *k < 1) {
            return Err(refuse("top_k", "at least 1", k));
        }
        match self.mirostat.filter(|version| !(0..=2).contains(version)) {
            Some(version) => Err(refuse("mirostat", "0, 1 or 2", version)),
            None => Ok(()),
        }
    }

    /// Puts what is given over `base`.
    pub(super) fn over(&self, base: RKLLMSamplingParam) -> RKLLMSamplingParam {
        RKLLMSamplingParam {
            top_k: self.top_k.unwrap_or(base.top_k),
            top_p: self.top_p.unwrap_or(base.top_p),
            temperature: self.temperature.unwrap_or(base.temperature),
            repeat_penalty: self.repeat_penalty.unwrap_or(base.repeat_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(base.frequency_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(base.presence_penalty),
            mirostat: self.mirostat.unwrap_or(base.mirostat),
            mirostat_tau: self.mirostat_tau.unwrap_or(base.mirostat_tau),
            mirostat_eta: self.mirostat_eta.unwrap_or(base.mirostat_eta),
        }
    }
}

fn refuse(name: &str, expected: &str, found: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Input, format!("expected {expected}, found {found}")).about(name)
}
