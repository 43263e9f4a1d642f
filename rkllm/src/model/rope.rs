//! Rotary position embedding: every scaling rule, as tables of cosines and sines.

mod parse;
#[cfg(test)]
mod tests;

use std::f64::consts::PI;

/// How positions become angles.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Base of the geometric series of frequencies.
    pub theta: f64,
    /// Values of a head that are rotated, the first ones; even, at most `head_dim`.
    pub rotary_dim: usize,
    /// What the exponents of the frequencies are divided by: `rotary_dim`, or one less where
    /// `head_dim * partial_rotary_factor` is odd.
    pub dim: usize,
    /// How the frequencies are stretched for longer sequences.
    pub scaling: RopeScaling,
}

/// How frequencies are stretched. Names and formulas are those of transformers 4.57.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// Every frequency divided by `factor`.
    Linear {
        /// How much longer sequences become.
        factor: f64,
    },
    /// A larger base where the context is longer than the model was made for (NTK-aware).
    Dynamic {
        /// How fast the base grows.
        factor: f64,
        /// The length up to which nothing changes.
        max_position_embeddings: usize,
    },
    /// Long wavelengths divided by `factor`, short ones kept, a ramp between.
    Llama3 {
        /// Divisor of the long wavelengths.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The length of pretraining.
        original_max_position_embeddings: usize,
    },
    /// YaRN: interpolated and kept frequencies, mixed by a ramp over the dimensions.
    Yarn {
        /// Divisor of the interpolated frequencies.
        factor: f64,
        /// Multiplies cosines and sines.
        attention_factor: f64,
        /// Rotations over the original length above which a dimension is kept.
        beta_fast: f64,
        /// Rotations below which it is interpolated.
        beta_slow: f64,
        /// Whether the ends of the ramp are rounded to whole dimensions.
        truncate: bool,
        /// The length of pretraining.
        original_max_position_embeddings: usize,
    },
    /// LongRoPE: one divisor per frequency, from one of two lists.
    LongRope {
        /// Divisors `[rotary_dim / 2]` up to the original length.
        short_factor: Vec<f64>,
        /// Divisors `[rotary_dim / 2]` beyond it.
        long_factor: Vec<f64>,
        /// Multiplies cosines and sines, in both cases.
        attention_factor: f64,
        /// The length of pretraining.
        original_max_position_embeddings: usize,
    },
}

/// Cosines and sines `[positions, rotary_dim / 2]`.
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// Cosines, times the attention factor.
    pub cos: Vec<f32>,
    /// Sines, times the attention factor.
    pub sin: Vec<f32>,
}

impl RopeTable {
    /// The positions it has, as a table of `rope`.
    pub fn positions(&self, rope: &RopeConfig) -> usize {
        self.cos.len() / (rope.rotary_dim / 2).max(1)
    }
}

impl RopeConfig {
    /// Cosines and sines of positions `0..positions`.
    ///
    /// `context` is the number of tokens the caller reserves. Where a rule depends on the length of
    /// the sequence (dynamic, longrope), that is the length: the whole table then follows one rule,
    /// and neither the order nor the size of prefill chunks can change it.
    pub fn table(&self, positions: usize, context: usize) -> RopeTable {
        let mut table = RopeTable { cos: Vec::new(), sin: Vec::new() };
        self.extend(&mut table, positions, context);
        table
    }

    /// Adds what a table of the same rule and `context` lacks up to `positions`.
    pub fn extend(&self, table: &mut RopeTable, positions: usize, context: usize) {
        let first = table.positions(self);
        if positions <= first {
            return;
        }
        let inv_freq = self.inv_freq(context);
        let factor = self.attention_factor();
        let RopeTable { cos, sin } = table;
        cos.reserve_exact((positions - first) * inv_freq.len());
        sin.reserve_exact((positions - first) * inv_freq.len());
        for position in first..positions {
            for &frequency in &inv_freq {
                let angle = f64::from(position as f32 * frequency);
                cos.push((libm::cos(angle) * factor) as f32);
                sin.push((libm::sin(angle) * factor) as f32);
            }
        }
    }

    /// The angles' step per position, `[rotary_dim / 2]`, computed in f64 and rounded once.
    pub fn inv_freq(&self, context: usize) -> Vec<f32> {
        (0..self.rotary_dim / 2).map(|pair| self.scaled(pair, context) as f32).collect()
    }

    /// What cosines and sines are multiplied by.
    pub fn attention_factor(&self) -> f64 {
        match self.scaling {
            RopeScaling::Yarn { attention_factor, .. }
            | RopeScaling::LongRope { attention_factor, .. } => attention_factor,
            _ => 1.0,
        }
    }

    /// `theta ^ (2 pair / dim)`.
    fn power(&self, theta: f64, pair: usize) -> f64 {
        libm::pow(theta, (2 * pair) as f64 / self.dim as f64)
    }

    fn scaled(&self, pair: usize, context: usize) -> f64 {
        let inv_freq = 1.0 / self.power(self.theta, pair);
        match &self.scaling {
            RopeScaling::Default => inv_freq,
            RopeScaling::Linear { factor } => inv_freq / factor,
            &RopeScaling::Dynamic { factor, max_position_embeddings } => {
                let length = context.max(max_position_embeddings) as f64;
                let stretch = factor * length / max_position_embeddings as f64 - (factor - 1.0);
                let exponent = self.dim as f64 / (self.dim as f64 - 2.0);
                1.0 / self.power(self.theta * libm::pow(stretch, exponent), pair)
            }
            &RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings,
            } => {
                let original = original_max_position_embeddings as f64;
                let wavelength = 2.0 * PI / inv_freq;
                if wavelength > original / low {
                    inv_freq / factor
                } else if wavelength < original / high {
                    inv_freq
                } else {
                    let smooth = (original / wavelength - low) / (high - low);
                    (1.0 - smooth) * inv_freq / factor + smooth * inv_freq
                }
            }
            &RopeScaling::Yarn { factor, .. } => {
                let kept = 1.0 - self.yarn_ramp(pair);
                let interpolated = 1.0 / (factor * self.power(self.theta, pair));
                interpolated * (1.0 - kept) + inv_freq * kept
            }
            RopeScaling::LongRope {
                short_factor,
                long_factor,
                original_max_position_embeddings,
                ..
            } => {
                let long = context > *original_max_position_embeddings;
                let factors = if long { long_factor } else { short_factor };
                1.0 / (factors[pair] * self.power(self.theta, pair))
            }
        }
    }

    /// 0 where a frequency is kept, 1 where it is interpolated.
    fn yarn_ramp(&self, pair: usize) -> f64 {
        let RopeScaling::Yarn {
            beta_fast,
            beta_slow,
            truncate,
            original_max_position_embeddings,
            ..
        } = self.scaling
        else {
            return 0.0;
        };
        // The dimension whose frequency turns `rotations` times over the original length.
        let dimension = |rotations: f64| {
            let length = original_max_position_embeddings as f64;
            self.dim as f64 * libm::log(length / (rotations * 2.0 * PI))
                / (2.0 * libm::log(self.theta))
        };
        let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(self.dim as f64 - 1.0));
        if low == high {
            high += 0.001;
        }
        ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0)
    }
}
