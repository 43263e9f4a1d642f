//! The product of many tokens, blocked for caches and registers: one driver for every instruction set.
//!
//! Tokens stand in lanes. Activations are packed once per input, sixteen tokens side by side and four columns of
//! each together, so that one instruction takes four columns of sixteen tokens and of one row of weights. Rows of
//! weights are widened or unpacked once per task and serve all tokens, and both planes of 16-bit activations. A
//! [`Unit`] is the part that differs between instruction sets, its [`Outputs`] what all those of one vector set share.
//!
//! The integer sums are exact in any order. The float ones are those of `NUMERICS.md`: an output's groups are added
//! in ascending order by one task.

mod epilogue;
mod packed;
mod rows;
#[cfg(target_arch = "x86_64")]
mod squares;

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

pub(super) use epilogue::{Outputs, Rows};
pub use packed::Packed;
#[cfg(all(test, target_arch = "x86_64"))]
pub(super) use packed::turn_portable;
pub(super) use packed::{PackedBlock, PackedPlaces, PackedTokens, Square, Turned};
#[allow(unused_imports)] // each processor has units for some of them
pub(super) use rows::{copy_row, flip_row, nibbles_row, signed_nibbles_row};
#[cfg(target_arch = "x86_64")]
pub(super) use squares::{Squares, Sums, product_by_squares};

use super::weights::{Weights, Zeros};
use crate::kernels::{ColumnsAt, exact};

/// Tokens side by side in packed activations.
pub(super) const LANES: usize = 16;
/// Vectors of [`LANES`] sums that a unit computes at once: blocks of tokens, or planes of them.
pub(super) const VECTORS: usize = 4;
/// Rows of weights that a unit takes at once.
pub(super) const PANEL: usize = 32;
/// Panels of rows that a task prepares at once, at most.
const PANELS: usize = 4;
/// Places for the sums of a panel: squares, which are half as wide, take one for each panel.
const SUMS: usize = if cfg!(target_arch = "x86_64") { PANELS / 2 } else { 1 };
/// Tokens below which a product is computed token by token: packed, most lanes would be empty.
pub(super) const MIN_TOKENS: usize = 4;

/// `[row][vector][lane]`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile<T>(pub(super) [[[T; LANES]; VECTORS]; PANEL]);

/// What the driver leaves to an instruction set.
///
/// All functions are called where the processor has the instructions that the implementation needs.
pub(super) trait Unit {
    /// What its vector set does before and after the sums. Needs no instructions beyond those of the unit.
    type Outputs: Outputs;
    /// What is added to int8 weights as they are prepared: 128 where the instruction wants unsigned bytes.
    const BIAS8: i32;
    /// What is added to nibbles as they are prepared: -8 where the instruction wants signed bytes.
    const BIAS4: i32;
    /// Bytes of prepared rows that a task holds, about half of the second-level cache.
    const CACHE: usize;

    /// Bytes a prepared value takes.
    fn width(bits: u32) -> usize {
        let _ = bits;
        1
    }

    /// What a thread does before its products.
    ///
    /// # Safety
    /// The instructions are there.
    #[inline(always)]
    unsafe fn begin() {}

    /// What it does after the last of them.
    ///
    /// # Safety
    /// After [`Unit::begin`] on the same thread.
    #[inline(always)]
    unsafe fn end() {}

    /// Writes a row of weights as the products want it: `to` has room for `K` rounded up to a multiple of 64,
    /// of which the padding may hold anything. Nibbles come in the order of packed activations.
    ///
    /// # Safety
    /// The instructions are there; `to` holds `row`'s values.
    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]);
}

/// A unit that multiplies a panel of rows with up to four vectors at once.
pub(super) trait Panels: Unit {
    /// Columns of one call of [`Panels::dots`] at most, a multiple of 64: so many of four vectors, and of the rows
    /// that meet them in registers, stay in the first-level cache.
    const COLUMNS: usize;

    /// `sums[r][v]` `=` (`fresh`) or `+=` the products of `columns` of `rows` prepared rows with `vectors`
    /// vectors of packed activations, lane by lane. Other rows of the panel may be computed too.
    ///
    /// # Safety
    /// The instructions are there, between [`Unit::begin`] and [`Unit::end`]. `weights` is the first of [`PANEL`]
    /// rows that lie `stride` bytes apart, of which `rows` are prepared, and `x` the first of `vectors` blocks; both
    /// hold all of `columns`, which begin at a multiple of 32 and are a multiple of 32, at most [`Panels::COLUMNS`].
    #[allow(clippy::too_many_arguments)] // two operands with their shapes
    unsafe fn dots(
        bits: u32,
        weights: *const u8,
        stride: usize,
        rows: usize,
        x: [*const i8; VECTORS],
        vectors: usize,
        columns: Range<usize>,
        sums: &mut Tile<i32>,
        fresh: bool,
    );
}

