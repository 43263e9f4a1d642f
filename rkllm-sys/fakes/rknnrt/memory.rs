//! Memory both sides reach.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::Mutex;

use crate::facts::{self, get, put};
use crate::{FAIL, PARAM_INVALID, SUCC, lock, note, setup};

/// A cache line, so that the memory is aligned as the vendor's.
#[derive(Clone)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// The caller's view is `host`; the NPU's is the same unless synchronisation is taken strictly.
struct Memory {
    /// The `rknn_tensor_mem` the caller holds.
    face: Box<[u64; 5]>,
    host: Vec<Line>,
    device: Vec<u8>,
    size: usize,
}

static MEMORIES: Mutex<Option<HashMap<usize, Memory>>> = Mutex::new(None);

pub(crate) fn alive() -> usize {
    lock(&MEMORIES).get_or_insert_default().len()
}

/// The size of a memory, or `None` for one that is not alive.
pub(crate) fn size(face: usize) -> Option<usize> {
    lock(&MEMORIES).get_or_insert_default().get(&face).map(|memory| memory.size)
}

/// What the NPU sees.
pub(crate) fn read(face: usize) -> Option<Vec<u8>> {
    let mut memories = lock(&MEMORIES);
    let memory = memories.get_or_insert_default().get(&face)?;
    Some(if setup().strict_sync { memory.device.clone() } else { memory.host().to_vec() })
}

/// What the NPU writes.
pub(crate) fn write(face: usize, bytes: &[u8]) {
    let mut memories = lock(&MEMORIES);
    let Some(memory) = memories.get_or_insert_default().get_mut(&face) else { return };
    memory.device[..bytes.len()].copy_from_slice(bytes);
    if !setup().strict_sync {
        memory.host_mut()[..bytes.len()].copy_from_slice(bytes);
    }
}

impl Memory {
    fn host(&self) -> &[u8] {
        // SAFETY: lines are bytes, and there are enough for the size.
        unsafe { std::slice::from_raw_parts(self.host.as_ptr().cast(), self.size) }
    }

    fn host_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.host.as_mut_ptr().cast(), self.size) }
    }
}

/// Memory of this size, filled with what no one wrote.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rknn_create_mem(ctx: u64, size: u32) -> *mut u8 {
    note(format!("rknn_create_mem size={size}"));
    if setup().no_memory || size == 0 {
        return std::ptr::null_mut();
    }
    if !crate::context::is_alive(ctx) {
        note("VIOLATION rknn_create_mem with a context that is not alive");
        return std::ptr::null_mut();
    }
    let bytes = size as usize;
    let mut host = vec![Line([0xa5; 64]); bytes.div_ceil(64)];
    let mut face = Box::new([0u64; 5]);
    let (layout, base) = (facts::of("rknn_tensor_mem"), face.as_mut_ptr().cast::<u8>());
    // SAFETY: fields of the struct of 40 bytes.
    unsafe {
        put(base, layout.at("virt_addr"), host.as_mut_ptr());
        put(base, layout.at("phys_addr"), 0x4000_0000_u64);
        put(base, layout.at("fd"), -1i32);
        put(base, layout.at("size"), size);
        put(base, layout.at("flags"), 1u32);
    }
    let memory = Memory { face, host, device: vec![0x5a; bytes], size: bytes };
    lock(&MEMORIES).get_or_insert_default().insert(base as usize, memory);
    base
}

/// The same; flags are noted.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rknn_create_mem2(ctx: u64, size: u64, flags: u64) -> *mut u8 {
    note(format!("rknn_create_mem2 flags={flags:#x}"));
    u32::try_from(size).map_or(std::ptr::null_mut(), |size| rknn_create_mem(ctx, size))
}

/// Frees it; twice is a violation.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rknn_destroy_mem(_ctx: u64, memory: *mut u8) -> c_int {
    note("rknn_destroy_mem");
    let Some(freed) = lock(&MEMORIES).get_or_insert_default().remove(&(memory as usize)) else {
        note("VIOLATION rknn_destroy_mem of a memory that is not alive");
        return PARAM_INVALID;
    };
    // SAFETY: a field of the struct that was made here.
    let address: usize =
        unsafe { get(freed.face.as_ptr().cast(), facts::of("rknn_tensor_mem").at("virt_addr")) };
    if address != freed.host.as_ptr() as usize {
        note("VIOLATION a memory's address was changed");
    }
    SUCC
}

/// Makes one side's writes visible to the other.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn rknn_mem_sync(_ctx: u64, memory: *mut c_void, mode: c_int) -> c_int {
    note(format!("rknn_mem_sync mode={mode}"));
    let mut memories = lock(&MEMORIES);
    let Some(memory) = memories.get_or_insert_default().get_mut(&(memory as usize)) else {
        note("VIOLATION rknn_mem_sync of a memory that is not alive");
        return FAIL;
    };
    match mode {
        1 => memory.device = memory.host().to_vec(),
        2 => {
            let device = memory.device.clone();
            memory.host_mut().copy_from_slice(&device);
        }
        3 => {}
        _ => return PARAM_INVALID,
    }
    SUCC
}
