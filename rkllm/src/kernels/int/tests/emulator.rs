//! Instructions this processor may lack, executed by a signal handler: those of `amx/tiles.rs` and the `vpdpbusd` and
//! `vpdpwssd` of AVX-VNNI.
//!
//! A processor that has them never raises SIGILL, and the tests run on the hardware. Memory is accessed at the
//! addresses the instruction names, so guarded memory guards here too.

use std::arch::x86_64::__cpuid_count;
use std::cell::UnsafeCell;
use std::sync::Once;

use libc::{c_int, c_void, siginfo_t, ucontext_t};

const TILES: usize = 8;
const ROWS: usize = 16;
const ROW_BYTES: usize = 64;

type Tile = [[u8; ROW_BYTES]; ROWS];

struct State {
    configured: bool,
    rows: [usize; TILES],
    row_bytes: [usize; TILES],
    tiles: [Tile; TILES],
    /// Instructions executed on this thread.
    executed: usize,
}

thread_local! {
    /// Without a destructor and made at compile time, so a signal handler may use it.
    static STATE: UnsafeCell<State> = const {
        UnsafeCell::new(State {
            configured: false,
            rows: [0; TILES],
            row_bytes: [0; TILES],
            tiles: [[[0; ROW_BYTES]; ROWS]; TILES],
            executed: 0,
        })
    };
}

/// Installs the handler, once per process.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: a handler with the signature that SA_SIGINFO asks for.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_illegal;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
        }
    });
}

/// How many instructions were emulated on this thread.
pub(super) fn executed() -> usize {
    // SAFETY: this thread's own, and no handler runs meanwhile.
    STATE.with(|state| unsafe { (*state.get()).executed })
}

/// True while this thread's emulated tiles are configured.
pub(super) fn configured() -> bool {
    // SAFETY: as above.
    STATE.with(|state| unsafe { (*state.get()).configured })
}

