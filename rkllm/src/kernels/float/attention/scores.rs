//! Scores: sixteen keys to a register, so that the lanes of a `dot16` are registers and its halving
//! tree adds them whole.

use super::{AttentionTile, KEY_BLOCK, Rows, groups};
use crate::kernels::float::KvRows;
use crate::kernels::float::element::{Element, F16, F32};
use crate::kernels::float::lanes::Lanes;

/// The lanes of `dot16` in the order in which its halving tree takes them: each next to its partner.
const ORDER: [usize; 16] = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];

/// Fills the rows of `out` with the scores of every block of keys that a query sees part of; column 0
/// is the position `tile.base`.
///
/// # Safety
/// The tile was checked, `block` has room for `V` of them as floats, rows of `out` for all the
/// positions and one block more; the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn scores<L: Lanes, const Q: usize, const V: usize>(
    tile: &AttentionTile<'_>,
    block: *mut f32,
    out: Rows,
) {
    let (d, rows) = (tile.dim, tile.visible.len());
    let count = (tile.end() - tile.base).div_ceil(KEY_BLOCK);
    // Windows may start whole blocks after the base of the tile.
    let start = tile.visible.iter().map(|range| range.start).min().unwrap_or(tile.base);
    let mut at = (start - tile.base) / KEY_BLOCK;
    while at < count {
        let here = V.min(count - at);
        let first = tile.base + at * KEY_BLOCK;
        // SAFETY: blocks below `count` exist, and rows have room for the V from `at` on.
        unsafe {
            match tile.keys {
                KvRows::F32(keys) => {
                    let keys = keys.as_ptr().add(at * KEY_BLOCK * d).cast();
                    convert::<L, F32, V>(keys, here, d, block);
                }
                KvRows::F16(keys) => {
                    let keys = keys.as_ptr().add(at * KEY_BLOCK * d).cast();
                    convert::<L, F16, V>(keys, here, d, block);
                }
            }
            for group in groups(rows, Q) {
                let visible = &tile.visible[group.clone()];
                let seen = |range: &std::ops::Range<usize>| {
                    range.start < first + V * KEY_BLOCK && range.end > first
                };
                if !visible.iter().any(seen) {
                    continue;
                }
                let queries = tile.queries.as_ptr().add(group.start * d);
                let out = Rows { data: out.at(group.start, at * KEY_BLOCK), stride: out.stride };
                match group.len() {
                    1 if Q > 1 => dots::<L, 1, V>(queries, d, block, tile.scale, out),
                    2 if Q > 2 => dots::<L, 2, V>(queries, d, block, tile.scale, out),
                    3 if Q > 3 => dots::<L, 3, V>(queries, d, block, tile.scale, out),
                    _ => dots::<L, Q, V>(queries, d, block, tile.scale, out),
                }
            }
        }
        at += V;
    }
}

/// `V` blocks of keys (`here` of them exist) to floats: `[d, V, KEY_BLOCK]`.
///
/// # Safety
/// `keys` holds so many blocks, else as [`scores`].
#[inline(always)]
unsafe fn convert<L: Lanes, E: Element, const V: usize>(
    keys: *const u8,
    here: usize,
    d: usize,
    block: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        for v in 0..here {
            for i in 0..d {
                let values = E::load::<L>(keys.add((v * d + i) * KEY_BLOCK * E::SIZE));
                values.store(block.add((i * V + v) * KEY_BLOCK));
            }
        }
    }
}

/// What the dots of `Q` queries with a block of keys read.
#[derive(Clone, Copy)]
struct Operands<const Q: usize> {
    queries: [*const f32; Q],
    d: usize,
    block: *const f32,
}

