//! Norms, softmax, activations, rotation: `NUMERICS.md`, section by section.

use super::lanes::{Lanes, halving_tree};

/// `exp` of `NUMERICS.md`, on sixteen lanes.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn exp<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's contract.
    unsafe {
        let n = x.mul(L::splat(LOG2_E)).round();
        x.bound(-104.0, 0.0, 88.72284, f32::INFINITY, mantissa(x, n).scale_by_power(n))
    }
}

/// Adding it rounds to an integer, half to even, as long as that has 22 bits.
const ROUNDS: f32 = 12_582_912.0;

/// The same for `x` that are at most 0 or NaN, with fewer instructions.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn exp_below<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's contract; `n` is in -188..=0.
    unsafe {
        // Below -104 the rule's result is 0, and so is what follows: at most 2^-150.
        let x = L::splat(-130.0).max(x);
        let sum = x.mul(L::splat(LOG2_E)).add(L::splat(ROUNDS));
        let n = sum.add(L::splat(-ROUNDS));
        // The first product is exact, as the rule's first one is, and the second one alone rounds.
        mantissa(x, n).scale_by_sum::<-64>(n, sum)
    }
}

/// `1 + exp(x)` for any `x`, with fewer instructions than `exp` takes alone.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn one_plus_exp<L: Lanes>(x: L) -> L {
    /// An even number, so that halves go where the rule sends them.
    const SHIFT: f32 = ROUNDS - 96.0;
    // SAFETY: the caller's contract; `n` is in -43..=144.
    unsafe {
        // From -30 down the sum is 1 whatever the rule's result is. Where that is infinity, 2^n is 2^128 or more
        // and the mantissa above 1, or 2^n is 2^129 or more: the product overflows as it should.
        let x = L::splat(100.0).min(L::splat(-30.0).max(x));
        let sum = x.mul(L::splat(LOG2_E)).add(L::splat(SHIFT));
        let n = sum.add(L::splat(-SHIFT));
        // The first product is exact, and the second one can only overflow.
        mantissa(x, n).scale_by_sum::<32>(n, sum).add(L::splat(1.0))
    }
}

const LOG2_E: f32 = f32::from_bits(0x3fb8_aa3b);

/// `exp(x) * 2^-n`.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn mantissa<L: Lanes>(x: L, n: L) -> L {
    const MINUS_LN2_HIGH: f32 = f32::from_bits(0xbf31_7200);
    const MINUS_LN2_LOW: f32 = f32::from_bits(0xb5bf_be8e);
    const POLYNOMIAL: [f32; 6] = [
        f32::from_bits(0x3950_9294),
        f32::from_bits(0x3ab6_a1b1),
        f32::from_bits(0x3c08_8870),
        f32::from_bits(0x3d2a_aa74),
        f32::from_bits(0x3e2a_aaab),
        f32::from_bits(0x3f00_0000),
    ];
    // SAFETY: the caller's contract.
    unsafe {
        let r = n.fma(L::splat(MINUS_LN2_HIGH), x);
        let r = n.fma(L::splat(MINUS_LN2_LOW), r);
        let mut p = L::splat(POLYNOMIAL[0]);
        for c in &POLYNOMIAL[1..] {
            p = p.fma(r, L::splat(*c));
        }
        p.fma(r.mul(r), r).add(L::splat(1.0))
    }
}

/// An operation on sixteen elements of two inputs.
///
/// A trait and not a closure: a closure has no `inline(always)`, and where the compiler leaves one
/// alone every vector instruction in it becomes a call.
trait Binary<L> {
    /// # Safety
    /// The processor has the instructions of `L`.
    unsafe fn apply(self, a: L, b: L) -> L;
}

/// Applies `op` to sixteen elements of two inputs at a time; the tail is padded with zeros.
///
/// # Safety
/// The slices have one length; the processor has the instructions of `L`.
#[inline(always)]
unsafe fn zip<L: Lanes>(a: &[f32], b: &[f32], out: &mut [f32], op: impl Binary<L> + Copy) {
    let whole = out.len() & !15;
    // SAFETY: offsets stay below the common length; the tail goes through arrays of 16.
    unsafe {
        let mut i = 0;
        while i < whole {
            let value = op.apply(L::load(a.as_ptr().add(i)), L::load(b.as_ptr().add(i)));
            value.store(out.as_mut_ptr().add(i));
            i += 16;
        }
        if whole < out.len() {
            let (mut pad_a, mut pad_b) = ([0.0f32; 16], [0.0f32; 16]);
            let tail = out.len() - whole;
            pad_a[..tail].copy_from_slice(&a[whole..]);
            pad_b[..tail].copy_from_slice(&b[whole..]);
            let value = op.apply(L::load(pad_a.as_ptr()), L::load(pad_b.as_ptr()));
            value.store(pad_a.as_mut_ptr());
            out[whole..].copy_from_slice(&pad_a[..tail]);
        }
    }
}

