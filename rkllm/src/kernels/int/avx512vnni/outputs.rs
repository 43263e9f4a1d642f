//! From a panel's integer sums to its outputs, sixteen tokens in a vector; and sixteen tokens packed.

use std::arch::x86_64::*;

use super::super::gemm::{
    LANES, Outputs, PANEL, PackedTokens, Rows, Square, Sums, Tile, Turned, VECTORS,
};
use super::super::scales::ScaleBytes;
use super::super::x86;

/// No row has a zero point or a bias.
const NONE: u8 = 0;
/// All rows have the same: weights without zero points, whatever the bias.
const SAME: u8 = 1;
/// Each row has its own.
const EACH: u8 = 2;

/// The part of AVX-512 that units with vectors of sixteen share.
pub(in super::super) struct Avx512Outputs;

impl Outputs for Avx512Outputs {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn scales(scales: &ScaleBytes<'_>, first: usize, count: usize, to: &mut [f32; 16]) {
        x86::scales(scales, first, count, to);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add<const BITS: u32>(
        sums: &Tile<i32>,
        rows: &Rows<'_>,
        tokens: &PackedTokens<'_>,
        first: bool,
        totals: &mut Tile<f32>,
    ) {
        let (sums, totals) = (sums.0.as_ptr().cast(), totals.0.as_mut_ptr().cast());
        // SAFETY: both are panels of `VECTORS` vectors a row.
        unsafe { add::<BITS>((sums, VECTORS), rows, tokens, first, (totals, VECTORS)) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn transpose(
        from: *const [f32; LANES * VECTORS],
        rows: usize,
        tokens: usize,
        to: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe { transpose16(from, rows, tokens, to, stride) };
    }
}

/// [`Squares::add_square`](super::super::gemm::Squares::add_square).
///
/// # Safety
/// `totals` is valid for the rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) unsafe fn add_square<const BITS: u32>(
    sums: &Sums,
    rows: &Rows<'_>,
    tokens: &PackedTokens<'_>,
    first: bool,
    totals: *mut [f32; LANES],
) {
    let (sums, pitch) = (sums.0.as_ptr().cast(), sums.0[0].len());
    // SAFETY: the sums are a panel; the caller's contract.
    unsafe { add::<BITS>((sums, pitch), rows, tokens, first, (totals, pitch / planes(BITS))) };
}

/// Sums and outputs of a panel, each with its vectors from row to row.
///
/// # Safety
/// The pointers are valid for the rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn add<const BITS: u32>(
    sums: (*const [i32; LANES], usize),
    rows: &Rows<'_>,
    tokens: &PackedTokens<'_>,
    first: bool,
    totals: (*mut [f32; LANES], usize),
) {
    assert!(rows.scales.len() == rows.zeros.len() && rows.scales.len() <= PANEL);
    if rows.scales.is_empty() {
        return;
    }
    let kind = match rows.same {
        Some(0) => NONE,
        Some(_) => SAME,
        None => EACH,
    };
    // SAFETY: the caller's contract.
    unsafe {
        match (kind, first) {
            (NONE, true) => add_kind::<BITS, NONE, true>(sums, rows, tokens, totals),
            (NONE, false) => add_kind::<BITS, NONE, false>(sums, rows, tokens, totals),
            (SAME, true) => add_kind::<BITS, SAME, true>(sums, rows, tokens, totals),
            (SAME, false) => add_kind::<BITS, SAME, false>(sums, rows, tokens, totals),
            (_, true) => add_kind::<BITS, EACH, true>(sums, rows, tokens, totals),
            (_, false) => add_kind::<BITS, EACH, false>(sums, rows, tokens, totals),
        }
    }
}

const fn planes(bits: u32) -> usize {
    if bits == 4 { 2 } else { 1 }
}

/// # Safety
/// As [`add`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn add_kind<const BITS: u32, const KIND: u8, const FIRST: bool>(
    (sums, sums_pitch): (*const [i32; LANES], usize),
    rows: &Rows<'_>,
    tokens: &PackedTokens<'_>,
    (totals, totals_pitch): (*mut [f32; LANES], usize),
) {
    for block in 0..tokens.blocks {
        let at = block * planes(BITS);
        let factors = floats(tokens.scales[block]);
        let x = [integers(tokens.sums[at]), integers(tokens.sums[at + planes(BITS) - 1])];
        let zero = _mm512_set1_epi32(rows.zeros[0]);
        let same = [_mm512_mullo_epi32(zero, x[0]), _mm512_mullo_epi32(zero, x[1])];
        for (r, (&scale, &zero)) in rows.scales.iter().zip(rows.zeros).enumerate() {
            // SAFETY: the caller's contract.
            let (sums, total) = unsafe {
                let sums = sums.add(r * sums_pitch + at);
                (sums, &mut *totals.add(r * totals_pitch + block))
            };
            let plane = |p: usize| {
                // SAFETY: the vectors of a block follow each other.
                let sums = integers(unsafe { &*sums.add(p) });
                _mm512_cvtepi32_ps(match KIND {
                    NONE => sums,
                    SAME => _mm512_sub_epi32(sums, same[p]),
                    _ => {
                        let zero = _mm512_set1_epi32(zero);
                        _mm512_sub_epi32(sums, _mm512_mullo_epi32(zero, x[p]))
                    }
                })
            };
            let mut s = plane(0);
            if BITS == 4 {
                s = _mm512_fmadd_ps(plane(1), _mm512_set1_ps(256.0), s);
            }
            let scale = _mm512_mul_ps(_mm512_set1_ps(scale), factors);
            let before = if FIRST { _mm512_setzero_ps() } else { floats(total) };
            // SAFETY: sixteen f32.
            unsafe { _mm512_storeu_ps(total.as_mut_ptr(), _mm512_fmadd_ps(s, scale, before)) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn floats(lanes: &[f32; LANES]) -> __m512 {
    // SAFETY: sixteen f32.
    unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn integers(lanes: &[i32; LANES]) -> __m512i {
    // SAFETY: sixteen i32.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

/// [`Outputs::transpose`] by blocks of sixteen rows and tokens.
///
/// # Safety
/// `from` holds the rows and tokens rounded up to sixteen; `to` is valid for writing `rows` values at each of `tokens`
/// starts that lie `stride` apart.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) unsafe fn transpose16<const PITCH: usize>(
    from: *const [f32; PITCH],
    rows: usize,
    tokens: usize,
    to: *mut f32,
    stride: usize,
) {
    for r in (0..rows).step_by(16) {
        let mask: __mmask16 = if rows - r < 16 { (1 << (rows - r)) - 1 } else { !0 };
        for t in (0..tokens).step_by(4) {
            // SAFETY: a tile holds whole blocks of sixteen; the rows and tokens to write are counted.
            unsafe {
                let four = turned4::<PITCH>(from.add(r).cast::<f32>().add(t));
                let to = to.add(t * stride + r);
                if tokens - t >= 4 {
                    for (i, lanes) in four.into_iter().enumerate() {
                        _mm512_mask_storeu_ps(to.add(i * stride), mask, lanes);
                    }
                } else {
                    for (i, lanes) in four.into_iter().enumerate().take(tokens - t) {
                        _mm512_mask_storeu_ps(to.add(i * stride), mask, lanes);
                    }
                }
            }
        }
    }
}

/// [`turn_portable`](super::super::gemm::turn_portable) by four quads of columns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn turn16(from: &Square, to: &mut Turned) {
    for (quad, to) in to.chunks_exact_mut(4).enumerate() {
        // SAFETY: sixteen tokens of sixteen quads.
        let four = unsafe { turned4::<LANES>(from.0.as_ptr().cast::<f32>().add(4 * quad)) };
        for (to, lanes) in to.iter_mut().zip(four) {
            // SAFETY: 64 bytes.
            unsafe { _mm512_storeu_ps(to.0.as_mut_ptr().cast(), lanes) };
        }
    }
}

/// Four values of each of sixteen rows, which lie `STRIDE` values apart: the first of all rows, the second and so
/// on. Quarters are put together by the loads, which leaves the one port that shuffles half of the work.
///
/// # Safety
/// The values are there. They need not be numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn turned4<const STRIDE: usize>(from: *const f32) -> [__m512; 4] {
    let mut v = [_mm512_setzero_ps(); 4];
    for (i, v) in v.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        let quarter = |q: usize| unsafe { _mm_loadu_ps(from.add((4 * q + i) * STRIDE)) };
        *v = _mm512_castps128_ps512(quarter(0));
        *v = _mm512_insertf32x4::<1>(*v, quarter(1));
        *v = _mm512_insertf32x4::<2>(*v, quarter(2));
        *v = _mm512_insertf32x4::<3>(*v, quarter(3));
    }
    let pairs = [
        (_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpacklo_ps(v[2], v[3])),
        (_mm512_unpackhi_ps(v[0], v[1]), _mm512_unpackhi_ps(v[2], v[3])),
    ];
    [
        _mm512_shuffle_ps::<0b01_00_01_00>(pairs[0].0, pairs[0].1),
        _mm512_shuffle_ps::<0b11_10_11_10>(pairs[0].0, pairs[0].1),
        _mm512_shuffle_ps::<0b01_00_01_00>(pairs[1].0, pairs[1].1),
        _mm512_shuffle_ps::<0b11_10_11_10>(pairs[1].0, pairs[1].1),
    ]
}
