//! How long things live: dynamic shapes, threads, memory, dead handles.

use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use rkllm_sys::rknn::*;

use crate::lib_under_test::{Context, Mem, file, functions, passing_child, tensors};
use crate::random::Random;
use crate::reference::Case;

const CASE: Case = Case { kind: 2, m: 4, k: 64, n: 64, b_layout: 1, ac_layout: 1 };

#[test]
fn m_is_dynamic() {
    let random = &mut Random(10);
    let of = |m: usize| rknn_matmul_shape { M: m as i32, K: 64, N: 64 };
    let rows = [1, 7, 32];
    let mut shapes = rows.map(of);
    let mut context = Context::dynamic(CASE.info(), &mut shapes).unwrap();
    let f = functions();
    assert_eq!(context.bind(0, 0), -1, "no shape yet");
    assert_eq!(context.run(), -1, "no shape yet");
    let [_, b] = CASE.random(random);
    let mut first = true;
    for i in [1, 0, 2, 1] {
        // SAFETY: a struct.
        assert_eq!(unsafe { (f.rknn_matmul_set_dynamic_shape)(context.ctx, &mut of(rows[i])) }, 0);
        let case = Case { m: rows[i], ..CASE };
        let values = [case.random(random)[0].clone(), b.clone()];
        let [a, b] = case.bytes("rk3588", &values);
        if first {
            assert_eq!(context.run(), -8, "nothing is bound");
            context.fill(1, &b);
            assert_eq!(context.bind(1, i), 0);
            first = false;
        }
        assert_eq!(context.run(), -8, "A is to be bound again");
        assert_eq!(context.bind(0, i), 0);
        assert_eq!(context.run(), -9, "and C");
        assert_eq!(context.bind(2, i), 0);
        context.fill(0, &a);
        assert_eq!(context.run(), 0);
        let expected = case.c_bytes("rk3588", &case.plain(&values));
        assert!(context.bytes(2)[..expected.len()] == expected[..], "M {}", rows[i]);
    }
    // SAFETY: a struct.
    assert_eq!(unsafe { (f.rknn_matmul_set_dynamic_shape)(context.ctx, &mut of(8)) }, -5);
    let mut other = [of(1), rknn_matmul_shape { N: 128, ..of(2) }];
    assert_eq!(Context::dynamic(CASE.info(), &mut other).err(), Some(-5), "only M may vary");
    assert_eq!(Context::dynamic(CASE.info(), &mut []).err(), Some(-5));
    assert_eq!(Context::dynamic(CASE.info(), &mut vec![of(1); 513]).err(), Some(-5));
}

#[test]
fn three_contexts_in_three_threads() {
    std::thread::scope(|scope| {
        for core in 0..3_u64 {
            scope.spawn(move || {
                let random = &mut Random(core);
                let case = Case { m: 9 + core as usize, k: 512, n: 96, ..CASE };
                let mut context = Context::create(case.info()).unwrap();
                let mask = rknn_core_mask(1 << core);
                // SAFETY: takes numbers.
                let set = unsafe { (functions().rknn_matmul_set_core_mask)(context.ctx, mask) };
                assert_eq!(set, 0);
                for _ in 0..20 {
                    let values = case.random(random);
                    let [a, b] = case.bytes("rk3588", &values);
                    context.fill(0, &a);
                    context.fill(1, &b);
                    assert_eq!(context.run(), 0);
                    let expected = case.c_bytes("rk3588", &case.plain(&values));
                    assert!(context.bytes(2) == &expected[..], "core {core}");
                }
            });
        }
    });
}

/// Runs of one context in several threads, and its end in another: each run does it whole or not at all.
#[test]
fn one_context_in_several_threads() {
    let random = &mut Random(12);
    for _ in 0..10 {
        let case = Case { m: 16, k: 1024, n: 64, ..CASE };
        let mut context = Context::create(case.info()).unwrap();
        let values = case.random(random);
        let [a, b] = case.bytes("rk3588", &values);
        context.fill(0, &a);
        context.fill(1, &b);
        let ctx = context.ctx;
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(move || {
                    for _ in 0..5 {
                        // SAFETY: takes a number.
                        let code = unsafe { (functions().rknn_matmul_run)(ctx) };
                        assert!(matches!(code, 0 | -7 | -8 | -9), "{code}");
                    }
                });
            }
            drop(context);
        });
        // SAFETY: as above.
        assert_eq!(unsafe { (functions().rknn_matmul_run)(ctx) }, -7);
    }
}

