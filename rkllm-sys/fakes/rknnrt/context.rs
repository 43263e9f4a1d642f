//! Matmul contexts.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::Mutex;

use crate::facts::{self, get, put};
use crate::product::{convert, multiply};
use crate::shape::{Element, Tensor};
use crate::{CTX_INVALID, FAIL, PARAM_INVALID, SUCC, Setup, lock, memory, note, setup};

/// No K is larger.
const LARGEST_K: usize = 10240;

/// `rknn_matmul_info`.
#[derive(Debug, Clone, Copy)]
struct Info {
    shape: [usize; 3],
    kind: i32,
    b_layout: i16,
    ac_layout: i16,
}

struct Context {
    info: Info,
    /// Shapes (M, K, N); one, unless dynamic.
    shapes: Vec<[usize; 3]>,
    /// The one in use; none before the first of a dynamic context is set.
    current: Option<usize>,
    /// Memories bound to A, B and C.
    bound: [Option<usize>; 3],
}

static CONTEXTS: Mutex<Option<HashMap<u64, Context>>> = Mutex::new(None);
static NEXT: Mutex<u64> = Mutex::new(0x1000);

pub(crate) fn alive() -> usize {
    lock(&CONTEXTS).get_or_insert_default().len()
}

pub(crate) fn is_alive(ctx: u64) -> bool {
    lock(&CONTEXTS).get_or_insert_default().contains_key(&ctx)
}

impl Info {
    /// # Safety
    /// `base` is a `rknn_matmul_info`.
    unsafe fn read(call: &str, base: *const u8) -> Self {
        let layout = facts::of("rknn_matmul_info");
        for field in &layout.fields {
            // SAFETY: a field of the caller's struct.
            let value = unsafe {
                match field.kind.as_str() {
                    "int16_t" => i64::from(get::<i16>(base, field.offset)),
                    "int8_t[34]" => {
                        (0..34).map(|i| get::<i8>(base, field.offset + i)).map(i64::from).sum()
                    }
                    _ => i64::from(get::<i32>(base, field.offset)),
                }
            };
            note(format!("{call} info.{}={value}", field.name));
        }
        // SAFETY: as above.
        unsafe {
            Self {
                shape: ["M", "K", "N"]
                    .map(|name| get::<i32>(base, layout.at(name)).max(0) as usize),
                kind: get(base, layout.at("type")),
                b_layout: get(base, layout.at("B_layout")),
                ac_layout: get(base, layout.at("AC_layout")),
            }
        }
    }

    /// A, B and C of a shape; `None` for what the SoC refuses.
    fn tensors(&self, setup: &Setup, [m, k, n]: [usize; 3]) -> Option<[Tensor; 3]> {
        let [a, b, c] = Element::of(self.kind).filter(|_| setup.soc.types.contains(&self.kind))?;
        let sizes = setup.soc.kind(b.bits()).or(setup.soc.kind(a.bits()))?;
        let fits = m > 0 && k > 0 && n > 0 && k <= LARGEST_K;
        let whole = k % sizes.k_multiple == 0 && n % sizes.n_multiple == 0;
        // int4 x int4 wants B native.
        let native = self.kind != 10 || self.b_layout == 1;
        if !fits || !whole || !native || !(0..=1).contains(&self.ac_layout) {
            return None;
        }
        let other_tiles = setup.other_tiles || setup.tiles_by_rows && m > 8;
        Some([
            Tensor::a(setup, a, m, k, self.ac_layout == 1),
            Tensor::b(&Setup { other_tiles, ..*setup }, b, k, n, self.b_layout)?,
            Tensor::c(c, m, n, self.ac_layout == 1),
        ])
    }
}

/// Writes a `rknn_matmul_io_attr`.
///
/// # Safety
/// `base` has room for one.
unsafe fn describe(tensors: &[Tensor; 3], base: *mut u8) {
    let (outer, inner) = (facts::of("rknn_matmul_io_attr"), facts::of("rknn_matmul_tensor_attr"));
    for (name, tensor) in ["A", "B", "C"].iter().zip(tensors) {
        let at = outer.at(name);
        // SAFETY: fields of the caller's struct; there are 16 dimensions and 256 bytes of name.
        unsafe {
            base.add(at).write_bytes(0, inner.size);
            put(base, at + inner.at("name"), name.as_bytes()[0]);
            put(base, at + inner.at("n_dims"), tensor.dims.len() as u32);
            for (i, dim) in tensor.dims.iter().enumerate() {
                put(base, at + inner.at("dims") + 4 * i, *dim as u32);
            }
            put(base, at + inner.at("size"), tensor.bytes() as u32);
            put(base, at + inner.at("type"), tensor.element as u32);
        }
    }
}

