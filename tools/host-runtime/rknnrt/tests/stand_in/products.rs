//! Every type, every layout: C byte for byte.

use rkllm_sys::rknn::*;

use crate::lib_under_test::{Context, passing_child, soc, tensors};
use crate::random::Random;
use crate::reference::Case;

/// What each SoC is to take.
fn types(soc: &str) -> &'static [u32] {
    match soc {
        "rk3588" => &[1, 2, 3, 4, 9, 10],
        "rk3576" => &[1, 2, 3, 4, 7, 8, 9, 10, 12],
        "rk3562" => &[1, 2, 3, 4, 9, 11, 15],
        "rk3566" | "rk3568" => &[1, 2, 3, 4, 9],
        "rv1126b" => &[1, 4, 7, 8, 12],
        other => panic!("{other}"),
    }
}

/// K, N on a grid every type accepts; M of any kind.
const SHAPES: [(usize, usize, usize); 5] =
    [(1, 32, 64), (3, 96, 128), (4, 64, 192), (13, 160, 64), (7, 10240, 64)];

fn compare(soc: &str, case: &Case, random: &mut Random) {
    let mut context = Context::create(case.info()).unwrap_or_else(|code| panic!("{code} {case:?}"));
    let attrs = tensors(&context.attrs[0]);
    for (i, (attr, dims)) in attrs.iter().zip(case.dims(soc)).enumerate() {
        assert_eq!(&attr.dims[..attr.n_dims as usize], &dims[..], "{i} {case:?}");
        assert_eq!((attr.name[0] as u8, attr.name[1]), (b"ABC"[i], 0));
        let id = match case.types()[i] {
            "f32" => 0,
            "f16" => 1,
            "i8" => 2,
            "i16" => 4,
            "i32" => 6,
            "i4" => 10,
            _ => 11,
        };
        assert_eq!(attr.type_.0, id, "{case:?}");
    }
    let values = case.random(random);
    let [a, b] = case.bytes(soc, &values);
    assert_eq!((attrs[0].size as usize, attrs[1].size as usize), (a.len(), b.len()), "{case:?}");
    context.fill(0, &a);
    context.fill(1, &b);
    context.bytes(2).fill(0xee);
    assert_eq!(context.run(), 0, "{case:?}");
    let expected = case.c_bytes(soc, &case.plain(&values));
    assert_eq!(attrs[2].size as usize, expected.len(), "{case:?}");
    assert!(context.bytes(2) == &expected[..], "{soc}: another C: {case:?}");
}

#[test]
fn every_type_in_every_layout() {
    let (soc, random) = (soc(), &mut Random(1));
    for &kind in types(&soc) {
        for b_layout in 0..=2 {
            if kind == 10 && b_layout != 1 {
                continue;
            }
            for ac_layout in 0..=1 {
                for (m, k, n) in SHAPES {
                    let case = Case { kind, m, k, n, b_layout, ac_layout };
                    compare(&soc, &case, random);
                }
            }
        }
    }
}

/// Just beyond a segment of K, and several of them.
#[test]
fn segments_of_k() {
    let (soc, random) = (soc(), &mut Random(2));
    for &kind in types(&soc) {
        for k in [4096, 4128, 8192, 8224, 9984] {
            compare(&soc, &Case { kind, m: 2, k, n: 128, b_layout: 1, ac_layout: 1 }, random);
        }
    }
}

#[test]
fn other_socs() {
    for soc in ["rk3576", "rk3562", "rk3566", "rk3568", "rv1126b"] {
        for test in ["every_type_in_every_layout", "segments_of_k", "what_is_refused"] {
            passing_child(&format!("products::{test}"), &[("RKLLM_HOST_SOC", soc)]);
        }
    }
}

/// int4 sums keep their low 16 bits, and int8 ones never leave int32.
#[test]
fn the_largest_sums() {
    for (kind, k, low, expected) in [
        (10, 512, -8.0, i64::from((512 * 64) as i16)),
        (10, 1056, -8.0, i64::from((1056 * 64_i32) as i16)),
        (10, 10240, -8.0, i64::from((10240 * 64_i32) as i16)),
        (2, 10240, -128.0, 10240 * 128 * 128),
    ] {
        let case = Case { kind, m: 1, k, n: 64, b_layout: 1, ac_layout: 0 };
        let mut context = Context::create(case.info()).unwrap();
        let [a, b] = case.bytes("rk3588", &[vec![low; k], vec![low; k * 64]]);
        context.fill(0, &a);
        context.fill(1, &b);
        assert_eq!(context.run(), 0);
        let c = context.bytes(2);
        let found = if kind == 10 {
            i64::from(i16::from_le_bytes([c[0], c[1]]))
        } else {
            i64::from(i32::from_le_bytes([c[0], c[1], c[2], c[3]]))
        };
        assert_eq!(found, expected, "type {kind}, K {k}");
    }
}

/// Spoils what would be taken.
type Change<'a> = &'a dyn Fn(&mut rknn_matmul_info);

#[test]
fn what_is_refused() {
    let soc = soc();
    let good = Case { kind: types(&soc)[0], m: 2, k: 64, n: 64, b_layout: 1, ac_layout: 1 };
    let code = |change: Change<'_>| {
        let mut info = good.info();
        change(&mut info);
        Context::create(info).err()
    };
    assert_eq!(code(&|_| {}), None);
    for kind in (0..20).chain([u32::MAX]) {
        let expected = if types(&soc).contains(&kind) { None } else { Some(-5) };
        assert_eq!(code(&|info| info.type_ = rknn_matmul_type(kind)), expected, "type {kind}");
    }
    let refused: [(&str, Change<'_>); 15] = [
        ("no rows", &|info| info.M = 0),
        ("fewer rows", &|info| info.M = -1),
        ("K 0", &|info| info.K = 0),
        ("K beside the grid", &|info| info.K = 40),
        ("K too long", &|info| info.K = 10272),
        ("N beside the grid", &|info| info.N = 68),
        ("N -16", &|info| info.N = -16),
        ("more than 4 GiB", &|info| (info.M, info.N) = (1 << 20, 1 << 20)),
        ("the largest numbers", &|info| (info.M, info.N) = (i32::MAX, i32::MAX - 63)),
        ("B_layout 3", &|info| info.B_layout = 3),
        ("B_layout -1", &|info| info.B_layout = -1),
        ("TP of A", &|info| info.AC_layout = 2),
        ("AC_quant_type 2", &|info| info.AC_quant_type = 2),
        ("B_quant_type 6", &|info| info.B_quant_type = 6),
        ("groups of floats", &|info| (info.B_quant_type, info.group_size) = (4, 32)),
    ];
    for (what, change) in refused {
        assert_eq!(code(change), Some(-5), "{what}");
    }
    if types(&soc).contains(&10) {
        for b_layout in [0, 2] {
            let case = Case { kind: 10, b_layout, ..good };
            assert_eq!(Context::create(case.info()).err(), Some(-5), "int4 wants native B");
        }
    }
}

/// The refusal of a type is said in the vendor's words.
#[test]
fn a_refusal_is_logged() {
    let said = passing_child("products::what_is_refused", &[("RKNN_LOG_LEVEL", "0")]);
    assert!(said.contains("E RKNN: ["), "{said}");
    assert!(said.contains("unsupported matmul dtype in this platform"), "{said}");
    let said = passing_child("products::what_is_refused", &[("RKNN_LOG_LEVEL", "-1")]);
    assert!(!said.contains("RKNN: ["), "{said}");
}
