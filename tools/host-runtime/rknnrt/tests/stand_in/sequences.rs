//! Calls in any order, with NULL, dead and made-up handles.

use std::ptr::null_mut;

use rkllm_sys::rknn::*;

use crate::lib_under_test::{alive, functions, passing_child};
use crate::random::Random;

/// What a sequence has made, and what it has ended.
#[derive(Default)]
struct World {
    contexts: Vec<u64>,
    dead_contexts: Vec<u64>,
    mems: Vec<usize>,
    dead_mems: Vec<usize>,
    attrs: Vec<rknn_matmul_io_attr>,
    /// Calls, and products, that were a success.
    good: usize,
    products: usize,
}

impl World {
    /// Mostly a context that lives; true if it does.
    fn context(&self, random: &mut Random) -> (u64, bool) {
        match random.below(8) {
            0 => (0, false),
            1 => (random.next(), false),
            2 if !self.dead_contexts.is_empty() => {
                (self.dead_contexts[random.below(self.dead_contexts.len())], false)
            }
            _ if !self.contexts.is_empty() => {
                (self.contexts[random.below(self.contexts.len())], true)
            }
            _ => (1, false),
        }
    }

    fn mem(&self, random: &mut Random) -> (*mut rknn_tensor_mem, bool) {
        match random.below(6) {
            0 => (null_mut(), false),
            1 => ((random.next() as usize) as *mut _, false),
            2 if !self.dead_mems.is_empty() => {
                (self.dead_mems[random.below(self.dead_mems.len())] as *mut _, false)
            }
            _ if !self.mems.is_empty() => {
                (self.mems[random.below(self.mems.len())] as *mut _, true)
            }
            _ => (null_mut(), false),
        }
    }

    fn attr(&self, random: &mut Random) -> rknn_matmul_tensor_attr {
        let mut attr = match self.attrs.len() {
            0 => rknn_matmul_tensor_attr::default(),
            len => {
                let io = &self.attrs[random.below(len)];
                [io.A, io.B, io.C][random.below(3)]
            }
        };
        match random.below(12) {
            0 => attr.size = random.next() as u32,
            1 => attr.name = [random.next() as _; 256],
            2 => attr.n_dims = u32::MAX,
            _ => {}
        }
        attr
    }

    fn added(&mut self, ctx: u64, attr: rknn_matmul_io_attr) {
        self.contexts.push(ctx);
        self.attrs.push(attr);
    }

    /// Memory for A, B and C, all bound, as a client that knows what it does.
    fn furnish(&mut self, ctx: u64, io: &rknn_matmul_io_attr) {
        let f = functions();
        for mut attr in [io.A, io.B, io.C] {
            // SAFETY: a context that lives, and a struct.
            unsafe {
                let mem = (f.rknn_create_mem)(ctx, attr.size);
                assert!(!mem.is_null());
                self.mems.push(mem.addr());
                assert_eq!((f.rknn_matmul_set_io_mem)(ctx, mem, &mut attr), 0);
            }
        }
    }
}

/// Mostly one that is taken; else one with a field that makes no sense.
fn info(random: &mut Random) -> rknn_matmul_info {
    let pick = |random: &mut Random, from: &[i32]| from[random.below(from.len())];
    let mut info = rknn_matmul_info {
        M: pick(random, &[1, 2, 3, 8]),
        K: pick(random, &[32, 64, 96]),
        N: pick(random, &[64, 128]),
        type_: rknn_matmul_type(pick(random, &[1, 2, 3, 4, 9, 10]) as u32),
        B_layout: pick(random, &[0, 1, 1, 2]) as i16,
        AC_layout: pick(random, &[0, 1]) as i16,
        ..Default::default()
    };
    match random.below(20) {
        0 => info.M = pick(random, &[0, -5, i32::MAX]),
        1 => info.K = pick(random, &[0, 33, i32::MIN, 10272]),
        2 => info.N = pick(random, &[0, 65, i32::MAX, i32::MAX - 63]),
        3 => info.type_ = rknn_matmul_type(pick(random, &[0, 5, 13, -1]) as u32),
        4 => info.B_layout = pick(random, &[7, -1]) as i16,
        5 => info.AC_layout = pick(random, &[2, -1]) as i16,
        6 | 7 => info.B_quant_type = pick(random, &[1, 2, 3, 4, 5, 9]) as i16,
        8 => (info.B_quant_type, info.group_size) = (4, pick(random, &[32, 0, -1, 7]) as i16),
        9 => info.iommu_domain_id = pick(random, &[3, 16, -1]),
        _ => {}
    }
    info
}