/// How rows that are prepared meet the tokens.
trait Strips {
    /// The outputs of all tokens and of the `count` prepared rows, the rows from `first` on.
    ///
    /// # Safety
    /// As [`product`]; `scratch` holds the rows.
    unsafe fn all<const BITS: u32>(
        x: &Packed,
        w: &Weights<'_>,
        scratch: &mut Scratch,
        first: usize,
        count: usize,
        y: &ColumnsAt<'_>,
    );
}

/// Strips of four vectors, panel by panel.
struct ByPanels<U>(PhantomData<U>);

/// What a thread needs for a task: the prepared rows, and a tile of outputs for each panel of them.
#[derive(Debug)]
struct Scratch {
    weights: Vec<Line>,
    /// Prepared rows, rounded up to whole panels.
    held: usize,
    /// `[group][held]`.
    scales: Vec<f32>,
    /// `[group][held]`, with the unit's bias.
    zeros: Vec<i32>,
    /// The one zero point of all rows and groups, where the weights have no others.
    same: Option<i32>,
    sums: Box<[Tile<i32>; SUMS]>,
    totals: Box<[Tile<f32>; PANELS]>,
}

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [u8; 64]); // read as bytes

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// `y[m, n]` for all tokens of `x` and every `n` of `rows`.
///
/// # Safety
/// The processor has the instructions of `U` and those the caller was compiled for. `w` checked that `x`, `rows` and
/// `y` fit, and has groups fit for vectors; no other thread accesses columns `rows` of `y`.
#[inline(always)]
pub(super) unsafe fn product<U: Panels, const BITS: u32>(
    x: &Packed,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    // SAFETY: the caller's contract.
    unsafe { product_by::<U, ByPanels<U>, BITS>(x, w, rows, y) };
}

/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn product_by<U: Unit, S: Strips, const BITS: u32>(
    x: &Packed,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    let stride = row_stride::<U>(BITS, x.padded);
    // SAFETY: the caller's contract.
    let _begun = unsafe { Begun::<U>::new() };
    let held = held_rows::<U>(stride);
    // Taken out and put back instead of borrowed: a closure would be compiled without the caller's features.
    let mut scratch = SCRATCH.take().unwrap_or_default();
    for first in rows.clone().step_by(held) {
        let count = held.min(rows.end - first);
        // SAFETY: the rows are prepared; the caller's contract for the rest.
        unsafe {
            scratch.prepare::<U, BITS>(w, first..first + count, stride);
            S::all::<BITS>(x, w, &mut scratch, first, count, &y);
        }
    }
    SCRATCH.set(Some(scratch));
}

impl<U: Panels> Strips for ByPanels<U> {
    #[inline(always)]
    unsafe fn all<const BITS: u32>(
        x: &Packed,
        w: &Weights<'_>,
        scratch: &mut Scratch,
        first: usize,
        count: usize,
        y: &ColumnsAt<'_>,
    ) {
        let (blocks, at_once) = (x.blocks(), VECTORS / planes(BITS));
        for block in (0..blocks).step_by(at_once) {
            let blocks = block..blocks.min(block + at_once);
            // SAFETY: the caller's contract.
            unsafe { strip::<U, BITS>(x, w, scratch, blocks, first, count, y) };
        }
    }
}

/// [`IntProducts::prefill_bytes`](super::IntProducts::prefill_bytes) of a unit.
pub(super) fn scratch_bytes<U: Unit>(bits: u32, k: usize, group: usize) -> usize {
    let stride = row_stride::<U>(bits, k.next_multiple_of(64));
    let (held, groups) = (held_rows::<U>(stride), k / group);
    let tiles = size_of::<[Tile<i32>; SUMS]>() + size_of::<[Tile<f32>; PANELS]>();
    held * (stride + groups * (size_of::<f32>() + size_of::<i32>())) + tiles
}

/// Bytes from one prepared row of `padded` columns to the next: an odd number of cache lines, so that neighbouring
/// rows do not compete for the same places of a cache.
#[inline(always)]
fn row_stride<U: Unit>(bits: u32, padded: usize) -> usize {
    ((padded * U::width(bits) / 64) | 1) * 64
}

/// Rows a task prepares at once.
#[inline(always)]
fn held_rows<U: Unit>(stride: usize) -> usize {
    (U::CACHE / stride / PANEL).clamp(1, PANELS) * PANEL
}

/// A thread between [`Unit::begin`] and [`Unit::end`].
struct Begun<U: Unit>(PhantomData<U>);

impl<U: Unit> Begun<U> {
    /// # Safety
    /// The processor has the instructions of `U`.
    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: the caller's contract.
        unsafe { U::begin() };
        Self(PhantomData)
    }
}

impl<U: Unit> Drop for Begun<U> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `new` ran on this thread.
        unsafe { U::end() };
    }
}

