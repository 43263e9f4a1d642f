//! The log-softmax of `NUMERICS.md`, "Measures".

use crate::kernels::float::FloatOps;
use crate::{Error, ErrorKind, Result};

/// What log-probabilities of one position need: `log p[i] = logits[i] - max - ln_sum`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LogSum {
    pub(super) max: f32,
    pub(super) ln_sum: f64,
}

impl LogSum {
    /// Of `logits`, which are finite.
    pub(super) fn of(logits: &[f32], ops: &dyn FloatOps) -> Self {
        let (max, sum) = ops.exp_sum(logits);
        Self { max, ln_sum: libm::log(sum) }
    }

    /// The natural logarithm of a logit's probability.
    pub(super) fn log_probability(self, logit: f32) -> f64 {
        f64::from(logit) - f64::from(self.max) - self.ln_sum
    }
}

/// Checks that `logits` are finite; `position` is for the message.
pub(super) fn check_finite(logits: &[f32], position: usize) -> Result<()> {
    // A product with zero is zero unless the value is infinite or NaN; sums keep the NaN.
    let mut lanes = [0.0f32; 16];
    let (blocks, rest) = logits.as_chunks::<16>();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane += value * 0.0;
        }
    }
    if lanes.iter().chain(rest).all(|value| value.is_finite()) {
        return Ok(());
    }
    let index = logits.iter().position(|value| !value.is_finite()).unwrap_or(0);
    Err(Error::new(
        ErrorKind::NonFinite,
        format!("logit {index} at scored position {position} is {}", logits[index]),
    )
    .with_hint("the weights overflow in this scheme; try the float baseline of the same model"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;

    #[test]
    fn log_probabilities_sum_to_one() {
        let logits: Vec<f32> = (0..37).map(|i| (i * i % 23) as f32 / 3.0 - 400.0).collect();
        let sum = LogSum::of(&logits, Kernel::active().unwrap().float());
        let total: f64 = logits.iter().map(|&l| libm::exp(sum.log_probability(l))).sum();
        assert!((total - 1.0).abs() < 1e-6, "{total}");
    }

    #[test]
    fn values_that_are_not_finite_are_named() {
        for (length, bad) in [(5, 3), (40, 17), (40, 39)] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut logits = vec![1.0; length];
                assert!(check_finite(&logits, 7).is_ok());
                logits[bad] = value;
                let error = check_finite(&logits, 7).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NonFinite);
                let text = error.to_string();
                assert!(text.contains(&format!("logit {bad} at scored position 7")), "{text}");
            }
        }
    }
}
