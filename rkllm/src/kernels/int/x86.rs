//! What the x86 kernels share: sums across vectors, scales and zero points of eight outputs, and the
//! epilogue, in which each vector lane belongs to one output.

use std::arch::x86_64::*;

use super::blocks::{BLOCK, GroupBlock};
use super::gemm::{LANES, Square, Turned, VECTORS};
use super::scales::ScaleBytes;
use super::weights::Weights;

impl GroupBlock {
    /// Fetches groups `g0..g0 + count` of the eight rows.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn fetch(&mut self, w: &Weights<'_>, rows: &[usize; 8], g0: usize, count: usize) {
        self.fetch_with(w, rows, g0, count, |starts, scales| {
            // SAFETY: `fetch_with` checked that 16 bytes are left.
            unsafe { transpose(starts, scales) };
        });
    }

    /// The scales of group `g` of the block.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn scales(&self, g: usize) -> __m256 {
        debug_assert!(g < BLOCK);
        // SAFETY: eight f32 of the block.
        unsafe { _mm256_load_ps(self.scales.as_ptr().add(g).cast()) }
    }

    /// The zero points of group `g` of the block.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn zeros(&self, g: usize) -> __m256i {
        debug_assert!(g < BLOCK);
        // SAFETY: eight i32 of the block.
        unsafe { _mm256_load_si256(self.zeros.as_ptr().add(g).cast()) }
    }
}

/// Eight f16 of each row, as f32, transposed.
///
/// # Safety
/// Every pointer is valid for reading 16 bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn transpose(rows: &[*const u8; 8], scales: &mut [[f32; 8]; BLOCK]) {
    let mut r = [_mm_setzero_si128(); 8];
    for (r, row) in r.iter_mut().zip(rows) {
        // SAFETY: the caller's contract.
        *r = unsafe { _mm_loadu_si128(row.cast()) };
    }
    let pair = |a, b| (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b));
    let (p01, p23) = (pair(r[0], r[1]), pair(r[2], r[3]));
    let (p45, p67) = (pair(r[4], r[5]), pair(r[6], r[7]));
    let quad = |a, b| (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    let low = [quad(p01.0, p23.0), quad(p01.1, p23.1)];
    let high = [quad(p45.0, p67.0), quad(p45.1, p67.1)];
    for i in 0..2 {
        let groups = [
            _mm_unpacklo_epi64(low[i].0, high[i].0),
            _mm_unpackhi_epi64(low[i].0, high[i].0),
            _mm_unpacklo_epi64(low[i].1, high[i].1),
            _mm_unpackhi_epi64(low[i].1, high[i].1),
        ];
        for (j, group) in groups.into_iter().enumerate() {
            let out = scales[4 * i + j].as_mut_ptr();
            // SAFETY: `out` holds eight f32.
            unsafe { _mm256_storeu_ps(out, _mm256_cvtph_ps(group)) };
        }
    }
}

/// Defines `decode` of a kernel for int8 weights, with the vectors of `$features`. The module has `dots`, the products of a
/// group's columns of eight rows with one token, a sum in each lane, computed on weights that are `$bias` too high.
macro_rules! decode_int8 {
    ($features:literal, bias: $bias:literal) => {
        /// Token `m`: eight rows at once, each its own stream from memory.
        ///
        /// # Safety
        /// `w` checked these operands, its groups are fit for vectors, and no other thread accesses columns
        /// `rows` of `y`.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn decode(
            x: &$crate::kernels::int::Activations8,
            m: usize,
            w: &$crate::kernels::int::weights::Weights<'_>,
            rows: Range<usize>,
            y: $crate::kernels::ColumnsAt<'_>,
        ) {
            use $crate::kernels::int::blocks::{BLOCK, GroupBlock};
            use $crate::kernels::int::weights::Streams;
            use $crate::kernels::int::x86::{accumulate, lanes, without_zeros};

            let mut block = GroupBlock::new(w);
            let (token, scales, sums) = x.token(m, w.groups);
            let streams = Streams::<8>::new(rows);
            for i in 0..streams.length {
                let tile = streams.at(i);
                let starts = tile.map(|n| w.row(n).as_ptr());
                let mut total = _mm256_setzero_ps();
                for g0 in (0..w.groups).step_by(BLOCK) {
                    let count = BLOCK.min(w.groups - g0);
                    block.fetch(w, &tile, g0, count);
                    for g in 0..count {
                        let at = g0 + g;
                        // SAFETY: the columns of a group lie in every row, its sum and scale in the activations.
                        unsafe {
                            let columns = at * w.group..(at + 1) * w.group;
                            let products = dots(starts, token, columns);
                            // As much too high as the weights.
                            let zeros = _mm256_add_epi32(block.zeros(g), _mm256_set1_epi32($bias));
                            let sum = _mm256_set1_epi32(*sums.add(at));
                            let products = without_zeros(products, zeros, sum);
                            let scale =
                                _mm256_mul_ps(block.scales(g), _mm256_set1_ps(*scales.add(at)));
                            total = accumulate(products, scale, total);
                        }
                    }
                }
                // SAFETY: `rows` and the token lie in `y`.
                unsafe { streams.store(&y, m, i, &lanes(total)) };
            }
        }
    };
}
pub(super) use decode_int8;

/// The sums of four vectors in either half: lane `i` and lane `i + 4` of the result add up to that of `v[i]`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn half_sums(v: [__m256i; 4]) -> __m256i {
    _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]))
}

/// Eight sums of two results of [`half_sums`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn join_halves(first: __m256i, last: __m256i) -> __m256i {
    _mm256_add_epi32(
        _mm256_permute2x128_si256::<0x20>(first, last),
        _mm256_permute2x128_si256::<0x31>(first, last),
    )
}

