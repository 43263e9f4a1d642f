//! Scales as floats, outputs turned, four lanes at once; and tokens packed. Sums become outputs by the portable loops.

use std::arch::aarch64::*;

use super::super::gemm::{LANES, Outputs, Square, Turned, VECTORS};
use super::super::scales::ScaleBytes;
use super::vectors::{f16_to_f32, store, transposed};

/// The part of NEON that units share.
pub(super) struct NeonOutputs;

impl Outputs for NeonOutputs {
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn scales(from: &ScaleBytes<'_>, first: usize, count: usize, to: &mut [f32; 16]) {
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

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn transpose(
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
}

/// Packs by blocks of four tokens and four times four columns.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn turn4(from: &Square, to: &mut Turned) {
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