/// Planes of the activations that go with weights of `bits`.
const fn planes(bits: u32) -> usize {
    if bits == 4 { 2 } else { 1 }
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            weights: Vec::new(),
            held: 0,
            scales: Vec::new(),
            zeros: Vec::new(),
            same: None,
            sums: Box::new([Tile([[[0; LANES]; VECTORS]; PANEL]); SUMS]),
            totals: Box::new([Tile([[[0.0; LANES]; VECTORS]; PANEL]); PANELS]),
        }
    }
}

impl Scratch {
    /// Prepares `rows`, with their scales and zero points.
    ///
    /// # Safety
    /// The processor has the instructions of `U`.
    #[inline(always)]
    unsafe fn prepare<U: Unit, const BITS: u32>(
        &mut self,
        w: &Weights<'_>,
        rows: Range<usize>,
        stride: usize,
    ) {
        let count = rows.len().next_multiple_of(PANEL);
        self.held = count;
        let lines = count * stride / 64;
        if self.weights.len() < lines {
            exact::resize(&mut self.weights, lines, Line([0; 64]));
        }
        if self.scales.len() < w.groups * count {
            exact::resize(&mut self.scales, w.groups * count, 0.0);
            exact::resize(&mut self.zeros, w.groups * count, 0);
        }
        let bias = if BITS == 4 { U::BIAS4 } else { U::BIAS8 };
        self.same = if let Zeros::All(zero) = w.zeros { Some(zero + bias) } else { None };
        // SAFETY: bytes within the lines.
        let bytes: &mut [u8] =
            unsafe { std::slice::from_raw_parts_mut(self.weights.as_mut_ptr().cast(), lines * 64) };
        for (r, n) in rows.enumerate() {
            // SAFETY: the caller's contract; a prepared row fits in `stride` bytes.
            unsafe { U::prepare(BITS, w.row(n), &mut bytes[r * stride..(r + 1) * stride]) };
            let mut scales = [0.0; 16];
            for g0 in (0..w.groups).step_by(scales.len()) {
                let groups = g0..w.groups.min(g0 + scales.len());
                // SAFETY: the caller's contract.
                unsafe {
                    U::Outputs::scales(&w.scales, n * w.groups + g0, groups.len(), &mut scales)
                };
                for (g, scale) in groups.zip(scales) {
                    self.scales[g * count + r] = scale;
                    self.zeros[g * count + r] = w.zero(n, g) + bias;
                }
            }
        }
    }
}

/// The outputs of all prepared rows and up to four vectors. A group's activations meet every panel while they are in
/// the first-level cache.
///
/// # Safety
/// As [`product`]; `scratch` holds `count` rows from `first` on.
#[inline(always)]
unsafe fn strip<U: Panels, const BITS: u32>(
    x: &Packed,
    w: &Weights<'_>,
    scratch: &mut Scratch,
    blocks: Range<usize>,
    first: usize,
    count: usize,
    y: &ColumnsAt<'_>,
) {
    let stride = row_stride::<U>(BITS, x.padded);
    let Scratch { weights, held, scales, zeros, same, sums, totals } = scratch;
    let vectors = blocks.len() * planes(BITS);
    let starts = x.vectors(blocks.clone());
    let m = blocks.start * LANES;
    let lanes = (blocks.len() * LANES).min(x.m - m);
    for g in 0..w.groups {
        let end = if g + 1 == w.groups { x.padded } else { (g + 1) * w.group };
        let tokens = x.tokens(blocks.clone(), g);
        for (r, totals) in (0..count).step_by(PANEL).zip(totals.iter_mut()) {
            let rows = PANEL.min(count - r);
            for from in (g * w.group..end).step_by(U::COLUMNS) {
                let (columns, fresh) = (from..end.min(from + U::COLUMNS), from == g * w.group);
                // SAFETY: panels lie within the prepared rows, which hold the columns up to `padded`, as packed
                // vectors do.
                unsafe {
                    let weights = weights.as_ptr().cast::<u8>().add(r * stride);
                    U::dots(
                        BITS,
                        weights,
                        stride,
                        rows,
                        starts,
                        vectors,
                        columns,
                        &mut sums[0],
                        fresh,
                    );
                }
            }
            let at = g * *held + r..g * *held + r + rows;
            let rows = Rows { scales: &scales[at.clone()], zeros: &zeros[at], same: *same };
            // SAFETY: the caller's contract.
            unsafe { U::Outputs::add::<BITS>(&sums[0], &rows, &tokens, g == 0, totals) };
            if g + 1 == w.groups {
                // SAFETY: the rows and tokens lie in `y`, by the caller's contract; rows of `y` follow each other.
                unsafe {
                    let (from, to) = (totals.0.as_ptr().cast(), y.at(m, first + r));
                    U::Outputs::transpose(from, rows.scales.len(), lanes, to, y.stride());
                }
            }
        }
    }
}
