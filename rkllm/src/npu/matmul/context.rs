//! Contexts and the memory that belongs to them: destroyed once, memory first.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use rkllm_sys::rknn::{self, Functions, rknn_matmul_ctx, rknn_mem_sync_mode, rknn_tensor_mem};

use super::Runtime;
use super::runtime::check;
use crate::layout::{MatmulType, TensorLayout, Word};
use crate::{Error, ErrorKind, Result};

/// A context that is alive. Its calls go one at a time, whatever thread they come from.
pub(super) struct Context {
    runtime: Runtime,
    handle: Mutex<rknn_matmul_ctx>,
}

impl Context {
    /// `rknn_matmul_create`; with an error comes the code it was made of.
    pub(super) fn create_raw(
        runtime: &Runtime,
        info: &mut rknn::rknn_matmul_info,
        io: &mut rknn::rknn_matmul_io_attr,
    ) -> Result<Self, (c_int, Error)> {
        let create = runtime.functions().rknn_matmul_create;
        Self::create_by(runtime, "rknn_matmul_create", |handle| {
            // SAFETY: three structs of the declared layouts, alive during the call.
            unsafe { create(handle, info, io) }
        })
    }

    /// `rknn_matmul_create_dynamic_shape`, with a description of A, B and C for each shape.
    pub(super) fn create_dynamic(
        runtime: &Runtime,
        info: &mut rknn::rknn_matmul_info,
        shapes: &mut [rknn::rknn_matmul_shape],
    ) -> Result<(Self, Vec<rknn::rknn_matmul_io_attr>)> {
        let count = super::spec::dimension(shapes.len())?;
        let mut io = vec![rknn::rknn_matmul_io_attr::default(); shapes.len()];
        let create = runtime.functions().rknn_matmul_create_dynamic_shape;
        let context = Self::create_by(runtime, "rknn_matmul_create_dynamic_shape", |handle| {
            // SAFETY: structs of the declared layouts, and two arrays of `count` of them.
            unsafe { create(handle, info, count, shapes.as_mut_ptr(), io.as_mut_ptr()) }
        })
        .map_err(|(_, error)| error)?;
        Ok((context, io))
    }

    fn create_by(
        runtime: &Runtime,
        call: &str,
        create: impl FnOnce(*mut rknn_matmul_ctx) -> c_int,
    ) -> Result<Self, (c_int, Error)> {
        let mut handle = 0;
        let code = create(&raw mut handle);
        check(call, code).map_err(|error| (code, error))?;
        Ok(Self { runtime: runtime.clone(), handle: Mutex::new(handle) })
    }

    /// Calls a function on the context, alone.
    pub(super) fn call(
        &self,
        name: &str,
        act: impl FnOnce(&Functions, rknn_matmul_ctx) -> c_int,
    ) -> Result<()> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        check(name, act(self.runtime.functions(), *handle))
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let handle = *self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: made by create, destroyed nowhere else; its memories each held an Arc of this, so they
        // are gone. There is nobody to tell of a failure.
        unsafe { (self.runtime.functions().rknn_matmul_destroy)(handle) };
    }
}

/// The struct librknnrt describes a memory by, which it may write to.
struct Face(NonNull<rknn_tensor_mem>);

// SAFETY: an address of the library's heap that only this value destroys; the library ties memory to a
// context, not to a thread.
unsafe impl Send for Face {}

/// Memory that CPU and NPU reach. Zero at first.
pub(super) struct Memory {
    context: Arc<Context>,
    face: Mutex<Face>,
    data: NonNull<u8>,
    size: usize,
}

// SAFETY: `data` is `size` bytes that belong to this value alone until it is dropped. Reading takes a
// shared borrow, writing an exclusive one; the NPU writes during `Matmul::run` only, to memory that the
// `Matmul` owns and has exclusively then.
unsafe impl Send for Memory {}
// SAFETY: as above; the face, which librknnrt may write to, is behind a lock.
unsafe impl Sync for Memory {}

