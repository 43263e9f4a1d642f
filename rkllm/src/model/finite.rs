//! Finding the weight that is not finite.

use std::thread;

use crate::{Dtype, Error, ErrorKind, Result};

/// Checks a matrix of rows of `k` stored floats, on `threads` threads.
///
/// # Errors
/// [`ErrorKind::NonFinite`] with row and column of the first NaN or infinity.
pub(super) fn check(dtype: Dtype, bytes: &[u8], k: usize, threads: usize) -> Result<()> {
    let row = k.max(1) * dtype.size();
    let rows = bytes.len() / row;
    // Below a megabyte a thread costs more than it saves.
    let threads = threads.clamp(1, 1 + bytes.len() / (1 << 20)).min(rows.max(1));
    let part = rows.div_ceil(threads).max(1) * row;
    let first = match threads {
        1 => position(dtype, bytes),
        _ => thread::scope(|scope| {
            let workers: Vec<_> =
                bytes.chunks(part).map(|part| scope.spawn(move || position(dtype, part))).collect();
            let found = workers.into_iter().enumerate().filter_map(|(i, worker)| {
                let found = worker.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
                found.map(|index| i * part / dtype.size() + index)
            });
            // The lowest index, whatever the number of threads; every worker is joined.
            found.collect::<Vec<_>>().into_iter().min()
        }),
    };
    match first {
        None => Ok(()),
        Some(index) => Err(Error::new(
            ErrorKind::NonFinite,
            format!("the weight of row {}, column {} is not finite", index / k, index % k),
        )
        .with_hint("the checkpoint is damaged or overflowed when it was saved; get a good one")),
    }
}

/// The index of the first NaN or infinity of stored floats.
fn position(dtype: Dtype, bytes: &[u8]) -> Option<usize> {
    match dtype {
        Dtype::F32 => scan(bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
        Dtype::F16 => scan(bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        Dtype::Bf16 => scan(bytes, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
        Dtype::F64 => scan(bytes, |b| u64::from_le_bytes(b) & (0x7ff << 52) == 0x7ff << 52),
        _ => None,
    }
}

fn scan<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> Option<usize> {
    const BLOCK: usize = 4096;
    // Or over a whole block, which vectorises; the search only runs in a block that has one.
    let mut blocks = bytes.as_chunks::<N>().0.chunks(BLOCK).enumerate();
    blocks.find_map(|(i, block)| {
        let any = block.iter().fold(false, |any, &element| any | bad(element));
        let inside = any.then(|| block.iter().position(|&element| bad(element))).flatten()?;
        Some(i * BLOCK + inside)
    })
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn the_first_bad_weight_is_named_whatever_the_threads() {
        let mut values = vec![1.5f32; 1_000 * 700];
        assert!(check(Dtype::F32, &bytes(&values, f32::to_le_bytes), 700, 3).is_ok());
        values[612 * 700 + 33] = f32::NAN;
        values[980 * 700 + 1] = f32::NEG_INFINITY;
        let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
        let brains: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
        let doubles: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        for (dtype, bytes) in [
            (Dtype::F32, bytes(&values, f32::to_le_bytes)),
            (Dtype::F16, bytes(&halves, f16::to_le_bytes)),
            (Dtype::Bf16, bytes(&brains, bf16::to_le_bytes)),
            (Dtype::F64, bytes(&doubles, f64::to_le_bytes)),
        ] {
            for threads in [1, 2, 3, 64] {
                let error = check(dtype, &bytes, 700, threads).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NonFinite);
                assert!(error.to_string().contains("row 612, column 33"), "{error}");
            }
        }
    }

    fn bytes<T: Copy, const N: usize>(values: &[T], to_bytes: fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|&value| to_bytes(value)).collect()
    }
}
