//! Read bandwidth: every thread reads its share of one buffer, once, in several streams.

use std::hint::black_box;

use rkllm_benches::Times;
use serde_json::{Value, json};

use super::together;

/// A cache line.
type Line = [u64; 8];

/// What is prefetched, and how far ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Nothing,
    /// Into the first-level cache, this many lines ahead.
    First(usize),
    /// Into the second-level cache.
    Second(usize),
}

/// Eight streams a thread is the rule; four were the fastest seen on one machine.
const VARIANTS: [(usize, Ahead); 7] = [
    (8, Ahead::Nothing),
    (8, Ahead::First(8)),
    (8, Ahead::First(16)),
    (8, Ahead::Second(8)),
    (4, Ahead::Nothing),
    (4, Ahead::First(16)),
    (4, Ahead::Second(8)),
];

/// The median of each variant over interleaved repetitions, and the best of them.
pub(crate) fn measure(threads: usize, bytes: usize, repeat: usize) -> Result<Value, String> {
    let lines = bytes / size_of::<Line>() / threads;
    if lines < 1024 {
        return Err(format!("{bytes} bytes are too few to measure memory"));
    }
    // Written once, so that every page is there.
    let buffer: Vec<Line> = (0..lines as u64 * threads as u64).map(|i| [i; 8]).collect();
    let mut times = vec![Times::default(); VARIANTS.len()];
    for round in 0..=repeat {
        for (&(streams, ahead), times) in VARIANTS.iter().zip(&mut times) {
            let seconds = together(threads, &|thread| {
                let part = &buffer[thread * lines..(thread + 1) * lines];
                black_box(read(part, streams, ahead));
            });
            // The first round warms the clock and the page tables.
            if round > 0 {
                times.push(seconds);
            }
        }
    }
    let work = (lines * threads * size_of::<Line>()) as f64;
    let variants: Vec<Value> = VARIANTS
        .iter()
        .zip(&times)
        .map(|((streams, ahead), times)| {
            json!({
                "streams": streams, "prefetch": format!("{ahead:?}").to_lowercase(),
                "bytes_per_s": times.rates(work),
            })
        })
        .collect();
    let best = times.iter().map(|times| work / times.median()).fold(0.0, f64::max);
    Ok(json!({ "buffer_bytes": work, "bytes_per_s": best, "variants": variants }))
}

fn read(part: &[Line], streams: usize, ahead: Ahead) -> u64 {
    match streams {
        4 => widest::<4>(part, ahead),
        _ => widest::<8>(part, ahead),
    }
}

/// By the widest loads there are.
fn widest<const S: usize>(part: &[Line], ahead: Ahead) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature was just found.
            return unsafe { avx512::<S>(part, ahead) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was just found.
            return unsafe { avx2::<S>(part, ahead) };
        }
    }
    by_hint::<S>(part, ahead)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<const S: usize>(part: &[Line], ahead: Ahead) -> u64 {
    by_hint::<S>(part, ahead)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<const S: usize>(part: &[Line], ahead: Ahead) -> u64 {
    by_hint::<S>(part, ahead)
}

#[inline(always)]
fn by_hint<const S: usize>(part: &[Line], ahead: Ahead) -> u64 {
    match ahead {
        Ahead::Nothing => sweep::<S>(part, |_, _| ()),
        Ahead::First(distance) => sweep::<S>(part, |stream, at| {
            if let Some(line) = stream.get(at + distance) {
                prefetch::<true>(line);
            }
        }),
        Ahead::Second(distance) => sweep::<S>(part, |stream, at| {
            if let Some(line) = stream.get(at + distance) {
                prefetch::<false>(line);
            }
        }),
    }
}

/// A line of each stream in turn, so that `S` pages are open at once.
#[inline(always)]
fn sweep<const S: usize>(part: &[Line], hint: impl Fn(&[Line], usize)) -> u64 {
    let length = part.len() / S;
    let streams: [&[Line]; S] = std::array::from_fn(|s| &part[s * length..(s + 1) * length]);
    let mut sums = [[0u64; 8]; S];
    for at in 0..length {
        for (sum, stream) in sums.iter_mut().zip(streams) {
            hint(stream, at);
            for (sum, value) in sum.iter_mut().zip(stream[at]) {
                *sum ^= value;
            }
        }
    }
    sums.iter().flatten().fold(0, |all, sum| all ^ sum)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch<const FIRST: bool>(line: &Line) {
    use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
    let address = std::ptr::from_ref(line).cast();
    // SAFETY: a hint that may be given any address; SSE is part of x86-64.
    unsafe {
        if FIRST {
            _mm_prefetch::<_MM_HINT_T0>(address);
        } else {
            _mm_prefetch::<_MM_HINT_T1>(address);
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn prefetch<const FIRST: bool>(line: &Line) {
    use std::arch::asm;
    let address = std::ptr::from_ref(line);
    // SAFETY: a hint that may be given any address and changes no register.
    unsafe {
        if FIRST {
            asm!("prfm pldl1strm, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
        } else {
            asm!("prfm pldl2strm, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn prefetch<const FIRST: bool>(_line: &Line) {}
