//! The order for instructions that multiply a panel with two vectors at a time, apart from the units that compute
//! with floats.
//!
//! Two vectors meet all panels, group by group: their part of a group and the sums and outputs of a panel stay in the
//! first-level cache, while weights pass. The sums of a square become outputs after the next square's products:
//! these wait for nothing the floats need, so a processor that looks ahead computes both at once.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use super::{
    LANES, PANEL, PANELS, Packed, PackedTokens, Rows, SUMS, Scratch, Strips, Tile, Unit, planes,
    product_by, row_stride,
};
use crate::kernels::int::weights::Weights;
use crate::kernels::{ColumnsAt, prefetch};

/// Vectors that meet a panel at once.
const PAIR: usize = 2;

/// `[row][vector][lane]`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in super::super) struct Sums(pub(in super::super) [[[i32; LANES]; PAIR]; PANEL]);

/// Columns of a square at most: the rows of a panel and two vectors, 64 bytes a column together, stay in a first-level
/// cache of 48 KB while the vectors meet the next panel.
const COLUMNS: usize = 640;
/// Steps of [`COLUMNS`].
const STEP: usize = 64;
/// Bytes of a cache line.
const LINE: usize = 64;

// The sums of a square of every panel have their place, and so have the outputs.
const _: () = assert!(PANELS * size_of::<Sums>() == size_of::<[Tile<i32>; SUMS]>());
const _: () = assert!(PANELS * PANEL * PAIR * LANES * 4 <= size_of::<[Tile<f32>; PANELS]>());

/// A unit that multiplies squares.
pub(in super::super) trait Squares: Unit {
    /// Sets (`fresh`) or adds to `sums` the products of a panel of prepared rows, which lie `stride` bytes apart, with
    /// two vectors.
    ///
    /// # Safety
    /// The instructions are there, between [`Unit::begin`] and [`Unit::end`]; rows and vectors hold `columns`, a
    /// multiple of 64 that is not 0.
    unsafe fn square(
        weights: *const u8,
        stride: usize,
        x: [*const i8; PAIR],
        columns: usize,
        sums: &mut Sums,
        fresh: bool,
    );

    /// Adds one group's part to `totals`, `[row][block][lane]` with a block for each plane's vector; the `first`
    /// group sets them.
    ///
    /// # Safety
    /// The instructions are there; `totals` is valid for the rows.
    unsafe fn add_square<const BITS: u32>(
        sums: &Sums,
        rows: &Rows<'_>,
        tokens: &PackedTokens<'_>,
        first: bool,
        totals: *mut [f32; LANES],
    );

    /// Writes token `t` of `totals`, as above, to `to + t * stride` for `rows` rows and `tokens` tokens.
    ///
    /// # Safety
    /// The instructions are there; `totals` holds a panel; `to` is valid for those writes.
    unsafe fn write<const BITS: u32>(
        totals: *const [f32; LANES],
        rows: usize,
        tokens: usize,
        to: *mut f32,
        stride: usize,
    );
}

/// [`product`](super::product) by squares.
///
/// # Safety
/// As there; groups are multiples of 64 columns, or the one group of a row.
#[inline(always)]
pub(in super::super) unsafe fn product_by_squares<U: Squares, const BITS: u32>(
    x: &Packed,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    // SAFETY: the caller's contract.
    unsafe { product_by::<U, BySquares<U>, BITS>(x, w, rows, y) };
}

struct BySquares<U>(PhantomData<U>);

/// The task a thread had last.
#[derive(Clone, Copy)]
struct Last {
    /// Where the matrix lies.
    matrix: usize,
    first: usize,
    /// Rows from the first one of a task to that of the next.
    step: usize,
}

thread_local! {
    static LAST: Cell<Last> = const { Cell::new(Last { matrix: 0, first: 0, step: 0 }) };
}

/// The weights of the task that this thread is likely to get next, brought nearer piece by piece while it computes:
/// preparing them waits for memory, computing does not use it.
///
/// Threads that share a matrix take its tasks in turn, so the next one is as far as this one is from the last.
struct Ahead {
    lines: Range<usize>,
    /// Lines of a piece.
    piece: usize,
}

