//! Float dots: the baseline's layers and adapters.

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
