//! int4 packing: `u = q + 8`, the even column in the low nibble, rows padded to whole 32-bit words.
//!
//! This is the byte order of compressed-tensors' `weight_packed` (int32, little-endian, element `i` of
//! each eight in bits `4i..4i+4`), read as a stream of bytes.

use crate::{Error, ErrorKind, Result};

/// Bytes of a packed row of `k` columns: `ceil(k / 8) * 4`.
pub const fn row_bytes(k: usize) -> usize {
    k.div_ceil(8) * 4
}

/// Packs one row of `q` in -8..=7 into `out`, which has [`row_bytes`] bytes. Only the low four bits of
/// `q + 8` are kept.
///
/// # Errors
/// [`ErrorKind::Shape`] if `out` has another length.
pub fn pack_row(q: &[i8], out: &mut [u8]) -> Result<()> {
    check_len(out.len(), row_bytes(q.len()), q.len())?;
    let (pairs, last) = q.as_chunks::<2>();
    for (byte, &[even, odd]) in out.iter_mut().zip(pairs) {
        *byte = nibble(even) | nibble(odd) << 4;
    }
    let (packed, padding) = out.split_at_mut(pairs.len());
    debug_assert_eq!(packed.len(), q.len() / 2);
    padding.fill(0);
    if let ([byte, ..], [value]) = (padding, last) {
        *byte = nibble(*value);
    }
    Ok(())
}

/// Unpacks one row of [`row_bytes`] bytes into `q`, which has K columns.
///
/// # Errors
/// [`ErrorKind::Shape`] if `row` has another length.
pub fn unpack_row(row: &[u8], q: &mut [i8]) -> Result<()> {
    check_len(row.len(), row_bytes(q.len()), q.len())?;
    for (pair, byte) in q.chunks_mut(2).zip(row) {
        pair[0] = (byte & 15) as i8 - 8;
        if let Some(odd) = pair.get_mut(1) {
            *odd = (byte >> 4) as i8 - 8;
        }
    }
    Ok(())
}

/// Packs zero points `[out, groups]` (`z + 8`, 0..=15) as compressed-tensors stores them: along the output
/// rows, little-endian int32 `[ceil(out / 8), groups]`, row `8i + j` in nibble `j` of word `[i, group]`.
///
/// # Errors
/// [`ErrorKind::Shape`] if `zero_points` does not have `out * groups` elements.
pub fn pack_zero_points(zero_points: &[u8], out: usize, groups: usize) -> Result<Vec<u8>> {
    if out.checked_mul(groups) != Some(zero_points.len()) || groups == 0 {
        return Err(zero_point_shape(out, groups, zero_points.len(), "elements"));
    }
    let mut packed = vec![0; row_bytes(out) * groups];
    for (n, row) in zero_points.chunks_exact(groups).enumerate() {
        for (g, &z) in row.iter().enumerate() {
            packed[zero_point_byte(n, g, groups)] |= (z & 15) << (n % 2 * 4);
        }
    }
    Ok(packed)
}

/// The inverse of [`pack_zero_points`]: little-endian int32 `[ceil(out / 8), groups]` at any alignment to
/// `z + 8` `[out, groups]`.
///
/// # Errors
/// [`ErrorKind::Shape`] if `packed` does not have `ceil(out / 8) * groups * 4` bytes.
pub fn unpack_zero_points(packed: &[u8], out: usize, groups: usize) -> Result<Vec<u8>> {
    let expected = out.div_ceil(8).checked_mul(4).and_then(|bytes| bytes.checked_mul(groups));
    if expected != Some(packed.len()) {
        return Err(zero_point_shape(out, groups, packed.len(), "packed bytes"));
    }
    let mut zero_points = Vec::with_capacity(out * groups);
    for n in 0..out {
        for g in 0..groups {
            zero_points.push(packed[zero_point_byte(n, g, groups)] >> (n % 2 * 4) & 15);
        }
    }
    Ok(zero_points)
}

/// Where the zero point of row `n` and group `g` lies: word `[n / 8, g]`, byte `n % 8 / 2`.
fn zero_point_byte(n: usize, g: usize, groups: usize) -> usize {
    (n / 8 * groups + g) * 4 + n % 8 / 2
}

fn nibble(q: i8) -> u8 {
    q.wrapping_add(8) as u8 & 15
}

fn check_len(found: usize, expected: usize, k: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Shape,
        format!("a packed row of {k} columns has {expected} bytes, found {found}"),
    ))
}

fn zero_point_shape(out: usize, groups: usize, found: usize, unit: &str) -> Error {
    Error::new(ErrorKind::Shape, format!("zero points [{out}, {groups}] do not fit {found} {unit}"))
}
