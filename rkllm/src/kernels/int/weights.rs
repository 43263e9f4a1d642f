//! What a kernel reads of a weight matrix, looked up and checked once per call.

use std::ops::Range;

use super::scales::ScaleBytes;
use super::{Activations8, Activations16, Packed};
use crate::kernels::ColumnsAt;
use crate::quant::{QuantizedRows, ZeroPoints};

/// Bytes ahead of the ones in use at which a stream of weights is prefetched: measured on Zen 3 between 0 and
/// 2048, where 512 to 1024 are best.
#[cfg(target_arch = "x86_64")]
pub(super) const PREFETCH_AHEAD: usize = 512;

impl Activations8 {
    /// The packed tokens.
    ///
    /// # Panics
    /// If they are not these.
    pub(super) fn packed(&self) -> &Packed {
        self.packed.of(self.m, self.k, self.k / self.group, 1)
    }

    /// Where the values, the scales and the sums of token `m` begin.
    ///
    /// # Panics
    /// If there is no such token.
    #[inline(always)]
    pub(super) fn token(&self, m: usize, groups: usize) -> (*const i8, *const f32, *const i32) {
        let at = m * groups;
        (self.q[m * self.stride..].as_ptr(), self.scales[at..].as_ptr(), self.sums[at..].as_ptr())
    }
}

impl Activations16 {
    /// The packed tokens.
    ///
    /// # Panics
    /// If they are not these.
    pub(super) fn packed(&self) -> &Packed {
        self.packed.of(self.m, self.k, self.k / self.group, 2)
    }

    /// Where the planes, the scales and the sums of token `m` begin.
    ///
    /// # Panics
    /// If there is no such token.
    #[inline(always)]
    pub(super) fn token(
        &self,
        m: usize,
        groups: usize,
    ) -> (*const i8, *const f32, *const [i32; 2]) {
        let (at, planes) = (m * groups, &self.planes[m * 4 * self.half..]);
        (planes.as_ptr(), self.scales[at..].as_ptr(), self.sums[at..].as_ptr())
    }
}

/// Zero points in the domain the values are stored in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zeros<'a> {
    I8(&'a [i8]),
    U4(&'a [u8]),
    /// The same for every group: 0 for int8, 8 for int4.
    All(i32),
}

/// A borrowed weight matrix whose every row, scale and zero point is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) data: &'a [u8],
    /// Bytes from one row to the next.
    pub(super) row_bytes: usize,
    /// Columns per group.
    pub(super) group: usize,
    /// Groups per row.
    pub(super) groups: usize,
    /// `[N, groups]`.
    pub(super) scales: ScaleBytes<'a>,
    /// `[N, groups]`.
    pub(super) zeros: Zeros<'a>,
}

impl<'a> Weights<'a> {
    /// The weights of a w8a8 product, whose operands are checked to fit together.
    pub(super) fn w8a8(
        x: &Activations8,
        w: &'a QuantizedRows,
        rows: &Range<usize>,
        y: &ColumnsAt<'_>,
    ) -> Self {
        let groups = x.m * (x.k / x.group);
        assert!(w.bits == 8 && x.k == w.k && x.group == w.group, "activations of another layer");
        assert!(x.stride >= x.k.next_multiple_of(64) && x.q.len() >= x.m * x.stride);
        assert!(x.scales.len() >= groups && x.sums.len() >= groups);
        Self::new(w, x.m, rows, y)
    }

    /// The weights of a w4a16 product, whose operands are checked to fit together.
    pub(super) fn w4a16(
        x: &Activations16,
        w: &'a QuantizedRows,
        rows: &Range<usize>,
        y: &ColumnsAt<'_>,
    ) -> Self {
        let groups = x.m * (x.k / x.group);
        assert!(w.bits == 4 && x.k == w.k && x.group == w.group, "activations of another layer");
        assert!(x.group.is_multiple_of(2) || x.group == x.k, "a group that ends inside a byte");
        assert!(x.half >= x.k.div_ceil(2).next_multiple_of(64));
        assert!(x.planes.len() >= x.m * 4 * x.half);
        assert!(x.scales.len() >= groups && x.sums.len() >= groups);
        Self::new(w, x.m, rows, y)
    }

