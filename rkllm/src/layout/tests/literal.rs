//! Indices written out from the facts (header and demo of RKNN 2.3.2), not computed by the code under test.

use super::*;

fn index(tensor: &Result<TensorLayout>, row: usize, col: usize) -> usize {
    tensor.as_ref().unwrap().index(row, col).unwrap()
}

/// The table of tiles again, by hand: chip, type, S, (sN, sK).
#[test]
fn tiles_are_the_documented_ones() {
    use MatmulType::{F16F16F32, I4I4I16, I8I8I32};
    let table = [
        (Chip::Rk3588, I4I4I16, 32, (64, 32)),
        (Chip::Rk3588, I8I8I32, 16, (32, 32)),
        (Chip::Rk3588, F16F16F32, 8, (16, 32)),
        (Chip::Rk3576, I4I4I16, 32, (64, 32)),
        (Chip::Rk3576, I8I8I32, 16, (32, 32)),
        (Chip::Rk3576, F16F16F32, 8, (16, 32)),
        (Chip::Rk3562, I8I8I32, 16, (16, 32)),
        (Chip::Rk3562, F16F16F32, 8, (8, 32)),
        (Chip::Rk3566, I8I8I32, 8, (16, 32)),
        (Chip::Rk3566, F16F16F32, 4, (8, 16)),
    ];
    for (chip, matmul, s, (rows, cols)) in table {
        let tiles = chip.tiles(matmul).unwrap();
        assert_eq!((tiles.a, tiles.b), (s, Tile { rows, cols }), "{chip} {matmul}");
        // S in bytes: 16, on the RK3566 8.
        let bytes = s * matmul.element(Operand::A).bits() / 8;
        assert_eq!(bytes, if chip == Chip::Rk3566 { 8 } else { 16 });
    }
    // Types 1 to 4, 9 and 10 are those whose A and B are alike.
    assert_eq!(documented().iter().filter(|case| case.0 == Chip::Rk3588).count(), 6);
}

#[test]
fn matmul_types_have_the_vendors_numbers() {
    for (place, (matmul, id, elements)) in MatmulType::TABLE.into_iter().enumerate() {
        assert_eq!(matmul as usize, place);
        assert_eq!((matmul.id(), MatmulType::from_id(id)), (id, Some(matmul)));
        assert_eq!([Operand::A, Operand::B, Operand::C].map(|x| matmul.element(x)), elements);
    }
    assert_eq!([0, 13, 14, 16].map(MatmulType::from_id), [None; 4]);
    assert_eq!(MatmulType::from_id(15).unwrap().to_string(), "i8 x i4 -> f16");
    for layout in LAYOUTS {
        assert_eq!(Layout::from_id(layout.id()), Some(layout));
    }
    assert_eq!(Layout::from_id(3), None);
}

/// The names and numbers of the vendor's header, where the facts are at hand.
#[test]
fn matmul_types_agree_with_the_facts() {
    let Some(path) = crate::testing::shared("reference/rknn-abi-2.3.2.json") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    let constants = |name: &str| {
        let enums = facts["enums"].as_array().unwrap();
        let found = enums.iter().find(|entry| entry["name"] == name).unwrap();
        found["constants"].as_array().unwrap().clone()
    };
    let long = |element: Element| match element {
        Element::Bfloat16 => "BFLOAT16".to_owned(),
        Element::Float16 | Element::Float32 => format!("FLOAT{}", element.bits()),
        _ => format!("INT{}", element.bits()),
    };
    let types = constants("rknn_matmul_type");
    assert_eq!(types.len(), MatmulType::TABLE.len());
    for (entry, (_, id, [a, b, c])) in types.iter().zip(MatmulType::TABLE) {
        assert_eq!(entry["name"], format!("RKNN_{}_MM_{}_TO_{}", long(a), long(b), long(c)));
        assert_eq!(entry["value"], id);
    }
    let names = ["RKNN_MM_LAYOUT_NORM", "RKNN_MM_LAYOUT_NATIVE", "RKNN_MM_LAYOUT_TP_NORM"];
    for (layout, name) in LAYOUTS.into_iter().zip(names) {
        let all = constants("rknn_matmul_layout");
        assert!(all.iter().any(|entry| entry["name"] == name && entry["value"] == layout.id()));
    }
}