/// Lane `i` of the result is the sum of the lanes of `v[i]`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn sum_each(v: [__m256i; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = v;
    join_halves(half_sums([a, b, c, d]), half_sums([e, f, g, h]))
}

/// `sums - zeros * activations`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn without_zeros(sums: __m256i, zeros: __m256i, activations: __m256i) -> __m256i {
    _mm256_sub_epi32(sums, _mm256_mullo_epi32(zeros, activations))
}

/// `fma(f32(sums), scales, total)`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn accumulate(sums: __m256i, scales: __m256, total: __m256) -> __m256 {
    _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scales, total)
}

/// `fma(fma(f32(high), 256, f32(low)), scales, total)`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn accumulate16(low: __m256i, high: __m256i, scales: __m256, total: __m256) -> __m256 {
    let s =
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(high), _mm256_set1_ps(256.0), _mm256_cvtepi32_ps(low));
    _mm256_fmadd_ps(s, scales, total)
}

/// Writes the first `count` lanes.
///
/// # Safety
/// `to` is valid for writing `count` f32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn store(to: *mut f32, lanes: __m256, count: usize) {
    if count >= 8 {
        // SAFETY: the caller's contract.
        unsafe { _mm256_storeu_ps(to, lanes) }
    } else {
        let mut all = [0.0f32; 8];
        // SAFETY: eight f32 fit `all`, `count` of them `to` by the caller's contract.
        unsafe {
            _mm256_storeu_ps(all.as_mut_ptr(), lanes);
            to.copy_from_nonoverlapping(all.as_ptr(), count);
        }
    }
}

/// Adds `add` to eight sums, or sets them.
///
/// # Safety
/// `out` is valid for eight i32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn put(out: *mut i32, add: __m256i, fresh: bool) {
    let out = out.cast();
    // SAFETY: the caller's contract.
    unsafe {
        let before = if fresh { _mm256_setzero_si256() } else { _mm256_loadu_si256(out) };
        _mm256_storeu_si256(out, _mm256_add_epi32(before, add));
    }
}

/// [`Outputs::scales`](super::gemm::Outputs::scales).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn scales(scales: &ScaleBytes<'_>, first: usize, count: usize, to: &mut [f32; 16]) {
    for i in (0..count).step_by(8) {
        let to = &mut to[i..i + 8];
        match scales {
            // Scales of later rows may come along.
            ScaleBytes::F16(bytes) if bytes.len() >= 2 * (first + i + 8) => {
                let halves = &bytes[2 * (first + i)..2 * (first + i + 8)];
                // SAFETY: 16 bytes, eight f32.
                unsafe {
                    let halves = _mm_loadu_si128(halves.as_ptr().cast());
                    _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(halves));
                }
            }
            _ => (i..count).zip(to).for_each(|(i, to)| *to = scales.get(first + i)),
        }
    }
}

/// The lanes of a vector.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn lanes(v: __m256) -> [f32; 8] {
    let mut lanes = [0.0; 8];
    // SAFETY: eight f32.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), v) };
    lanes
}

/// [`Outputs::transpose`](super::gemm::Outputs::transpose) by blocks of eight rows and tokens.
///
/// # Safety
/// `to` is valid for writing `rows` values at each of `tokens` starts that lie `stride` apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn transpose8(
    from: *const [f32; LANES * VECTORS],
    rows: usize,
    tokens: usize,
    to: *mut f32,
    stride: usize,
) {
    for r in (0..rows).step_by(8) {
        for t in (0..tokens).step_by(8) {
            // SAFETY: a tile holds whole blocks of eight; the rows and tokens to write are counted.
            unsafe {
                let mut v = [_mm256_setzero_ps(); 8];
                for (i, v) in v.iter_mut().enumerate() {
                    *v = _mm256_loadu_ps((*from.add(r + i)).as_ptr().add(t));
                }
                for (i, v) in transposed8(v).into_iter().enumerate().take(tokens - t) {
                    store(to.add((t + i) * stride + r), v, rows - r);
                }
            }
        }
    }
}

/// [`turn_portable`](super::gemm::turn_portable) by blocks of eight tokens and quads of columns.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn turn8(from: &Square, to: &mut Turned) {
    for t in (0..LANES).step_by(8) {
        for quad in (0..LANES).step_by(8) {
            let mut v = [_mm256_setzero_ps(); 8];
            for (v, from) in v.iter_mut().zip(&from.0[t..]) {
                // SAFETY: 32 bytes of a token.
                *v = unsafe { _mm256_loadu_ps(from[4 * quad..4 * quad + 32].as_ptr().cast()) };
            }
            for (v, to) in transposed8(v).into_iter().zip(&mut to[quad..]) {
                // SAFETY: four columns of eight tokens.
                unsafe { _mm256_storeu_ps(to.0[t..t + 8].as_mut_ptr().cast(), v) };
            }
        }
    }
}

/// The transpose of eight vectors.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn transposed8(v: [__m256; 8]) -> [__m256; 8] {
    let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (ab, cd) = (pair(v[0], v[1]), pair(v[2], v[3]));
    let (ef, gh) = (pair(v[4], v[5]), pair(v[6], v[7]));
    let low = |a, b| _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
    let high = |a, b| _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
    let first = [low(ab.0, cd.0), high(ab.0, cd.0), low(ab.1, cd.1), high(ab.1, cd.1)];
    let last = [low(ef.0, gh.0), high(ef.0, gh.0), low(ef.1, gh.1), high(ef.1, gh.1)];
    let mut out = v;
    for i in 0..4 {
        out[i] = _mm256_permute2f128_ps::<0x20>(first[i], last[i]);
        out[i + 4] = _mm256_permute2f128_ps::<0x31>(first[i], last[i]);
    }
    out
}
