//! What a worker does to its own process.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// Ends at once, without what a library would do at exit: after a fault it may hang or fault again.
pub(super) fn exit(code: i32) -> ! {
    flush();
    // SAFETY: ends the process; takes a number.
    unsafe { libc::_exit(code) }
}

/// The kernel kills this process when the thread that started it ends; see [`super::process`].
pub(super) fn die_with_parent() {
    // SAFETY: takes numbers; changes nothing but what happens when the parent has gone.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0);
    }
}

/// What Ctrl-C means is the parent's to decide.
pub(super) fn ignore_interrupts() {
    // SAFETY: no handler of ours runs; ignoring a signal has no other effect.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
}

/// A core of a process with a model in it is gigabytes, and its parent would wait for them.
pub(super) fn no_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
    let mut now = none;
    // SAFETY: structs of this function, which live during the calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_CORE, &raw mut now) == 0 {
            now.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_CORE, &raw const now);
        }
    }
}

unsafe extern "C" {
    #[link_name = "stdout"]
    static mut C_STDOUT: *mut libc::FILE;
}

/// C's standard output is kept back in a buffer when it is a pipe, and the last lines before a crash are
/// those that matter.
pub(super) fn write_lines_at_once() {
    // SAFETY: `stdout` is C's own, open since the start; nothing was written to it yet, as
    // `setvbuf` demands, for a worker is one from its first line on. A null buffer is C's to provide.
    unsafe {
        libc::setvbuf(C_STDOUT, std::ptr::null_mut(), libc::_IOLBF, 0);
    }
}

/// Writes what C has kept back.
pub(super) fn flush() {
    // SAFETY: null means every stream that is open.
    unsafe {
        libc::fflush(std::ptr::null_mut());
    }
}

/// Puts `/dev/null` in the place of standard input, which was the socket.
pub(super) fn close_stdin() -> std::io::Result<()> {
    let null = File::open("/dev/null")?;
    // SAFETY: two descriptors that are open; the second is closed by it, and the standard library's own
    // handle of it holds no more than its number.
    match unsafe { libc::dup2(null.as_raw_fd(), 0) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Closes all that came along but the standard streams and `kept`. Nothing where another thread runs
/// already: then what is open may be in use.
pub(super) fn close_inherited(kept: RawFd) {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return;
    }
    let Ok(listed) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> = listed
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2 && *fd != kept)
        .collect();
    for fd in open {
        // The listing's own is among them and closed by now.
        // SAFETY: takes a number.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1 {
            // SAFETY: open, and inherited: this process has one thread and is asked to be a worker
            // before anything else, so nobody here owns it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}

/// Writes to a socket without SIGPIPE, whoever's process this is.
pub(super) fn send(socket: &UnixStream, bytes: &[u8]) -> std::io::Result<usize> {
    let (fd, start) = (socket.as_raw_fd(), bytes.as_ptr());
    // SAFETY: a socket that is open and bytes that live during the call.
    let count = unsafe { libc::send(fd, start.cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(count).map_err(|_| std::io::Error::last_os_error())
}

/// A line on standard error, in one piece.
pub(super) fn say(line: &str) {
    // Nobody is left to tell if that fails.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
