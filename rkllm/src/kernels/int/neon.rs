//! NEON with the dot product instructions: Cortex-A76 and A55 of the RK3588, and every Arm server; and with the
//! matrix products of later ones.
//!
//! `sdot` and `smmla` are spelled in assembler because their intrinsics are not stable.

mod i8mm;
mod unit;
mod w4a16;
mod w8a8;

use std::arch::aarch64::*;
use std::arch::asm;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Range;

use self::i8mm::SmmlaUnit;
use self::unit::SdotUnit;
use super::blocks::{BLOCK, GroupBlock};
use super::gemm::{self, LANES, MIN_TOKENS, Square, Turned, Unit, VECTORS};
use super::quantize;
use super::scalar::Scalar;
use super::scales::ScaleBytes;
use super::weights::{Weights, Zeros};
use super::{Activations8, Activations16, IntProducts, Packed, Places8, Places16};
use crate::kernels::ColumnsAt;
use crate::quant::QuantizedRows;

/// Bytes of a row that a prefetch fetches.
const LINE: usize = 64;
/// Bytes ahead of the ones in use at which a stream of weights is prefetched. At 8 GB/s in eight streams that is
/// half a microsecond; not measured on a board yet.
const PREFETCH_AHEAD: usize = 512;

/// The kernels this CPU runs with their names, the preferred one last.
pub(super) fn available() -> Vec<(&'static str, &'static dyn IntProducts)> {
    [Neon::<SdotUnit>::detect(), Neon::<SmmlaUnit>::detect()].into_iter().flatten().collect()
}

/// What differs between the kernels: how they multiply many tokens. One token meets each weight once, where pairs of
/// tokens gain nothing.
trait NeonUnit: Unit + Debug + Send + Sync + 'static {
    const NAME: &'static str;

    /// Whether this CPU has the instructions: those for dot products and the unit's own.
    fn runs() -> bool;
}

/// Exists only where [`Neon::detect`] found the instructions.
#[derive(Debug)]
struct Neon<U>(PhantomData<U>);

impl<U: NeonUnit> Neon<U> {
    /// The kernel and its name, if this CPU runs it.
    fn detect() -> Option<(&'static str, &'static dyn IntProducts)> {
        let kernel: &'static Self = &Self(PhantomData);
        U::runs().then_some((U::NAME, kernel as &dyn IntProducts))
    }
}

impl<U: NeonUnit> IntProducts for Neon<U> {
    fn prefill_bytes(&self, bits: u32, k: usize, group: usize) -> usize {
        gemm::scratch_bytes::<U>(bits, k, group)
    }

    unsafe fn quantize8_block(&self, x: &[f32], places: &Places8<'_>, block: usize) {
        // SAFETY: `detect` found the features; the caller's contract.
        unsafe { quantize8(x, places, block) };
    }

    unsafe fn quantize16_block(&self, x: &[f32], places: &Places16<'_>, block: usize) {
        // SAFETY: `detect` found the features; the caller's contract.
        unsafe { quantize16(x, places, block) };
    }

    unsafe fn w8a8(
        &self,
        x: &Activations8,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        let weights = Weights::w8a8(x, w, &rows, &y);
        // SAFETY: `detect` found the features; `weights` checked every bound; the caller keeps the
        // columns unshared.
        unsafe {
            match x.m {
                _ if !weights.has_vector_groups() => Scalar.w8a8(x, w, rows, y),
                0..MIN_TOKENS => {
                    (0..x.m).for_each(|m| w8a8::decode(x, m, &weights, rows.clone(), y))
                }
                _ => prefill::<U, 8>(x.packed(), &weights, rows, y),
            }
        }
    }

    unsafe fn w4a16(
        &self,
        x: &Activations16,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        let weights = Weights::w4a16(x, w, &rows, &y);
        // SAFETY: as in `w8a8`.
        unsafe {
            match x.m {
                _ if !weights.has_vector_groups() => Scalar.w4a16(x, w, rows, y),
                0..MIN_TOKENS => {
                    (0..x.m).for_each(|m| w4a16::decode(x, m, &weights, rows.clone(), y))
                }
                _ => prefill::<U, 4>(x.packed(), &weights, rows, y),
            }
        }
    }
}