fn insert(context: Context) -> u64 {
    let mut next = lock(&NEXT);
    *next += 0x10;
    lock(&CONTEXTS).get_or_insert_default().insert(*next, context);
    *next
}

/// Makes a context and describes its tensors.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rknn_matmul_create(
    ctx: *mut u64,
    info: *const u8,
    io_attr: *mut u8,
) -> c_int {
    // SAFETY: the caller's struct.
    let info = unsafe { Info::read("rknn_matmul_create", info) };
    let setup = setup();
    if setup.create_fails {
        return FAIL;
    }
    let Some(tensors) = info.tensors(&setup, info.shape) else { return PARAM_INVALID };
    let context = Context { info, shapes: vec![info.shape], current: Some(0), bound: [None; 3] };
    // SAFETY: the caller's places.
    unsafe {
        describe(&tensors, io_attr);
        ctx.write(insert(context));
    }
    SUCC
}

/// Makes a context of several shapes; only M may vary.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rknn_matmul_create_dynamic_shape(
    ctx: *mut u64,
    info: *const u8,
    count: c_int,
    shapes: *const u8,
    io_attrs: *mut u8,
) -> c_int {
    // SAFETY: the caller's struct.
    let info = unsafe { Info::read("rknn_matmul_create_dynamic_shape", info) };
    let (size, attr) = (facts::of("rknn_matmul_shape").size, facts::of("rknn_matmul_io_attr").size);
    let mut of_context = Vec::new();
    for i in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: an array of so many shapes.
        let shape = unsafe { shape(shapes.add(i * size)) };
        note(format!("rknn_matmul_create_dynamic_shape shape={shape:?}"));
        let varies = of_context.first().is_some_and(|first: &[usize; 3]| first[1..] != shape[1..]);
        let Some(tensors) = info.tensors(&setup(), shape).filter(|_| !varies) else {
            return PARAM_INVALID;
        };
        // SAFETY: as many descriptions as shapes.
        unsafe { describe(&tensors, io_attrs.add(i * attr)) };
        of_context.push(shape);
    }
    if of_context.is_empty() {
        return PARAM_INVALID;
    }
    let context = Context { info, shapes: of_context, current: None, bound: [None; 3] };
    // SAFETY: the caller's place.
    unsafe { ctx.write(insert(context)) };
    SUCC
}

/// # Safety
/// `base` is a `rknn_matmul_shape`.
unsafe fn shape(base: *const u8) -> [usize; 3] {
    // SAFETY: as promised by the caller.
    ["M", "K", "N"].map(|name| unsafe {
        get::<i32>(base, facts::of("rknn_matmul_shape").at(name)).max(0) as usize
    })
}

/// Does something with a context that is alive.
fn with(call: &str, ctx: u64, act: impl FnOnce(&mut Context) -> c_int) -> c_int {
    match lock(&CONTEXTS).get_or_insert_default().get_mut(&ctx) {
        Some(context) => act(context),
        None => {
            note(format!("VIOLATION {call} with a context that is not alive"));
            CTX_INVALID
        }
    }
}

/// Chooses one of the shapes; A and C have to be bound again.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rknn_matmul_set_dynamic_shape(
    ctx: u64,
    wanted: *const u8,
) -> c_int {
    // SAFETY: the caller's struct.
    let wanted = unsafe { shape(wanted) };
    note(format!("rknn_matmul_set_dynamic_shape shape={wanted:?}"));
    with("rknn_matmul_set_dynamic_shape", ctx, |context| {
        let Some(i) = context.shapes.iter().position(|shape| *shape == wanted) else {
            return PARAM_INVALID;
        };
        context.current = Some(i);
        context.bound = [None, context.bound[1], None];
        SUCC
    })
}

/// Binds a memory to the tensor its description names.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rknn_matmul_set_io_mem(
    ctx: u64,
    mem: *mut c_void,
    attr: *const u8,
) -> c_int {
    let layout = facts::of("rknn_matmul_tensor_attr");
    // SAFETY: fields of the caller's struct.
    let (name, size) =
        unsafe { (get::<u8>(attr, layout.at("name")), get::<u32>(attr, layout.at("size"))) };
    note(format!("rknn_matmul_set_io_mem {} size={size}", char::from(name)));
    if setup().bind_fails {
        return FAIL;
    }
    with("rknn_matmul_set_io_mem", ctx, |context| {
        let Some(which) = b"ABC".iter().position(|n| *n == name) else { return PARAM_INVALID };
        let Some(shape) = context.current.map(|i| context.shapes[i]) else { return FAIL };
        let Some(tensors) = context.info.tensors(&setup(), shape) else { return PARAM_INVALID };
        let needed = tensors[which].bytes();
        let Some(has) = memory::size(mem as usize) else {
            note("VIOLATION rknn_matmul_set_io_mem with a memory that is not alive");
            return PARAM_INVALID;
        };
        if size as usize != needed || has < needed {
            note(format!(
                "VIOLATION {} has {has} bytes, said {size}, needs {needed}",
                char::from(name)
            ));
            return PARAM_INVALID;
        }
        context.bound[which] = Some(mem as usize);
        SUCC
    })
}

