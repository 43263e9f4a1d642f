//! How a fake takes its process with it, as the vendor's runtime does.

use std::ffi::{CStr, c_char, c_int};
use std::time::Duration;

/// A fault, at `rkllm_init` by `init_segv` and the like, in a run after its first token by `run_segv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `segv`: writes where there is no memory.
    Segv,
    /// `ill`, `bus`, `kill`: dies by that signal.
    Signal(c_int),
    /// `abort`: a line, then `abort`, as a failed assertion does.
    Abort,
    /// `exit`: ends the process with code 3.
    Exit,
    /// `deaf`: hangs, and hears no abort.
    Deaf,
    /// `malloc`: no NPU memory, and -1.
    Malloc,
    /// `malloc_segv`: the same, and then what 1.3.0 does.
    MallocSegv,
}

unsafe extern "C" {
    fn abort() -> !;
    fn _exit(code: c_int) -> !;
    fn puts(line: *const c_char) -> c_int;
    fn raise(signal: c_int) -> c_int;
}

impl Fault {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "segv" => Self::Segv,
            "ill" => Self::Signal(4),
            "bus" => Self::Signal(7),
            "kill" => Self::Signal(9),
            "abort" => Self::Abort,
            "exit" => Self::Exit,
            "deaf" => Self::Deaf,
            "malloc" => Self::Malloc,
            "malloc_segv" => Self::MallocSegv,
            _ => return None,
        })
    }

    /// Does it; where there is a way back, with what the vendor's function returns.
    pub(crate) fn strike(self) -> c_int {
        match self {
            Self::Segv => segv(),
            // Again: the standard library's handler of SIGBUS takes itself away the first time.
            Self::Signal(signal) => {
                for _ in 0..3 {
                    // SAFETY: takes a number.
                    unsafe { raise(signal) };
                }
            }
            Self::Abort => {
                say(c"GGML_ASSERT: fake.c:1: false");
                // SAFETY: takes nothing.
                unsafe { abort() }
            }
            // SAFETY: takes a number.
            Self::Exit => unsafe { _exit(3) },
            Self::Deaf => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            Self::Malloc | Self::MallocSegv => {
                say(c"E RKNN: failed to malloc npu memory, size: 4096, flags: 0x2");
                if self == Self::MallocSegv {
                    segv();
                }
            }
        }
        -1
    }
}

fn segv() {
    let nowhere = std::hint::black_box(1usize) as *mut u8;
    // SAFETY: none: this is a fault on purpose. Nothing is ever mapped at address 1.
    unsafe { nowhere.write_volatile(0) };
}

/// By C's standard output, as the vendor's library writes.
fn say(line: &CStr) {
    // SAFETY: a C string.
    unsafe {
        puts(line.as_ptr());
    }
}
