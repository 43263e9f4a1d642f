//! How rows of weights are prepared, portable: units compile it under their own target features, where the loops
//! become vector code.

#![allow(dead_code)] // each processor has units for some of them

/// int8 as they are.
#[inline(always)]
pub(in super::super) fn copy_row(row: &[u8], to: &mut [u8]) {
    to[..row.len()].copy_from_slice(row);
}

/// int8 plus 128: unsigned.
#[inline(always)]
pub(in super::super) fn flip_row(row: &[u8], to: &mut [u8]) {
    for (to, &byte) in to.iter_mut().zip(row) {
        *to = byte ^ 0x80;
    }
}

/// Nibbles as unsigned bytes: of each four columns first the even, then the odd ones.
#[inline(always)]
pub(in super::super) fn nibbles_row(row: &[u8], to: &mut [u8]) {
    let mut pairs = row.chunks_exact(2);
    for (to, pair) in to.chunks_exact_mut(4).zip(&mut pairs) {
        let pair = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
        let four = pair & 0x0f0f | (pair & 0xf0f0) << 12;
        to.copy_from_slice(&four.to_le_bytes());
    }
    // Columns of a last odd byte: rows are padded to whole 32-bit words on disk, so there is none.
    debug_assert!(pairs.remainder().is_empty());
}

/// [`nibbles_row`] less 8: signed.
#[inline(always)]
pub(in super::super) fn signed_nibbles_row(row: &[u8], to: &mut [u8]) {
    nibbles_row(row, to);
    for value in &mut to[..2 * row.len()] {
        *value = value.wrapping_sub(8);
    }
}
