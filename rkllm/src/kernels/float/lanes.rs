//! Sixteen float lanes: the one shape every float sum of `NUMERICS.md` has.

/// Sixteen f32 values in registers.
///
/// Every method is one IEEE operation per lane, so any two implementations give the same bits.
///
/// # Safety
/// All methods: the processor has the instructions of the implementation. Pointers are valid for
/// 16 elements at any alignment.
pub(crate) trait Lanes: Copy {
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// Sixteen little-endian f16.
    unsafe fn load_f16(from: *const u8) -> Self;
    /// Sixteen little-endian bf16.
    unsafe fn load_bf16(from: *const u8) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Sixteen f16, half to even.
    unsafe fn store_f16(self, to: *mut u16);
    /// `self * a + b`, rounded once.
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// The larger of the two. NaN where `other` is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller of the two. NaN where `other` is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// Half to even.
    unsafe fn round(self) -> Self;
    /// `(self * 2^(n >> 1)) * 2^(n - (n >> 1))` for integral `n` in -160..=160.
    unsafe fn scale_by_power(self, n: Self) -> Self;
    /// `2^(n + 64)` for `self = n + 1.5 * 2^23` with an integral `n` in -190..=63.
    unsafe fn power_of_sum(self) -> Self;
    /// `self * 2^n` for `sum = n + 1.5 * 2^23 - 64 - BACK`, where `self * 2^(n - BACK)` is exact: it rounds once.
    #[inline(always)]
    unsafe fn scale_by_sum<const BACK: i32>(self, n: Self, sum: Self) -> Self {
        let _ = n;
        let back = const { f32::from_bits(((127 + BACK) as u32) << 23) };
        // SAFETY: the contract of all methods.
        unsafe { self.mul(sum.power_of_sum()).mul(Self::splat(back)) }
    }
    /// Whether any lane is below `bound` or NaN.
    unsafe fn any_below(self, bound: f32) -> bool;
    /// `below` where `self < low`, `above` where `self > high`, else `inside`.
    unsafe fn bound(self, low: f32, below: f32, high: f32, above: f32, inside: Self) -> Self;

    /// The halving tree 8, 4, 2, 1.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut lanes = [0.0f32; 16];
        // SAFETY: 16 elements.
        unsafe { self.store(lanes.as_mut_ptr()) };
        halving_tree(lanes)
    }
}

/// The halving tree of `NUMERICS.md`.
#[inline(always)]
pub(crate) fn halving_tree(mut lanes: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for j in 0..half {
            lanes[j] += lanes[j + half];
        }
    }
    lanes[0]
}