#[derive(Clone, Copy)]
struct Silu;

impl<L: Lanes> Binary<L> for Silu {
    #[inline(always)]
    unsafe fn apply(self, g: L, u: L) -> L {
        // SAFETY: the trait's contract.
        unsafe { g.div(one_plus_exp(g.mul(L::splat(-1.0)))).mul(u) }
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;

impl<L: Lanes> Binary<L> for GeluTanh {
    #[inline(always)]
    unsafe fn apply(self, g: L, u: L) -> L {
        /// sqrt(2 / pi).
        const ROOT: f32 = 0.797_884_6;
        // SAFETY: the trait's contract.
        unsafe {
            let t = L::splat(0.044715).mul(g).mul(g);
            let v = L::splat(ROOT).mul(t.fma(g, g));
            g.div(one_plus_exp(L::splat(-2.0).mul(v))).mul(u)
        }
    }
}

/// `(a * factor) * b`.
#[derive(Clone, Copy)]
struct ScaledBy(f32);

impl<L: Lanes> Binary<L> for ScaledBy {
    #[inline(always)]
    unsafe fn apply(self, a: L, b: L) -> L {
        // SAFETY: the trait's contract.
        unsafe { a.mul(L::splat(self.0)).mul(b) }
    }
}

/// # Safety
/// As [`zip`].
#[inline(always)]
pub(super) unsafe fn silu_gate<L: Lanes>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { zip::<L>(gate, up, out, Silu) }
}

/// # Safety
/// As [`zip`].
#[inline(always)]
pub(super) unsafe fn gelu_tanh_gate<L: Lanes>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { zip::<L>(gate, up, out, GeluTanh) }
}

/// `out = (x * r) * w` with `r = 1 / sqrt(dot16(x, x) / n + eps)`.
///
/// # Safety
/// The slices have one length; the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn rms_norm<L: Lanes>(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    // SAFETY: the caller's contract; blocks have 16 elements.
    unsafe {
        let (blocks, tail) = x.as_chunks::<16>();
        let mut acc = L::splat(0.0);
        for block in blocks {
            let v = L::load(block.as_ptr());
            acc = v.fma(v, acc);
        }
        let r = 1.0 / (square_sum(acc, tail) / x.len() as f32 + eps).sqrt();
        zip::<L>(x, w, out, ScaledBy(r));
    }
}

/// `x = x + h`, then `h = norm(x)` as [`rms_norm`] has it.
///
/// # Safety
/// As [`rms_norm`].
#[inline(always)]
pub(super) unsafe fn add_rms_norm<L: Lanes>(x: &mut [f32], w: &[f32], eps: f32, h: &mut [f32]) {
    // SAFETY: the caller's contract; blocks have 16 elements.
    unsafe {
        let (blocks, tail) = x.as_chunks_mut::<16>();
        let (added, added_tail) = h.as_chunks::<16>();
        let mut acc = L::splat(0.0);
        for (block, added) in blocks.iter_mut().zip(added) {
            let v = L::load(block.as_ptr()).add(L::load(added.as_ptr()));
            v.store(block.as_mut_ptr());
            acc = v.fma(v, acc);
        }
        for (x, h) in tail.iter_mut().zip(added_tail) {
            *x += h;
        }
        let r = 1.0 / (square_sum(acc, tail) / x.len() as f32 + eps).sqrt();
        zip::<L>(x, w, h, ScaledBy(r));
    }
}

/// The end of `dot16(x, x)`: `acc` has whole blocks, `tail` is the rest.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn square_sum<L: Lanes>(acc: L, tail: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    // SAFETY: 16 elements.
    unsafe { acc.store(lanes.as_mut_ptr()) };
    for (lane, &v) in lanes.iter_mut().zip(tail) {
        *lane = v.mul_add(v, *lane);
    }
    halving_tree(lanes)
}

/// The largest element of a slice of finite values.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn largest<L: Lanes>(x: &[f32]) -> f32 {
    let (blocks, tail) = x.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    // SAFETY: blocks have 16 elements.
    unsafe {
        let mut acc = L::load(lanes.as_ptr());
        for block in blocks {
            acc = acc.max(L::load(block.as_ptr()));
        }
        acc.store(lanes.as_mut_ptr());
    }
    lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m })
}