#[test]
fn cores() {
    let context = Context::create(CASE.info()).unwrap();
    for (mask, code) in
        [(0, 0), (1, 0), (2, 0), (4, 0), (3, -1), (7, -1), (0xffff, -1), (8, -1), (0x10000, -1)]
    {
        let mask = rknn_core_mask(mask);
        // SAFETY: takes numbers.
        let found = unsafe { (functions().rknn_matmul_set_core_mask)(context.ctx, mask) };
        assert_eq!(found, code, "{mask:?}");
    }
}

#[test]
#[ignore = "run by the next test, as another SoC"]
fn one_core() {
    let context = Context::create(CASE.info()).unwrap();
    // SAFETY: takes numbers.
    let found = unsafe { (functions().rknn_matmul_set_core_mask)(context.ctx, rknn_core_mask(0)) };
    assert_eq!(found, -1);
}

#[test]
fn a_soc_of_one_core_has_no_masks() {
    passing_child("lives::one_core", &[("RKLLM_HOST_SOC", "rk3562")]);
}

#[test]
fn memory_is_what_it_says() {
    let f = functions();
    let context = Context::create(CASE.info()).unwrap();
    let mut mem = Mem::new(context.ctx, 5000);
    assert!(mem.bytes().iter().all(|byte| *byte == 0));
    assert_eq!(mem.bytes().as_ptr().addr() % 4096, 0);
    // SAFETY: the functions take numbers and addresses, and the structs live where they are read.
    unsafe {
        assert_eq!(((*mem.face).size, (*mem.face).offset, (*mem.face).flags), (5000, 0, 1));
        for (mode, code) in [(0, -5), (1, 0), (2, 0), (3, 0), (4, -5)] {
            let mode = rknn_mem_sync_mode(mode);
            assert_eq!((f.rknn_mem_sync)(context.ctx, mem.face, mode), code);
        }
        let both = rknn_mem_sync_mode(3);
        assert_eq!((f.rknn_mem_sync)(context.ctx, null_mut(), both), -5);
        assert_eq!((f.rknn_mem_sync)(context.ctx + 1, mem.face, both), -7);
        assert!((f.rknn_create_mem)(context.ctx, 0).is_null());
        assert!((f.rknn_create_mem)(0, 64).is_null());
        assert!((f.rknn_create_mem)(context.ctx + 1, 64).is_null());
        let create2 = f.rknn_create_mem2.unwrap();
        assert!(create2(context.ctx, 1 << 40, 0).is_null());
        assert!(create2(0, 64, 1).is_null());
        let free = create2(0, 64, u64::from(RKNN_MEM_FLAG_ALLOC_NO_CONTEXT) | 2);
        assert!(!free.is_null());
        assert_eq!((f.rknn_mem_sync)(0, free, both), 0);
        assert_eq!((f.rknn_destroy_mem)(0, free), 0);
        assert_eq!((f.rknn_destroy_mem)(0, free), -5);
        let fd = (*mem.face).fd;
        assert!(f.rknn_create_mem_from_phys.unwrap()(context.ctx, 4096, null_mut(), 64).is_null());
        assert!(f.rknn_create_mem_from_mb_blk.unwrap()(context.ctx, null_mut(), 0).is_null());
        // The same pages by their descriptor, from an offset on.
        let import = f.rknn_create_mem_from_fd.unwrap();
        let again = import(context.ctx, fd, null_mut(), 1000, 96);
        let mut again = Mem { ctx: context.ctx, face: again };
        assert_eq!(((*again.face).offset, (*again.face).size, (*again.face).flags), (96, 1000, 2));
        mem.bytes()[96..99].copy_from_slice(b"npu");
        assert_eq!(&again.bytes()[..3], b"npu");
        for (fd, size, offset) in
            [(fd, 0, 0), (fd, 5001, 0), (fd, 4096, 1000), (fd, 64, -1), (-1, 64, 0), (9999, 64, 0)]
        {
            let found = import(context.ctx, fd, null_mut(), size, offset);
            assert!(found.is_null(), "{fd} {size} {offset}");
        }
        let pipe = std::io::pipe().unwrap();
        assert!(import(context.ctx, pipe.0.as_raw_fd(), null_mut(), 64, 0).is_null());
        assert!(import(0, fd, null_mut(), 64, 0).is_null());
    }
}

