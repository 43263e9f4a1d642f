//! The guard around the first call: what does `rkllm_createDefaultParam` write?
//!
//! The struct is returned through a hidden pointer (x8 on aarch64, the first argument on x86-64), so
//! a caller with another layout in mind would have its stack overwritten. Here the pointer leads into
//! a buffer larger than any layout, filled with a pattern; a byte that keeps the pattern in two calls
//! with opposite patterns was not written.

use crate::version::Abi;

/// Far more than any release writes (208 bytes).
const BUFFER: usize = 4096;

/// `rkllm_createDefaultParam`, of an ABI that is not known yet.
pub(crate) type CreateDefaultParam = unsafe extern "C" fn();

/// Where `RKLLMParam` has what.
struct Layout {
    size: usize,
    /// The end of the last field; padding follows.
    fields_end: usize,
    /// Where the extended parameters begin.
    extend: usize,
    /// Flags of one byte.
    flags: std::ops::Range<usize>,
}

impl Layout {
    fn of(abi: Abi) -> Self {
        macro_rules! layout {
            ($abi:ident, $last_flag:ident) => {{
                use crate::$abi::{RKLLMExtendParam, RKLLMParam};
                use std::mem::{offset_of, size_of};
                let extend = offset_of!(RKLLMParam, extend_param);
                let reserved = offset_of!(RKLLMExtendParam, reserved);
                let padding = size_of::<RKLLMExtendParam>() - reserved - RESERVED;
                Layout {
                    size: size_of::<RKLLMParam>(),
                    fields_end: extend + size_of::<RKLLMExtendParam>() - padding,
                    extend,
                    flags: offset_of!(RKLLMParam, skip_special_token)
                        ..offset_of!(RKLLMParam, $last_flag) + 1,
                }
            }};
        }
        /// Bytes of `RKLLMExtendParam::reserved` in both ABIs.
        const RESERVED: usize = 104;
        match abi {
            Abi::V1_2 => layout!(v1_2, is_async),
            Abi::V1_3 => layout!(v1_3, is_async),
        }
    }
}

/// What two calls left in their buffers.
pub(crate) struct Written {
    bytes: Vec<u8>,
    written: Vec<bool>,
}

impl Written {
    /// Calls the function twice.
    ///
    /// # Safety
    /// `function` is `rkllm_createDefaultParam` of a librkllmrt of some release since 1.1.
    pub(crate) unsafe fn by(function: CreateDefaultParam) -> Self {
        // SAFETY: as promised by the caller.
        let calls = [0x00, 0xff].map(|flip| unsafe { call(function, flip) });
        let written = (0..BUFFER).map(|at| (0..2).any(|i| calls[i].0[at] != calls[i].1[at]));
        let written = written.collect();
        let [(_, bytes), _] = calls;
        Self { bytes, written }
    }

    /// One past the last byte written.
    fn extent(&self) -> usize {
        self.written.iter().rposition(|written| *written).map_or(0, |last| last + 1)
    }

    /// Says what speaks against the layout of `abi`, as expected and found.
    pub(crate) fn check(&self, abi: Abi) -> Result<(), (String, String)> {
        let layout = Layout::of(abi);
        let extent = self.extent();
        if extent > layout.size {
            return Err((
                format!("at most {} bytes written, {abi}", layout.size),
                format!("{extent} bytes"),
            ));
        }
        let cpus = layout.extend + 5;
        if extent < layout.fields_end {
            // Assigned field by field: then the documented default tells the layouts apart.
            let found =
                if self.written[cpus] { self.bytes[cpus].to_string() } else { "none".into() };
            if found != "4" {
                return Err((
                    format!("{} bytes, or 4 cores at offset {cpus}, {abi}", layout.size),
                    format!("{extent} bytes, and {found} there"),
                ));
            }
        }
        for (name, at, good) in self.claims(&layout) {
            if !good {
                return Err((format!("a default of {name} at offset {at}, {abi}"), self.hex(at)));
            }
        }
        Ok(())
    }

