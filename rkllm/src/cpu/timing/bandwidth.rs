//! Reading memory as fast as it goes.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use super::Buffer;
use crate::cpu::pool::Pool;
use crate::{Bytes, Error, ErrorKind, Result};

/// Streams a thread reads at once: prefetchers follow several, and memory has several banks.
const STREAMS: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Memory of pseudo-random bytes, touched first by the threads that read it.
pub(super) fn buffer(bytes: usize, pool: &Pool) -> Result<Buffer> {
    let mut data: Vec<u8> = Vec::new();
    data.try_reserve_exact(bytes)
        .map_err(|_| Error::new(ErrorKind::Memory, format!("cannot allocate {bytes} bytes")))?;
    data.resize(bytes, 0);
    let part = bytes.div_ceil(pool.threads()).next_multiple_of(8).max(8);
    let parts: Vec<Mutex<&mut [u8]>> = data.chunks_mut(part).map(Mutex::new).collect();
    pool.run(parts.len(), &|_, index| {
        let mut state = index as u64 + 1;
        // Each lock is taken once.
        let mut part = parts[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for value in part.as_chunks_mut::<8>().0 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *value = (state ^ state >> 29).to_le_bytes();
        }
    });
    drop(parts);
    Ok(Bytes::new(data))
}

/// One pass over all of it, in 10^9 bytes per second.
pub(super) fn read(buffer: &[u8], pool: &Pool) -> f64 {
    let stream = buffer.len() / (pool.threads() * STREAMS) / LINE * LINE;
    let started = Instant::now();
    pool.run(pool.threads(), &|_, task| {
        let part = &buffer[task * stream * STREAMS..][..stream * STREAMS];
        black_box(sum(part, stream));
    });
    let read = stream * STREAMS * pool.threads();
    read as f64 / started.elapsed().as_secs_f64().max(1e-9) / 1e9
}

/// Takes a line of each stream in turn.
fn sum(part: &[u8], stream: usize) -> [u64; 2] {
    let mut sums = [[0u64; 2]; STREAMS];
    for at in (0..stream).step_by(LINE) {
        for (index, sum) in sums.iter_mut().enumerate() {
            let line = &part[index * stream + at..][..LINE];
            for pair in line.as_chunks::<16>().0 {
                let words = pair.as_chunks::<8>().0;
                sum[0] ^= u64::from_le_bytes(words[0]);
                sum[1] ^= u64::from_le_bytes(words[1]);
            }
        }
    }
    sums.into_iter().fold([0; 2], |all, sum| [all[0] ^ sum[0], all[1] ^ sum[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_once() {
        let pool = Pool::new(2).unwrap();
        let data = buffer(64 << 10, &pool).unwrap();
        assert!(data.iter().filter(|&&byte| byte == 0).count() < data.len() / 64, "not of zeros");
        let stream = data.len() / STREAMS;
        let expected = data.as_chunks::<16>().0.iter().fold([0; 2], |all: [u64; 2], pair| {
            let words = pair.as_chunks::<8>().0;
            [all[0] ^ u64::from_le_bytes(words[0]), all[1] ^ u64::from_le_bytes(words[1])]
        });
        assert_eq!(sum(&data, stream), expected);
        assert!(read(&data, &pool) > 0.0);
    }
}
