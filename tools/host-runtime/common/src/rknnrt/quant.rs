//! Scales and zero points.

use super::{Answer, Code, log};

/// What shares a scale in B; `rknn_matmul_quant_type` without its last bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Granularity {
    Layer,
    Channel,
    Group(usize),
}

/// What `rknn_quant_params` says of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Scales.
    pub scales: Vec<f32>,
    /// Zero points; empty for none.
    pub zeros: Vec<i32>,
}

impl Default for Params {
    /// What holds where nothing was said.
    fn default() -> Self {
        Self { scales: vec![1.0], zeros: Vec::new() }
    }
}

impl Params {
    pub(super) fn scale(&self, i: usize) -> f32 {
        if self.scales.len() == 1 { self.scales[0] } else { self.scales[i] }
    }

    pub(super) fn zero(&self, i: usize) -> i32 {
        match self.zeros.len() {
            0 => 0,
            1 => self.zeros[0],
            _ => self.zeros[i],
        }
    }

    /// Refuses other numbers of values than `scales` and `zeros`, and values nothing can be made of.
    pub(super) fn check(&self, name: &str, scales: usize, zeros: usize, divides: bool) -> Answer {
        let refuse = |text: String| {
            Err(log::refuse(
                Code::PARAM_INVALID,
                format_args!("rknn_matmul_set_quant_params {name}: {text}"),
            ))
        };
        if self.scales.len() != scales {
            return refuse(format!("expected {scales} scales, found {}", self.scales.len()));
        }
        if !self.zeros.is_empty() && self.zeros.len() != zeros {
            return refuse(format!("expected {zeros} zero points, found {}", self.zeros.len()));
        }
        if let Some(bad) = self.scales.iter().find(|s| !s.is_finite() || divides && **s == 0.0) {
            return refuse(format!("a scale of {bad}"));
        }
        if let Some(bad) = self.zeros.iter().find(|z| !(-128..=127).contains(*z)) {
            return refuse(format!("a zero point of {bad}"));
        }
        Ok(())
    }
}