/// One call. Codes are the vendor's; what is dead is never a success.
fn call(world: &mut World, random: &mut Random) {
    let f = functions();
    let (ctx, lives) = world.context(random);
    let code = match random.below(15) {
        0 | 1 => {
            let (mut new, mut attr) = (0, rknn_matmul_io_attr::default());
            let mut info = info(random);
            let null = random.below(10);
            let attr_to = if null == 0 { null_mut() } else { &raw mut attr };
            let info_at = if null == 1 { null_mut() } else { &raw mut info };
            let new_to = if null == 2 { null_mut() } else { &raw mut new };
            // SAFETY: NULL or a struct.
            let code = unsafe { (f.rknn_matmul_create)(new_to, info_at, attr_to) };
            if code == 0 {
                world.added(new, attr);
                // A few hundred MB are no memory for a test.
                if random.below(2) == 0 && attr.A.size.max(attr.C.size) < 1 << 16 {
                    world.furnish(new, &attr);
                }
            }
            code
        }
        2 => {
            let mut info = info(random);
            let mut shapes = [1, 2, 1 + random.below(9) as i32].map(|m| rknn_matmul_shape {
                M: m,
                K: 64,
                N: 64,
            });
            let (mut new, mut attrs) = (0, [rknn_matmul_io_attr::default(); 3]);
            let count = random.below(5) as i32 - 1;
            // SAFETY: structs, and arrays of three; no more is said but in a number that is refused.
            let code = unsafe {
                (f.rknn_matmul_create_dynamic_shape)(
                    &mut new,
                    &mut info,
                    count,
                    shapes.as_mut_ptr(),
                    attrs.as_mut_ptr(),
                )
            };
            if code == 0 {
                world.added(new, attrs[0]);
            }
            code
        }
        3 => {
            let mut shape = rknn_matmul_shape { M: random.below(4) as i32, K: 64, N: 64 };
            // SAFETY: a struct.
            unsafe { (f.rknn_matmul_set_dynamic_shape)(ctx, &mut shape) }
        }
        4 | 5 => {
            let size = [64, 4096, 20_000, 0, 1 << 20][random.below(5)];
            let flags = [0, 1, 0x20000, u64::MAX][random.below(4)];
            // SAFETY: takes numbers.
            let mem = unsafe {
                match random.below(2) {
                    0 => (f.rknn_create_mem)(ctx, size as u32),
                    _ => f.rknn_create_mem2.unwrap()(ctx, size, flags),
                }
            };
            if !mem.is_null() {
                world.mems.push(mem.addr());
            }
            0
        }
        6 | 7 => {
            let ((mem, there), mut attr) = (world.mem(random), world.attr(random));
            // SAFETY: a struct; the memory may be anything.
            let code = unsafe { (f.rknn_matmul_set_io_mem)(ctx, mem, &mut attr) };
            assert!(code != 0 || lives && there);
            code
        }
        8 => {
            let (mem, there) = world.mem(random);
            let mode = rknn_mem_sync_mode(random.below(5) as u32);
            // SAFETY: as above.
            let code = unsafe { (f.rknn_mem_sync)(ctx, mem, mode) };
            assert!(code != 0 || there);
            code
        }
        9 => {
            let (mem, there) = world.mem(random);
            // SAFETY: as above.
            let code = unsafe { (f.rknn_destroy_mem)(ctx, mem) };
            assert!(code != 0 || there);
            assert_eq!(code == -5, !there);
            if there {
                world.mems.retain(|it| *it != mem.addr());
                world.dead_mems.push(mem.addr());
            }
            code
        }
        10 => {
            let mask = rknn_core_mask([0, 1, 2, 4, 3, 7, 0xffff, u32::MAX][random.below(8)]);
            // SAFETY: takes numbers.
            unsafe { (f.rknn_matmul_set_core_mask)(ctx, mask) }
        }
        11 => {
            let mut scales = [0.5_f32; 128];
            let mut zeros = [1_i32; 128];
            let mut params = rknn_quant_params {
                scale: if random.below(5) == 0 { null_mut() } else { scales.as_mut_ptr() },
                scale_len: [1, 64, 128, 0, -1][random.below(5)],
                zp: if random.below(2) == 0 { null_mut() } else { zeros.as_mut_ptr() },
                zp_len: [0, 1, 64, 128, -7][random.below(5)],
                ..Default::default()
            };
            params.name[0] = b"ABCD"[random.below(4)] as _;
            let mut scale = 0.0;
            // SAFETY: arrays of the lengths said.
            unsafe {
                match random.below(3) {
                    0 => {
                        params.scale_len = 128;
                        (f.rknn_matmul_get_quant_params)(ctx, &mut params, &mut scale)
                    }
                    _ => (f.rknn_matmul_set_quant_params)(ctx, &mut params),
                }
            }
        }
        12 => {
            let mut info = vec![0u8; 1024];
            let size = [0, 4, 512, 1024][random.below(4)];
            let into = if random.below(4) == 0 { null_mut() } else { info.as_mut_ptr().cast() };
            // SAFETY: NULL, or at least as many bytes.
            unsafe { (f.rknn_query)(ctx, rknn_query_cmd(random.below(20) as u32), into, size) }
        }
        13 => {
            // SAFETY: takes a number.
            let code = unsafe { (f.rknn_matmul_run)(ctx) };
            world.products += usize::from(code == 0);
            code
        }
        _ => {
            // SAFETY: takes numbers.
            let code = unsafe {
                match random.below(4) {
                    0 => f.rknn_destroy.unwrap()(ctx),
                    1 => f.rknn_run.unwrap()(ctx, null_mut()),
                    2 => f.rknn_outputs_get.unwrap()(ctx, 0, null_mut(), null_mut()),
                    _ => {
                        let code = (f.rknn_matmul_destroy)(ctx);
                        assert_eq!(code == 0, lives);
                        if lives {
                            world.contexts.retain(|it| *it != ctx);
                            world.dead_contexts.push(ctx);
                        }
                        code
                    }
                }
            };
            assert!(code != 0 || lives);
            code
        }
    };
    assert!((-13..=0).contains(&code), "{code}");
    world.good += usize::from(code == 0);
}