impl Memory {
    /// `size` bytes in the domain of `context`.
    pub(super) fn new(context: &Arc<Context>, size: usize) -> Result<Self> {
        let bytes = u32::try_from(size).ok().filter(|&size| size > 0).ok_or_else(|| {
            Error::new(ErrorKind::Shape, format!("a tensor of {size} bytes"))
                .with_hint("split M or N over several matmuls")
        })?;
        let mut face = std::ptr::null_mut();
        context.call("rknn_create_mem", |functions, handle| {
            // SAFETY: a context that is alive.
            face = unsafe { (functions.rknn_create_mem)(handle, bytes) };
            0
        })?;
        let Some(face) = NonNull::new(face) else {
            return Err(Error::new(
                ErrorKind::Memory,
                format!("rknn_create_mem gave no memory of {size} bytes"),
            )
            .with_hint(
                "an IOMMU domain has 4 GiB and each memory takes a file descriptor: use another \
                 iommu_domain_id, raise `ulimit -n`, or give fewer layers to the NPU",
            ));
        };
        // SAFETY: not null, so a struct that the library filled.
        let about = unsafe { face.read() };
        let Some(data) = NonNull::new(about.virt_addr.cast::<u8>()).filter(|data| {
            about.offset == 0 && about.size >= bytes && data.addr().get().is_multiple_of(ALIGNMENT)
        }) else {
            // SAFETY: made above, and not used again.
            let _ = context.call("rknn_destroy_mem", |functions, handle| unsafe {
                (functions.rknn_destroy_mem)(handle, face.as_ptr())
            });
            return Err(Error::new(
                ErrorKind::Abi,
                format!(
                    "rknn_create_mem: expected {size} bytes at offset 0, aligned to {ALIGNMENT}, found {} at \
                     offset {} of {:p}",
                    about.size, about.offset, about.virt_addr
                ),
            )
            .with_hint("this librknnrt is not the 2.3 it says it is; install 2.3.2"));
        };
        // SAFETY: `size` bytes, as the library says, that nobody else knows yet.
        unsafe { data.write_bytes(0, size) };
        Ok(Self { context: Arc::clone(context), face: Mutex::new(Face(face)), data, size })
    }

    pub(super) fn runtime(&self) -> &Runtime {
        self.context.runtime()
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The first `count` values; `None` if there are not so many.
    pub(super) fn values<T: Word>(&self, count: usize) -> Option<&[T]> {
        self.holds::<T>(count).then(|| {
            // SAFETY: inside the memory and aligned, as checked; initialised when it was made; every
            // bit pattern is a value of the sealed `Word` types; shared like `self`.
            unsafe { std::slice::from_raw_parts(self.data.as_ptr().cast(), count) }
        })
    }

    /// The same, to be written.
    pub(super) fn values_mut<T: Word>(&mut self, count: usize) -> Option<&mut [T]> {
        self.holds::<T>(count).then(|| {
            // SAFETY: as in `values`; exclusive like `self`.
            unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr().cast(), count) }
        })
    }

    fn holds<T>(&self, count: usize) -> bool {
        align_of::<T>() <= ALIGNMENT
            && count.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= self.size)
    }

    /// Makes what the CPU wrote visible to the NPU.
    pub(super) fn sync_to_npu(&self) -> Result<()> {
        self.sync(rknn_mem_sync_mode::RKNN_MEMORY_SYNC_TO_DEVICE)
    }

    /// Makes what the NPU wrote visible to the CPU. Exclusive, because the bytes change.
    pub(super) fn sync_from_npu(&mut self) -> Result<()> {
        self.sync(rknn_mem_sync_mode::RKNN_MEMORY_SYNC_FROM_DEVICE)
    }

    fn sync(&self, mode: rknn_mem_sync_mode) -> Result<()> {
        self.with_face(|face| {
            self.context.call("rknn_mem_sync", |functions, handle| {
                // SAFETY: the context is alive, and so is the memory, which is one of its own.
                unsafe { (functions.rknn_mem_sync)(handle, face, mode) }
            })
        })
    }

    /// Lends the struct of the memory for a call, alone.
    pub(super) fn with_face<T>(&self, act: impl FnOnce(*mut rknn_tensor_mem) -> T) -> T {
        let face = self.face.lock().unwrap_or_else(PoisonError::into_inner);
        act(face.0.as_ptr())
    }
}

/// What values are aligned to at least; memories begin with a page.
const ALIGNMENT: usize = 16;

impl Drop for Memory {
    fn drop(&mut self) {
        let face = self.face.get_mut().unwrap_or_else(PoisonError::into_inner).0.as_ptr();
        // There is nobody to tell of a failure.
        let _ = self.context.call("rknn_destroy_mem", |functions, handle| {
            // SAFETY: made by rknn_create_mem on this context, which is alive; destroyed nowhere else.
            unsafe { (functions.rknn_destroy_mem)(handle, face) }
        });
    }
}

/// Weights on the device: written once, then bound to any number of contexts in turn.
///
/// Keeps the context it was made by alive, and through it the IOMMU domain it lies in.
pub struct Weights {
    pub(super) memory: Memory,
    pub(super) layout: TensorLayout,
    pub(super) matmul: MatmulType,
    pub(super) domain: u8,
}

impl Weights {
    /// How they lie on the device.
    pub fn layout(&self) -> &TensorLayout {
        &self.layout
    }

    /// Bytes on the device.
    pub fn size_bytes(&self) -> usize {
        self.memory.size
    }
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weights")
            .field("layout", &self.layout)
            .field("matmul", &self.matmul)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}
