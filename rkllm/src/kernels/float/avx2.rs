//! Lanes as two 256-bit registers: AVX2, FMA and F16C.

use std::arch::x86_64::*;

use super::lanes::Lanes;

#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

// Functions, not closures: a closure has no `inline(always)`, and where the compiler leaves one alone
// every intrinsic in it becomes a call.

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn widen_bf16(raw: __m128i) -> __m256 {
    // SAFETY: the caller's contract.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(raw))) }
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn power_of_two(n: __m256i) -> __m256 {
    // SAFETY: the caller's contract.
    unsafe {
        let biased = _mm256_add_epi32(n, _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn scale_by_power(value: __m256, n: __m256) -> __m256 {
    // SAFETY: the caller's contract.
    unsafe {
        let n = _mm256_cvtps_epi32(n);
        let first = _mm256_srai_epi32::<1>(n);
        let once = _mm256_mul_ps(value, power_of_two(first));
        _mm256_mul_ps(once, power_of_two(_mm256_sub_epi32(n, first)))
    }
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn bound(x: __m256, low: f32, below: f32, high: f32, above: f32, inside: __m256) -> __m256 {
    // SAFETY: the caller's contract.
    unsafe {
        let is_low = _mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_set1_ps(low));
        let is_high = _mm256_cmp_ps::<_CMP_GT_OQ>(x, _mm256_set1_ps(high));
        let picked = _mm256_blendv_ps(inside, _mm256_set1_ps(below), is_low);
        _mm256_blendv_ps(picked, _mm256_set1_ps(above), is_high)
    }
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn power_of_sum(sum: __m256) -> __m256 {
    // SAFETY: the caller's contract.
    unsafe {
        // The bits of 1.5 * 2^23 leave the word; those of n become the exponent.
        let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(sum));
        _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_set1_epi32((127 + 64) << 23)))
    }
}

// SAFETY (every block below): the intrinsics need AVX2, FMA and F16C, which the trait's contract
// promises; memory accesses are unaligned and cover the 16 elements the contract promises.
impl Lanes for Avx2 {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let from = from.cast::<__m128i>();
            Self(
                _mm256_cvtph_ps(_mm_loadu_si128(from)),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(1))),
            )
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            let from = from.cast::<__m128i>();
            Self(widen_bf16(_mm_loadu_si128(from)), widen_bf16(_mm_loadu_si128(from.add(1))))
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above the impl.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }
    #[inline(always)]
    unsafe fn store_f16(self, to: *mut u16) {
        // SAFETY: see above the impl.
        unsafe {
            let to = to.cast::<__m128i>();
            _mm_storeu_si128(to, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
            _mm_storeu_si128(to.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.1));
        }
    }
    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_fmadd_ps(self.0, a.0, b.0), _mm256_fmadd_ps(self.1, a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        const EVEN: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: see above the impl.
        unsafe { Self(_mm256_round_ps::<EVEN>(self.0), _mm256_round_ps::<EVEN>(self.1)) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(self, n: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(scale_by_power(self.0, n.0), scale_by_power(self.1, n.1)) }
    }
    #[inline(always)]
    unsafe fn power_of_sum(self) -> Self {
        // SAFETY: see above the impl.
        unsafe { Self(power_of_sum(self.0), power_of_sum(self.1)) }
    }
    #[inline(always)]
    unsafe fn any_below(self, bound: f32) -> bool {
        // SAFETY: see above the impl.
        unsafe {
            let bound = _mm256_set1_ps(bound);
            let first = _mm256_cmp_ps::<_CMP_NGE_UQ>(self.0, bound);
            let second = _mm256_cmp_ps::<_CMP_NGE_UQ>(self.1, bound);
            _mm256_movemask_ps(_mm256_or_ps(first, second)) != 0
        }
    }
    #[inline(always)]
    unsafe fn bound(self, low: f32, below: f32, high: f32, above: f32, inside: Self) -> Self {
        // SAFETY: see above the impl.
        unsafe {
            Self(
                bound(self.0, low, below, high, above, inside.0),
                bound(self.1, low, below, high, above, inside.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above the impl.
        unsafe {
            let eight = _mm256_add_ps(self.0, self.1);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}
