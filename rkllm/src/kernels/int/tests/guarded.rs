//! Memory in which a read past the end kills the test.

use crate::Bytes;

/// Bytes that end where readable memory ends: a read past them kills the test.
struct Guarded {
    map: *mut u8,
    mapped: usize,
    at: usize,
    len: usize,
}

// SAFETY: plain memory that nobody writes after `new`.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

#[cfg(target_os = "linux")]
unsafe extern "C" {
    fn mmap(at: *mut u8, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> *mut u8;
    fn mprotect(at: *mut u8, len: usize, prot: i32) -> i32;
    fn munmap(at: *mut u8, len: usize) -> i32;
}

#[cfg(target_os = "linux")]
impl Guarded {
    /// No page of any kernel we meet is larger.
    const PAGE: usize = 1 << 16;

    fn new(bytes: &[u8]) -> Self {
        const READ_WRITE: i32 = 3;
        const PRIVATE_ANONYMOUS: i32 = 0x22;
        let usable = bytes.len().next_multiple_of(Self::PAGE);
        let mapped = usable + Self::PAGE;
        let at = usable - bytes.len();
        // SAFETY: a fresh mapping, written within its bounds before anyone else sees it.
        unsafe {
            let map = mmap(std::ptr::null_mut(), mapped, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
            assert_ne!(map as isize, -1, "mmap failed");
            map.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            assert_eq!(mprotect(map.add(usable), Self::PAGE, 0), 0, "mprotect failed");
            Self { map, mapped, at, len: bytes.len() }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped; the last user is gone.
        unsafe { munmap(self.map, self.mapped) };
    }
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `len` bytes were written from `at` on and stay mapped while `self` lives.
        unsafe { std::slice::from_raw_parts(self.map.add(self.at), self.len) }
    }
}

#[cfg(target_os = "linux")]
fn guarded(bytes: &[u8]) -> Bytes {
    Bytes::new(Guarded::new(bytes))
}

#[cfg(not(target_os = "linux"))]
fn guarded(bytes: &[u8]) -> Bytes {
    Bytes::new(bytes.to_vec())
}

/// `bytes` behind `offset` others, for every alignment.
pub(super) fn shifted(bytes: &[u8], offset: usize) -> Bytes {
    let mut all = vec![0xa5; offset];
    all.extend_from_slice(bytes);
    guarded(&all).slice(offset..offset + bytes.len()).unwrap()
}