    fn new(w: &'a QuantizedRows, m: usize, rows: &Range<usize>, y: &ColumnsAt<'_>) -> Self {
        assert!(w.k.is_multiple_of(w.group) && rows.end <= w.n, "rows {rows:?} of {}", w.n);
        assert!(m <= y.rows() && rows.end <= y.cols(), "the output is too small");
        let (row_bytes, groups) = (w.row_bytes(), w.groups());
        let (data, scales) = (w.data.as_ref(), ScaleBytes::new(&w.scales));
        let zeros = match &w.zero_points {
            None => Zeros::All(if w.bits == 4 { 8 } else { 0 }),
            Some(ZeroPoints::I8(z)) => Zeros::I8(z),
            Some(ZeroPoints::U4(z)) => Zeros::U4(z),
        };
        let zero_points = match zeros {
            Zeros::I8(z) if w.bits == 8 => z.len(),
            Zeros::U4(z) if w.bits == 4 => z.len(),
            Zeros::All(_) => usize::MAX,
            _ => 0,
        };
        assert!(data.len() / row_bytes >= w.n, "{} bytes for {} rows", data.len(), w.n);
        assert!(scales.len() / groups >= w.n && zero_points / groups >= w.n);
        Self { data, row_bytes, group: w.group, groups, scales, zeros }
    }

    /// The bytes of row `n`.
    #[inline(always)]
    pub(super) fn row(&self, n: usize) -> &'a [u8] {
        &self.data[n * self.row_bytes..][..self.row_bytes]
    }

    /// The zero point of row `n`, group `g`.
    #[inline(always)]
    pub(super) fn zero(&self, n: usize, g: usize) -> i32 {
        match self.zeros {
            Zeros::I8(z) => i32::from(z[n * self.groups + g]),
            Zeros::U4(z) => i32::from(z[n * self.groups + g]),
            Zeros::All(z) => z,
        }
    }

    /// The scale of row `n`, group `g`.
    #[inline(always)]
    pub(super) fn scale(&self, n: usize, g: usize) -> f32 {
        self.scales.get(n * self.groups + g)
    }

    /// True where the vector kernels handle the groups: whole rows, or multiples of 32 columns. No
    /// scheme of ours has others; the scalar kernel computes them.
    #[inline]
    pub(super) fn has_vector_groups(&self) -> bool {
        self.groups == 1 || self.group.is_multiple_of(32)
    }
}

/// `COUNT` runs of consecutive rows, as equal as can be, that are read side by side: memory serves several
/// long streams better than one, or than many short ones.
#[derive(Debug, Clone)]
pub(super) struct Streams<const COUNT: usize> {
    rows: Range<usize>,
    /// Rows of a run; the last runs may have fewer or none.
    pub(super) length: usize,
}

impl<const COUNT: usize> Streams<COUNT> {
    pub(super) fn new(rows: Range<usize>) -> Self {
        let length = rows.len().div_ceil(COUNT);
        Self { rows, length }
    }

    /// Row `i` of every run; where a run has no such row, the last of all stands in.
    #[inline(always)]
    pub(super) fn at(&self, i: usize) -> [usize; COUNT] {
        let mut rows = [self.rows.end - 1; COUNT];
        for (run, row) in rows.iter_mut().enumerate() {
            *row = (self.rows.start + run * self.length + i).min(self.rows.end - 1);
        }
        rows
    }

    /// Writes row `i` of every run for token `m`.
    ///
    /// # Safety
    /// `y` has token `m` and the columns `rows`, which no other thread accesses.
    #[inline(always)]
    pub(super) unsafe fn store(
        &self,
        y: &ColumnsAt<'_>,
        m: usize,
        i: usize,
        values: &[f32; COUNT],
    ) {
        for (&row, &value) in self.at(i).iter().zip(values) {
            // SAFETY: the caller's contract. The last row may be written several times, with one value.
            unsafe { y.write(m, row, value) };
        }
    }
}
