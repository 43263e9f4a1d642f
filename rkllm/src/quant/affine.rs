//! `Affine`: the map between floats and integers, `q = clamp(rhe(x / scale) + zero_point)`.

use half::f16;

use super::ScaleType;
use crate::{Error, ErrorKind, Result};

/// The smallest scale of a group that is not all zeros: f32's smallest normal number.
const MIN_SCALE: f32 = f32::MIN_POSITIVE;

/// f16's smallest and largest normal numbers.
const F16_NORMAL: std::ops::RangeInclusive<f32> = 6.103_515_6e-5..=65504.0;

/// 1.5 * 2^23: the sum of it and any |x| < 2^22 has a spacing of one, so the addition itself rounds
/// half to even. Unlike `round_ties_even` it is one instruction on every CPU, and vectorises.
const ROUND: f32 = 12_582_912.0;

/// `rhe(x)` for |x| < 2^22.
#[inline(always)]
pub(super) fn round_half_even(x: f32) -> f32 {
    (x + ROUND) - ROUND
}

/// `rhe(x)` as an integer, for |x| < 2^22.
#[inline(always)]
pub(super) fn round_to_int(x: f32) -> i32 {
    (x + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32
}

/// `x` limited to `[lo, hi]`, which are integers, so it commutes with rounding.
#[inline(always)]
pub(super) fn limit(x: f32, lo: f32, hi: f32) -> f32 {
    let x = if x > lo { x } else { lo };
    if x < hi { x } else { hi }
}

/// A map between floats and the integers `qmin..=qmax`, all of which fit 16 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The step between two neighbours; positive and finite.
    pub scale: f32,
    /// The integer that means zero.
    pub zero_point: i32,
    /// The smallest integer.
    pub qmin: i32,
    /// The largest integer.
    pub qmax: i32,
}

impl Affine {
    /// Symmetric weights of `bits` 8 or 4 whose largest magnitude is `amax`: scale `amax / 127.5` or
    /// `amax / 7.5`, rounded to `scale_type`; 1 where `amax` is zero.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if `amax` is not finite, [`ErrorKind::Input`] if it is negative or
    /// `bits` is neither 8 nor 4, [`ErrorKind::Quantization`] if the scale is outside f16's
    /// normal range and `scale_type` is f16.
    pub fn symmetric(bits: u32, amax: f32, scale_type: ScaleType) -> Result<Self> {
        check_bits(bits)?;
        if amax < 0.0 {
            return Err(Error::new(ErrorKind::Input, format!("amax {amax} is negative")));
        }
        Self::weights(bits, true, -amax, amax, scale_type)?.ok_or_else(|| f16_error(amax))
    }

    /// Asymmetric weights of `bits` 8 or 4 within `[lo, hi]`, widened to hold zero: scale
    /// `(hi - lo) / 255` or `/ 15`, rounded to `scale_type`; 1 where both are zero.
    ///
    /// # Errors
    /// As [`Affine::symmetric`]; [`ErrorKind::Input`] if `lo > hi`.
    pub fn asymmetric(bits: u32, lo: f32, hi: f32, scale_type: ScaleType) -> Result<Self> {
        check_bits(bits)?;
        if lo > hi {
            return Err(Error::new(ErrorKind::Input, format!("lo {lo} is above hi {hi}")));
        }
        if lo.is_nan() || hi.is_nan() {
            return Err(non_finite(lo, hi));
        }
        let (lo, hi) = (lo.min(0.0), hi.max(0.0));
        Self::weights(bits, false, lo, hi, scale_type)?.ok_or_else(|| f16_error(hi - lo))
    }

