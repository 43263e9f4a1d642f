//! Several tokens: eight rows are unpacked once, then the tokens pass by.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::super::Activations16;
use super::super::super::blocks::{BLOCK, GroupBlock};
use super::super::super::weights::{Weights, tile_rows};
use super::super::super::x86::store;
use super::{
    I16_PIECES, PAIRS, PIECE, add, finish, load_pair, planes_at, products, row_sums, unpack,
    wide_row_sums, widen,
};
use crate::kernels::ColumnsAt;

/// Pieces that are unpacked at once: with two tokens' bytes they fit the first-level cache.
const PIECES: usize = 64;
/// Tokens that pass by one unpacked chunk; their bytes stay in the second-level cache.
const TOKENS: usize = 64;

/// Eight rows' nibbles as bytes: for each piece and pair of rows the even columns, then the odd.
#[repr(align(64))]
struct Panel([MaybeUninit<[__m256i; 2]>; PAIRS * PIECES]);

/// Sums of both planes and totals of eight rows and one token between chunks.
#[derive(Clone, Copy)]
struct Partial {
    sums: [__m256i; 2],
    total: __m256,
}

/// [`super::decode`] for several tokens.
///
/// # Safety
/// As [`super::decode`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super::super) unsafe fn prefill(
    x: &Activations16,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    let mut panel = Panel([const { MaybeUninit::uninit() }; PAIRS * PIECES]);
    // Whole groups, or a part of one.
    let pieces = w.group.div_ceil(2 * PIECE);
    let chunk = if pieces <= PIECES { PIECES / pieces * w.group } else { PIECES * 2 * PIECE };
    for m0 in (0..x.m).step_by(TOKENS) {
        let tokens = m0..x.m.min(m0 + TOKENS);
        for n in rows.clone().step_by(8) {
            let tile = tile_rows::<8>(n, rows.end);
            let nothing = Partial { sums: [_mm256_setzero_si256(); 2], total: _mm256_setzero_ps() };
            let mut partials = [nothing; TOKENS];
            for c0 in (0..x.k).step_by(chunk) {
                let columns = c0..x.k.min(c0 + chunk);
                let partials = &mut partials[..tokens.len()];
                // SAFETY: the columns lie in every row, and take at most PIECES; the pieces given are
                // those of the group.
                unsafe {
                    fill(&mut panel, w, &tile, columns.start / 2..columns.end.div_ceil(2));
                    let first = tokens.start;
                    match w.group {
                        32 => whole_groups::<1>(x, w, &tile, &panel, first, columns, partials),
                        64 => whole_groups::<2>(x, w, &tile, &panel, first, columns, partials),
                        128 => whole_groups::<4>(x, w, &tile, &panel, first, columns, partials),
                        _ => any_groups(x, w, &tile, &panel, first, columns, partials),
                    }
                }
            }
            for (m, partial) in tokens.clone().zip(&partials) {
                // SAFETY: `rows` and all tokens lie in `y`.
                unsafe { store(y.at(m, n), partial.total, rows.end - n) };
            }
        }
    }
}

/// Unpacks `bytes` of eight rows, with zeros at the end of the last piece.
///
/// # Safety
/// Every row holds `bytes`, at most [`PIECES`], and groups are multiples of a piece or `bytes` lie in one.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn fill(panel: &mut Panel, w: &Weights<'_>, tile: &[usize; 8], bytes: Range<usize>) {
    let rows = tile.map(|n| w.row(n).as_ptr());
    for (piece, at) in bytes.clone().step_by(PIECE).enumerate() {
        for pair in 0..PAIRS {
            // SAFETY: the caller's contract.
            let packed = unsafe { load_pair(&rows, pair, at, bytes.end) };
            panel.0[piece * PAIRS + pair].write(unpack(packed));
        }
    }
}

