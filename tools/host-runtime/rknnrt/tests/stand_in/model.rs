//! A small dense model through rknn_api.

use std::ffi::CStr;
use std::ptr::null_mut;

use half::f16;
use rkllm_sys::rknn::*;

use crate::lib_under_test::functions;

/// A safetensors file: 3 -> 2 of int8 with scales and a bias, relu, 2 -> 2 of float16. Two rows.
fn container(format: &str) -> Vec<u8> {
    let parts: [(&str, &str, &str, Vec<u8>); 4] = [
        ("layers.0.weight", "I8", "[2,3]", [1i8, 2, 3, -4, 5, -6].map(|v| v as u8).to_vec()),
        ("layers.0.scale", "F32", "[2]", [0.5f32, 0.25].map(f32::to_le_bytes).concat()),
        ("layers.0.bias", "F32", "[2]", [1.0f32, -1.0].map(f32::to_le_bytes).concat()),
        (
            "layers.1.weight",
            "F16",
            "[2,2]",
            [1.0f32, -1.0, 0.5, 2.0].map(|v| f16::from_f32(v).to_le_bytes()).concat(),
        ),
    ];
    let (mut header, mut data) = (Vec::new(), Vec::new());
    let about =
        format!(r#"{{"format":"{format}","rows":"2","activation":"relu","custom":"a test"}}"#);
    header.push(format!(r#""__metadata__":{about}"#));
    for (name, dtype, shape, bytes) in parts {
        let from = data.len();
        data.extend(bytes);
        let to = data.len();
        let offsets = format!(r#""data_offsets":[{from},{to}]"#);
        header.push(format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},{offsets}}}"#));
    }
    let mut header = format!("{{{}}}", header.join(","));
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

/// Rows (1, 2, 3) and (-1, 0, 0.5).
const X: [f32; 6] = [1.0, 2.0, 3.0, -1.0, 0.0, 0.5];
/// Before relu: (8, -4) and (1.25, -0.75).
const Y: [f32; 4] = [8.0, 4.0, 1.25, 0.625];

fn init(bytes: &mut [u8]) -> (i32, u64) {
    let mut ctx = 0;
    // SAFETY: bytes and their number.
    let code = unsafe {
        let bytes = (bytes.as_mut_ptr().cast(), bytes.len() as u32);
        functions().rknn_init.unwrap()(&mut ctx, bytes.0, bytes.1, 0, null_mut())
    };
    (code, ctx)
}

fn set(ctx: u64, values: &[u8], kind: rknn_tensor_type) -> i32 {
    let mut input = rknn_input {
        buf: values.as_ptr().cast_mut().cast(),
        size: values.len() as u32,
        type_: kind,
        ..Default::default()
    };
    // SAFETY: one input whose buffer has its size.
    unsafe { functions().rknn_inputs_set.unwrap()(ctx, 1, &mut input) }
}

fn bytes(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn a_model_runs() {
    let f = functions();
    let (code, ctx) = init(&mut container("rkllm-host-dense"));
    assert_eq!(code, 0);
    let query = |cmd, info: *mut std::ffi::c_void, size: usize| {
        // SAFETY: a struct of that size.
        unsafe { (f.rknn_query)(ctx, cmd, info, size as u32) }
    };
    let mut number = rknn_input_output_num::default();
    assert_eq!(query(rknn_query_cmd::RKNN_QUERY_IN_OUT_NUM, (&raw mut number).cast(), 8), 0);
    assert_eq!((number.n_input, number.n_output), (1, 1));
    for (cmd, name, dims) in [
        (rknn_query_cmd::RKNN_QUERY_INPUT_ATTR, "input", [2, 3]),
        (rknn_query_cmd::RKNN_QUERY_OUTPUT_ATTR, "output", [2, 2]),
    ] {
        let mut attr = rknn_tensor_attr::default();
        let into = (&raw mut attr).cast();
        assert_eq!(query(cmd, into, size_of_val(&attr)), 0);
        assert_eq!((&attr.dims[..2], attr.n_dims, attr.type_.0), (&dims[..], 2, 0));
        assert_eq!(attr.size, dims[0] * dims[1] * 4);
        // SAFETY: the library ends its names.
        assert_eq!(unsafe { CStr::from_ptr(attr.name.as_ptr()) }.to_str(), Ok(name));
        attr.index = 1;
        assert_eq!(query(cmd, (&raw mut attr).cast(), size_of_val(&attr)), -5);
        assert_eq!(query(cmd, (&raw mut attr).cast(), size_of_val(&attr) - 1), -5);
    }
    let mut text = rknn_custom_string::default();
    assert_eq!(query(rknn_query_cmd::RKNN_QUERY_CUSTOM_STRING, (&raw mut text).cast(), 1024), 0);
    // SAFETY: as above.
    assert_eq!(unsafe { CStr::from_ptr(text.string.as_ptr()) }.to_str(), Ok("a test"));
    assert_eq!(query(rknn_query_cmd(99), (&raw mut text).cast(), 1024), -5);
    assert_eq!(query(rknn_query_cmd::RKNN_QUERY_PERF_DETAIL, (&raw mut text).cast(), 16), -5);

    // SAFETY: structs as the header has them.
    unsafe {
        assert_eq!(f.rknn_run.unwrap()(ctx, null_mut()), -8, "no input yet");
        assert_eq!(f.rknn_wait.unwrap()(ctx, null_mut()), -1, "no run yet");
        let halves: Vec<u8> = X.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        assert_eq!(set(ctx, &halves, rknn_tensor_type::RKNN_TENSOR_FLOAT16), 0);
        assert_eq!(set(ctx, &bytes(&X)[1..], rknn_tensor_type::RKNN_TENSOR_FLOAT32), -8);
        assert_eq!(set(ctx, &bytes(&X), rknn_tensor_type::RKNN_TENSOR_INT64), -8);
        for frame in 1..3 {
            let mut extend = rknn_run_extend::default();
            assert_eq!(f.rknn_run.unwrap()(ctx, &mut extend), 0);
            assert_eq!(extend.frame_id, frame);
            let mut output = rknn_output { want_float: 1, ..Default::default() };
            let mut which = rknn_output_extend::default();
            assert_eq!(f.rknn_outputs_get.unwrap()(ctx, 1, &mut output, &mut which), 0);
            assert_eq!((output.size, which.frame_id), (16, frame));
            assert_eq!(std::slice::from_raw_parts(output.buf.cast::<f32>(), 4), Y);
            assert_eq!(f.rknn_outputs_release.unwrap()(ctx, 1, &mut output), 0);
            assert_eq!(f.rknn_outputs_release.unwrap()(ctx, 1, &mut output), -9, "twice");
            assert_eq!(set(ctx, &bytes(&X), rknn_tensor_type::RKNN_TENSOR_FLOAT32), 0);
        }
        let mut mine = [0.0_f32; 4];
        let mut output = rknn_output {
            is_prealloc: 1,
            buf: mine.as_mut_ptr().cast(),
            size: 15,
            ..Default::default()
        };
        assert_eq!(f.rknn_outputs_get.unwrap()(ctx, 1, &mut output, null_mut()), -9);
        output.size = 16;
        assert_eq!(f.rknn_outputs_get.unwrap()(ctx, 1, &mut output, null_mut()), 0);
        assert_eq!(mine, Y);
        assert_eq!(f.rknn_outputs_get.unwrap()(ctx, 0, &mut output, null_mut()), -9);
        assert_eq!(f.rknn_outputs_get.unwrap()(ctx, 1, null_mut(), null_mut()), -5);

        let (mut from, mut other) = (ctx, 0);
        assert_eq!(f.rknn_dup_context.unwrap()(&mut from, &mut other), 0);
        assert_eq!(f.rknn_run.unwrap()(other, null_mut()), -8, "it has inputs of its own");
        assert_eq!(f.rknn_destroy.unwrap()(ctx), 0);
        assert_eq!(f.rknn_destroy.unwrap()(ctx), -7);
        assert_eq!(set(other, &bytes(&X), rknn_tensor_type::RKNN_TENSOR_FLOAT32), 0);
        assert_eq!(f.rknn_run.unwrap()(other, null_mut()), 0);
        assert_eq!(f.rknn_set_core_mask.unwrap()(other, rknn_core_mask(7)), 0);
        assert_eq!(f.rknn_set_batch_core_num.unwrap()(other, 3), -1);
        assert_eq!(f.rknn_set_io_mem.unwrap()(other, null_mut(), null_mut()), -1);
        assert_eq!((f.rknn_matmul_run)(other), -7, "no matmul");
        assert_eq!(f.rknn_destroy.unwrap()(other), 0);
    }
}

#[test]
fn a_file_is_a_model_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dense.safetensors");
    std::fs::write(&path, container("rkllm-host-dense")).unwrap();
    let open = |path: &str| {
        let name = std::ffi::CString::new(path).unwrap();
        let mut ctx = 0;
        // SAFETY: a C string.
        let code = unsafe {
            let name = name.as_ptr().cast_mut().cast();
            functions().rknn_init.unwrap()(&mut ctx, name, 0, 0, null_mut())
        };
        (code, ctx)
    };
    let (code, ctx) = open(path.to_str().unwrap());
    assert_eq!(code, 0);
    // SAFETY: takes a number.
    assert_eq!(unsafe { functions().rknn_destroy.unwrap()(ctx) }, 0);
    for path in ["/nowhere/at/all.rknn", "/dev/zero", dir.path().to_str().unwrap()] {
        assert_eq!(open(path), (-6, 0), "{path}");
    }
}

/// Every container that is cut short or has another byte is a model or an error, and nothing else.
#[test]
fn what_is_no_model() {
    let good = container("rkllm-host-dense");
    assert_eq!(init(&mut container("another")).0, -6);
    assert_eq!(init(&mut b"RKNN\0\0\0\0 a model of the vendor's".to_vec()).0, -6);
    for len in 1..good.len() {
        assert_eq!(init(&mut good[..len].to_vec()).0, -6, "cut to {len}");
    }
    for at in 0..good.len() {
        for byte in [0, b'9', b'"', 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            let (code, ctx) = init(&mut bytes);
            assert!(matches!(code, 0 | -6), "{code} with {byte:#x} at {at}");
            if code == 0 {
                // SAFETY: takes a number.
                assert_eq!(unsafe { functions().rknn_destroy.unwrap()(ctx) }, 0);
            }
        }
    }
}