/// int8, RK3588: (N/32, K/32, 32, 32).
#[test]
fn native_b_of_int8_on_rk3588() {
    let b = TensorLayout::b(Chip::Rk3588, MatmulType::I8I8I32, Layout::Native, 64, 96);
    for (n, k, place) in [
        (0, 0, 0),
        (0, 1, 1),
        (0, 31, 31),
        (1, 0, 32),
        (31, 31, 1023),
        (0, 32, 1024),
        (1, 33, 1057),
        (0, 64, 2048),
        (32, 0, 3072),
        (33, 65, 3072 + 2048 + 32 + 1),
        (63, 95, 6143),
    ] {
        assert_eq!(index(&b, n, k), place, "n {n} k {k}");
    }
    let b = b.unwrap();
    assert_eq!((b.dims(), b.size_bytes()), (vec![2, 3, 32, 32], 6144));
}

/// int4, RK3588 and RK3576: (N/64, K/32, 64, 32); half a byte each.
#[test]
fn native_b_of_int4() {
    for chip in [Chip::Rk3588, Chip::Rk3576] {
        let b = TensorLayout::b(chip, MatmulType::I4I4I16, Layout::Native, 128, 64);
        for (n, k, place) in
            [(0, 1, 1), (1, 0, 32), (63, 31, 2047), (0, 32, 2048), (64, 0, 4096), (127, 63, 8191)]
        {
            assert_eq!(index(&b, n, k), place, "n {n} k {k}");
        }
        let b = b.unwrap();
        assert_eq!((b.dims(), b.size_bytes()), (vec![2, 2, 64, 32], 4096));
    }
}

/// float16: (N/16, K/32, 16, 32) on the RK3588, (N/8, K/16, 8, 16) on the RK3566.
#[test]
fn native_b_of_float16() {
    let b = TensorLayout::b(Chip::Rk3588, MatmulType::F16F16F32, Layout::Native, 32, 64);
    for (n, k, place) in [(1, 0, 32), (15, 31, 511), (0, 32, 512), (16, 0, 1024), (31, 63, 2047)] {
        assert_eq!(index(&b, n, k), place, "n {n} k {k}");
    }
    assert_eq!(b.unwrap().size_bytes(), 4096);
    let b = TensorLayout::b(Chip::Rk3566, MatmulType::F16F16F32, Layout::Native, 16, 32);
    for (n, k, place) in [(1, 0, 16), (7, 15, 127), (0, 16, 128), (8, 0, 256), (15, 31, 511)] {
        assert_eq!(index(&b, n, k), place, "n {n} k {k}");
    }
}

/// The header's RK3576 example: K = 10240 is 4096 + 4096 + 2048, each laid out on its own.
#[test]
fn segments_of_k_on_rk3576() {
    let b = TensorLayout::b(Chip::Rk3576, MatmulType::I8I8I32, Layout::Native, 64, 10_240);
    for (n, k, place) in [
        (0, 4095, 127 * 1024 + 31),
        (32, 0, 128 * 1024), // the second tile row of the first segment: 4096 / 32 tiles of 1024 on
        (63, 4095, 64 * 4096 - 1),
        (0, 4096, 64 * 4096),
        (32, 4096, 64 * 4096 + 32 * 4096),
        (0, 8192, 64 * 8192),
        (1, 8192 + 33, 64 * 8192 + 1024 + 33),
        (32, 8192, 64 * 8192 + 32 * 2048), // the last segment is 2048 long
        (63, 10_239, 64 * 10_240 - 1),
    ] {
        assert_eq!(index(&b, n, k), place, "n {n} k {k}");
    }
}

/// RK3588 cuts at 8192; 20480 is what its header example seems to mean: 8192 + 8192 + 4096.
#[test]
fn segments_of_k_on_rk3588() {
    let b = TensorLayout::b(Chip::Rk3588, MatmulType::I8I8I32, Layout::Native, 64, 20_480);
    for (n, k, place) in [
        (32, 0, 32 * 8192),
        (0, 8192, 64 * 8192),
        (0, 16_384, 64 * 16_384),
        (32, 16_384, 64 * 16_384 + 32 * 4096),
        (63, 20_479, 64 * 20_480 - 1),
    ] {
        assert_eq!(index(&b, n, k), place, "n {n} k {k}");
    }
    // At the limit there is one segment; the RK3562 has no documented limit.
    let b = TensorLayout::b(Chip::Rk3588, MatmulType::I8I8I32, Layout::Native, 64, 8192);
    assert_eq!(index(&b, 32, 0), 32 * 8192);
    let b = TensorLayout::b(Chip::Rk3562, MatmulType::I8I8I32, Layout::Native, 32, 10_240);
    assert_eq!(index(&b, 16, 0), 16 * 10_240);
}