extern "C" fn on_illegal(signal: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the interrupted thread's context; the handler runs on that thread, which is in
    // none of the functions above.
    unsafe {
        let context = &mut *context.cast::<ucontext_t>();
        let done = STATE.with(|state| execute(&mut *state.get(), context));
        if done.is_none() {
            // Not ours: the instruction runs again and ends the process.
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// The second operand of an instruction.
enum Operand {
    Register(usize),
    /// Base plus displacement, and the scaled index.
    Memory(usize, usize),
}

/// A VEX instruction of the map 0F38.
struct Instruction {
    opcode: u8,
    /// 0: none, 1: 66, 2: F3, 3: F2.
    prefix: u8,
    wide: bool,
    register: usize,
    /// The register named by VEX.vvvv.
    extra: usize,
    operand: Operand,
    length: usize,
}

/// # Safety
/// `at` points to an instruction.
unsafe fn decode(at: *const u8, registers: &[i64]) -> Option<Instruction> {
    // SAFETY: instructions are read as far as they are understood.
    let byte = |i: usize| unsafe { *at.add(i) };
    let displacement = |i: usize, bytes: usize| match bytes {
        0 => 0,
        1 => byte(i) as i8 as isize,
        _ => i32::from_le_bytes(std::array::from_fn(|j| byte(i + j))) as isize,
    };
    if byte(0) != 0xc4 || byte(1) & 31 != 2 || byte(2) & 0x80 != 0 {
        return None;
    }
    let high = |bit: u8| usize::from(byte(1) >> bit & 1 == 0) * 8;
    let modrm = byte(4);
    let (mode, low) = (modrm >> 6, usize::from(modrm & 7));
    let mut length = 5;
    let operand = if mode == 3 {
        Operand::Register(low + high(5))
    } else {
        let mut index = 0;
        let mut base = low;
        if low == 4 {
            let sib = byte(5);
            length += 1;
            base = usize::from(sib & 7);
            let number = usize::from(sib >> 3 & 7) + high(6);
            if number != 4 {
                index = (general(registers, number) as usize) << (sib >> 6);
            }
        }
        let bytes = match mode {
            0 if base == 5 => return None,
            0 => 0,
            1 => 1,
            _ => 4,
        };
        let start = general(registers, base + high(5)) as usize;
        let start = start.wrapping_add_signed(displacement(length, bytes));
        length += bytes;
        Operand::Memory(start, index)
    };
    Some(Instruction {
        opcode: byte(3),
        prefix: byte(2) & 3,
        wide: byte(2) >> 2 & 1 != 0,
        register: usize::from(modrm >> 3 & 7) + high(7),
        extra: usize::from(!byte(2) >> 3 & 15),
        operand,
        length,
    })
}

/// General register `number`, as instructions count them.
fn general(registers: &[i64], number: usize) -> i64 {
    use libc::*;
    let order = [
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9,
        REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    ];
    registers[order[number] as usize]
}

/// Executes the instruction the thread stopped at, or does nothing where it is not one of ours.
///
/// # Safety
/// `context` is that of a thread that stopped at an illegal instruction.
unsafe fn execute(state: &mut State, context: &mut ucontext_t) -> Option<()> {
    let registers = &context.uc_mcontext.gregs;
    // SAFETY: the thread was about to run the instruction; the addresses are those it names.
    unsafe {
        let at = registers[libc::REG_RIP as usize] as *const u8;
        let i = decode(at, registers)?;
        match (i.opcode, i.prefix, &i.operand) {
            (0x49, 0, Operand::Memory(from, 0)) => state.configure(*from as *const u8)?,
            (0x49, 0, Operand::Register(0)) => state.configured = false,
            (0x49, 3, Operand::Register(0)) => *state.tile(i.register)? = [[0; ROW_BYTES]; ROWS],
            (0x4b, 3, Operand::Memory(from, stride)) => state.load(i.register, *from, *stride)?,
            (0x4b, 2, Operand::Memory(to, stride)) => state.store(i.register, *to, *stride)?,
            (0x5e, 3, Operand::Register(a)) => state.multiply(i.register, *a, i.extra)?,
            (0x50 | 0x52, 1, _) if i.wide => vector_products(&i, context)?,
            _ => return None,
        }
        state.executed += 1;
        context.uc_mcontext.gregs[libc::REG_RIP as usize] += i.length as i64;
    }
    Some(())
}

impl State {
    /// `ldtilecfg`.
    unsafe fn configure(&mut self, from: *const u8) -> Option<()> {
        // SAFETY: the instruction reads 64 bytes.
        let config = unsafe { from.cast::<[u8; 64]>().read() };
        if config[0] != 1 || config[1..16].iter().any(|&byte| byte != 0) {
            return None;
        }
        for tile in 0..TILES {
            let row_bytes = u16::from_le_bytes([config[16 + 2 * tile], config[17 + 2 * tile]]);
            (self.row_bytes[tile], self.rows[tile]) = (row_bytes.into(), config[48 + tile].into());
            if self.row_bytes[tile] > ROW_BYTES || self.rows[tile] > ROWS {
                return None;
            }
        }
        self.tiles = [[[0; ROW_BYTES]; ROWS]; TILES];
        self.configured = true;
        Some(())
    }

    fn tile(&mut self, tile: usize) -> Option<&mut Tile> {
        (self.configured && tile < TILES && self.rows[tile] != 0).then(|| &mut self.tiles[tile])
    }

    /// `tileloadd`.
    unsafe fn load(&mut self, tile: usize, from: usize, stride: usize) -> Option<()> {
        let (rows, row_bytes) = (self.rows[tile], self.row_bytes[tile]);
        let out = self.tile(tile)?;
        *out = [[0; ROW_BYTES]; ROWS];
        for (r, row) in out.iter_mut().enumerate().take(rows) {
            let from = from.wrapping_add(r.wrapping_mul(stride)) as *const u8;
            // SAFETY: what the instruction reads.
            unsafe { row.as_mut_ptr().copy_from_nonoverlapping(from, row_bytes) };
        }
        Some(())
    }

    /// `tilestored`.
    unsafe fn store(&mut self, tile: usize, to: usize, stride: usize) -> Option<()> {
        let (rows, row_bytes) = (self.rows[tile], self.row_bytes[tile]);
        for (r, row) in self.tile(tile)?.iter().enumerate().take(rows) {
            let to = to.wrapping_add(r.wrapping_mul(stride)) as *mut u8;
            // SAFETY: what the instruction writes.
            unsafe { to.copy_from_nonoverlapping(row.as_ptr(), row_bytes) };
        }
        Some(())
    }

    /// `tdpbssd`: `c` `+=` `a` times `b`, signed bytes, four of `a`'s row with four of `b`'s.
    fn multiply(&mut self, c: usize, a: usize, b: usize) -> Option<()> {
        let (rows, depth, width) = (self.rows[c], self.row_bytes[a] / 4, self.row_bytes[c] / 4);
        let fit = self.rows[a] == rows && self.rows[b] == depth;
        if !fit || self.row_bytes[b] / 4 != width || a == b || a == c || b == c {
            return None;
        }
        let (from, with) = (*self.tile(a)?, *self.tile(b)?);
        let out = self.tile(c)?;
        for r in 0..rows {
            for n in 0..width {
                let at = 4 * n..4 * n + 4;
                let mut sum = i32::from_le_bytes(out[r][at.clone()].try_into().ok()?);
                for k in 0..depth {
                    for j in 0..4 {
                        let product = i32::from(from[r][4 * k + j] as i8);
                        sum = sum.wrapping_add(product * i32::from(with[k][4 * n + j] as i8));
                    }
                }
                out[r][at].copy_from_slice(&sum.to_le_bytes());
            }
        }
        Some(())
    }
}

/// `vpdpbusd` and `vpdpwssd` on ymm registers, which lie in the frame of the signal.
///
/// # Safety
/// As [`execute`].
unsafe fn vector_products(i: &Instruction, context: &mut ucontext_t) -> Option<()> {
    /// Where the frame says that the upper halves are in it, and the bit that says so.
    const HEADER: usize = 512;
    const UPPER: u64 = 1 << 2;
    let upper = __cpuid_count(0xd, 2).ebx as usize;
    // SAFETY: Linux saves the state as XSAVE does: xmm from byte 160 on, upper halves where CPUID says.
    unsafe {
        let frame = context.uc_mcontext.fpregs.cast::<u8>();
        let header = frame.add(HEADER).cast::<u64>();
        let half = |r: usize, high: bool| frame.add(if high { upper } else { 160 } + 16 * r);
        if *header & UPPER == 0 {
            std::ptr::write_bytes(frame.add(upper), 0, 256);
            *header |= UPPER;
        }
        let read =
            |r: usize| -> [u8; 32] { std::array::from_fn(|j| *half(r, j >= 16).add(j % 16)) };
        let (sums, a) = (read(i.register), read(i.extra));
        let b = match i.operand {
            Operand::Register(r) => read(r),
            Operand::Memory(start, index) => {
                (start.wrapping_add(index) as *const [u8; 32]).read_unaligned()
            }
        };
        for lane in 0..8 {
            let at = 4 * lane;
            let word = |v: &[u8; 32], j: usize| i32::from(i16::from_le_bytes([v[j], v[j + 1]]));
            let sum = i32::from_le_bytes([sums[at], sums[at + 1], sums[at + 2], sums[at + 3]]);
            let products: i32 = match i.opcode {
                0x50 => (at..at + 4).map(|j| i32::from(a[j]) * i32::from(b[j] as i8)).sum(),
                _ => (at..at + 4)
                    .step_by(2)
                    .fold(0i32, |s, j| s.wrapping_add(word(&a, j) * word(&b, j))),
            };
            let bytes = sum.wrapping_add(products).to_le_bytes();
            half(i.register, at >= 16).add(at % 16).cast::<[u8; 4]>().write_unaligned(bytes);
        }
    }
    Some(())
}
