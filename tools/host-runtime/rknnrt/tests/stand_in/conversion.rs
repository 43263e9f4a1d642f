//! `rknn_B_normal_layout_to_native_layout`.

use std::ptr::null_mut;

use rkllm_sys::rknn::*;

use crate::lib_under_test::functions;
use crate::random::Random;
use crate::reference::Case;

#[test]
fn b_is_converted() {
    let random = &mut Random(8);
    for (kind, k, n) in [(2, 96, 64), (3, 8256, 32), (4, 64, 48), (9, 32, 32), (10, 10240, 64)] {
        let native = Case { kind, m: 1, k, n, b_layout: 1, ac_layout: 0 };
        let values = native.random(random);
        let [_, expected] = native.bytes("rk3588", &values);
        let [_, mut normal] = Case { b_layout: 0, ..native }.bytes("rk3588", &values);
        let mut found = vec![0xcc; expected.len() + 16];
        let mut info = native.info();
        let convert = functions().rknn_B_normal_layout_to_native_layout;
        // SAFETY: as many bytes as the shape has, and a struct.
        let call = |k, n, from: *mut u8, to: *mut u8, info: *mut rknn_matmul_info| unsafe {
            convert(from.cast(), to.cast(), k, n, info)
        };
        let (k, n) = (k as i32, n as i32);
        assert_eq!(call(k, n, normal.as_mut_ptr(), found.as_mut_ptr(), &mut info), 0);
        assert!(found[..expected.len()] == expected[..], "{native:?}");
        assert!(found[expected.len()..] == [0xcc; 16], "{native:?}: beyond the end");
        // The output may be the input.
        assert_eq!(call(k, n, normal.as_mut_ptr(), normal.as_mut_ptr(), &mut info), 0);
        assert!(normal == expected, "{native:?} in place");
        for (k, n) in [(0, n), (k, -1), (k + 1, n), (k, n + 1), (10272, n)] {
            assert_eq!(call(k, n, normal.as_mut_ptr(), found.as_mut_ptr(), &mut info), -5);
        }
        assert_eq!(call(k, n, null_mut(), found.as_mut_ptr(), &mut info), -5);
        assert_eq!(call(k, n, normal.as_mut_ptr(), null_mut(), &mut info), -5);
        assert_eq!(call(k, n, normal.as_mut_ptr(), found.as_mut_ptr(), null_mut()), -5);
        // What a caller of the older function, with sizes and a type, passes there.
        let size = std::ptr::without_provenance_mut(32);
        assert_eq!(call(k, n, normal.as_mut_ptr(), found.as_mut_ptr(), size), -5);
        info.type_ = rknn_matmul_type(7);
        assert_eq!(call(k, n, normal.as_mut_ptr(), found.as_mut_ptr(), &mut info), -5);
    }
}
