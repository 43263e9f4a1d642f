//! Memory that both sides reach, known by the address of the struct that describes it.

use std::cell::UnsafeCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use rkllm_sys::rknn::{RKNN_MEM_FLAG_ALLOC_NO_CONTEXT, rknn_tensor_mem, rknn_tensor_mem_flags};

use super::{Answer, Code, contexts, lock, log, settings};

/// `rknn_mem_alloc_flags` and the flag beside them.
const KNOWN_FLAGS: u64 = 7 | RKNN_MEM_FLAG_ALLOC_NO_CONTEXT as u64;
/// Structs of destroyed memories that are kept, so that a pointer to one is known as dead for a while.
const KEPT: usize = 1024;

/// The struct a client holds, and may write to.
struct Face(UnsafeCell<rknn_tensor_mem>);

// SAFETY: plain data. The client has its address, as the C interface wants it; this side reads it by
// copies of whole fields and writes it when making and destroying it alone.
unsafe impl Send for Face {}
// SAFETY: as above.
unsafe impl Sync for Face {}

pub(super) struct Memory {
    face: Arc<Face>,
    map: Map,
    /// Where it begins inside the map, as created.
    offset: usize,
    /// Bytes from there on.
    size: usize,
    /// The context it was made for; 0 for none.
    context: u64,
}

struct Memories {
    alive: Option<HashMap<usize, Arc<Memory>>>,
    dead: VecDeque<Arc<Face>>,
}

static MEMORIES: Mutex<Memories> = Mutex::new(Memories { alive: None, dead: VecDeque::new() });

impl Memories {
    fn alive(&mut self) -> &mut HashMap<usize, Arc<Memory>> {
        self.alive.get_or_insert_default()
    }
}

pub(super) fn alive() -> usize {
    lock(&MEMORIES).alive().len()
}

/// The memory a client's pointer stands for, if it lives.
pub(super) fn find(face: *const rknn_tensor_mem) -> Option<Arc<Memory>> {
    lock(&MEMORIES).alive().get(&face.addr()).map(Arc::clone)
}

/// `rknn_create_mem` and `rknn_create_mem2`: zeros, in whole pages. NULL with a log line where there is
/// none.
///
/// # Errors
/// No such context, no bytes, more than 4 GiB, none left.
pub fn create_memory(context: u64, size: u64, flags: u64) -> Answer<*mut rknn_tensor_mem> {
    if settings::get().fault.no_memory {
        return Err(log::refuse(
            Code::MALLOC_FAIL,
            format_args!("failed to malloc npu memory of {size} bytes (injected fault)"),
        ));
    }
    let without = flags & u64::from(RKNN_MEM_FLAG_ALLOC_NO_CONTEXT) != 0 && context == 0;
    if !without {
        contexts::expect(context)?;
    }
    if flags & !KNOWN_FLAGS != 0 {
        log::warn(format_args!("rknn_create_mem2: flags {flags:#x} are not all known"));
    }
    let bytes = u32::try_from(size).ok().filter(|&size| size > 0).ok_or_else(|| {
        log::refuse(Code::PARAM_INVALID, format_args!("failed to create memory of {size} bytes"))
    })?;
    let map = Map::new(bytes as usize)?;
    let face = rknn_tensor_mem {
        virt_addr: map.start.as_ptr().cast(),
        fd: map.fd,
        size: bytes,
        flags: rknn_tensor_mem_flags::RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE.0,
        ..Default::default()
    };
    Ok(keep(face, map, 0, context))
}

/// `rknn_create_mem_from_fd`: `size` bytes from `offset` on of a file or memfd, mapped anew, shared.
/// `virt_addr` is handed back as the client's own view, and never used.
///
/// # Errors
/// No such context, a range that is not in the file, what mmap says.
pub fn import_memory(
    context: u64,
    fd: i32,
    virt_addr: *mut c_void,
    size: u32,
    offset: i32,
) -> Answer<*mut rknn_tensor_mem> {
    if settings::get().fault.no_memory {
        return Err(log::refuse(
            Code::MALLOC_FAIL,
            format_args!("failed to import memory of {size} bytes (injected fault)"),
        ));
    }
    contexts::expect(context)?;
    let start = usize::try_from(offset).ok().filter(|_| size > 0);
    let end = start.and_then(|start| start.checked_add(size as usize));
    let (Some(start), Some(end)) = (start, end) else {
        return Err(log::refuse(
            Code::PARAM_INVALID,
            format_args!("rknn_create_mem_from_fd: {size} bytes from {offset} on"),
        ));
    };
    let map = Map::of(fd, end)?;
    let own: *mut c_void = map.start.as_ptr().cast();
    let face = rknn_tensor_mem {
        virt_addr: if virt_addr.is_null() { own } else { virt_addr },
        fd,
        offset,
        size,
        flags: rknn_tensor_mem_flags::RKNN_TENSOR_MEMORY_FLAGS_FROM_FD.0,
        ..Default::default()
    };
    Ok(keep(face, map, start, context))
}

fn keep(face: rknn_tensor_mem, map: Map, offset: usize, context: u64) -> *mut rknn_tensor_mem {
    let size = face.size as usize;
    let face = Arc::new(Face(UnsafeCell::new(face)));
    let pointer = face.0.get();
    let memory = Memory { face, map, offset, size, context };
    lock(&MEMORIES).alive().insert(pointer.addr(), Arc::new(memory));
    pointer
}