    /// Fields, their offsets, and whether what was written there can be a default.
    fn claims(&self, layout: &Layout) -> Vec<(&'static str, usize, bool)> {
        let float = |at: usize, least: f32, most: f32| {
            !self.written[at] || (least..=most).contains(&f32::from_bits(self.word(at)))
        };
        let int = |at: usize, range: std::ops::RangeInclusive<i32>| {
            !self.written[at] || range.contains(&self.word(at).cast_signed())
        };
        let byte = |at: usize, most: u8| !self.written[at] || self.bytes[at] <= most;
        let mut claims = vec![
            ("top_p", 24, float(24, 0.0, 1.0)),
            ("temperature", 28, float(28, 0.0, 100.0)),
            ("repeat_penalty", 32, float(32, 0.0, 100.0)),
            ("frequency_penalty", 36, float(36, -2.0, 2.0)),
            ("presence_penalty", 40, float(40, -2.0, 2.0)),
            ("mirostat", 44, int(44, 0..=2)),
            ("base_domain_id", layout.extend, int(layout.extend, 0..=15)),
            ("embed_flash", layout.extend + 4, byte(layout.extend + 4, 1)),
            ("enabled_cpus_num", layout.extend + 5, byte(layout.extend + 5, 8)),
            ("use_cross_attn", layout.extend + 13, byte(layout.extend + 13, 1)),
        ];
        claims.extend(layout.flags.clone().map(|at| ("a flag", at, byte(at, 1))));
        claims
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    fn hex(&self, at: usize) -> String {
        format!("bytes {:02x?}", &self.bytes[at..at + 4])
    }
}

/// The pattern before a call, and what the buffer holds after it.
///
/// # Safety
/// As for [`Written::by`].
unsafe fn call(function: CreateDefaultParam, flip: u8) -> (Vec<u8>, Vec<u8>) {
    #[repr(C, align(64))]
    struct Buffer([u8; BUFFER]);
    let pattern: Vec<u8> = (0..BUFFER).map(|i| (i * 151 + 0x5a) as u8 ^ flip).collect();
    let mut buffer = Box::new(Buffer([0; BUFFER]));
    buffer.0.copy_from_slice(&pattern);
    // SAFETY: the buffer is aligned for any struct and larger than any release's `RKLLMParam`, which
    // the caller promises the function to return; it takes no arguments.
    unsafe { call_with_result_at(function, buffer.0.as_mut_ptr()) };
    (pattern, buffer.0.to_vec())
}

/// Calls a function that returns a large struct, with the place for it at `result`.
///
/// # Safety
/// `function` takes no arguments and returns a struct of more than 16 bytes; `result` is aligned for
/// it and has room.
#[cfg(target_arch = "x86_64")]
unsafe fn call_with_result_at(function: CreateDefaultParam, result: *mut u8) {
    // SAFETY: the System V ABI passes the place of a struct returned in memory as a hidden first
    // argument and returns it; that is what this type says.
    let function = unsafe {
        std::mem::transmute::<CreateDefaultParam, unsafe extern "C" fn(*mut u8) -> *mut u8>(
            function,
        )
    };
    // SAFETY: as promised by the caller.
    unsafe { function(result) };
}

/// As on x86-64, but that AAPCS64 passes the place in x8, which no argument of a function is in.
///
/// # Safety
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
unsafe fn call_with_result_at(function: CreateDefaultParam, result: *mut u8) {
    // SAFETY: a call by AAPCS64 with x8 set and no arguments; whatever a call may clobber is named,
    // the stack is aligned (no `nostack`), memory may change (no `nomem`).
    unsafe {
        std::arch::asm!(
            "blr {function}",
            function = in(reg) function,
            in("x8") result,
            clobber_abi("C"),
        );
    }
}

/// On no other processor is a runtime opened.
///
/// # Safety
/// Never called.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn call_with_result_at(_: CreateDefaultParam, _: *mut u8) {
    unreachable!("no runtime is for this processor, and open() has said so");
}

#[cfg(test)]
mod tests;