/// # Safety
/// As [`gemm::product`].
#[target_feature(enable = "neon,dotprod")]
unsafe fn prefill<U: NeonUnit, const BITS: u32>(
    x: &Packed,
    w: &Weights<'_>,
    rows: Range<usize>,
    y: ColumnsAt<'_>,
) {
    // SAFETY: the caller's contract.
    unsafe { gemm::product::<U, BITS>(x, w, rows, y) };
}

/// # Safety
/// No other borrow of this block of `places` lives.
#[target_feature(enable = "neon,dotprod")]
unsafe fn quantize8(x: &[f32], places: &Places8<'_>, block: usize) {
    // SAFETY: the caller's contract.
    unsafe { quantize::quantize8_by(x, places, block, |from, to| turn4(from, to)) };
}

/// # Safety
/// No other borrow of this block of `places` lives.
#[target_feature(enable = "neon,dotprod")]
unsafe fn quantize16(x: &[f32], places: &Places16<'_>, block: usize) {
    // SAFETY: the caller's contract.
    unsafe { quantize::quantize16_by(x, places, block, |from, to| turn4(from, to)) };
}

/// Packs by blocks of four tokens and four times four columns.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn turn4(from: &Square, to: &mut Turned) {
    for t in (0..LANES).step_by(4) {
        for quad in (0..LANES).step_by(4) {
            let mut v = [vdupq_n_f32(0.0); 4];
            for (v, from) in v.iter_mut().zip(&from.0[t..]) {
                // SAFETY: 16 bytes of a token.
                *v = unsafe { vld1q_f32(from[4 * quad..4 * quad + 16].as_ptr().cast()) };
            }
            for (v, to) in transposed(v).into_iter().zip(&mut to[quad..]) {
                // SAFETY: four columns of four tokens.
                unsafe { vst1q_f32(to.0[t..t + 4].as_mut_ptr().cast(), v) };
            }
        }
    }
}

/// [`Unit::scales`]: eight f16 at a time.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn scales(from: &ScaleBytes<'_>, first: usize, count: usize, to: &mut [f32; 16]) {
    let mut done = 0;
    if let ScaleBytes::F16(bytes) = from {
        let (eights, _) = bytes[2 * first..2 * (first + count)].as_chunks::<16>();
        for (eight, to) in eights.iter().zip(to.as_chunks_mut::<8>().0) {
            // SAFETY: 16 bytes to read, eight f32 to write.
            unsafe {
                let halves = vreinterpretq_u16_u8(vld1q_u8(eight.as_ptr()));
                vst1q_f32(to.as_mut_ptr(), f16_to_f32(vget_low_u16(halves)));
                vst1q_f32(to[4..].as_mut_ptr(), f16_to_f32(vget_high_u16(halves)));
            }
        }
        done = 8 * eights.len();
    }
    for (to, i) in to[done..count].iter_mut().zip(first + done..) {
        *to = from.get(i);
    }
}

/// Writes a row of weights as signed bytes, nibbles in the order of packed activations: of each four columns first
/// the even, then the odd ones.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
    if bits == 8 {
        return gemm::copy_row(row, to);
    }
    let (pieces, rest) = row.as_chunks::<16>();
    let (to, last) = to[..2 * row.len()].split_at_mut(32 * pieces.len());
    let eight = vdupq_n_u8(8);
    for (piece, to) in pieces.iter().zip(to.as_chunks_mut::<32>().0) {
        // SAFETY: 16 bytes to read, 32 to write.
        unsafe {
            let packed = vld1q_u8(piece.as_ptr());
            let even = vreinterpretq_u16_u8(vandq_u8(packed, vdupq_n_u8(15)));
            let odd = vreinterpretq_u16_u8(vshrq_n_u8::<4>(packed));
            let first = vreinterpretq_u8_u16(vzip1q_u16(even, odd));
            let second = vreinterpretq_u8_u16(vzip2q_u16(even, odd));
            vst1q_u8(to.as_mut_ptr(), vsubq_u8(first, eight));
            vst1q_u8(to[16..].as_mut_ptr(), vsubq_u8(second, eight));
        }
    }
    gemm::signed_nibbles_row(rest, last);
}

/// Adds the products of four neighbouring bytes to each lane.
///
/// Not `pure`: the compiler keeps the order of such instructions, where it would load far ahead and run out of
/// registers. The processor reorders them itself.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Four f16, the bits of which are in the low half of each pair of bytes, as f32.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn f16_to_f32(halves: uint16x4_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = lateout(vreg) floats,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    floats
}