/// Adds the products of a filled panel, which holds whole groups of `GROUP` pieces, with the tokens from
/// `first` on.
///
/// # Safety
/// `panel` was filled with `columns` of the rows `tile`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn whole_groups<const GROUP: usize>(
    x: &Activations16,
    w: &Weights<'_>,
    tile: &[usize; 8],
    panel: &Panel,
    first: usize,
    columns: Range<usize>,
    partials: &mut [Partial],
) {
    let mut block = GroupBlock::new(w);
    let groups = columns.start / w.group..columns.end / w.group;
    for g0 in groups.clone().step_by(BLOCK) {
        let count = BLOCK.min(groups.end - g0);
        block.fetch(w, tile, g0, count);
        for (m, partial) in (first..).zip(partials.iter_mut()) {
            let planes = x.planes[m * 4 * x.half..].as_ptr();
            let scales = &x.scales[m * w.groups + g0..][..count];
            let sums = &x.sums[m * w.groups + g0..][..count];
            for (g, (&scale, &activations)) in scales.iter().zip(sums).enumerate() {
                let from = (g0 + g) * w.group / 2;
                let rows = &panel.0[(from - columns.start / 2) / PIECE * PAIRS..][..GROUP * PAIRS];
                // SAFETY: the panel holds these columns.
                let products = unsafe {
                    row_sums::<GROUP>(panel_pieces::<GROUP>(rows, planes.add(from), x.half))
                };
                let scales = _mm256_mul_ps(block.scales(g), _mm256_set1_ps(scale));
                let zeros = block.zeros(g);
                partial.total = finish(products, zeros, activations, scales, partial.total);
            }
        }
    }
}

/// The same for groups of any size, also such as go on in the next chunk.
///
/// # Safety
/// `panel` was filled with `columns` of the rows `tile`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn any_groups(
    x: &Activations16,
    w: &Weights<'_>,
    tile: &[usize; 8],
    panel: &Panel,
    first: usize,
    columns: Range<usize>,
    partials: &mut [Partial],
) {
    let mut block = GroupBlock::new(w);
    let mut from = columns.start;
    while from < columns.end {
        let g = from / w.group;
        let to = columns.end.min((g + 1) * w.group);
        block.fetch(w, tile, g, 1);
        let bytes = from / 2..to.div_ceil(2);
        let rows = &panel.0[(bytes.start - columns.start / 2) / PIECE * PAIRS..];
        for (m, partial) in (first..).zip(partials.iter_mut()) {
            let planes = x.planes[m * 4 * x.half..].as_ptr();
            // SAFETY: the panel holds these columns.
            let more = unsafe { panel_dots(rows, planes, x.half, bytes.clone()) };
            for (sum, more) in partial.sums.iter_mut().zip(more) {
                *sum = _mm256_add_epi32(*sum, more);
            }
            if to == (g + 1) * w.group {
                let at = m * w.groups + g;
                let scales = _mm256_mul_ps(block.scales(0), _mm256_set1_ps(x.scales[at]));
                let (sums, zeros) = (partial.sums, block.zeros(0));
                partial.total = finish(sums, zeros, x.sums[at], scales, partial.total);
                partial.sums = [_mm256_setzero_si256(); 2];
            }
        }
        from = to;
    }
}

/// The products of `bytes` of eight unpacked rows with both planes of one token.
///
/// # Safety
/// `panel` begins with these bytes; `planes` begins a token's four arrays of `half` bytes, padded with zeros.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn panel_dots(
    panel: &[MaybeUninit<[__m256i; 2]>],
    planes: *const i8,
    half: usize,
    bytes: Range<usize>,
) -> [__m256i; 2] {
    let mut wide = [[_mm256_setzero_si256(); 2]; PAIRS];
    let pieces = bytes.len().div_ceil(PIECE);
    let whole = pieces / I16_PIECES * I16_PIECES;
    // SAFETY: the caller's contract.
    unsafe {
        let token = planes.add(bytes.start);
        for piece in (0..whole).step_by(I16_PIECES) {
            let rows = &panel[piece * PAIRS..][..I16_PIECES * PAIRS];
            widen(&mut wide, &panel_pieces::<I16_PIECES>(rows, token.add(piece * PIECE), half));
        }
        for piece in whole..pieces {
            let rows = &panel[piece * PAIRS..][..PAIRS];
            widen(&mut wide, &panel_pieces::<1>(rows, token.add(piece * PIECE), half));
        }
    }
    wide_row_sums(wide)
}

/// The i16 sums of `COUNT` pieces, of which there are at most [`I16_PIECES`].
///
/// # Safety
/// `panel` is filled with that many, and the four arrays that lie `half` apart from `token` on hold them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn panel_pieces<const COUNT: usize>(
    panel: &[MaybeUninit<[__m256i; 2]>],
    token: *const i8,
    half: usize,
) -> super::Sums {
    let mut sums = [[_mm256_setzero_si256(); 2]; PAIRS];
    for (piece, rows) in panel.chunks_exact(PAIRS).take(COUNT).enumerate() {
        // SAFETY: the caller's contract.
        let x = unsafe { planes_at(token.add(piece * PIECE), half) };
        for (sums, row) in sums.iter_mut().zip(rows) {
            // SAFETY: the caller's contract.
            add(sums, products(unsafe { row.assume_init() }, x), piece == 0);
        }
    }
    sums
}
