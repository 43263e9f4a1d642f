//! Activations as the driver wants them: tokens in lanes.

use std::marker::PhantomData;
use std::ops::Range;

use super::{LANES, MIN_TOKENS, VECTORS};
use crate::kernels::exact;

/// Quantised activations of several tokens, packed.
///
/// `data` is `[M / 16][plane][K / 4][16][4]`, with zeros where M or K run out: four columns of sixteen tokens side
/// by side. Of each four columns, those of w4a16 come in the order 0, 2, 1, 3, as packed nibbles do.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    pub(super) m: usize,
    /// K rounded up to a multiple of 64.
    pub(super) padded: usize,
    planes: usize,
    groups: usize,
    data: Vec<Quad>,
    /// `[M / 16][group][16]`.
    scales: Vec<f32>,
    /// `[M / 16][plane][group][16]`.
    sums: Vec<i32>,
}

/// Scales and sums of one group for up to four vectors.
#[derive(Clone, Copy)]
pub(in super::super) struct PackedTokens<'a> {
    pub(in super::super) blocks: usize,
    pub(in super::super) scales: [&'a [f32; LANES]; VECTORS],
    /// Of each vector: the planes of a block follow each other.
    pub(in super::super) sums: [&'a [i32; LANES]; VECTORS],
}

impl Packed {
    /// These, which are those of `m` tokens.
    ///
    /// # Panics
    /// If they are others: fields of the activations were changed after they were quantised.
    pub(in super::super) fn of(&self, m: usize, k: usize, groups: usize, planes: usize) -> &Self {
        let expected = (m, k.next_multiple_of(64), groups, planes);
        let found = (self.m, self.padded, self.groups, self.planes);
        assert!(found == expected, "packed activations {found:?}, not {expected:?}");
        self
    }

    /// Bytes of `m` packed tokens in `planes`.
    pub(crate) fn bytes(m: usize, k: usize, groups: usize, planes: usize) -> usize {
        let blocks = if m < MIN_TOKENS { 0 } else { m.div_ceil(LANES) };
        let lane = planes * k.next_multiple_of(64) + groups * 4 * (1 + planes);
        blocks * LANES * lane
    }

    /// Gives every array its size for `m` tokens; what they hold is stale. No token means no packing.
    pub(in super::super) fn resize(&mut self, m: usize, k: usize, groups: usize, planes: usize) {
        (self.m, self.planes, self.groups) = (m, planes, groups);
        self.padded = k.next_multiple_of(64);
        let blocks = self.blocks();
        exact::resize(&mut self.data, blocks * planes * self.padded / 4, Quad([[0; 4]; LANES]));
        exact::resize(&mut self.scales, blocks * groups * LANES, 0.0);
        exact::resize(&mut self.sums, blocks * planes * groups * LANES, 0);
    }

    /// Blocks of [`LANES`] tokens.
    pub(super) fn blocks(&self) -> usize {
        self.m.div_ceil(LANES)
    }

    /// Where the vectors of `blocks` begin, plane by plane; the first stands in for those beyond.
    pub(super) fn vectors(&self, blocks: Range<usize>) -> [*const i8; VECTORS] {
        let vector = self.padded / 4;
        let first = blocks.start * self.planes;
        let count = blocks.len() * self.planes;
        std::array::from_fn(|v| {
            self.data[(first + if v < count { v } else { 0 }) * vector..].as_ptr().cast()
        })
    }

    /// Scales and sums of group `g`.
    pub(super) fn tokens(&self, blocks: Range<usize>, g: usize) -> PackedTokens<'_> {
        let (groups, planes) = (self.groups, self.planes);
        let lanes = |at: usize| at * LANES..(at + 1) * LANES;
        let within = |v: usize, count: usize| if v < count { v } else { 0 };
        PackedTokens {
            blocks: blocks.len(),
            scales: std::array::from_fn(|v| {
                let block = blocks.start + within(v, blocks.len());
                self.scales[lanes(block * groups + g)].try_into().expect("sixteen lanes")
            }),
            sums: std::array::from_fn(|v| {
                let vector = blocks.start * planes + within(v, blocks.len() * planes);
                self.sums[lanes(vector * groups + g)].try_into().expect("sixteen lanes")
            }),
        }
    }

    /// Places for blocks that several threads fill.
    pub(in super::super) fn places(&mut self) -> PackedPlaces<'_> {
        PackedPlaces {
            m: self.m,
            padded: self.padded,
            planes: self.planes,
            groups: self.groups,
            data: self.data.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            _borrow: PhantomData,
        }
    }
}

/// [`Packed`] while blocks of it are filled, each by one thread.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct PackedPlaces<'a> {
    m: usize,
    padded: usize,
    planes: usize,
    groups: usize,
    data: *mut Quad,
    scales: *mut f32,
    sums: *mut i32,
    _borrow: PhantomData<&'a mut Packed>,
}

// SAFETY: the only way to write is the unsafe `block`, whose contract forbids races.
unsafe impl Send for PackedPlaces<'_> {}
// SAFETY: as above.
unsafe impl Sync for PackedPlaces<'_> {}