/// 16 bytes from memory.
///
/// # Safety
/// `from` is valid for reading 16 bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn load(from: *const i8) -> int8x16_t {
    // SAFETY: the caller's contract.
    unsafe { vld1q_s8(from) }
}

/// Fetches the line `offset` bytes after `row`, which need not be there, for one use.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn prefetch(row: *const i8, offset: usize) {
    // SAFETY: a prefetch may name any address.
    unsafe {
        asm!(
            "prfm pldl1strm, [{row}, {offset}]",
            row = in(reg) row.addr(),
            offset = in(reg) offset,
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// The next `count` bytes, at most 16, then zeros.
///
/// # Safety
/// `from` is valid for reading `count` bytes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn load_part(from: *const i8, count: usize) -> int8x16_t {
    if count >= 16 {
        // SAFETY: the caller's contract.
        return unsafe { load(from) };
    }
    let mut bytes = [0i8; 16];
    // SAFETY: `count` bytes are valid and fit.
    unsafe {
        bytes.as_mut_ptr().copy_from_nonoverlapping(from, count);
        load(bytes.as_ptr())
    }
}

/// Lane `i` of the result is the sum of the lanes of `v[i]`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sum_each(v: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]))
}

/// The sums of the lanes of eight vectors, in order.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sums_of_eight([a, b, c, d, e, f, g, h]: [int32x4_t; 8]) -> [int32x4_t; 2] {
    [sum_each([a, b, c, d]), sum_each([e, f, g, h])]
}

/// `sums - zeros * activations`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn without_zeros(sums: int32x4_t, zeros: int32x4_t, activations: i32) -> int32x4_t {
    vmlsq_n_s32(sums, zeros, activations)
}

/// `fma(f32(sums - zeros * activations), scales, total)`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn accumulate(
    sums: int32x4_t,
    zeros: int32x4_t,
    activations: i32,
    scales: float32x4_t,
    total: float32x4_t,
) -> float32x4_t {
    vfmaq_f32(total, vcvtq_f32_s32(without_zeros(sums, zeros, activations)), scales)
}

/// Writes the first `count` lanes, at most all of them.
///
/// # Safety
/// `to` is valid for writing `count` f32.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn store(to: *mut f32, lanes: float32x4_t, count: usize) {
    if count >= 4 {
        // SAFETY: the caller's contract.
        return unsafe { vst1q_f32(to, lanes) };
    }
    let mut all = [0.0f32; 4];
    // SAFETY: four f32 fit `all`, `count` of them `to` by the caller's contract.
    unsafe {
        vst1q_f32(all.as_mut_ptr(), lanes);
        to.copy_from_nonoverlapping(all.as_ptr(), count);
    }
}

/// Where the scales of eight rows are, looked up once for all their groups.
struct ScaleRows {
    starts: [*const u8; 8],
    /// Groups before this one may be fetched eight at a time.
    end: usize,
}

impl ScaleRows {
    #[inline]
    fn new(w: &Weights<'_>, rows: &[usize; 8]) -> Self {
        let (ScaleBytes::F16(bytes), Zeros::All(_)) = (w.scales, w.zeros) else {
            return Self { starts: [std::ptr::null(); 8], end: 0 };
        };
        let starts = rows.map(|n| bytes[2 * n * w.groups..].as_ptr());
        let last = rows.iter().max().expect("eight rows") * w.groups;
        // Eight from there on are 16 bytes, which the end of the tensor may cut off.
        let end = (bytes.len() / 2).saturating_sub(last + 7).min(w.groups);
        Self { starts, end }
    }
}