/// # Safety
/// `queries` holds `Q` rows of `d`, `block` `[d, V, KEY_BLOCK]`; the rows of `out` have room for as many
/// scores; the processor has the instructions of `L`.
#[inline(always)]
unsafe fn dots<L: Lanes, const Q: usize, const V: usize>(
    queries: *const f32,
    d: usize,
    block: *const f32,
    scale: f32,
    out: Rows,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let queries: [*const f32; Q] = std::array::from_fn(|q| queries.add(q * d));
        let operands = Operands { queries, d, block };
        // The commonest size with its loops unrolled, but not for single queries: there are few.
        let sums = match d {
            64 if Q > 1 => operands.tree::<L, V, 4>(),
            _ => operands.tree::<L, V, 0>(),
        };
        let scale = L::splat(scale);
        for (q, row) in sums.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                sum.mul(scale).store(out.at(q, v * KEY_BLOCK));
            }
        }
    }
}

type Sums<L, const Q: usize, const V: usize> = [[L; V]; Q];

/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn add<L: Lanes, const Q: usize, const V: usize>(
    a: Sums<L, Q, V>,
    b: Sums<L, Q, V>,
) -> Sums<L, Q, V> {
    let mut sum = a;
    for q in 0..Q {
        for v in 0..V {
            // SAFETY: the caller's contract.
            sum[q][v] = unsafe { a[q][v].add(b[q][v]) };
        }
    }
    sum
}

/// `STEPS` is `d / 16` where that is known and whole, else 0.
///
/// # Safety
/// Of all methods: as [`dots`].
impl<const Q: usize> Operands<Q> {
    /// The halving tree, depth first: few of its sums wait for their partner at a time.
    #[inline(always)]
    unsafe fn tree<L: Lanes, const V: usize, const STEPS: usize>(self) -> Sums<L, Q, V> {
        // SAFETY: the caller's contract.
        unsafe {
            let low = self.half::<L, V, STEPS>(0);
            add(low, self.half::<L, V, STEPS>(8))
        }
    }

    #[inline(always)]
    unsafe fn half<L: Lanes, const V: usize, const STEPS: usize>(self, at: usize) -> Sums<L, Q, V> {
        // SAFETY: the caller's contract.
        unsafe {
            let low = self.quarter::<L, V, STEPS>(at);
            add(low, self.quarter::<L, V, STEPS>(at + 4))
        }
    }

    #[inline(always)]
    unsafe fn quarter<L: Lanes, const V: usize, const STEPS: usize>(
        self,
        at: usize,
    ) -> Sums<L, Q, V> {
        // SAFETY: the caller's contract.
        unsafe {
            let low = self.pair::<L, V, STEPS>(at);
            add(low, self.pair::<L, V, STEPS>(at + 2))
        }
    }

    #[inline(always)]
    unsafe fn pair<L: Lanes, const V: usize, const STEPS: usize>(self, at: usize) -> Sums<L, Q, V> {
        // SAFETY: the caller's contract.
        unsafe {
            let low = self.lane::<L, V, STEPS>(ORDER[at]);
            add(low, self.lane::<L, V, STEPS>(ORDER[at + 1]))
        }
    }

    /// The sums of one lane of the dots: columns `lane`, `lane + 16`, ..
    #[inline(always)]
    unsafe fn lane<L: Lanes, const V: usize, const STEPS: usize>(
        self,
        lane: usize,
    ) -> Sums<L, Q, V> {
        let steps = match STEPS {
            0 => self.d / 16 + usize::from(lane < self.d % 16),
            known => known,
        };
        // SAFETY: columns stay below `d`.
        unsafe {
            let mut acc = [[L::splat(0.0); V]; Q];
            for step in 0..steps {
                let column = lane + 16 * step;
                let mut keys = [L::splat(0.0); V];
                for (v, keys) in keys.iter_mut().enumerate() {
                    *keys = L::load(self.block.add((column * V + v) * KEY_BLOCK));
                }
                for (acc, query) in acc.iter_mut().zip(&self.queries) {
                    let query = L::splat(*query.add(column));
                    for (acc, key) in acc.iter_mut().zip(keys) {
                        *acc = query.fma(key, *acc);
                    }
                }
            }
            acc
        }
    }
}