    /// The rules of `NUMERICS.md` for a group within `[lo, hi]`, which holds zero. `None` where the
    /// scale is outside f16's normal range and `scale_type` is f16.
    pub(super) fn weights(
        bits: u32,
        symmetric: bool,
        lo: f32,
        hi: f32,
        scale_type: ScaleType,
    ) -> Result<Option<Self>> {
        let qmin = -(1 << (bits - 1));
        let qmax = -qmin - 1;
        let steps = (qmax - qmin) as f32;
        let scale = if symmetric {
            (if -lo > hi { -lo } else { hi }) / (steps / 2.0)
        } else {
            (hi - lo) / steps
        };
        if !scale.is_finite() {
            return Err(non_finite(lo, hi));
        }
        let scale = if lo == 0.0 && hi == 0.0 { 1.0 } else { scale.max(MIN_SCALE) };
        let scale = match scale_type {
            ScaleType::F32 => scale,
            ScaleType::F16 => f16::from_f32(scale).to_f32(),
        };
        if scale_type == ScaleType::F16 && !F16_NORMAL.contains(&scale) {
            return Ok(None);
        }
        let zero_point = if symmetric {
            0
        } else {
            round_to_int(limit(qmin as f32 - lo / scale, qmin as f32, qmax as f32))
        };
        Ok(Some(Self { scale, zero_point, qmin, qmax }))
    }

    /// Per-tensor asymmetric int8 activations as Rockchip's RKNN quantiser derives them from the
    /// smallest and largest value of a calibration set: scale `(max - min) / 255`, zero point
    /// `rhe(-128 - min / scale)`. The vendor does not publish its arithmetic; here both are
    /// computed in f64, the scale is rounded to f32, and the zero point follows the rounded scale.
    /// In f32 the scale can differ by a unit in the last place.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if a bound is not finite; [`ErrorKind::Quantization`] if the range is
    /// empty or does not hold zero (no int8 zero point exists then) or its scale is no normal f32.
    pub fn rknn_activation(min: f32, max: f32) -> Result<Self> {
        if !min.is_finite() || !max.is_finite() {
            return Err(non_finite(min, max));
        }
        let refuse = |what: &str| {
            Err(Error::new(
                ErrorKind::Quantization,
                format!("activation range [{min}, {max}] {what}"),
            )
            .with_hint("calibrate on more text, or widen the range to hold zero"))
        };
        if min >= max {
            return refuse("is empty");
        }
        if min > 0.0 || max < 0.0 {
            return refuse("does not hold zero");
        }
        let scale = ((f64::from(max) - f64::from(min)) / 255.0) as f32;
        if !scale.is_normal() {
            return refuse("is too narrow for an f32 scale");
        }
        let zero_point = (-128.0 - f64::from(min) / f64::from(scale)).round_ties_even();
        Ok(Self {
            scale,
            zero_point: zero_point.clamp(-128.0, 127.0) as i32,
            qmin: -128,
            qmax: 127,
        })
    }

    /// `clamp(rhe(x / scale) + zero_point, qmin, qmax)`.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if `x` is not finite.
    pub fn quantize(&self, x: f32) -> Result<i32> {
        if !x.is_finite() {
            return Err(Error::new(ErrorKind::NonFinite, format!("cannot quantise {x}")));
        }
        let (lo, hi) = self.limits();
        Ok(self.quantize_finite(x, lo, hi))
    }

    /// `(q - zero_point) * scale`.
    pub fn dequantize(&self, q: i32) -> f32 {
        (q - self.zero_point) as f32 * self.scale
    }

    /// `qmin` and `qmax` before the zero point is added: what a rounded quotient is limited to.
    pub(super) fn limits(&self) -> (f32, f32) {
        ((self.qmin - self.zero_point) as f32, (self.qmax - self.zero_point) as f32)
    }

    /// [`Affine::quantize`] with [`Affine::limits`] hoisted out of the loop. Limiting first is the
    /// same as limiting last, since the limits are integers.
    #[inline(always)]
    pub(super) fn quantize_finite(&self, x: f32, lo: f32, hi: f32) -> i32 {
        round_to_int(limit(x / self.scale, lo, hi)) + self.zero_point
    }
}

fn check_bits(bits: u32) -> Result<()> {
    match bits {
        8 | 4 => Ok(()),
        _ => Err(Error::new(ErrorKind::Input, format!("expected 8 or 4 bits, found {bits}"))),
    }
}

fn non_finite(lo: f32, hi: f32) -> Error {
    Error::new(ErrorKind::NonFinite, format!("the range [{lo}, {hi}] has no finite scale"))
}

fn f16_error(width: f32) -> Error {
    Error::new(
        ErrorKind::Quantization,
        format!("the scale of a range of width {width} is outside f16's normal range"),
    )
    .with_hint("store the scales as f32")
}
