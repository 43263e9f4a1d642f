//! Whether a library executes SVE instructions without asking if the processor has them.
//!
//! A build of 1.3.0 did, and died on the RK3588 with an illegal instruction (airockchip/rknn-llm
//! issue 518); 1.2.3 holds such instructions too, but asks first. Nothing in an ELF file says which
//! it is, so both are inferred: SVE from instructions that any vectorised loop has, the asking from
//! the means for it.

use crate::elf::Elf;

/// What can be told from the file about a library's SVE instructions. All but `None` is inferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SveUse {
    /// None seen.
    None,
    /// There are some, and the library has a means to ask the processor first.
    Asked,
    /// There are some, and no means to ask.
    Unasked,
    /// The file does not say where its instructions are.
    Unknown,
}

/// So many of the telling instructions are no coincidence: data in a code section looks like one of
/// them once in 30,000 words.
const ENOUGH: usize = 8;

/// Functions and files by which programs learn what the processor has.
const IMPORTS: [&str; 4] = ["getauxval", "__getauxval", "elf_aux_info", "__getauxval2"];
const FILES: [&[u8]; 2] = [b"/proc/cpuinfo", b"/proc/self/auxv"];

/// Reads of ID_AA64PFR0_EL1 and ID_AA64ZFR0_EL1, which Linux answers; the register is in 5 bits.
const ID_READS: [u32; 2] = [0xd538_0400, 0xd538_0480];

pub(crate) fn judge(elf: &Elf<'_>, data: &[u8]) -> SveUse {
    if elf.code.is_empty() {
        return SveUse::Unknown;
    }
    let words = || elf.code.iter().flat_map(|code| code.chunks_exact(4)).map(word);
    if words().filter(|word| is_sve(*word)).take(ENOUGH).count() < ENOUGH {
        return SveUse::None;
    }
    let asks = IMPORTS.iter().any(|name| elf.imported.contains(*name))
        || words().any(|word| ID_READS.contains(&(word & !31)))
        || FILES.iter().any(|file| data.windows(file.len()).any(|window| window == *file));
    if asks { SveUse::Asked } else { SveUse::Unasked }
}

/// Whether this processor has SVE.
pub(crate) fn processor_has_it() -> bool {
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("sve")
    }
    #[cfg(not(target_arch = "aarch64"))]
    {
        false
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// `ptrue` (all element sizes) and `cntb`, `cnth`, `cntw`, `cntd`: how a loop over SVE vectors
/// gets its predicate and its step.
fn is_sve(word: u32) -> bool {
    word & 0xff3f_fc10 == 0x2518_e000 || word & 0xff30_fc00 == 0x0420_e000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_apart() {
        // ptrue p0.s; ptrue p7.d, vl8; cntw x8; cntb x0, all, mul #2
        for word in [0x2598_e3e0, 0x25d8_e107, 0x04a0_e3e8, 0x0421_e3e0] {
            assert!(is_sve(word), "{word:#x}");
        }
        // ret; nop; add x0, x1, x2; fmla v0.4s, v1.4s, v2.4s; sdot v0.4s, v1.16b, v2.16b
        for word in [0xd65f_03c0, 0xd503_201f, 0x8b02_0020, 0x4e22_cc20, 0x4e82_9420] {
            assert!(!is_sve(word), "{word:#x}");
        }
    }
}
