//! How a layer is cut: K into slices, N over cores.

use std::ops::Range;

/// Columns that one product sums over: a group, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) group: usize,
    /// Of the whole row.
    pub(super) columns: Range<usize>,
    /// Their number, padded.
    pub(super) k: usize,
    /// Where the group begins.
    start: usize,
}

impl Slice {
    pub(super) fn starts_group(&self) -> bool {
        self.columns.start == self.start
    }

    pub(super) fn ends_group(&self, group: usize) -> bool {
        self.columns.end == self.start + group
    }
}

/// The slices of rows of `k` columns in groups, none longer than `limit`, padded to multiples of `multiple`.
pub(super) fn slices(k: usize, group: usize, limit: usize, multiple: usize) -> Vec<Slice> {
    let mut all = Vec::new();
    for (index, start) in (0..k).step_by(group).enumerate() {
        let end = start + group;
        for first in (start..end).step_by(limit) {
            let columns = first..(first + limit).min(end);
            let k = columns.len().next_multiple_of(multiple);
            all.push(Slice { group: index, columns, k, start });
        }
    }
    all
}

/// `n` rows over at most `shares` cores, in whole tiles as evenly as can be; none is empty.
pub(super) fn split_rows(n: usize, shares: usize, tile: usize) -> Vec<Range<usize>> {
    let step = n.div_ceil(tile).div_ceil(shares.max(1)) * tile;
    (0..n).step_by(step.max(1)).map(|first| first..(first + step).min(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_in_one_slice_of_its_group() {
        for (k, group, limit) in
            [(96, 96, 64), (96, 32, 64), (5, 5, 32), (20_000, 20_000, 8192), (64, 4, 32)]
        {
            let all = slices(k, group, limit, 32);
            let mut next = 0;
            for slice in &all {
                assert_eq!(slice.columns.start, next);
                next = slice.columns.end;
                assert_eq!(slice.columns.start / group, slice.group);
                assert_eq!((next - 1) / group, slice.group);
                assert!(slice.k >= slice.columns.len() && slice.k <= limit.max(32));
                assert!(slice.k.is_multiple_of(32));
                assert_eq!(slice.starts_group(), slice.columns.start.is_multiple_of(group));
                assert_eq!(slice.ends_group(group), next.is_multiple_of(group));
            }
            assert_eq!(next, k);
        }
        assert_eq!(
            slices(20_000, 20_000, 8192, 32).iter().map(|it| it.k).collect::<Vec<_>>(),
            [8192, 8192, 3616]
        );
    }

    #[test]
    fn rows_are_split_in_whole_tiles() {
        assert_eq!(split_rows(40, 3, 32), [0..32, 32..40]);
        assert_eq!(split_rows(7, 3, 32), vec![0..7; 1]);
        assert_eq!(split_rows(320, 3, 32), [0..128, 128..256, 256..320]);
        assert_eq!(split_rows(96, 1, 32), vec![0..96; 1]);
    }
}