impl Ahead {
    /// The weights expected after the `count` rows from `first` on, in as many `pieces`.
    fn new(w: &Weights<'_>, first: usize, count: usize, pieces: usize) -> Self {
        let (last, matrix) = (LAST.get(), w.data.as_ptr() as usize);
        let step = match first > last.first && matrix == last.matrix {
            true => first - last.first,
            false => last.step,
        };
        LAST.set(Last { matrix, first, step });
        // Where a matrix ends, tasks are shorter.
        let known = step != 0 && step.is_multiple_of(count);
        let rows = if known { first + step..first + step + count } else { 0..0 };
        let at = |row: usize| matrix + row.saturating_mul(w.row_bytes).min(w.data.len());
        let lines = at(rows.start) / LINE..at(rows.end).div_ceil(LINE);
        let lines = if at(rows.start) < at(rows.end) { lines } else { 0..0 };
        Self { piece: lines.len().div_ceil(pieces.max(1)), lines }
    }

    #[inline(always)]
    fn fetch(&mut self) {
        for line in self.lines.by_ref().take(self.piece) {
            prefetch::second(line * LINE);
        }
    }
}

/// A square whose sums are not in the outputs yet.
#[derive(Clone, Copy)]
struct Late<'a> {
    /// Where its sums are.
    place: usize,
    group: usize,
    /// The first of its rows, counted among the prepared ones.
    row: usize,
    tokens: PackedTokens<'a>,
    /// The first token, and how many there are.
    m: usize,
    lanes: usize,
}

/// Where outputs come from and go to.
struct Outputs<'a> {
    held: usize,
    scales: &'a [f32],
    zeros: &'a [i32],
    same: Option<i32>,
    groups: usize,
    sums: &'a mut [Sums; PANELS],
    totals: *mut [f32; LANES],
    first: usize,
    count: usize,
    y: &'a ColumnsAt<'a>,
}

impl<U: Squares> Strips for BySquares<U> {
    #[inline(always)]
    unsafe fn all<const BITS: u32>(
        x: &Packed,
        w: &Weights<'_>,
        scratch: &mut Scratch,
        first: usize,
        count: usize,
        y: &ColumnsAt<'_>,
    ) {
        let stride = row_stride::<U>(BITS, x.padded);
        let Scratch { weights, held, scales, zeros, same, sums, totals } = scratch;
        let weights = weights.as_ptr().cast::<u8>();
        // SAFETY: the sizes and the alignment are asserted above.
        let sums = unsafe { &mut *(&raw mut **sums).cast::<[Sums; PANELS]>() };
        let totals = (&raw mut **totals).cast::<[f32; LANES]>();
        let (held, same, groups) = (*held, *same, w.groups);
        let mut out = Outputs { held, scales, zeros, same, groups, sums, totals, first, count, y };
        let mut late: Option<Late<'_>> = None;
        let mut turn = 0;
        let parts = groups * (x.padded / groups).div_ceil(part(x.padded / groups));
        let pieces = x.blocks().div_ceil(PAIR / planes(BITS)) * parts * count.div_ceil(PANEL);
        let mut ahead = Ahead::new(w, first, count, pieces);
        let at_once = PAIR / planes(BITS);
        for block in (0..x.blocks()).step_by(at_once) {
            let blocks = block..x.blocks().min(block + at_once);
            let vectors = x.vectors(blocks.clone());
            let m = block * LANES;
            let lanes = (blocks.len() * LANES).min(x.m - m);
            for group in 0..groups {
                let from = group * w.group;
                let end = if group + 1 == groups { x.padded } else { from + w.group };
                let tokens = x.tokens(blocks.clone(), group);
                let step = part(end - from);
                for at in (from..end).step_by(step) {
                    let columns = step.min(end - at);
                    let pair = [vectors[0], vectors[1]].map(|x| x.wrapping_add(at * LANES));
                    for row in (0..count).step_by(PANEL) {
                        // A place is written again after the sums in it became outputs: those of the square before wait.
                        let place =
                            if step < end - from && count > PANEL { row / PANEL } else { turn };
                        // SAFETY: panels lie within the prepared rows, which hold the columns up to `padded`, as
                        // packed vectors do; the caller's contract for the rest.
                        unsafe {
                            let weights = weights.add(row * stride + at);
                            let (sums, fresh) = (&mut out.sums[place], at == from);
                            U::square(weights, stride, pair, columns, sums, fresh);
                            ahead.fetch();
                            if let Some(late) = late.take() {
                                finish::<U, BITS>(&mut out, &late);
                            }
                        }
                        if at + columns == end {
                            late = Some(Late { place, group, row, tokens, m, lanes });
                            turn ^= 1;
                        }
                    }
                }
            }
        }
        if let Some(late) = &late {
            // SAFETY: as above.
            unsafe { finish::<U, BITS>(&mut out, late) };
        }
    }
}

