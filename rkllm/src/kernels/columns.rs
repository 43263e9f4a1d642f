//! An output matrix that several threads fill, each its own columns.

use std::marker::PhantomData;

/// A dense row-major `[M, N]` output that threads fill column range by column range.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    data: *mut f32,
    m: usize,
    n: usize,
    _borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only way to write is the unsafe `write`, whose contract forbids races.
unsafe impl Send for Columns<'_> {}
// SAFETY: as above.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// Views `data` as rows of `n` values.
    ///
    /// # Panics
    /// If `data` is not a whole number of rows.
    pub fn new(data: &'a mut [f32], n: usize) -> Self {
        assert!(n != 0 && data.len().is_multiple_of(n), "{} values are no rows of {n}", data.len());
        Self { m: data.len() / n, n, data: data.as_mut_ptr(), _borrow: PhantomData }
    }

    /// M.
    pub fn rows(&self) -> usize {
        self.m
    }

    /// N.
    pub fn cols(&self) -> usize {
        self.n
    }

    /// The `width` columns from `first` on, as a view of their own in which column 0 is `first`.
    ///
    /// # Panics
    /// If the view would leave the matrix.
    pub fn offset(&self, first: usize) -> ColumnsAt<'a> {
        assert!(first <= self.n);
        ColumnsAt { all: *self, first }
    }

    /// Writes element (`m`, `n`).
    ///
    /// # Safety
    /// `m < rows()`, `n < cols()`, and no other thread accesses this element meanwhile.
    #[inline(always)]
    pub unsafe fn write(&self, m: usize, n: usize, value: f32) {
        debug_assert!(m < self.m && n < self.n);
        // SAFETY: in bounds and unshared by the caller's contract.
        unsafe { *self.data.add(m * self.n + n) = value }
    }

    /// A pointer to element (`m`, `n`); the rest of row `m` follows it.
    ///
    /// # Safety
    /// `m < rows()` and `n <= cols()`; what is written through the pointer must stay in the row and
    /// in columns that no other thread accesses meanwhile.
    #[inline(always)]
    pub unsafe fn at(&self, m: usize, n: usize) -> *mut f32 {
        debug_assert!(m < self.m && n <= self.n);
        // SAFETY: in bounds by the caller's contract.
        unsafe { self.data.add(m * self.n + n) }
    }
}

/// [`Columns`] whose column 0 is a later column of the matrix: where one of several layers that
/// share an output matrix writes.
#[derive(Clone, Copy)]
pub struct ColumnsAt<'a> {
    all: Columns<'a>,
    first: usize,
}

impl ColumnsAt<'_> {
    /// M.
    pub fn rows(&self) -> usize {
        self.all.m
    }

    /// Columns from the first one to the end of the matrix.
    pub fn cols(&self) -> usize {
        self.all.n - self.first
    }

    /// Values from a row's element to the same column's in the next row.
    pub fn stride(&self) -> usize {
        self.all.n
    }

    /// Writes element (`m`, `n`).
    ///
    /// # Safety
    /// As [`Columns::write`].
    #[inline(always)]
    pub unsafe fn write(&self, m: usize, n: usize, value: f32) {
        // SAFETY: the caller's contract, moved by `first`.
        unsafe { self.all.write(m, self.first + n, value) }
    }

    /// A pointer to element (`m`, `n`).
    ///
    /// # Safety
    /// As [`Columns::at`].
    #[inline(always)]
    pub unsafe fn at(&self, m: usize, n: usize) -> *mut f32 {
        // SAFETY: the caller's contract, moved by `first`.
        unsafe { self.all.at(m, self.first + n) }
    }
}
