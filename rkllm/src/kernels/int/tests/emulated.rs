//! Kernels of other x86-64 processors, their instructions emulated where this one lacks them.

use std::ops::Range;

use super::super::gemm::{
    self, LANES, Outputs, PackedTokens, Rows, Squares, Sums, Unit, copy_row, signed_nibbles_row,
};
use super::super::{amx, avxvnni, quantize};
use super::*;

/// The driver with products by tiles and everything else portable.
struct TileUnit;

/// What any processor can do.
struct Portable;

impl Outputs for Portable {}

impl Unit for TileUnit {
    type Outputs = Portable;
    const BIAS8: i32 = 0;
    const BIAS4: i32 = -8;
    const CACHE: usize = 64 << 10;

    unsafe fn begin() {
        // SAFETY: the caller's contract.
        unsafe { amx::tiles::begin() };
    }

    unsafe fn end() {
        // SAFETY: the caller's contract.
        unsafe { amx::tiles::end() };
    }

    unsafe fn prepare(bits: u32, row: &[u8], to: &mut [u8]) {
        match bits {
            4 => signed_nibbles_row(row, to),
            _ => copy_row(row, to),
        }
    }
}

impl Squares for TileUnit {
    unsafe fn square(
        weights: *const u8,
        stride: usize,
        x: [*const i8; 2],
        columns: usize,
        sums: &mut Sums,
        fresh: bool,
    ) {
        // SAFETY: the caller's contract; `fit` let no other groups pass.
        unsafe { amx::tiles::square(weights, stride, x, columns, sums, fresh) };
    }

    unsafe fn add_square<const BITS: u32>(
        sums: &Sums,
        rows: &Rows<'_>,
        tokens: &PackedTokens<'_>,
        first: bool,
        totals: *mut [f32; LANES],
    ) {
        let planes = if BITS == 4 { 2 } else { 1 };
        for (r, (&scale, &zero)) in rows.scales.iter().zip(rows.zeros).enumerate() {
            assert!(rows.same.is_none_or(|same| same == zero));
            for block in 0..tokens.blocks {
                // SAFETY: a panel has a vector for each row and block.
                let total = unsafe { &mut *totals.add(r * 2 / planes + block) };
                for (lane, total) in total.iter_mut().enumerate() {
                    let plane = |p: usize| {
                        let v = block * planes + p;
                        sums.0[r][v][lane].wrapping_sub(zero * tokens.sums[v][lane]) as f32
                    };
                    let mut s = plane(0);
                    if BITS == 4 {
                        s = plane(1).mul_add(256.0, s);
                    }
                    let before = if first { 0.0 } else { *total };
                    *total = s.mul_add(scale * tokens.scales[block][lane], before);
                }
            }
        }
    }

    unsafe fn write<const BITS: u32>(
        totals: *const [f32; LANES],
        rows: usize,
        tokens: usize,
        to: *mut f32,
        stride: usize,
    ) {
        let pitch = if BITS == 4 { LANES } else { 2 * LANES };
        for t in 0..tokens {
            for r in 0..rows {
                // SAFETY: the caller's contract.
                unsafe { *to.add(t * stride + r) = *totals.cast::<f32>().add(r * pitch + t) };
            }
        }
    }
}

/// [`TileUnit`] behind the interface of kernels.
#[derive(Debug)]
struct Tiles;

impl IntProducts for Tiles {
    fn prefill_bytes(&self, bits: u32, k: usize, group: usize) -> usize {
        gemm::scratch_bytes::<TileUnit>(bits, k, group)
    }

    unsafe fn quantize8_block(&self, x: &[f32], places: &Places8<'_>, block: usize) {
        // SAFETY: the caller's contract.
        unsafe { quantize::quantize8(x, places, block) }
    }

    unsafe fn quantize16_block(&self, x: &[f32], places: &Places16<'_>, block: usize) {
        // SAFETY: the caller's contract.
        unsafe { quantize::quantize16(x, places, block) }
    }

