//! Vectors of sixteen bytes, or of four sums or floats.
//!
//! `sdot` is spelled in assembler because its intrinsic is not stable.

use std::arch::aarch64::*;
use std::arch::asm;

/// Bytes of a row that a prefetch fetches.
pub(super) const LINE: usize = 64;
/// Bytes ahead of the ones in use at which a stream of weights is prefetched. At 8 GB/s in eight streams that is
/// half a microsecond; not measured on a board yet.
pub(super) const PREFETCH_AHEAD: usize = 512;

/// Adds the products of four neighbouring bytes to each lane.
///
/// Not `pure`: the compiler keeps the order of such instructions, where it would load far ahead and run out of
/// registers. The processor reorders them itself.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn sdot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Four f16, the bits of which are in the low half of each pair of bytes, as f32.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn f16_to_f32(halves: uint16x4_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = lateout(vreg) floats,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    floats
}

/// 16 bytes from memory.
///
/// # Safety
/// `from` is valid for reading 16 bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn load(from: *const i8) -> int8x16_t {
    // SAFETY: the caller's contract.
    unsafe { vld1q_s8(from) }
}

/// The next `count` bytes, at most 16, then zeros.
///
/// # Safety
/// `from` is valid for reading `count` bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn load_part(from: *const i8, count: usize) -> int8x16_t {
    if count >= 16 {
        // SAFETY: the caller's contract.
        return unsafe { load(from) };
    }
    let mut bytes = [0i8; 16];
    // SAFETY: `count` bytes are valid and fit.
    unsafe {
        bytes.as_mut_ptr().copy_from_nonoverlapping(from, count);
        load(bytes.as_ptr())
    }
}

/// Fetches the line `offset` bytes after `row`, which need not be there, for one use.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn prefetch(row: *const i8, offset: usize) {
    // SAFETY: a prefetch may name any address.
    unsafe {
        asm!(
            "prfm pldl1strm, [{row}, {offset}]",
            row = in(reg) row.addr(),
            offset = in(reg) offset,
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// Lane `i` of the result is the sum of the lanes of `v[i]`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn sum_each(v: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]))
}

/// The sums of the lanes of eight vectors, in order.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn sums_of_eight([a, b, c, d, e, f, g, h]: [int32x4_t; 8]) -> [int32x4_t; 2] {
    [sum_each([a, b, c, d]), sum_each([e, f, g, h])]
}

/// `sums - zeros * activations`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn without_zeros(sums: int32x4_t, zeros: int32x4_t, activations: i32) -> int32x4_t {
    vmlsq_n_s32(sums, zeros, activations)
}

/// `fma(f32(sums - zeros * activations), scales, total)`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn accumulate(
    sums: int32x4_t,
    zeros: int32x4_t,
    activations: i32,
    scales: float32x4_t,
    total: float32x4_t,
) -> float32x4_t {
    vfmaq_f32(total, vcvtq_f32_s32(without_zeros(sums, zeros, activations)), scales)
}

/// Writes the first `count` lanes, at most all of them.
///
/// # Safety
/// `to` is valid for writing `count` f32.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn store(to: *mut f32, lanes: float32x4_t, count: usize) {
    if count >= 4 {
        // SAFETY: the caller's contract.
        return unsafe { vst1q_f32(to, lanes) };
    }
    let mut all = [0.0f32; 4];
    // SAFETY: four f32 fit `all`, `count` of them `to` by the caller's contract.
    unsafe {
        vst1q_f32(all.as_mut_ptr(), lanes);
        to.copy_from_nonoverlapping(all.as_ptr(), count);
    }
}

/// The transpose of four vectors.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn transposed(v: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let wide = |a| vreinterpretq_f64_f32(a);
    let (a, b) = (wide(vtrn1q_f32(v[0], v[1])), wide(vtrn2q_f32(v[0], v[1])));
    let (c, d) = (wide(vtrn1q_f32(v[2], v[3])), wide(vtrn2q_f32(v[2], v[3])));
    [vtrn1q_f64(a, c), vtrn1q_f64(b, d), vtrn2q_f64(a, c), vtrn2q_f64(b, d)]
        .map(|column| vreinterpretq_f32_f64(column))
}
