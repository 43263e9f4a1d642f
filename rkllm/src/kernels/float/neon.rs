//! Lanes as four 128-bit registers: every aarch64 processor.

use std::arch::aarch64::*;
use std::arch::asm;

use super::lanes::Lanes;

#[derive(Clone, Copy)]
pub(crate) struct Neon([float32x4_t; 4]);

/// Eight f16 to two times four f32. The f16 vector types are not stable yet.
#[inline(always)]
unsafe fn widen_f16(raw: uint16x8_t) -> (float32x4_t, float32x4_t) {
    let (low, high): (float32x4_t, float32x4_t);
    // SAFETY: fcvtl is base ARMv8; register operands only.
    unsafe {
        asm!(
            "fcvtl {low:v}.4s, {raw:v}.4h",
            "fcvtl2 {high:v}.4s, {raw:v}.8h",
            raw = in(vreg) raw, low = out(vreg) low, high = lateout(vreg) high,
            options(pure, nomem, nostack),
        );
    }
    (low, high)
}

/// Four f32 to four f16, half to even by FPCR's default.
#[inline(always)]
unsafe fn narrow_f16(value: float32x4_t) -> uint16x4_t {
    let halves: uint16x4_t;
    // SAFETY: fcvtn is base ARMv8; register operands only.
    unsafe {
        asm!(
            "fcvtn {halves:v}.4h, {value:v}.4s",
            value = in(vreg) value, halves = out(vreg) halves,
            options(pure, nomem, nostack),
        );
    }
    halves
}

impl Neon {
    #[inline(always)]
    fn map2(self, other: Self, op: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Self(std::array::from_fn(|i| op(self.0[i], other.0[i])))
    }
}

// SAFETY (every block below): NEON is part of aarch64; memory accesses have no alignment demands
// and cover the 16 elements the trait's contract promises.
impl Lanes for Neon {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self([vdupq_n_f32(value); 4]) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above the impl.
        Self(std::array::from_fn(|i| unsafe { vld1q_f32(from.add(4 * i)) }))
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let (a, b) = widen_f16(vreinterpretq_u16_u8(vld1q_u8(from)));
            let (c, d) = widen_f16(vreinterpretq_u16_u8(vld1q_u8(from.add(16))));
            Self([a, b, c, d])
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let raw = [vld1q_u8(from), vld1q_u8(from.add(16))].map(|r| vreinterpretq_u16_u8(r));
            Self([
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(raw[0]))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(raw[0])),
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(raw[1]))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(raw[1])),
            ])
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        for (i, part) in self.0.into_iter().enumerate() {
            // SAFETY: see above the impl.
            unsafe { vst1q_f32(to.add(4 * i), part) }
        }
    }
    #[inline(always)]
    unsafe fn store_f16(self, to: *mut u16) {
        for (i, part) in self.0.into_iter().enumerate() {
            // SAFETY: see above the impl.
            unsafe { vst1_u16(to.add(4 * i), narrow_f16(part)) }
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: see above the impl.
        Self(std::array::from_fn(|i| unsafe { vfmaq_f32(b.0[i], self.0[i], a.0[i]) }))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        self.map2(other, |a, b| unsafe { vaddq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        self.map2(other, |a, b| unsafe { vmulq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        self.map2(other, |a, b| unsafe { vdivq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        self.map2(other, |a, b| unsafe { vmaxq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        self.map2(other, |a, b| unsafe { vminq_f32(a, b) })
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: see above the impl.
        Self(self.0.map(|v| unsafe { vrndnq_f32(v) }))
    }
    #[inline(always)]
    unsafe fn scale_by_power(self, n: Self) -> Self {
        // SAFETY: see above the impl.
        self.map2(n, |value, n| unsafe {
            let n = vcvtq_s32_f32(n);
            let first = vshrq_n_s32::<1>(n);
            let power = |n| {
                let biased = vaddq_s32(n, vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
            };
            vmulq_f32(vmulq_f32(value, power(first)), power(vsubq_s32(n, first)))
        })
    }
    #[inline(always)]
    unsafe fn power_of_sum(self) -> Self {
        // SAFETY: see above the impl.
        Self(self.0.map(|sum| unsafe {
            // The bits of 1.5 * 2^23 leave the word; those of n become the exponent.
            let n = vshlq_n_s32::<23>(vreinterpretq_s32_f32(sum));
            vreinterpretq_f32_s32(vaddq_s32(n, vdupq_n_s32((127 + 64) << 23)))
        }))
    }
    #[inline(always)]
    unsafe fn any_below(self, bound: f32) -> bool {
        // SAFETY: see above the impl. A minimum over NaN is NaN, which is not at or above the bound.
        unsafe {
            let [a, b, c, d] = self.0;
            let low = vminvq_f32(vminq_f32(vminq_f32(a, b), vminq_f32(c, d)));
            !matches!(
                low.partial_cmp(&bound),
                Some(std::cmp::Ordering::Greater | std::cmp::Ordering::Equal)
            )
        }
    }
    #[inline(always)]
    unsafe fn bound(self, low: f32, below: f32, high: f32, above: f32, inside: Self) -> Self {
        // SAFETY: see above the impl.
        self.map2(inside, |x, inside| unsafe {
            let picked = vbslq_f32(vcltq_f32(x, vdupq_n_f32(low)), vdupq_n_f32(below), inside);
            vbslq_f32(vcgtq_f32(x, vdupq_n_f32(high)), vdupq_n_f32(above), picked)
        })
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above the impl.
        unsafe {
            let four = vaddq_f32(vaddq_f32(self.0[0], self.0[2]), vaddq_f32(self.0[1], self.0[3]));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }
}
