//! Lanes as an array: the reference, on any processor.

use half::{bf16, f16};

use super::lanes::Lanes;

#[derive(Clone, Copy)]
pub(crate) struct Array([f32; 16]);

impl Array {
    #[inline(always)]
    fn map2(self, other: Self, op: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| op(self.0[i], other.0[i])))
    }
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

impl Lanes for Array {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 16])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: 16 elements by the trait's contract.
        Self(unsafe { from.cast::<[f32; 16]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> Self {
        // SAFETY: 16 elements of two bytes by the trait's contract.
        let raw = unsafe { from.cast::<[[u8; 2]; 16]>().read_unaligned() };
        Self(raw.map(|b| f16::from_le_bytes(b).to_f32()))
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> Self {
        // SAFETY: 16 elements of two bytes by the trait's contract.
        let raw = unsafe { from.cast::<[[u8; 2]; 16]>().read_unaligned() };
        Self(raw.map(|b| bf16::from_le_bytes(b).to_f32()))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: 16 elements by the trait's contract.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn store_f16(self, to: *mut u16) {
        let halves = self.0.map(|v| f16::from_f32(v).to_bits());
        // SAFETY: 16 elements by the trait's contract.
        unsafe { to.cast::<[u16; 16]>().write_unaligned(halves) }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].mul_add(a.0[i], b.0[i])))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.map2(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.map2(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.map2(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.map2(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.map2(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        Self(self.0.map(f32::round_ties_even))
    }
    #[inline(always)]
    unsafe fn scale_by_power(self, n: Self) -> Self {
        self.map2(n, |value, n| {
            let n = n as i32;
            let first = n >> 1;
            // Out of contract for lanes that `bound` will replace: clamped so that nothing overflows.
            let (first, second) = (first.clamp(-126, 127), (n - first).clamp(-126, 127));
            value * power_of_two(first) * power_of_two(second)
        })
    }
    #[inline(always)]
    unsafe fn power_of_sum(self) -> Self {
        Self(self.0.map(|sum| f32::from_bits((sum.to_bits() << 23).wrapping_add((127 + 64) << 23))))
    }
    #[inline(always)]
    unsafe fn any_below(self, bound: f32) -> bool {
        !self.0.iter().all(|&v| v >= bound)
    }
    #[inline(always)]
    unsafe fn bound(self, low: f32, below: f32, high: f32, above: f32, inside: Self) -> Self {
        self.map2(inside, |x, inside| {
            if x < low {
                below
            } else if x > high {
                above
            } else {
                inside
            }
        })
    }
}