/// A product out of a file's pages, from an offset on; and the client's own view handed back.
#[test]
fn imported_memory_multiplies() {
    let random = &mut Random(13);
    let mut context = Context::create(CASE.info()).unwrap();
    let values = CASE.random(random);
    let [a, b] = CASE.bytes("rk3588", &values);
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &a, 4160).unwrap();
    let f = functions();
    let mut view = 0u8;
    // SAFETY: the range is in the file; the view is handed back and not used.
    unsafe {
        let import = f.rknn_create_mem_from_fd.unwrap();
        let view = (&raw mut view).cast();
        let face = import(context.ctx, file.as_raw_fd(), view, a.len() as u32, 4160);
        assert_eq!((*face).virt_addr, view);
        let own = context.mems[0].replace(Mem { ctx: context.ctx, face });
        drop(own);
    }
    assert_eq!(context.bind(0, 0), 0);
    context.fill(1, &b);
    assert_eq!(context.run(), 0);
    assert!(context.bytes(2) == &CASE.c_bytes("rk3588", &CASE.plain(&values))[..]);
}

/// What a client writes into its struct is checked against what was created.
#[test]
fn a_struct_is_not_believed() {
    let context = Context::create(CASE.info()).unwrap();
    let size = tensors(&context.attrs[0])[0].size;
    let face = context.mems[0].as_ref().unwrap().face;
    // SAFETY: the struct lives.
    unsafe {
        let before = *face;
        (*face).virt_addr = null_mut();
        (*face).size = u32::MAX;
        (*face).priv_data = 8 as *mut _;
        assert_eq!((context.bind(0, 0), context.run()), (0, 0), "the library knows better");
        for offset in [1, i32::MAX, -1, i32::MIN, size as i32] {
            (*face).offset = offset;
            assert_eq!(context.bind(0, 0), -5, "offset {offset}");
        }
        face.write(before);
        let small = Mem::new(context.ctx, size - 1);
        let mut attr = context.attrs[0].A;
        let bind = functions().rknn_matmul_set_io_mem;
        assert_eq!(bind(context.ctx, small.face, &mut attr), -5, "too small");
        attr.name = [b'A' as _; 256];
        assert_eq!(bind(context.ctx, face, &mut attr), -5, "no such tensor");
        assert_eq!(bind(context.ctx, face, null_mut()), -5);
        assert_eq!(bind(context.ctx, null_mut(), &mut attr), -5);
    }
}

#[test]
fn dead_handles_are_known() {
    let f = functions();
    let context = Context::create(CASE.info()).unwrap();
    let dead = context.ctx;
    let face = {
        let mem = Mem::new(dead, 64);
        mem.face
    };
    let mut attr = context.attrs[0].A;
    // SAFETY: a struct; the library is to know that the memory is gone.
    unsafe {
        assert_eq!((f.rknn_destroy_mem)(dead, face), -5);
        assert_eq!((f.rknn_matmul_set_io_mem)(dead, face, &mut attr), -5);
    }
    drop(context);
    let other = Context::create(CASE.info()).unwrap();
    assert_ne!(other.ctx, dead);
    // SAFETY: numbers and structs.
    unsafe {
        for ctx in [dead, 0, u64::MAX, face.addr() as u64] {
            assert_eq!((f.rknn_matmul_run)(ctx), -7);
            assert_eq!((f.rknn_matmul_destroy)(ctx), -7);
            assert_eq!((f.rknn_matmul_set_core_mask)(ctx, rknn_core_mask(1)), -7);
            assert_eq!(f.rknn_destroy.unwrap()(ctx), -7);
            assert_eq!(f.rknn_run.unwrap()(ctx, null_mut()), -7);
        }
        // A matmul's context is no model's, but knows its version.
        assert_eq!(f.rknn_destroy.unwrap()(other.ctx), -7);
        let mut version = rknn_sdk_version::default();
        let (sdk, into) = (rknn_query_cmd::RKNN_QUERY_SDK_VERSION, (&raw mut version).cast());
        assert_eq!((f.rknn_query)(other.ctx, sdk, into, 512), 0);
        let text = std::ffi::CStr::from_ptr(version.api_version.as_ptr()).to_str().unwrap();
        assert!(text.starts_with("2.3.2 (") && text.contains("not Rockchip's"), "{text}");
        assert_eq!((f.rknn_query)(other.ctx, sdk, into, 511), -5);
        assert_eq!((f.rknn_query)(other.ctx, sdk, null_mut(), 512), -5);
        let number = rknn_query_cmd::RKNN_QUERY_IN_OUT_NUM;
        assert_eq!((f.rknn_query)(other.ctx, number, into, 512), -5);
    }
}

