//! How much of a group's range is kept: all of it, or what makes the squared error smallest.

use std::fmt;
use std::str::FromStr;

use super::{Affine, ScaleType};
use crate::quant::affine::{limit, round_half_even};
use crate::{Error, ErrorKind, Result};

/// The rule that chooses a group's range. Prints and parses as `absmax` and `mse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Clip {
    /// The largest magnitude (or the extremes) as they are.
    #[default]
    AbsMax,
    /// The ratio of [`RATIOS`] with the smallest sum of squared errors.
    Mse,
}

/// What the clip rule `mse` multiplies a group's range by, in the order tried.
pub const RATIOS: [f32; 41] = ratios();

const fn ratios() -> [f32; 41] {
    // 1 comes first, so that a search which cannot improve changes nothing.
    let mut ratios = [1.0; 41];
    let (mut index, mut sixty_fourths) = (1, 72);
    while index < ratios.len() {
        if sixty_fourths != 64 {
            ratios[index] = sixty_fourths as f32 / 64.0;
            index += 1;
        }
        sixty_fourths -= 1;
    }
    ratios
}

impl Clip {
    /// The map of the weights `w` of one group within `[lo, hi]`, which holds zero. `None` where a
    /// scale, tried or chosen, is outside f16's normal range and `scale_type` is f16.
    pub(super) fn fit(
        self,
        w: &[f32],
        (lo, hi): (f32, f32),
        bits: u32,
        symmetric: bool,
        scale_type: ScaleType,
    ) -> Result<Option<Affine>> {
        if self == Self::AbsMax || (lo == 0.0 && hi == 0.0) {
            return Affine::weights(bits, symmetric, lo, hi, scale_type);
        }
        let mut best = None;
        let mut smallest = f64::INFINITY;
        for ratio in RATIOS {
            let map = Affine::weights(bits, symmetric, lo * ratio, hi * ratio, scale_type)?;
            let Some(map) = map else { return Ok(None) };
            let error = squared_error(w, &map);
            if error < smallest {
                (best, smallest) = (Some(map), error);
            }
        }
        Ok(best)
    }
}

/// The sum of `(w - (q - z) * scale)^2` in f64: 16 lanes by column of the group, then the halving tree.
/// A lane's terms are in ascending order and nothing is fused, so every CPU finds the same ratio.
pub(super) fn squared_error(w: &[f32], map: &Affine) -> f64 {
    let (lo, hi) = map.limits();
    let (scale, step) = (map.scale, f64::from(map.scale));
    let square = |w: f32| {
        let q = round_half_even(limit(w / scale, lo, hi));
        let error = f64::from(w) - f64::from(q) * step;
        error * error
    };
    let mut lanes = [0.0f64; 16];
    let (chunks, rest) = w.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &w) in lanes.iter_mut().zip(chunk) {
            *lane += square(w);
        }
    }
    for (lane, &w) in lanes.iter_mut().zip(rest) {
        *lane += square(w);
    }
    for half in [8, 4, 2, 1] {
        for j in 0..half {
            lanes[j] += lanes[j + half];
        }
    }
    lanes[0]
}

impl fmt::Display for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AbsMax => "absmax",
            Self::Mse => "mse",
        })
    }
}

impl FromStr for Clip {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "absmax" => Ok(Self::AbsMax),
            "mse" => Ok(Self::Mse),
            _ => Err(Error::new(ErrorKind::Input, format!("unknown clip rule {name:?}"))
                .with_hint("use absmax or mse")),
        }
    }
}