/// One block of sixteen tokens to fill.
pub(in super::super) struct PackedBlock<'a> {
    /// `[plane][K / 4][16][4]`.
    pub(in super::super) data: &'a mut [Quad],
    /// `[group][16]`.
    pub(in super::super) scales: &'a mut [f32],
    /// `[plane][group][16]`.
    pub(in super::super) sums: &'a mut [i32],
}

impl<'a> PackedPlaces<'a> {
    /// Block `index`, or `None` where nothing is packed.
    ///
    /// # Safety
    /// No other borrow of this block lives.
    pub(in super::super) unsafe fn block(&self, index: usize) -> Option<PackedBlock<'a>> {
        if index >= self.m.div_ceil(LANES) {
            return None;
        }
        let (data, scales) = (self.planes * self.padded / 4, self.groups * LANES);
        let sums = self.planes * scales;
        // SAFETY: the block lies in the arrays as `resize` made them; nobody else has it.
        unsafe {
            Some(PackedBlock {
                data: std::slice::from_raw_parts_mut(self.data.add(index * data), data),
                scales: std::slice::from_raw_parts_mut(self.scales.add(index * scales), scales),
                sums: std::slice::from_raw_parts_mut(self.sums.add(index * sums), sums),
            })
        }
    }
}

/// Columns packed at once.
const COLUMNS: usize = 4 * LANES;

/// 64 columns of sixteen tokens, token by token.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(in super::super) struct Square(pub(in super::super) [[i8; COLUMNS]; LANES]);

/// Four columns of sixteen tokens: a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(in super::super) struct Quad(pub(in super::super) [[i8; 4]; LANES]);

/// [`Square`] packed.
pub(in super::super) type Turned = [Quad; LANES];

/// How a [`Square`] becomes [`Turned`], for any processor.
#[cfg(all(test, target_arch = "x86_64"))]
#[inline(always)]
pub(in super::super) fn turn_portable(from: &Square, to: &mut Turned) {
    for (quad, to) in to.iter_mut().enumerate() {
        for (to, from) in to.0.iter_mut().zip(&from.0) {
            to.copy_from_slice(&from[4 * quad..4 * quad + 4]);
        }
    }
}

impl PackedBlock<'_> {
    /// Packs tokens of w8a8: `q` `[M, stride]`, `scales` and `sums` `[M, groups]`, of at most sixteen tokens.
    #[inline(always)]
    pub(in super::super) fn fill8(
        &mut self,
        q: &[i8],
        stride: usize,
        scales: &[f32],
        sums: &[i32],
        turn: impl Fn(&Square, &mut Turned),
    ) {
        let groups = self.scales.len() / LANES;
        let tokens = scales.len() / groups;
        let mut square = Square([[0; COLUMNS]; LANES]);
        for (i, to) in self.data.as_chunks_mut().0.iter_mut().enumerate() {
            for (t, row) in square.0.iter_mut().enumerate().take(tokens) {
                row.copy_from_slice(&q[t * stride + i * COLUMNS..][..COLUMNS]);
            }
            turn(&square, to);
        }
        lanes(scales, groups, self.scales);
        lanes(sums, groups, self.sums);
    }

    /// Packs tokens of w4a16: `planes` `[M, 4, half]`, `scales` `[M, groups]` and `sums` `[M, groups, 2]`.
    #[inline(always)]
    pub(in super::super) fn fill16(
        &mut self,
        planes: &[i8],
        half: usize,
        scales: &[f32],
        sums: &[[i32; 2]],
        turn: impl Fn(&Square, &mut Turned),
    ) {
        let groups = self.scales.len() / LANES;
        let tokens = scales.len() / groups;
        let plane_len = self.data.len() / 2;
        let mut square = Square([[0; COLUMNS]; LANES]);
        for (plane, data) in self.data.chunks_exact_mut(plane_len).enumerate() {
            for (i, to) in data.as_chunks_mut().0.iter_mut().enumerate() {
                for (t, row) in square.0.iter_mut().enumerate().take(tokens) {
                    let at = (4 * t + 2 * plane) * half + i * COLUMNS / 2;
                    let (even, odd) = (&planes[at..], &planes[at + half..]);
                    let pairs = even.chunks_exact(2).zip(odd.chunks_exact(2));
                    for (to, (even, odd)) in row.chunks_exact_mut(4).zip(pairs) {
                        to[..2].copy_from_slice(even);
                        to[2..].copy_from_slice(odd);
                    }
                }
                turn(&square, to);
            }
        }
        lanes(scales, groups, self.scales);
        for (plane, to) in self.sums.chunks_exact_mut(groups * LANES).enumerate() {
            for (g, to) in to.chunks_exact_mut(LANES).enumerate() {
                for (t, to) in to.iter_mut().enumerate() {
                    *to = if t < tokens { sums[t * groups + g][plane] } else { 0 };
                }
            }
        }
    }
}

/// `[tokens][groups]` to `[group][16]`, zeros beyond the tokens.
#[inline(always)]
fn lanes<T: Copy + Default>(from: &[T], groups: usize, to: &mut [T]) {
    for (g, to) in to.chunks_exact_mut(LANES).enumerate() {
        for (t, to) in to.iter_mut().enumerate() {
            *to = from.get(t * groups + g).copied().unwrap_or_default();
        }
    }
}
