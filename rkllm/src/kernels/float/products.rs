//! Float dots: the baseline's layers, attention scores, attention output.

use std::ops::Range;

use super::element::Element;
use super::lanes::{Lanes, halving_tree};
use crate::kernels::ColumnsAt;

/// `dot16` of `R` stored rows with `T` f32 rows: `out[r][t]`.
///
/// # Safety
/// Every pointer is valid for `len` elements; the processor has the instructions of `L`.
#[inline(always)]
unsafe fn tile<L: Lanes, E: Element, const R: usize, const T: usize>(
    stored: [*const u8; R],
    x: [*const f32; T],
    len: usize,
) -> [[f32; T]; R] {
    // SAFETY: offsets stay below `len` by the loops' bounds.
    unsafe {
        let mut acc = [[L::splat(0.0); T]; R];
        let whole = len & !15;
        let mut i = 0;
        while i < whole {
            let mut w = [L::splat(0.0); R];
            for (w, stored) in w.iter_mut().zip(stored) {
                *w = E::load::<L>(stored.add(i * E::SIZE));
            }
            for t in 0..T {
                let xt = L::load(x[t].add(i));
                for r in 0..R {
                    acc[r][t] = xt.fma(w[r], acc[r][t]);
                }
            }
            i += 16;
        }
        let mut out = [[0.0; T]; R];
        for r in 0..R {
            for t in 0..T {
                out[r][t] = if whole == len {
                    acc[r][t].sum()
                } else {
                    let mut lanes = [0.0; 16];
                    acc[r][t].store(lanes.as_mut_ptr());
                    for i in whole..len {
                        let w = E::get(stored[r].add(i * E::SIZE));
                        lanes[i - whole] = (*x[t].add(i)).mul_add(w, lanes[i - whole]);
                    }
                    halving_tree(lanes)
                };
            }
        }
        out
    }
}

/// `y[m, n] = dot16(x[m], w[n])` for every token and the rows `rows` of `w`.
///
/// # Safety
/// `x` holds whole rows of `k`, `w` at least `rows.end` rows of `k` elements, `y` as many rows as `x`
/// and `rows.end` columns that no other thread accesses; the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn rows<L: Lanes, E: Element, const R: usize, const T: usize>(
    x: &[f32],
    k: usize,
    w: &[u8],
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    let m = x.len() / k;
    // SAFETY: row and token indices stay inside by the loops' bounds and the caller's contract.
    unsafe {
        let row = |n: usize| w.as_ptr().add(n * k * E::SIZE);
        let token = |t: usize| x.as_ptr().add(t * k);
        let mut n = rows.start;
        while n < rows.end {
            if rows.end - n >= R {
                let stored: [*const u8; R] = std::array::from_fn(|r| row(n + r));
                let mut t = 0;
                while t < m {
                    if m - t >= T {
                        let out =
                            tile::<L, E, R, T>(stored, std::array::from_fn(|i| token(t + i)), k);
                        for (r, row) in out.into_iter().enumerate() {
                            for (i, value) in row.into_iter().enumerate() {
                                y.write(t + i, n + r, value);
                            }
                        }
                        t += T;
                    } else {
                        let out = tile::<L, E, R, 1>(stored, [token(t)], k);
                        for (r, [value]) in out.into_iter().enumerate() {
                            y.write(t, n + r, value);
                        }
                        t += 1;
                    }
                }
                n += R;
            } else {
                for t in 0..m {
                    y.write(t, n, tile::<L, E, 1, 1>([row(n)], [token(t)], k)[0][0]);
                }
                n += 1;
            }
        }
    }
}

/// Scores of `queries` `[T, d]` against consecutive keys `[count, d]`: `out[t][j]`, with `out` rows
/// of `stride`.
///
/// # Safety
/// The slices hold what the shapes say; the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn scores<L: Lanes, E: Element>(
    queries: &[f32],
    d: usize,
    keys: &[u8],
    scale: f32,
    out: &mut [f32],
    stride: usize,
) {
    let count = keys.len() / (d * E::SIZE);
    let total = queries.len() / d;
    // SAFETY: indices stay inside by the loops' bounds and the caller's contract.
    unsafe {
        let query = |t: usize| queries.as_ptr().add(t * d);
        let mut t = 0;
        while t < total {
            let four = total - t >= 4;
            for j in 0..count {
                let key = [keys.as_ptr().add(j * d * E::SIZE)];
                if four {
                    let s = tile::<L, E, 1, 4>(key, std::array::from_fn(|i| query(t + i)), d)[0];
                    for (i, s) in s.into_iter().enumerate() {
                        *out.get_unchecked_mut((t + i) * stride + j) = s * scale;
                    }
                } else {
                    let s = tile::<L, E, 1, 1>(key, [query(t)], d)[0][0];
                    *out.get_unchecked_mut(t * stride + j) = s * scale;
                }
            }
            t += if four { 4 } else { 1 };
        }
    }
}

/// `out[d] = fma(p[j], v[j, d], out[d])` for `j` ascending, from zero.
///
/// # Safety
/// `v` holds `p.len()` rows of `out.len()` elements; the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn weighted_sum<L: Lanes, E: Element>(p: &[f32], v: &[u8], out: &mut [f32]) {
    /// Registers for the output: 64 columns at a time.
    const WIDE: usize = 4;
    let d = out.len();
    // SAFETY: columns stay below `d`, rows below `p.len()`, by the loops' bounds.
    unsafe {
        let at = |j: usize, column: usize| v.as_ptr().add((j * d + column) * E::SIZE);
        let mut column = 0;
        while d - column >= 16 * WIDE {
            let mut acc = [L::splat(0.0); WIDE];
            for (j, &p) in p.iter().enumerate() {
                let p = L::splat(p);
                for (i, acc) in acc.iter_mut().enumerate() {
                    *acc = p.fma(E::load::<L>(at(j, column + 16 * i)), *acc);
                }
            }
            for (i, acc) in acc.into_iter().enumerate() {
                acc.store(out.as_mut_ptr().add(column + 16 * i));
            }
            column += 16 * WIDE;
        }
        while d - column >= 16 {
            let mut acc = L::splat(0.0);
            for (j, &p) in p.iter().enumerate() {
                acc = L::splat(p).fma(E::load::<L>(at(j, column)), acc);
            }
            acc.store(out.as_mut_ptr().add(column));
            column += 16;
        }
        for (column, out) in out.iter_mut().enumerate().skip(column) {
            let mut acc = 0.0f32;
            for (j, &p) in p.iter().enumerate() {
                acc = p.mul_add(E::get(at(j, column)), acc);
            }
            *out = acc;
        }
    }
}
