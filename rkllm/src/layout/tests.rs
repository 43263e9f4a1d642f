//! Literal examples of the facts, an independent formula, and round trips.

use proptest::prelude::*;

use super::*;
use crate::quant::nibble;
use crate::soc::Soc;
use crate::{ErrorKind, Result};

mod literal;

const ORDERS: [NibbleOrder; 2] = [NibbleOrder::LowFirst, NibbleOrder::HighFirst];
const LAYOUTS: [Layout; 3] = [Layout::Normal, Layout::Native, Layout::TpNormal];

/// Every chip and type whose tiles are documented.
fn documented() -> Vec<(Chip, MatmulType)> {
    let all = Chip::ALL.into_iter().flat_map(|chip| MatmulType::TABLE.map(|row| (chip, row.0)));
    all.filter(|(chip, matmul)| chip.tiles(*matmul).is_ok()).collect()
}

fn operand(
    operand: Operand,
    (chip, matmul): (Chip, MatmulType),
    layout: Layout,
    (rows, cols): (usize, usize),
) -> Result<TensorLayout> {
    match operand {
        Operand::A => TensorLayout::a(chip, matmul, layout, rows, cols),
        Operand::B => TensorLayout::b(chip, matmul, layout, rows, cols),
        Operand::C => TensorLayout::c(chip, matmul, layout, rows, cols),
    }
}

/// Distinct neighbours, never zero, so that a lost or doubled element shows.
fn values<T: TryFrom<usize>>(count: usize, limit: usize) -> Vec<T> {
    let value = |i: usize| (i * 7 + i / limit) % limit + 1;
    (0..count).map(|i| T::try_from(value(i)).ok().expect("limit fits")).collect()
}

/// Packs and unpacks both ways and holds every element against `index`.
fn check<T: Word + TryFrom<usize> + std::fmt::Debug>(tensor: &TensorLayout, limit: usize) {
    let (rows, cols) = tensor.shape();
    let src: Vec<T> = values(rows * cols, limit);
    let mut tiles: Vec<T> = values(tensor.elements(), limit);
    tensor.pack(&src, &mut tiles).unwrap();

    let mut seen = vec![false; tiles.len()];
    let (padded_rows, padded_cols) = tensor.padded();
    for row in 0..padded_rows {
        for col in 0..padded_cols {
            let place = tensor.index(row, col).unwrap();
            assert!(!std::mem::replace(&mut seen[place], true), "{place} twice");
            let inside = row < rows && col < cols;
            let expected = if inside { src[row * cols + col] } else { T::default() };
            assert_eq!(tiles[place], expected, "{tensor:?} at ({row}, {col})");
        }
    }
    assert!(seen.into_iter().all(|seen| seen), "a place without element");
    assert_eq!(tensor.index(padded_rows, 0), None);
    assert_eq!(tensor.index(0, padded_cols), None);

    let mut back: Vec<T> = vec![T::default(); src.len()];
    tensor.unpack(&tiles, &mut back).unwrap();
    assert_eq!(back, src);

    let mut turned = vec![T::default(); src.len()];
    for row in 0..rows {
        for col in 0..cols {
            turned[col * rows + row] = src[row * cols + col];
        }
    }
    let mut tiles2: Vec<T> = values(tensor.elements(), limit);
    tensor.pack_transposed(&turned, &mut tiles2).unwrap();
    assert_eq!(tiles2, tiles);
    tensor.unpack_transposed(&tiles, &mut back).unwrap();
    assert_eq!(back, turned);
}

fn check_any(tensor: &TensorLayout) {
    match tensor.element().bits() {
        4 => check_int4(tensor),
        8 => check::<u8>(tensor, 251),
        16 => check::<u16>(tensor, 65_521),
        _ => check::<u32>(tensor, 1_000_003),
    }
}