/// Columns of the parts, as equal as can be, in which a square takes `columns`.
#[inline(always)]
fn part(columns: usize) -> usize {
    columns.div_ceil(columns.div_ceil(COLUMNS)).next_multiple_of(STEP)
}

/// Adds the sums of a square to its outputs, and writes these after the last group.
///
/// # Safety
/// As [`Strips::all`].
#[inline(always)]
unsafe fn finish<U: Squares, const BITS: u32>(out: &mut Outputs<'_>, late: &Late<'_>) {
    let rows = PANEL.min(out.count - late.row);
    let at = late.group * out.held + late.row;
    let (scales, zeros) = (&out.scales[at..at + rows], &out.zeros[at..at + rows]);
    let factors = Rows { scales, zeros, same: out.same };
    // SAFETY: a panel's totals lie within those of all panels; the rows and tokens lie in `y`, by the caller's contract;
    // rows of `y` follow each other.
    unsafe {
        let totals = out.totals.add(late.row * (PAIR / planes(BITS)));
        let sums = &out.sums[late.place];
        U::add_square::<BITS>(sums, &factors, &late.tokens, late.group == 0, totals);
        if late.group + 1 == out.groups {
            let to = out.y.at(late.m, out.first + late.row);
            U::write::<BITS>(totals, rows, late.lanes, to, out.y.stride());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::int::scales::ScaleBytes;
    use crate::kernels::int::weights::Zeros;

    /// The bytes of a matrix that are expected, and those of a piece.
    fn ahead(data: &[u8], first: usize, count: usize) -> (Range<usize>, usize) {
        let (scales, zeros) = (ScaleBytes::F32(&[]), Zeros::All(0));
        let w = Weights { data, row_bytes: 64, group: 64, groups: 1, scales, zeros };
        let Ahead { lines, piece } = Ahead::new(&w, first, count, 4);
        let start = data.as_ptr() as usize / LINE;
        match lines.is_empty() {
            true => (0..0, piece),
            false => (lines.start - start..lines.end - start, piece),
        }
    }

    #[test]
    fn the_next_task_is_as_far_as_this_one_from_the_last() {
        std::thread::spawn(|| {
            // Rows are lines.
            let lines = vec![super::super::Line([0; 64]); 320];
            // SAFETY: as many bytes.
            let data = unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), 320 * 64) };
            assert_eq!(ahead(data, 32, 32), (0..0, 0), "nothing is known");
            assert_eq!(ahead(data, 96, 32), (160..192, 8));
            assert_eq!(ahead(data, 192, 32), (288..320, 8), "one task was another thread's");
            assert_eq!(ahead(data, 288, 32), (0..0, 0), "the matrix ends");
            assert_eq!(ahead(&data[64..], 0, 32), (96..128, 8), "another matrix, the same threads");
            assert_eq!(ahead(&data[64..], 96, 20), (0..0, 0), "a last, shorter task");
        })
        .join()
        .expect("the thread ends");
    }
}
