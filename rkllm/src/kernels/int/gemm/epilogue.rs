//! From integer sums to outputs, by vectors of an instruction set or portable: the driver is compiled under a kernel's target features, where the loops
//! over lanes become vector code.

use super::super::scales::ScaleBytes;
use super::{LANES, PANEL, PackedTokens, Tile, VECTORS};

/// What a set of vectors does with the scales of rows and with their sums, whatever instruction made these. What it
/// does not spell out is done by portable loops.
///
/// All functions are called where the processor has the instructions that the implementation needs.
pub(in super::super) trait Outputs {
    /// Writes `count` scales from `first` on as f32, at most sixteen; what follows them may be overwritten.
    ///
    /// # Safety
    /// The instructions are there.
    #[inline(always)]
    unsafe fn scales(scales: &ScaleBytes<'_>, first: usize, count: usize, to: &mut [f32; 16]) {
        to.iter_mut().take(count).enumerate().for_each(|(i, to)| *to = scales.get(first + i));
    }

    /// Adds one group's part to the outputs; the `first` group sets them.
    ///
    /// # Safety
    /// The instructions are there.
    #[inline(always)]
    unsafe fn add<const BITS: u32>(
        sums: &Tile<i32>,
        rows: &Rows<'_>,
        tokens: &PackedTokens<'_>,
        first: bool,
        totals: &mut Tile<f32>,
    ) {
        add::<BITS>(sums, rows, tokens, first, totals);
    }

    /// Writes `from[r][t]` to `to[t * stride + r]` for `rows` rows and `tokens` tokens.
    ///
    /// # Safety
    /// The instructions are there. `to` is valid for writing `rows` values at each of `tokens` starts that lie
    /// `stride` apart, and `from` holds the rows and tokens rounded up to sixteen.
    #[inline(always)]
    unsafe fn transpose(
        from: *const [f32; LANES * VECTORS],
        rows: usize,
        tokens: usize,
        to: *mut f32,
        stride: usize,
    ) {
        for t in 0..tokens {
            for r in 0..rows {
                // SAFETY: the caller's contract.
                unsafe { *to.add(t * stride + r) = (*from.add(r))[t] };
            }
        }
    }
}

/// The scale and the zero point, bias included, of each row for one group.
pub(in super::super) struct Rows<'a> {
    pub(in super::super) scales: &'a [f32],
    pub(in super::super) zeros: &'a [i32],
    /// What all zero points are, where that is known without looking.
    pub(in super::super) same: Option<i32>,
}

/// [`Outputs::add`] by loops over lanes.
#[inline(always)]
fn add<const BITS: u32>(
    sums: &Tile<i32>,
    rows: &Rows<'_>,
    tokens: &PackedTokens<'_>,
    first: bool,
    totals: &mut Tile<f32>,
) {
    debug_assert!(rows.same.is_none_or(|same| rows.zeros.iter().all(|&zero| zero == same)));
    match first {
        true => add_to::<BITS, true>(sums, rows, tokens, totals),
        false => add_to::<BITS, false>(sums, rows, tokens, totals),
    }
}

#[inline(always)]
fn add_to<const BITS: u32, const FIRST: bool>(
    sums: &Tile<i32>,
    rows: &Rows<'_>,
    tokens: &PackedTokens<'_>,
    totals: &mut Tile<f32>,
) {
    let planes = if BITS == 4 { 2 } else { 1 };
    for (r, (&scale, &zero)) in rows.scales.iter().zip(rows.zeros).enumerate() {
        debug_assert!(r < PANEL);
        let (sums, totals) = (&sums.0[r], &mut totals.0[r]);
        for (block, total) in totals.iter_mut().enumerate().take(tokens.blocks) {
            let at = block * planes;
            let low = plane(&sums[at], zero, tokens.sums[at]);
            let mut s = [0.0; LANES];
            if BITS == 4 {
                let high = plane(&sums[at + 1], zero, tokens.sums[at + 1]);
                for i in 0..LANES {
                    s[i] = (high[i] as f32).mul_add(256.0, low[i] as f32);
                }
            } else {
                for i in 0..LANES {
                    s[i] = low[i] as f32;
                }
            }
            let factors = tokens.scales[block];
            for i in 0..LANES {
                let before = if FIRST { 0.0 } else { total[i] };
                total[i] = s[i].mul_add(scale * factors[i], before);
            }
        }
    }
}

/// One plane's sums without the zero point's part. With a bias the sums may wrap around; the difference does not.
#[inline(always)]
fn plane(sums: &[i32; LANES], zero: i32, tokens: &[i32; LANES]) -> [i32; LANES] {
    let mut out = *sums;
    if zero != 0 {
        for i in 0..LANES {
            out[i] = sums[i].wrapping_sub(zero.wrapping_mul(tokens[i]));
        }
    }
    out
}