/// An operation on sixteen elements; see [`Binary`].
trait Unary<L> {
    /// # Safety
    /// The processor has the instructions of `L`.
    unsafe fn apply(self, x: L) -> L;
}

#[derive(Clone, Copy)]
struct Exp;

impl<L: Lanes> Unary<L> for Exp {
    #[inline(always)]
    unsafe fn apply(self, x: L) -> L {
        // SAFETY: the trait's contract.
        unsafe { exp(x) }
    }
}

/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
unsafe fn map_in_place<L: Lanes>(x: &mut [f32], op: impl Unary<L> + Copy) {
    let (blocks, tail) = x.as_chunks_mut::<16>();
    // SAFETY: blocks have 16 elements; the tail goes through an array of 16.
    unsafe {
        for block in blocks {
            op.apply(L::load(block.as_ptr())).store(block.as_mut_ptr());
        }
        if !tail.is_empty() {
            let mut pad = [0.0; 16];
            pad[..tail.len()].copy_from_slice(tail);
            op.apply(L::load(pad.as_ptr())).store(pad.as_mut_ptr());
            tail.copy_from_slice(&pad[..tail.len()]);
        }
    }
}

/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn exp_in_place<L: Lanes>(x: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { map_in_place::<L>(x, Exp) }
}

/// Rotates `x` in place: pairs are `x[i]` and `x[i + x.len() / 2]`.
///
/// # Safety
/// `cos` and `sin` have half the length of `x`; the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn rotate<L: Lanes>(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = x.split_at_mut(cos.len());
    let whole = cos.len() & !15;
    // SAFETY: offsets stay below the common length.
    unsafe {
        let mut i = 0;
        while i < whole {
            let x1 = L::load(first.as_ptr().add(i));
            let x2 = L::load(second.as_ptr().add(i));
            let c = L::load(cos.as_ptr().add(i));
            let s = L::load(sin.as_ptr().add(i));
            let minus = x2.mul(s.mul(L::splat(-1.0)));
            x1.fma(c, minus).store(first.as_mut_ptr().add(i));
            x2.fma(c, x1.mul(s)).store(second.as_mut_ptr().add(i));
            i += 16;
        }
    }
    for i in whole..cos.len() {
        let (x1, x2, c, s) = (first[i], second[i], cos[i], sin[i]);
        first[i] = x1.mul_add(c, -(x2 * s));
        second[i] = x2.mul_add(c, x1 * s);
    }
}

/// The largest logit `m` and the sum of `f64(exp(l - m))` in 16 lanes.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn exp_sum<L: Lanes>(logits: &[f32]) -> (f32, f64) {
    let (blocks, tail) = logits.as_chunks::<16>();
    let mut lanes = [0.0f64; 16];
    // SAFETY: blocks have 16 elements.
    unsafe {
        let m = largest::<L>(logits);
        let minus = L::splat(-m);
        let mut e = [0.0f32; 16];
        for block in blocks {
            exp(L::load(block.as_ptr()).add(minus)).store(e.as_mut_ptr());
            for (lane, &e) in lanes.iter_mut().zip(&e) {
                *lane += f64::from(e);
            }
        }
        e[..tail.len()].copy_from_slice(tail);
        exp(L::load(e.as_ptr()).add(minus)).store(e.as_mut_ptr());
        for (lane, &e) in lanes.iter_mut().zip(&e[..tail.len()]) {
            *lane += f64::from(e);
        }
        for half in [8, 4, 2, 1] {
            for j in 0..half {
                lanes[j] += lanes[j + half];
            }
        }
        (m, lanes[0])
    }
}

/// f32 to f16, half to even.
///
/// # Safety
/// The slices have one length; the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn to_f16<L: Lanes>(x: &[f32], out: &mut [u16]) {
    let (blocks, tail) = x.as_chunks::<16>();
    let (out_blocks, out_tail) = out.as_chunks_mut::<16>();
    // SAFETY: blocks have 16 elements; the tail goes through arrays of 16.
    unsafe {
        for (block, out) in blocks.iter().zip(out_blocks) {
            L::load(block.as_ptr()).store_f16(out.as_mut_ptr());
        }
        let (mut pad, mut halves) = ([0.0; 16], [0u16; 16]);
        pad[..tail.len()].copy_from_slice(tail);
        L::load(pad.as_ptr()).store_f16(halves.as_mut_ptr());
        out_tail.copy_from_slice(&halves[..tail.len()]);
    }
}
