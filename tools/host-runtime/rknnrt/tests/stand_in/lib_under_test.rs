//! The library, its functions, and what a test needs to call them.

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use rkllm_sys::rknn::*;
use rkllm_sys::{Rknn, RknnOptions, Search};

/// Cargo builds it with the tests, into their directory.
pub(crate) fn file() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join("librknnrt.so")
}

pub(crate) fn functions() -> &'static Functions {
    static LIBRARY: OnceLock<Rknn> = OnceLock::new();
    let open = || Rknn::open(&Search::file(file()), &RknnOptions::default()).unwrap();
    LIBRARY.get_or_init(open).functions()
}

/// Contexts and memories that live. Of the whole process: for tests that run in one of their own.
pub(crate) fn alive() -> c_int {
    // SAFETY: a function of the library under test, which is loaded and stays.
    unsafe {
        let library = libloading::Library::new(file()).unwrap();
        let alive = *library.get::<extern "C" fn() -> c_int>(b"rkllm_host_rknn_alive\0").unwrap();
        alive()
    }
}

/// A command that runs a program built for the processor of these tests. `RKLLM_TEST_EMULATOR` has the words
/// before it where that is not the computer's own.
pub(crate) fn emulated(program: &Path) -> Command {
    let words = std::env::var("RKLLM_TEST_EMULATOR").unwrap_or_default();
    let mut words = words.split_whitespace();
    let Some(emulator) = words.next() else { return Command::new(program) };
    let mut command = Command::new(emulator);
    command.args(words).arg(program);
    command
}

/// Runs one test of this binary in a process of its own, with an environment of its own.
pub(crate) fn child(test: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = emulated(&std::env::current_exe().unwrap());
    command.args([test, "--exact", "--include-ignored", "--nocapture"]);
    command.envs(environment.iter().copied()).output().unwrap()
}

/// The same, of a test that has to pass; what it wrote.
pub(crate) fn passing_child(test: &str, environment: &[(&str, &str)]) -> String {
    let output = child(test, environment);
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{environment:?} {:?}\n{said}", output.status);
    assert!(said.contains("1 passed"), "{test} is no test:\n{said}");
    said
}

/// The SoC this process is to be.
pub(crate) fn soc() -> String {
    std::env::var("RKLLM_HOST_SOC").unwrap_or_else(|_| "rk3588".into())
}

/// A memory. Freed when dropped.
pub(crate) struct Mem {
    pub(crate) ctx: u64,
    pub(crate) face: *mut rknn_tensor_mem,
}

impl Mem {
    pub(crate) fn new(ctx: u64, size: u32) -> Self {
        // SAFETY: takes numbers.
        let face = unsafe { (functions().rknn_create_mem)(ctx, size) };
        assert!(!face.is_null());
        Self { ctx, face }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: made by the library, and freed when this is dropped.
        unsafe {
            let face = &*self.face;
            std::slice::from_raw_parts_mut(
                face.virt_addr.cast::<u8>().add(face.offset as usize),
                face.size as usize,
            )
        }
    }
}

impl Drop for Mem {
    fn drop(&mut self) {
        // SAFETY: as above.
        assert_eq!(unsafe { (functions().rknn_destroy_mem)(self.ctx, self.face) }, 0);
    }
}

/// A matmul context with memory for A, B and C. Destroyed when dropped.
pub(crate) struct Context {
    pub(crate) ctx: u64,
    pub(crate) attrs: Vec<rknn_matmul_io_attr>,
    pub(crate) mems: [Option<Mem>; 3],
}

pub(crate) fn tensors(attr: &rknn_matmul_io_attr) -> [rknn_matmul_tensor_attr; 3] {
    [attr.A, attr.B, attr.C]
}

impl Context {
    /// The code, where it is none of success.
    pub(crate) fn create(mut info: rknn_matmul_info) -> Result<Self, c_int> {
        let (mut ctx, mut attr) = (0, rknn_matmul_io_attr::default());
        // SAFETY: three structs.
        match unsafe { (functions().rknn_matmul_create)(&mut ctx, &mut info, &mut attr) } {
            0 => Ok(Self { ctx, attrs: vec![attr], mems: [None, None, None] }.with_memory()),
            code => Err(code),
        }
    }

    /// The same with several shapes; nothing is bound.
    pub(crate) fn dynamic(
        mut info: rknn_matmul_info,
        shapes: &mut [rknn_matmul_shape],
    ) -> Result<Self, c_int> {
        let (mut ctx, mut attrs) = (0, vec![rknn_matmul_io_attr::default(); shapes.len()]);
        // SAFETY: structs, and two arrays of as many.
        let code = unsafe {
            (functions().rknn_matmul_create_dynamic_shape)(
                &mut ctx,
                &mut info,
                shapes.len() as c_int,
                shapes.as_mut_ptr(),
                attrs.as_mut_ptr(),
            )
        };
        if code != 0 {
            return Err(code);
        }
        let mut new = Self { ctx, attrs, mems: [None, None, None] };
        for i in 0..3 {
            let largest = new.attrs.iter().map(|attr| tensors(attr)[i].size).max().unwrap();
            new.mems[i] = Some(Mem::new(ctx, largest));
        }
        Ok(new)
    }

    fn with_memory(mut self) -> Self {
        for i in 0..3 {
            self.mems[i] = Some(Mem::new(self.ctx, tensors(&self.attrs[0])[i].size));
            assert_eq!(self.bind(i, 0), 0);
        }
        self
    }

    /// Binds A, B or C of a shape.
    pub(crate) fn bind(&self, i: usize, shape: usize) -> c_int {
        let mut attr = tensors(&self.attrs[shape])[i];
        // SAFETY: a memory that lives, and a struct.
        unsafe {
            (functions().rknn_matmul_set_io_mem)(
                self.ctx,
                self.mems[i].as_ref().unwrap().face,
                &mut attr,
            )
        }
    }

    pub(crate) fn bytes(&mut self, i: usize) -> &mut [u8] {
        self.mems[i].as_mut().unwrap().bytes()
    }

    pub(crate) fn fill(&mut self, i: usize, bytes: &[u8]) {
        self.bytes(i)[..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn run(&self) -> c_int {
        // SAFETY: takes a number.
        unsafe { (functions().rknn_matmul_run)(self.ctx) }
    }

    pub(crate) fn quant(&self, name: &str, scales: &[f32], zeros: &[i32]) -> c_int {
        let (mut scales, mut zeros) = (scales.to_vec(), zeros.to_vec());
        let mut params = rknn_quant_params {
            scale: scales.as_mut_ptr(),
            scale_len: scales.len() as i32,
            zp: if zeros.is_empty() { std::ptr::null_mut() } else { zeros.as_mut_ptr() },
            zp_len: zeros.len() as i32,
            ..Default::default()
        };
        for (to, byte) in params.name.iter_mut().zip(name.bytes()) {
            *to = byte as _;
        }
        // SAFETY: a struct whose arrays have the lengths it says.
        unsafe { (functions().rknn_matmul_set_quant_params)(self.ctx, &mut params) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.mems = [None, None, None];
        // SAFETY: takes a number.
        assert_eq!(unsafe { (functions().rknn_matmul_destroy)(self.ctx) }, 0);
    }
}