impl GroupBlock {
    /// Fetches groups `g0..g0 + count` of the eight rows.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn fetch(
        &mut self,
        w: &Weights<'_>,
        rows: &[usize; 8],
        scale_rows: &ScaleRows,
        g0: usize,
        count: usize,
    ) {
        if count > 1 && g0 < scale_rows.end {
            // SAFETY: before `end` there are 16 bytes.
            unsafe { turn_scales(&scale_rows.starts, 2 * g0, &mut self.scales) };
        } else {
            self.fetch_with(w, rows, g0, count, |starts, scales| {
                // SAFETY: `fetch_with` checked that 16 bytes are left.
                unsafe { turn_scales(starts, 0, scales) };
            });
        }
    }

    /// The scales of outputs `4 * half` to `4 * half + 3` for group `g` of the block, times `factor`.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn scales(&self, g: usize, half: usize, factor: f32) -> float32x4_t {
        debug_assert!(g < BLOCK && half < 2);
        // SAFETY: four f32 of the block.
        vmulq_n_f32(
            unsafe { vld1q_f32(self.scales.as_ptr().cast::<f32>().add(8 * g + 4 * half)) },
            factor,
        )
    }

    /// The zero points of the same outputs.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn zeros(&self, g: usize, half: usize) -> int32x4_t {
        debug_assert!(g < BLOCK && half < 2);
        // SAFETY: four i32 of the block.
        unsafe { vld1q_s32(self.zeros.as_ptr().cast::<i32>().add(8 * g + 4 * half)) }
    }
}

/// Eight f16 at byte `at` of each row, as f32, transposed: as f16, half as many to turn.
///
/// A function of its own, by whose name `benches/mca/arm.sh` finds it.
///
/// # Safety
/// Every pointer is valid for reading 16 bytes at `at`.
#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn turn_scales(rows: &[*const u8; 8], at: usize, scales: &mut [[f32; 8]; BLOCK]) {
    let mut pairs = [vdupq_n_u32(0); 8];
    for (i, two) in rows.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: the caller's contract.
        let (a, b) = unsafe { (vld1q_u8(two[0].add(at)), vld1q_u8(two[1].add(at))) };
        let (a, b) = (vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b));
        // Groups 0, 2, 4, 6 and 1, 3, 5, 7 of two rows.
        pairs[i] = vreinterpretq_u32_u16(vtrn1q_u16(a, b));
        pairs[4 + i] = vreinterpretq_u32_u16(vtrn2q_u16(a, b));
    }
    for (odd, pairs) in pairs.as_chunks::<4>().0.iter().enumerate() {
        let wide = |four| vreinterpretq_u64_u32(four);
        let ends = |a, b| (wide(vtrn1q_u32(a, b)), wide(vtrn2q_u32(a, b)));
        let ((g0, g2), (h0, h2)) = (ends(pairs[0], pairs[1]), ends(pairs[2], pairs[3]));
        for (g, a, b) in [(0, g0, h0), (2, g2, h2)] {
            for (g, eight) in [(g, vtrn1q_u64(a, b)), (g + 4, vtrn2q_u64(a, b))] {
                let eight = vreinterpretq_u16_u64(eight);
                let to = scales[g + odd].as_mut_ptr();
                // SAFETY: eight f32.
                unsafe {
                    vst1q_f32(to, f16_to_f32(vget_low_u16(eight)));
                    vst1q_f32(to.add(4), f16_to_f32(vget_high_u16(eight)));
                }
            }
        }
    }
}

/// [`Unit::transpose`] by blocks of four rows and tokens.
///
/// # Safety
/// `to` is valid for writing `rows` values at each of `tokens` starts that lie `stride` apart.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn transpose4(
    from: *const [f32; LANES * VECTORS],
    rows: usize,
    tokens: usize,
    to: *mut f32,
    stride: usize,
) {
    for r in (0..rows).step_by(4) {
        for t in (0..tokens).step_by(4) {
            // SAFETY: a tile holds whole blocks of four; the rows and tokens to write are counted.
            unsafe {
                let mut v = [vdupq_n_f32(0.0); 4];
                for (i, v) in v.iter_mut().enumerate() {
                    *v = vld1q_f32((*from.add(r + i)).as_ptr().add(t));
                }
                for (i, v) in transposed(v).into_iter().enumerate().take(tokens - t) {
                    store(to.add((t + i) * stride + r), v, rows - r);
                }
            }
        }
    }
}

/// The transpose of four vectors.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn transposed(v: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let wide = |a| vreinterpretq_f64_f32(a);
    let (a, b) = (wide(vtrn1q_f32(v[0], v[1])), wide(vtrn2q_f32(v[0], v[1])));
    let (c, d) = (wide(vtrn1q_f32(v[2], v[3])), wide(vtrn2q_f32(v[2], v[3])));
    [vtrn1q_f64(a, c), vtrn1q_f64(b, d), vtrn2q_f64(a, c), vtrn2q_f64(b, d)]
        .map(|column| vreinterpretq_f32_f64(column))
}