#[test]
#[ignore = "run by the next test, in a process of its own"]
fn in_any_order() {
    let count = std::env::var("RKLLM_SEQUENCES").ok().and_then(|count| count.parse().ok());
    let f = functions();
    let (mut good, mut products) = (0, 0);
    for seed in 0..count.unwrap_or(10_000_u64) {
        let (mut world, random) = (World::default(), &mut Random(seed));
        for _ in 0..10 + random.below(30) {
            call(&mut world, random);
        }
        for mem in &world.mems {
            // SAFETY: a memory that lives; of a context that may not.
            let code = unsafe { (f.rknn_destroy_mem)(0, *mem as *mut _) };
            assert!(matches!(code, 0 | -7), "{code}");
        }
        for ctx in &world.contexts {
            // SAFETY: takes a number.
            assert_eq!(unsafe { (f.rknn_matmul_destroy)(*ctx) }, 0);
        }
        assert_eq!(alive(), 0, "sequence {seed} left something");
        good += world.good;
        products += world.products;
    }
    println!("{good} calls were a success, {products} products");
    assert!(products > 0, "no sequence multiplied");
}

#[test]
fn ten_thousand_sequences() {
    passing_child("sequences::in_any_order", &[("RKNN_LOG_LEVEL", "-1")]);
}