/// One core of those there are.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rknn_matmul_set_core_mask(ctx: u64, mask: c_int) -> c_int {
    note(format!("rknn_matmul_set_core_mask mask={mask}"));
    with("rknn_matmul_set_core_mask", ctx, |_| {
        let cores = setup().soc.cores;
        let one = (0..cores).any(|core| mask == 1 << core);
        if cores > 0 && (mask == 0 || one) { SUCC } else { FAIL }
    })
}

/// Multiplies.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rknn_matmul_run(ctx: u64) -> c_int {
    note("rknn_matmul_run");
    let setup = setup();
    if setup.run_fails {
        return FAIL;
    }
    with("rknn_matmul_run", ctx, |context| {
        let Some(shape) = context.current.map(|i| context.shapes[i]) else { return FAIL };
        let Some([a, b, c]) = context.info.tensors(&setup, shape) else { return PARAM_INVALID };
        let [Some(of_a), Some(of_b), Some(of_c)] = context.bound else {
            note("VIOLATION rknn_matmul_run without memory for A, B or C");
            return FAIL;
        };
        let (Some(from_a), Some(from_b)) = (memory::read(of_a), memory::read(of_b)) else {
            note("VIOLATION rknn_matmul_run with a memory that is not alive");
            return FAIL;
        };
        let mut result = vec![0; c.bytes()];
        multiply([&a, &b, &c], shape, &from_a, &from_b, &mut result);
        if setup.wrong_sums
            && let Some(byte) = result.last_mut()
        {
            *byte ^= 1;
        }
        memory::write(of_c, &result);
        SUCC
    })
}

/// Destroys a context; twice is a violation.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rknn_matmul_destroy(ctx: u64) -> c_int {
    note("rknn_matmul_destroy");
    if lock(&CONTEXTS).get_or_insert_default().remove(&ctx).is_none() {
        note("VIOLATION rknn_matmul_destroy of a context that is not alive");
        return CTX_INVALID;
    }
    SUCC
}

/// Takes note; results stay raw sums.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rknn_matmul_set_quant_params(ctx: u64, params: *const u8) -> c_int {
    let layout = facts::of("rknn_quant_params");
    // SAFETY: fields of the caller's struct.
    let (name, scales) = unsafe {
        (get::<u8>(params, layout.at("name")), get::<i32>(params, layout.at("scale_len")))
    };
    note(format!("rknn_matmul_set_quant_params {} scale_len={scales}", char::from(name)));
    with("rknn_matmul_set_quant_params", ctx, |_| SUCC)
}

/// Refused: nothing here is quantised.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rknn_matmul_get_quant_params(_: u64, _: *mut u8, _: *mut f32) -> c_int {
    note("rknn_matmul_get_quant_params");
    PARAM_INVALID
}

/// Converts B.
///
/// # Safety
/// As for the vendor's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rknn_B_normal_layout_to_native_layout(
    from: *const u8,
    to: *mut u8,
    k: c_int,
    n: c_int,
    info: *const u8,
) -> c_int {
    note(format!("rknn_B_normal_layout_to_native_layout K={k} N={n}"));
    // SAFETY: the caller's struct.
    let info = unsafe { Info::read("rknn_B_normal_layout_to_native_layout", info) };
    let (setup, k, n) = (setup(), k.max(0) as usize, n.max(0) as usize);
    let native = Info { b_layout: 1, ..info }.tensors(&setup, [1, k, n]);
    let (Some([_, of_native, _]), Some([_, element, _])) = (native, Element::of(info.kind)) else {
        return PARAM_INVALID;
    };
    let Some(of_normal) = Tensor::b(&setup, element, k, n, 0) else { return PARAM_INVALID };
    // SAFETY: the sizes of both layouts, which the caller has room for.
    let (from, to) = unsafe {
        (
            std::slice::from_raw_parts(from, of_normal.bytes()),
            std::slice::from_raw_parts_mut(to, of_native.bytes()),
        )
    };
    convert(&of_normal, &of_native, [k, n], from, to);
    SUCC
}