/// int4 by every order, against `index` and nibbles read one by one.
fn check_int4(tensor: &TensorLayout) {
    let (rows, cols) = tensor.shape();
    let q: Vec<i8> = (0..rows * cols).map(|i| ((i * 5 + i / 13) % 16) as i8 - 8).collect();
    let stride = nibble::row_bytes(cols);
    let mut packed = vec![0; rows * stride];
    for (q, row) in q.chunks(cols).zip(packed.chunks_mut(stride)) {
        nibble::pack_row(q, row).unwrap();
    }
    for order in ORDERS {
        let mut tiles = vec![0xff; tensor.size_bytes()];
        tensor.pack_int4(&packed, &mut tiles, order).unwrap();
        let (padded_rows, padded_cols) = tensor.padded();
        for row in 0..padded_rows {
            for col in 0..padded_cols {
                let place = tensor.index(row, col).unwrap();
                let high = (place % 2 == 1) == (order == NibbleOrder::LowFirst);
                let nibble = tiles[place / 2] >> if high { 4 } else { 0 } & 15;
                // Two's complement: the sign is the nibble's highest bit.
                let value = if nibble > 7 { nibble as i8 - 16 } else { nibble as i8 };
                let inside = row < rows && col < cols;
                let expected = if inside { q[row * cols + col] } else { 0 };
                assert_eq!(value, expected, "{tensor:?} {order:?} at ({row}, {col})");
            }
        }
        let mut back = vec![0xff; packed.len()];
        tensor.unpack_int4(&tiles, &mut back, order).unwrap();
        assert_eq!(back, packed, "{tensor:?} {order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_chip_type_and_layout_round_trips(rows in 1usize..150, cols in 1usize..150) {
        for case in documented() {
            for (which, layout) in [Operand::A, Operand::B, Operand::C]
                .into_iter()
                .flat_map(|which| LAYOUTS.map(|layout| (which, layout)))
            {
                match operand(which, case, layout, (rows, cols)) {
                    Ok(tensor) => check_any(&tensor),
                    Err(error) => {
                        let tp = which != Operand::B && layout == Layout::TpNormal;
                        let c = which == Operand::C && layout == Layout::Native;
                        prop_assert!(tp || c, "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_read_from_the_library_round_trip(
        rows in 1usize..70, cols in 1usize..200,
        tile_rows in 1usize..40, tile_cols in 1usize..40, tiles in 1usize..4,
    ) {
        let tile = Tile { rows: tile_rows, cols: tile_cols };
        for element in [Element::Int4, Element::Int8, Element::Float16, Element::Int32] {
            for segment in [None, Some(tiles * tile_cols)] {
                let tensor =
                    TensorLayout::with_tile(Operand::B, element, (rows, cols), tile, segment);
                check_any(&tensor.unwrap());
            }
            for layout in [Layout::Normal, Layout::TpNormal] {
                let tensor = TensorLayout::unpadded(Operand::B, element, layout, (rows, cols));
                check_any(&tensor.unwrap());
            }
        }
    }

    #[test]
    fn widened_int4_is_int8_of_the_same_values(rows in 1usize..200, cols in 1usize..100) {
        let q: Vec<i8> = (0..rows * cols).map(|i| ((i * 11) % 16) as i8 - 8).collect();
        let stride = nibble::row_bytes(cols);
        let mut packed = vec![0; rows * stride];
        for (q, row) in q.chunks(cols).zip(packed.chunks_mut(stride)) {
            nibble::pack_row(q, row).unwrap();
        }
        for (which, layout) in
            [(Operand::B, Layout::Native), (Operand::B, Layout::TpNormal), (Operand::A, Layout::Native)]
        {
            let case = (Chip::Rk3588, MatmulType::I8I8I32);
            let tensor = operand(which, case, layout, (rows, cols)).unwrap();
            let (mut wide, mut direct) = (vec![1; tensor.elements()], vec![2; tensor.elements()]);
            tensor.pack_widened(&packed, &mut wide).unwrap();
            tensor.pack(&q, &mut direct).unwrap();
            prop_assert_eq!(wide, direct);
        }
    }
}

#[test]
fn long_k_is_cut_into_segments() {
    for (chip, k) in
        [(Chip::Rk3588, 8192 + 4100), (Chip::Rk3576, 2 * 4096 + 33), (Chip::Rk3562, 9000)]
    {
        for matmul in [MatmulType::I4I4I16, MatmulType::I8I8I32, MatmulType::F16F16F32] {
            if let Ok(tensor) = TensorLayout::b(chip, matmul, Layout::Native, 33, k) {
                check_any(&tensor);
            }
        }
    }
}

#[test]
fn damaged_padding_is_refused_and_nothing_written() {
    let case = (Chip::Rk3588, MatmulType::I8I8I32);
    let tensor = operand(Operand::B, case, Layout::Native, (33, 40)).unwrap();
    assert_eq!((tensor.padded(), tensor.size_bytes()), ((64, 64), 4096));
    let mut tiles = vec![0i8; 4096];
    tensor.pack(&vec![1; 33 * 40], &mut tiles).unwrap();
    for (row, col) in [(0, 40), (32, 63), (33, 0), (63, 63)] {
        let mut damaged = tiles.clone();
        damaged[tensor.index(row, col).unwrap()] = 1;
        let mut out = vec![9; 33 * 40];
        let error = tensor.unpack(&damaged, &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(error.to_string().contains("native B of i8 [33, 40]"), "{error}");
        assert!(out.iter().all(|&value| value == 9));
    }

    let tensor =
        operand(Operand::B, (Chip::Rk3588, MatmulType::I4I4I16), Layout::Native, (63, 31)).unwrap();
    let mut tiles = vec![0u8; tensor.size_bytes()];
    tiles[tensor.index(62, 31).unwrap() / 2] |= 0x10;
    let mut rows = vec![0; 63 * nibble::row_bytes(31)];
    let error = tensor.unpack_int4(&tiles, &mut rows, NibbleOrder::LowFirst).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format, "{error}");
}

#[test]
fn wrong_lengths_and_types_are_errors() {
    let case = (Chip::Rk3588, MatmulType::I8I8I32);
    let b = operand(Operand::B, case, Layout::Native, (32, 32)).unwrap();
    let kinds = [
        b.pack(&[0i8; 1023], &mut [0; 1024]).unwrap_err().kind(),
        b.pack(&[0i8; 1024], &mut [0; 1025]).unwrap_err().kind(),
        b.unpack(&[0i8; 1000], &mut [0; 1024]).unwrap_err().kind(),
        b.unpack_transposed(&[0i8; 1024], &mut [0; 1000]).unwrap_err().kind(),
        b.pack_widened(&[0; 1024], &mut [0; 1024]).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Shape; 5]);
    assert_eq!(b.pack(&[0i16; 1024], &mut [0; 1024]).unwrap_err().kind(), ErrorKind::Dtype);
    let order = NibbleOrder::LowFirst;
    assert_eq!(b.pack_int4(&[0; 512], &mut [0; 512], order).unwrap_err().kind(), ErrorKind::Dtype);

    let int4 = (Chip::Rk3576, MatmulType::I4I4I16);
    let b = operand(Operand::B, int4, Layout::Native, (64, 32)).unwrap();
    let error = b.pack(&[0i8; 2048], &mut [0; 2048]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dtype);
    assert!(error.hint().unwrap().contains("pack_int4"), "{error}");
    assert_eq!(
        b.pack_int4(&[0; 1023], &mut [0; 1024], order).unwrap_err().kind(),
        ErrorKind::Shape
    );
    assert_eq!(b.unpack_int4(&[0; 1], &mut [0; 1024], order).unwrap_err().kind(), ErrorKind::Shape);

    let normal = operand(Operand::B, case, Layout::Normal, (32, 32)).unwrap();
    let error = normal.pack_widened(&[0; 512], &mut [0; 1024]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn hostile_shapes_are_errors() {
    let max = usize::MAX;
    let case = (Chip::Rk3588, MatmulType::I8I8I32);
    let shapes = [
        (0, 32),
        (32, 0),
        (max, 1),
        (1, max),
        (max - 31, 32),
        (1 << 33, 1 << 33),
        (1 << 16, 1 << 16),
    ];
    for shape in shapes {
        for which in [Operand::A, Operand::B, Operand::C] {
            for layout in [Layout::Normal, Layout::Native] {
                let error = operand(which, case, layout, shape).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Shape, "{which} {layout} {shape:?}: {error}");
            }
        }
        for (rows, cols) in [(1, 1), (0, 8), (8, 0), (max, max)] {
            let tile = Tile { rows, cols };
            let error =
                TensorLayout::with_tile(Operand::B, Element::Int8, shape, tile, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
        }
    }
    let tile = Tile { rows: 8, cols: 8 };
    for segment in [0, 4, max] {
        let new = TensorLayout::with_tile(Operand::B, Element::Int8, (8, 64), tile, Some(segment));
        assert_eq!(new.unwrap_err().kind(), ErrorKind::Shape, "{segment}");
    }
    let a = TensorLayout::with_tile(Operand::A, Element::Int8, (9, 64), tile, None);
    assert_eq!(a.unwrap_err().kind(), ErrorKind::Shape);
    // Just below 4 GiB is fine: nothing is allocated.
    let b = TensorLayout::b(case.0, case.1, Layout::Native, (1 << 16) - 32, 1 << 16).unwrap();
    assert_eq!(b.size_bytes(), 65_504 * 65_536);
}

#[test]
fn what_no_source_gives_is_refused() {
    let refused = [
        (Operand::B, Chip::Rv1126b, MatmulType::I8I8I32),
        (Operand::B, Chip::Rk3576, MatmulType::I8I4I32),
        (Operand::A, Chip::Rk3562, MatmulType::I4I4I16),
        (Operand::B, Chip::Rk3566, MatmulType::F16I8F32),
        (Operand::C, Chip::Rk3588, MatmulType::I8I8I8),
        (Operand::C, Chip::Rk3588, MatmulType::F16F16F16),
        (Operand::C, Chip::Rk3576, MatmulType::I4I4I16),
    ];
    for (which, chip, matmul) in refused {
        let error = operand(which, (chip, matmul), Layout::Native, (64, 64)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.hint().unwrap().contains("io_attr"), "{error}");
    }
    let normal = TensorLayout::c(Chip::Rk3588, MatmulType::I8I8I8, Layout::Normal, 3, 40).unwrap();
    assert_eq!(normal.dims(), [3, 64]);
    let error = TensorLayout::a(Chip::Rk3588, MatmulType::I8I8I32, Layout::TpNormal, 4, 32);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Input);
    let error =
        TensorLayout::unpadded(Operand::A, Element::Int8, Layout::Native, (4, 32)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
}

/// `soc` states the alignments too; the two tables are one fact.
#[test]
fn alignments_agree_with_soc() {
    for soc in Soc::ALL {
        let chip = Chip::from(soc);
        assert_eq!(chip.to_string(), soc.facts().name);
        let Some(facts) = soc.facts().matmul else {
            assert!(chip.tiles(MatmulType::I8I8I32).is_err(), "{chip}");
            continue;
        };
        let int4 = chip.tiles(MatmulType::I4I4I16).ok();
        let int8 = chip.tiles(MatmulType::I8I8I32).unwrap();
        let f16 = chip.tiles(MatmulType::F16F16F32).unwrap();
        assert_eq!(facts.n_int4, int4.map(|tiles| tiles.b.rows));
        assert_eq!((facts.n_int8, facts.n_f16), (int8.b.rows, f16.b.rows));
        assert_eq!((facts.k, facts.k), (int8.b.cols, f16.b.cols));
        assert_eq!(facts.k_segment, int8.k_segment);
    }
}