/// A memory that is destroyed while it is bound is missing in the next run; the context's end leaves memory.
#[test]
fn bound_memory_may_go() {
    let mut context = Context::create(CASE.info()).unwrap();
    let c = context.mems[2].take();
    drop(c);
    assert_eq!(context.run(), -9);
    context.mems[1] = None;
    assert_eq!(context.run(), -8);
    let f = functions();
    let a = context.mems[0].take().unwrap();
    let (ctx, face) = (a.ctx, a.face);
    std::mem::forget(a);
    drop(context);
    // SAFETY: a memory that lives, though its context does not.
    unsafe {
        (*face).virt_addr.cast::<u8>().write(1);
        assert_eq!((f.rknn_destroy_mem)(ctx, face), -7, "freed, and told that the context is dead");
        assert_eq!((f.rknn_destroy_mem)(ctx, face), -5);
    }
}

#[test]
fn null_is_refused() {
    let f = functions();
    let (mut ctx, mut info, mut attr) = (0, CASE.info(), rknn_matmul_io_attr::default());
    let mut shape = rknn_matmul_shape { M: 1, K: 64, N: 64 };
    let context = Context::create(CASE.info()).unwrap();
    // SAFETY: NULL or a struct.
    unsafe {
        let create = f.rknn_matmul_create;
        assert_eq!(create(null_mut(), &mut info, &mut attr), -5);
        assert_eq!(create(&mut ctx, null_mut(), &mut attr), -5);
        assert_eq!(create(&mut ctx, &mut info, null_mut()), -5);
        let create = f.rknn_matmul_create_dynamic_shape;
        assert_eq!(create(null_mut(), &mut info, 1, &mut shape, &mut attr), -5);
        assert_eq!(create(&mut ctx, null_mut(), 1, &mut shape, &mut attr), -5);
        assert_eq!(create(&mut ctx, &mut info, 1, null_mut(), &mut attr), -5);
        assert_eq!(create(&mut ctx, &mut info, 1, &mut shape, null_mut()), -5);
        assert_eq!(create(&mut ctx, &mut info, -1, &mut shape, &mut attr), -5);
        assert_eq!(create(&mut ctx, &mut info, i32::MAX, &mut shape, &mut attr), -5);
        assert_eq!((f.rknn_matmul_set_dynamic_shape)(context.ctx, null_mut()), -5);
        assert_eq!((f.rknn_matmul_set_quant_params)(context.ctx, null_mut()), -5);
        assert_eq!((f.rknn_matmul_get_quant_params)(context.ctx, null_mut(), null_mut()), -5);
        assert_eq!((f.rknn_destroy_mem)(context.ctx, null_mut()), -5);
    }
    assert_eq!(ctx, 0, "nothing was made");
}

/// The file says whose it is, exports the vendor's functions, and asks for the vendor's name.
#[test]
fn the_file() {
    let bytes = std::fs::read(file()).unwrap();
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(has(b"librknnrt version: 2.3.2 (rkllm host stand-in, not Rockchip's)\0"));
    assert!(!has(b"RKLLM SDK (version: "), "it would pass for librkllmrt");
    assert!(has(b"librknnrt.so\0"), "its soname");
    assert_eq!(rkllm_sys::RuntimeVersion::find_rknn(&bytes).unwrap().to_string(), "2.3.2");
    let f = functions();
    let all = [
        f.rknn_init.is_some(),
        f.rknn_dup_context.is_some(),
        f.rknn_destroy.is_some(),
        f.rknn_inputs_set.is_some(),
        f.rknn_set_batch_core_num.is_some(),
        f.rknn_set_core_mask.is_some(),
        f.rknn_run.is_some(),
        f.rknn_wait.is_some(),
        f.rknn_outputs_get.is_some(),
        f.rknn_outputs_release.is_some(),
        f.rknn_create_mem_from_phys.is_some(),
        f.rknn_create_mem_from_fd.is_some(),
        f.rknn_create_mem_from_mb_blk.is_some(),
        f.rknn_create_mem2.is_some(),
        f.rknn_set_weight_mem.is_some(),
        f.rknn_set_internal_mem.is_some(),
        f.rknn_set_io_mem.is_some(),
        f.rknn_set_input_shape.is_some(),
        f.rknn_set_input_shapes.is_some(),
    ];
    assert_eq!(all, [true; 19]);
}