/// `rknn_destroy_mem`. Of a context that is dead, too: then the memory is gone and the answer is -7.
///
/// # Errors
/// A pointer that is none of a memory alive.
pub fn destroy_memory(context: u64, face: *const rknn_tensor_mem) -> Answer {
    let owner = {
        let mut memories = lock(&MEMORIES);
        let Some(gone) = memories.alive().remove(&face.addr()) else {
            return Err(log::refuse(
                Code::PARAM_INVALID,
                format_args!("rknn_destroy_mem: {face:p} is no memory that lives"),
            ));
        };
        // SAFETY: the struct lives as long as `gone`; under the lock nobody else here writes to it.
        unsafe { gone.face.0.get().write(rknn_tensor_mem::default()) };
        memories.dead.push_back(Arc::clone(&gone.face));
        if memories.dead.len() > KEPT {
            memories.dead.pop_front();
        }
        gone.context
    };
    if owner == 0 && context == 0 { Ok(()) } else { contexts::expect(context) }
}

/// `rknn_mem_sync`: nothing to do, since both sides see the same bytes.
///
/// # Errors
/// A context, memory or direction that is none.
pub fn sync_memory(context: u64, face: *const rknn_tensor_mem, mode: u32) -> Answer {
    let Some(memory) = find(face) else {
        return Err(log::refuse(
            Code::PARAM_INVALID,
            format_args!("rknn_mem_sync: {face:p} is no memory that lives"),
        ));
    };
    if memory.context != 0 || context != 0 {
        contexts::expect(context)?;
    }
    if !(1..=3).contains(&mode) {
        return Err(log::refuse(Code::PARAM_INVALID, format_args!("rknn_mem_sync: mode {mode}")));
    }
    Ok(())
}

impl Memory {
    /// Where `needed` bytes begin that a tensor is to be bound to: the client's `offset`, if they fit.
    pub(super) fn range(&self, needed: usize) -> Option<usize> {
        // SAFETY: the struct lives with `self`; the field is copied, whatever the client has written.
        let said = unsafe { (&raw const (*self.face.0.get()).offset).read() };
        let at = usize::try_from(said).ok()?;
        let fits = at.checked_add(needed).is_some_and(|end| end <= self.offset + self.size);
        (fits && at >= self.offset).then_some(at)
    }

    /// Copies bytes from `at`, a place from [`range`](Self::range).
    pub(super) fn read(&self, at: usize, len: usize) -> Answer<Vec<u8>> {
        let mut bytes = super::zeros(len)?;
        assert!(at.checked_add(len).is_some_and(|end| end <= self.map.len), "inside the map");
        // SAFETY: inside the map, as asserted, and mapped as long as `self` lives. A copy: the client may
        // write there at any time, so no reference is made.
        unsafe { self.map.start.as_ptr().add(at).copy_to_nonoverlapping(bytes.as_mut_ptr(), len) };
        Ok(bytes)
    }

    /// Writes bytes to a place from [`range`](Self::range).
    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(
            at.checked_add(bytes.len()).is_some_and(|end| end <= self.map.len),
            "inside the map"
        );
        // SAFETY: as above.
        unsafe {
            self.map.start.as_ptr().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }
}

/// Shared pages. Unmapped when dropped.
struct Map {
    start: NonNull<u8>,
    len: usize,
    /// Its memfd, -1 where there is none or it is the client's.
    fd: i32,
}

// SAFETY: pages are not tied to a thread; access is by copies through raw pointers.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Zero pages; of a memfd, as a board's have a dma-buf, unless file descriptors have run out.
    fn new(len: usize) -> Answer<Self> {
        // SAFETY: a C string and a flag.
        let fd =
            unsafe { libc::memfd_create(c"rkllm host npu memory".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Self::mapped(-1, len, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        }
        let length = libc::off_t::try_from(len).unwrap_or(libc::off_t::MAX);
        // SAFETY: a descriptor of this function's own.
        let sized = unsafe { libc::ftruncate(fd, length) } == 0;
        let made =
            if sized { Self::mapped(fd, len, libc::MAP_SHARED) } else { Err(no_memory(len)) };
        match made {
            Ok(mut map) => {
                map.fd = fd;
                Ok(map)
            }
            Err(code) => {
                // SAFETY: as above, and not used again.
                unsafe { libc::close(fd) };
                Err(code)
            }
        }
    }

    /// The first `len` bytes of a client's file.
    fn of(fd: i32, len: usize) -> Answer<Self> {
        let mut about = std::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: any number may be asked about, and there is room for the answer.
        let known = unsafe { libc::fstat(fd, about.as_mut_ptr()) } == 0;
        // SAFETY: zeros are a `stat`, and the call wrote over them or did not.
        let about = unsafe { about.assume_init() };
        let is_file = known && about.st_mode & libc::S_IFMT == libc::S_IFREG;
        let holds = usize::try_from(about.st_size).is_ok_and(|size| size >= len);
        if !is_file || !holds {
            return Err(log::refuse(
                Code::PARAM_INVALID,
                format_args!(
                    "rknn_create_mem_from_fd: fd {fd} is no file or memfd of {len} bytes or more; a \
                     dma-buf is of no use without hardware"
                ),
            ));
        }
        Self::mapped(fd, len, libc::MAP_SHARED)
    }

    fn mapped(fd: i32, len: usize, flags: i32) -> Answer<Self> {
        let how = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, how, flags, fd, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(Self { start, len, fd: -1 })
            }
            _ => Err(no_memory(len)),
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `mapped`, and its descriptor made by `new`; nobody has either any more.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len);
            if self.fd >= 0 {
                libc::close(self.fd);
            }
        }
    }
}

fn no_memory(len: usize) -> Code {
    let why = std::io::Error::last_os_error();
    log::refuse(Code::MALLOC_FAIL, format_args!("failed to map {len} bytes: {why}"))
}
