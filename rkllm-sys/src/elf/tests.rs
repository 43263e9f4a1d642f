//! The reader on files made here and on whatever a disk may make of them.

use proptest::prelude::*;

use super::*;

/// What a made-up library has.
pub(crate) struct Made<'a> {
    pub(crate) machine: Machine,
    pub(crate) defined: &'a [&'a str],
    pub(crate) imported: &'a [&'a str],
    /// Goes into a section of its own.
    pub(crate) text: &'a [u8],
    pub(crate) code: &'a [u32],
    /// DT_GNU_HASH instead of DT_HASH.
    pub(crate) gnu: bool,
}

impl Default for Made<'_> {
    fn default() -> Self {
        Self {
            machine: Machine::AARCH64,
            defined: &["rkllm_init", "other", "rkllm_run"],
            imported: &["getauxval", "malloc"],
            text: b"RKLLM SDK (version: 1.3.0 | target: Linux)\0",
            code: &[0xd65f_03c0],
            gnu: false,
        }
    }
}

impl Made<'_> {
    /// The file: headers, text, code, strings, symbols, hash table, dynamic section, section headers.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0u8; FILE_HEADER + 2 * PROGRAM_HEADER as usize];
        let text = place(&mut file, self.text);
        let code: Vec<u8> = self.code.iter().flat_map(|word| word.to_le_bytes()).collect();
        let code = place(&mut file, &code);
        let (mut names, mut symbols) = (vec![0u8], vec![0u8; SYMBOL as usize]);
        let listed = self.imported.iter().map(|name| (name, 0u16));
        for (name, section) in listed.chain(self.defined.iter().map(|name| (name, 1))) {
            symbols.extend((names.len() as u32).to_le_bytes());
            symbols.extend([0x12, 0]);
            symbols.extend(section.to_le_bytes());
            symbols.extend([0; 16]);
            names.extend(name.bytes().chain([0]));
        }
        let count = (symbols.len() as u64 / SYMBOL) as u32;
        let names = place(&mut file, &names);
        let symbols = place(&mut file, &symbols);
        let hash = match self.gnu {
            false => vec![1, count, 0],
            true => {
                // One bucket that begins after the imports; its chain ends with an odd hash.
                let first = 1 + self.imported.len() as u32;
                let mut chain = vec![2; self.defined.len()];
                *chain.last_mut().unwrap() = 3;
                [vec![1, first, 1, 0, 0, 0, first], chain].concat()
            }
        };
        let hash: Vec<u8> = hash.iter().flat_map(|word| word.to_le_bytes()).collect();
        let hash = place(&mut file, &hash);
        let hash_tag = if self.gnu { DT_GNU_HASH } else { DT_HASH };
        let dynamic: Vec<u8> = [
            (DT_STRTAB, names.start),
            (DT_SYMTAB, symbols.start),
            (DT_STRSZ, names.end - names.start),
            (hash_tag, hash.start),
            (0, 0),
        ]
        .iter()
        .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
        .collect();
        let dynamic = place(&mut file, &dynamic);
        let sections = place(&mut file, &[0; 3 * SECTION_HEADER as usize]).start;
        let end = file.len() as u64;
        self.file_header(&mut file, sections);
        program_header(&mut file, 0, PT_LOAD, 0..end);
        program_header(&mut file, 1, PT_DYNAMIC, dynamic);
        section_header(&mut file, sections, 1, 0, text);
        section_header(&mut file, sections, 2, SHF_EXECINSTR, code);
        file
    }

    fn file_header(&self, file: &mut [u8], sections: u64) {
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..18].copy_from_slice(&ET_DYN.to_le_bytes());
        file[18..20].copy_from_slice(&self.machine.0.to_le_bytes());
        file[32..40].copy_from_slice(&(FILE_HEADER as u64).to_le_bytes());
        file[40..48].copy_from_slice(&sections.to_le_bytes());
        for (at, value) in [(54, PROGRAM_HEADER), (56, 2), (58, SECTION_HEADER), (60, 3)] {
            file[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
        }
    }
}

