//! Reading memory as fast as it goes.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use super::{Buffer, Spread};
use crate::cpu::pool::Pool;
use crate::kernels::prefetch;
use crate::{Bytes, Error, ErrorKind, Result};

/// Bytes of a cache line.
const LINE: usize = 64;

/// How a thread reads its share: prefetchers follow several streams, and memory has several banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pattern {
    /// 4 or 8.
    streams: usize,
    hint: Hint,
    /// Bytes ahead that are prefetched.
    ahead: usize,
}

/// The cache that a line is prefetched into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    None,
    First,
    Second,
}

/// Eight streams are the rule, four the fastest that was seen on one machine. The limit is the best of them.
const PATTERNS: [Pattern; 7] = [
    Pattern { streams: 8, hint: Hint::None, ahead: 0 },
    Pattern { streams: 8, hint: Hint::First, ahead: 512 },
    Pattern { streams: 8, hint: Hint::First, ahead: 1024 },
    Pattern { streams: 8, hint: Hint::Second, ahead: 512 },
    Pattern { streams: 4, hint: Hint::None, ahead: 0 },
    Pattern { streams: 4, hint: Hint::First, ahead: 1024 },
    Pattern { streams: 4, hint: Hint::Second, ahead: 512 },
];

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { streams, hint, ahead } = self;
        write!(f, "{streams} streams a thread")?;
        match hint {
            Hint::None => Ok(()),
            Hint::First => write!(f, ", prefetched {ahead} bytes ahead"),
            Hint::Second => write!(f, ", prefetched {ahead} bytes ahead into the second cache"),
        }
    }
}

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

/// Passes over the buffer in every pattern, in turns: what slows a moment slows them all.
pub(super) struct Reads {
    /// In 10^9 bytes per second, of each pattern.
    rates: [Vec<f64>; PATTERNS.len()],
}

impl Reads {
    /// None yet; reads the buffer once, unmeasured.
    pub(super) fn new(buffer: &[u8], pool: &Pool) -> Self {
        read(buffer, pool, PATTERNS[0]);
        Self { rates: [const { Vec::new() }; PATTERNS.len()] }
    }

    /// One pass in each pattern.
    pub(super) fn pass(&mut self, buffer: &[u8], pool: &Pool) {
        for (pattern, rates) in PATTERNS.into_iter().zip(&mut self.rates) {
            rates.push(read(buffer, pool, pattern));
        }
    }

    /// The pattern with the highest median, and what it is. At least one pass must have been made.
    pub(super) fn best(self) -> (Spread, String) {
        let spreads = self.rates.into_iter().map(Spread::of).zip(PATTERNS);
        let best = spreads.max_by(|(a, _), (b, _)| a.median.total_cmp(&b.median));
        let (spread, pattern) = best.expect("there are patterns");
        (spread, pattern.to_string())
    }
}

/// One pass over all of it, in 10^9 bytes per second.
fn read(buffer: &[u8], pool: &Pool, pattern: Pattern) -> f64 {
    let share = buffer.len() / (pool.threads() * pattern.streams) / LINE * LINE * pattern.streams;
    let started = Instant::now();
    pool.run(pool.threads(), &|_, task| {
        let part = &buffer[task * share..][..share];
        black_box(match pattern.streams {
            4 => sum_with::<4>(part, pattern),
            _ => sum_with::<8>(part, pattern),
        });
    });
    let bytes = share * pool.threads();
    bytes as f64 / started.elapsed().as_secs_f64().max(1e-9) / 1e9
}

fn sum_with<const STREAMS: usize>(part: &[u8], pattern: Pattern) -> [u64; 2] {
    let ahead = pattern.ahead;
    match pattern.hint {
        Hint::None => sum::<STREAMS>(part, |_| ()),
        Hint::First => sum::<STREAMS>(part, |line| prefetch::first(line.wrapping_add(ahead))),
        Hint::Second => sum::<STREAMS>(part, |line| prefetch::second(line.wrapping_add(ahead))),
    }
}

/// Takes a line of each stream in turn, and tells `hint` where it lies.
#[inline(always)]
fn sum<const STREAMS: usize>(part: &[u8], hint: impl Fn(usize)) -> [u64; 2] {
    let stream = part.len() / STREAMS / LINE * LINE;
    let mut sums = [[0u64; 2]; STREAMS];
    for at in (0..stream).step_by(LINE) {
        for (index, sum) in sums.iter_mut().enumerate() {
            let line = &part[index * stream + at..][..LINE];
            hint(line.as_ptr().addr());
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
    fn every_byte_is_read_once_in_every_pattern() {
        let pool = Pool::new(2).unwrap();
        let data = buffer(64 << 10, &pool).unwrap();
        assert!(data.iter().filter(|&&byte| byte == 0).count() < data.len() / 64, "not of zeros");
        let expected = data.as_chunks::<16>().0.iter().fold([0; 2], |all: [u64; 2], pair| {
            let words = pair.as_chunks::<8>().0;
            [all[0] ^ u64::from_le_bytes(words[0]), all[1] ^ u64::from_le_bytes(words[1])]
        });
        for pattern in PATTERNS {
            let sum = match pattern.streams {
                4 => sum_with::<4>(&data, pattern),
                8 => sum_with::<8>(&data, pattern),
                streams => panic!("{streams} streams are read as 8"),
            };
            assert_eq!(sum, expected, "{pattern}");
            assert!(read(&data, &pool, pattern) > 0.0);
        }
    }

    #[test]
    fn the_best_pattern_is_the_one_with_the_highest_median() {
        let mut reads = Reads { rates: [const { Vec::new() }; PATTERNS.len()] };
        for (index, rates) in reads.rates.iter_mut().enumerate() {
            // One that is fast only once, and one that is fast.
            rates.extend(if index == 2 { [1.0, 1.0, 99.0] } else { [2.0, 3.0, 4.0] });
        }
        reads.rates[6] = vec![5.0, 6.0, 7.0];
        let (spread, pattern) = reads.best();
        assert_eq!((spread.median, spread.min, spread.max), (6.0, 5.0, 7.0));
        assert_eq!(pattern, "4 streams a thread, prefetched 512 bytes ahead into the second cache");
    }
}