    unsafe fn w8a8(
        &self,
        x: &Activations8,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        let weights = weights::Weights::w8a8(x, w, &rows, &y);
        // SAFETY: the instructions are there or emulated; the caller's contract.
        unsafe { gemm::product_by_squares::<TileUnit, 8>(x.packed(), &weights, rows, y) };
    }

    unsafe fn w4a16(
        &self,
        x: &Activations16,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: ColumnsAt<'_>,
    ) {
        let weights = weights::Weights::w4a16(x, w, &rows, &y);
        // SAFETY: as above.
        unsafe { gemm::product_by_squares::<TileUnit, 4>(x.packed(), &weights, rows, y) };
    }
}

/// The kernel itself, whose vector part this processor has to have: its tiles alone are emulated.
#[test]
fn the_amx_kernel_gives_the_scalar_bits() {
    let Some(kernel) = amx::Amx::emulated() else {
        println!("skipped: the rest of the kernel needs AVX-512 VNNI");
        return;
    };
    let native = refusal("amx").is_none();
    emulator::install();
    let before = emulator::executed();
    for bits in [8, 4] {
        tile_cases(bits).step_by(7).for_each(|case| check(kernel, &case));
        for (k, group) in [(256, 128), (1344, 64), (1300, 1300)] {
            for (asymmetric, extreme) in [(false, true), (true, false), (true, true)] {
                check(kernel, &Case { asymmetric, extreme, ..Case::new(bits, 37, 41, k, group) });
            }
        }
    }
    assert_eq!(emulator::executed() == before, native);
}

#[test]
fn the_peak_is_of_eight_products_a_round() {
    let native = refusal("amx").is_none();
    emulator::install();
    let before = emulator::executed();
    // SAFETY: the tiles are there, which `refusal` asked for, or emulated.
    unsafe { amx::tiles::peak(3) };
    assert!(!emulator::configured(), "tiles are left behind");
    // Configured, zeroed, multiplied, given back.
    let expected = if native { 0 } else { 1 + 8 + 3 * 8 + 1 };
    assert_eq!(emulator::executed() - before, expected);
}

fn check(kernel: &dyn IntProducts, case: &Case) {
    let w = case.weights();
    let expected = case.run(&scalar::Scalar, &w, 0..case.n);
    assert_eq!(case.run(kernel, &w, 0..case.n), expected, "{case:?}");
}

#[test]
fn tiles_give_the_scalar_bits() {
    // Where the processor has tiles this asks for the permission to use them.
    let native = refusal("amx").is_none();
    emulator::install();
    for bits in [8, 4] {
        for case in tile_cases(bits).filter(|case| amx::tiles::fit(&case.weights())) {
            check(&Tiles, &case);
            assert!(!emulator::configured(), "a task leaves its tiles behind");
        }
        // Several panels of rows in parts of columns.
        for asymmetric in [false, true] {
            check(&Tiles, &Case { asymmetric, ..Case::new(bits, 70, 100, 704, 704) });
        }
        let case = Case::new(bits, 40, 32, 2304, 2304);
        let before = emulator::executed();
        check(&Tiles, &Case { extreme: true, asymmetric: true, ..case });
        assert_eq!(emulator::executed() == before, native);
    }
    println!("tiles are {}", if native { "this processor's" } else { "emulated" });
}

#[test]
fn avx_vnni_gives_the_scalar_bits() {
    let Some(kernel) = avxvnni::AvxVnni::emulated() else {
        println!("skipped: the rest of the kernel needs AVX2");
        return;
    };
    emulator::install();
    let native = avxvnni::AvxVnni::detect().is_some();
    for bits in [8, 4] {
        tile_cases(bits).step_by(17).for_each(|case| check(kernel, &case));
        for (k, group) in [(64, 64), (130, 130), (256, 128), (31, 31), (192, 32)] {
            for m in 1..=3 {
                for (asymmetric, extreme) in [(false, true), (true, false), (true, true)] {
                    let case = Case::new(bits, m, 9, k, group);
                    check(kernel, &Case { asymmetric, extreme, ..case });
                }
            }
        }
    }
    let before = emulator::executed();
    check(kernel, &Case::new(8, 1, 8, 64, 64));
    assert_eq!(emulator::executed() == before, native);
}