/// Each is looked at whole, so that 65,535 headers of one stretch would keep a reader for hours.
#[test]
fn sections_that_overlap_are_refused() {
    let mut file = Made::default().bytes();
    let sections = file.len() as u64 - 3 * SECTION_HEADER;
    let end = file.len() as u64;
    section_header(&mut file, sections, 1, SHF_EXECINSTR, 0..end);
    let error = Elf::parse(&file).unwrap_err();
    assert!(matches!(&error, Fault::Malformed(why) if why.contains("more code")), "{error:?}");
    // One that is all of the file is no more than it.
    section_header(&mut file, sections, 2, 0, 0..end);
    Elf::parse(&file).unwrap();
}

/// Appends bytes at a multiple of 8.
fn place(file: &mut Vec<u8>, bytes: &[u8]) -> Range<u64> {
    file.resize(file.len().next_multiple_of(8), 0);
    let start = file.len() as u64;
    file.extend(bytes);
    start..file.len() as u64
}

fn program_header(file: &mut [u8], index: usize, kind: u32, range: Range<u64>) {
    let at = FILE_HEADER + index * PROGRAM_HEADER as usize;
    file[at..at + 4].copy_from_slice(&kind.to_le_bytes());
    for (field, value) in [(8, range.start), (16, range.start), (32, range.end - range.start)] {
        file[at + field..at + field + 8].copy_from_slice(&value.to_le_bytes());
    }
}

fn section_header(file: &mut [u8], table: u64, index: u64, flags: u64, range: Range<u64>) {
    let at = (table + index * SECTION_HEADER) as usize;
    file[at + 4..at + 8].copy_from_slice(&SHT_PROGBITS.to_le_bytes());
    for (field, value) in [(8, flags), (24, range.start), (32, range.end - range.start)] {
        file[at + field..at + field + 8].copy_from_slice(&value.to_le_bytes());
    }
}

#[test]
fn names_and_code_are_read() {
    for gnu in [false, true] {
        let file = Made { gnu, ..Made::default() }.bytes();
        let elf = Elf::parse(&file).unwrap();
        assert_eq!(elf.machine, Machine::AARCH64);
        assert_eq!(elf.defined.iter().collect::<Vec<_>>(), ["rkllm_init", "rkllm_run"], "{gnu}");
        assert_eq!(elf.imported.iter().collect::<Vec<_>>(), ["getauxval"]);
        assert_eq!(elf.code, [0xd65f_03c0u32.to_le_bytes()]);
    }
}

#[test]
fn every_shorter_file_is_truncated() {
    for gnu in [false, true] {
        let file = Made { gnu, ..Made::default() }.bytes();
        for length in 0..file.len() {
            match Elf::parse(&file[..length]) {
                Err(Fault::Truncated { needed, found }) => {
                    assert!(found == length as u64 && needed > found, "{length}");
                }
                other => panic!("{length} bytes: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_no_library_for_us_is_named() {
    let file = Made::default().bytes();
    let with = |at: usize, byte: u8| {
        let mut file = file.clone();
        file[at] = byte;
        Elf::parse(&file).map(|elf| elf.machine).unwrap_err()
    };
    assert_eq!(with(0, b'E'), Fault::NotElf);
    assert_eq!(with(4, 1), Fault::OtherClass("aarch64, a 32-bit file".into()));
    assert_eq!(with(5, 2), Fault::OtherClass("a big-endian file".into()));
    for (at, byte) in [(4, 3), (5, 0), (16, 2), (54, 1), (56, 0), (58, 1)] {
        assert!(matches!(with(at, byte), Fault::Malformed(_)), "{at}");
    }
    assert_eq!(Elf::parse(b"GNU ld script").unwrap_err(), Fault::NotElf);
    assert_eq!(Elf::parse(b"").unwrap_err(), Fault::Truncated { needed: 64, found: 0 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_change_of_bytes_makes_it_crash(
        gnu: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<Option<prop::sample::Index>>(),
    ) {
        let mut file = Made { gnu, ..Made::default() }.bytes();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(length) = length {
            file.truncate(length.index(file.len()));
        }
        // Returns; whatever it returns stays inside the file.
        if let Ok(elf) = Elf::parse(&file) {
            prop_assert!(elf.code.iter().map(|code| code.len()).sum::<usize>() <= 3 * file.len());
        }
    }

    #[test]
    fn no_eight_bytes_of_a_table_make_it_crash(gnu: bool, at in any::<prop::sample::Index>(), value: u64) {
        let mut file = Made { gnu, ..Made::default() }.bytes();
        let words = file.len() / 8;
        let at = at.index(words) * 8;
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let _ = Elf::parse(&file);
    }
}