/// A: (K/S, M, S). C: (N/4, M, 4), of int4 products on the RK3588 (N/8, M, 8).
#[test]
fn native_a_and_c() {
    let a = TensorLayout::a(Chip::Rk3588, MatmulType::I8I8I32, Layout::Native, 3, 64);
    for (m, k, place) in [(0, 15, 15), (1, 0, 16), (2, 15, 47), (0, 16, 48), (2, 63, 191)] {
        assert_eq!(index(&a, m, k), place, "m {m} k {k}");
    }
    assert_eq!(a.unwrap().dims(), [4, 3, 16]);
    let a = TensorLayout::a(Chip::Rk3566, MatmulType::F16F16F32, Layout::Native, 2, 16);
    for (m, k, place) in [(0, 3, 3), (1, 0, 4), (0, 4, 8), (1, 15, 31)] {
        assert_eq!(index(&a, m, k), place, "m {m} k {k}");
    }
    let c = TensorLayout::c(Chip::Rk3588, MatmulType::I8I8I32, Layout::Native, 3, 32);
    for (m, n, place) in [(0, 3, 3), (1, 0, 4), (2, 3, 11), (0, 4, 12), (2, 31, 95)] {
        assert_eq!(index(&c, m, n), place, "m {m} n {n}");
    }
    assert_eq!(c.unwrap().size_bytes(), 3 * 32 * 4);
    let c = TensorLayout::c(Chip::Rk3588, MatmulType::I4I4I16, Layout::Native, 3, 64);
    for (m, n, place) in [(0, 7, 7), (1, 0, 8), (0, 8, 24), (2, 63, 191)] {
        assert_eq!(index(&c, m, n), place, "m {m} n {n}");
    }
}

#[test]
fn normal_and_tp_layouts() {
    let of = |layout| TensorLayout::b(Chip::Rk3588, MatmulType::I8I8I32, layout, 64, 96);
    let (normal, tp) = (of(Layout::Normal), of(Layout::TpNormal));
    assert_eq!((index(&normal, 5, 7), index(&tp, 5, 7)), (7 * 64 + 5, 5 * 96 + 7));
    assert_eq!((normal.unwrap().dims(), tp.unwrap().dims()), (vec![96, 64], vec![64, 96]));
    let a = TensorLayout::a(Chip::Rk3588, MatmulType::I8I8I32, Layout::Normal, 3, 40);
    assert_eq!(index(&a, 2, 5), 2 * 64 + 5); // K padded to 64
}

/// int4: two values of K in a byte, as the demo writes A and TP, and the other way round.
#[test]
fn nibbles_of_int4() {
    let tensor =
        TensorLayout::b(Chip::Rk3588, MatmulType::I4I4I16, Layout::Native, 64, 32).unwrap();
    let mut q = [0i8; 32];
    (q[0], q[1], q[2], q[31]) = (-8, 7, -1, 3);
    let mut rows = vec![0u8; 64 * nibble::row_bytes(32)];
    for (n, row) in rows.chunks_exact_mut(16).enumerate() {
        nibble::pack_row(if n == 0 { &q } else { &[0; 32] }, row).unwrap();
    }
    let mut tiles = vec![0; tensor.size_bytes()];
    tensor.pack_int4(&rows, &mut tiles, NibbleOrder::LowFirst).unwrap();
    assert_eq!((tiles[0], tiles[1], tiles[15], tiles[16]), (0x78, 0x0f, 0x30, 0));
    tensor.pack_int4(&rows, &mut tiles, NibbleOrder::HighFirst).unwrap();
    assert_eq!((tiles[0], tiles[1], tiles[15], tiles[16]), (0x87, 0xf0, 0x03, 0));

    // B normal pairs along N: the neighbour of (n 0, k 0) is (n 1, k 0).
    let normal =
        TensorLayout::b(Chip::Rk3588, MatmulType::I4I4I16, Layout::Normal, 64, 32).unwrap();
    normal.pack_int4(&rows, &mut tiles, NibbleOrder::LowFirst).unwrap();
    assert_eq!((tiles[0], tiles[32], tiles[64]), (0x08, 0x07, 0x0f));
}
