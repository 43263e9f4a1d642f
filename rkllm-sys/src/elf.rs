//! Reads what is needed of a 64-bit little-endian ELF file, trusting nothing in it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// Sizes of a file header, a program header, a section header, a symbol, an entry of .dynamic.
const FILE_HEADER: usize = 64;
const PROGRAM_HEADER: u64 = 56;
const SECTION_HEADER: u64 = 64;
const SYMBOL: u64 = 24;
const DYNAMIC_ENTRY: usize = 16;

const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const SHT_PROGBITS: u32 = 1;
const SHT_NOBITS: u32 = 8;
const SHF_EXECINSTR: u64 = 4;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

/// No name longer than this is asked for, and a runtime has far fewer of those that are.
const LONGEST_NAME: usize = 256;
const MOST_NAMES: usize = 4096;

/// The processor an ELF file is for (`e_machine`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine(pub u16);

impl Machine {
    /// x86-64.
    pub const X86_64: Self = Self(62);
    /// 64-bit ARM, what the boards are.
    pub const AARCH64: Self = Self(183);

    /// The processor this program was compiled for, or `None` where no runtime can be called.
    pub const fn this() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::AARCH64)
        } else {
            None
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            3 => f.write_str("x86 (32-bit)"),
            40 => f.write_str("arm (32-bit)"),
            62 => f.write_str("x86_64"),
            183 => f.write_str("aarch64"),
            243 => f.write_str("riscv"),
            other => write!(f, "machine {other}"),
        }
    }
}

/// Why a file was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The first bytes are not those of ELF.
    NotElf,
    /// The file has `found` bytes and its headers need `needed`.
    Truncated { needed: u64, found: u64 },
    /// 32-bit or big-endian.
    OtherClass(String),
    /// Tables that contradict each other.
    Malformed(String),
}

/// What of a shared library matters here.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    pub(crate) machine: Machine,
    /// Names of the functions that the library defines and that begin with `rk`.
    pub(crate) defined: BTreeSet<String>,
    /// Those names the library wants from others that have to do with the auxiliary vector.
    pub(crate) imported: BTreeSet<String>,
    /// The sections of instructions; empty where there are no section headers.
    pub(crate) code: Vec<&'a [u8]>,
}

#[derive(Debug)]
struct Segment {
    kind: u32,
    file: Range<u64>,
    address: u64,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, Fault> {
        let machine = header(data)?;
        let segments = segments(data)?;
        let code = code(data)?;
        let [defined, imported] = symbols(data, &segments)?;
        Ok(Self { machine, defined, imported, code })
    }
}

/// Checks the file header and everything of a truncated file that can be told from it.
fn header(data: &[u8]) -> Result<Machine, Fault> {
    const MAGIC: &[u8] = b"\x7fELF";
    let start = &data[..data.len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) {
        return Err(Fault::NotElf);
    }
    if data.len() < 20 {
        return Err(truncated(data, FILE_HEADER as u64));
    }
    let machine = Machine(u16_at(data, 18));
    match (data[4], data[5]) {
        (2, 1) => {}
        (1, 1) => return Err(Fault::OtherClass(format!("{machine}, a 32-bit file"))),
        (_, 2) => return Err(Fault::OtherClass("a big-endian file".into())),
        (class, order) => {
            return Err(Fault::Malformed(format!("ELF class {class}, byte order {order}")));
        }
    }
    if data.len() < FILE_HEADER {
        return Err(truncated(data, FILE_HEADER as u64));
    }
    let kind = u16_at(data, 16);
    if kind != ET_DYN {
        return Err(Fault::Malformed(format!("ELF type {kind}, and a shared library has 3")));
    }
    Ok(machine)
}

fn segments(data: &[u8]) -> Result<Vec<Segment>, Fault> {
    let table = table(data, "program", u64_at(data, 32), 54, 56, PROGRAM_HEADER)?;
    let mut segments = Vec::new();
    for entry in table.chunks_exact(PROGRAM_HEADER as usize) {
        let file = range(u64_at(entry, 8), u64_at(entry, 32))?;
        if file.end > data.len() as u64 {
            return Err(truncated(data, file.end));
        }
        segments.push(Segment { kind: u32_at(entry, 0), file, address: u64_at(entry, 16) });
    }
    Ok(segments)
}

/// The sections that hold instructions. A segment would not do: it may hold read-only data too.
fn code(data: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let table = table(data, "section", u64_at(data, 40), 58, 60, SECTION_HEADER)?;
    let mut code = Vec::new();
    let mut total = 0;
    for entry in table.chunks_exact(SECTION_HEADER as usize) {
        let kind = u32_at(entry, 4);
        if kind == SHT_NOBITS || kind == 0 {
            continue;
        }
        let file = range(u64_at(entry, 24), u64_at(entry, 32))?;
        let bytes = slice(data, &file).ok_or_else(|| truncated(data, file.end))?;
        if kind == SHT_PROGBITS && u64_at(entry, 8) & SHF_EXECINSTR != 0 {
            // Every byte is looked at: sections that overlap could make that forever.
            total += bytes.len();
            if total > data.len() {
                return Err(Fault::Malformed("sections of more code than the file has".into()));
            }
            code.push(bytes);
        }
    }
    Ok(code)
}

/// A table of headers at `offset`, whose entry size and count are at `size_at` and `count_at`.
fn table<'a>(
    data: &'a [u8],
    what: &str,
    offset: u64,
    size_at: usize,
    count_at: usize,
    size: u64,
) -> Result<&'a [u8], Fault> {
    let count = u64::from(u16_at(data, count_at));
    if offset == 0 || count == 0 {
        return Ok(&[]);
    }
    let found = u64::from(u16_at(data, size_at));
    if found != size {
        return Err(Fault::Malformed(format!("{what} headers of {found} bytes, not {size}")));
    }
    let bytes = range(offset, count * size)?;
    slice(data, &bytes).ok_or_else(|| truncated(data, bytes.end))
}

/// Defined and imported names, found as the loader finds them: by PT_DYNAMIC.
fn symbols(data: &[u8], segments: &[Segment]) -> Result<[BTreeSet<String>; 2], Fault> {
    let malformed = |what: &str| Fault::Malformed(what.into());
    let dynamic = segments
        .iter()
        .find(|s| s.kind == PT_DYNAMIC)
        .and_then(|s| slice(data, &s.file))
        .ok_or_else(|| malformed("no dynamic section, so no shared library"))?;
    let mut tags = [(DT_SYMTAB, None), (DT_STRTAB, None), (DT_STRSZ, None)];
    let (mut hash, mut gnu_hash) = (None, None);
    for entry in dynamic.chunks_exact(DYNAMIC_ENTRY) {
        let (tag, value) = (u64_at(entry, 0), u64_at(entry, 8));
        match tag {
            0 => break,
            DT_HASH => hash = Some(value),
            DT_GNU_HASH => gnu_hash = Some(value),
            _ => tags.iter_mut().filter(|t| t.0 == tag).for_each(|t| t.1 = Some(value)),
        }
    }
    let [(_, Some(symbols)), (_, Some(names)), (_, Some(names_size))] = tags else {
        return Err(malformed("no symbol table in the dynamic section"));
    };
    let count = match (hash, gnu_hash) {
        (Some(at), _) => {
            let table = mapped(data, segments, at, 8).ok_or_else(|| malformed("no hash table"))?;
            u64::from(u32_at(table, 4))
        }
        (None, Some(at)) => gnu_count(data, segments, at)
            .ok_or_else(|| malformed("a hash table that does not end"))?,
        (None, None) => return Err(malformed("no hash table in the dynamic section")),
    };
    let names = mapped(data, segments, names, names_size)
        .ok_or_else(|| malformed("a string table outside the file"))?;
    let table = count
        .checked_mul(SYMBOL)
        .and_then(|size| mapped(data, segments, symbols, size))
        .ok_or_else(|| malformed("a symbol table outside the file"))?;
    let (mut defined, mut imported) = (BTreeSet::new(), BTreeSet::new());
    for entry in table.chunks_exact(SYMBOL as usize) {
        let Some(name) = name(names, u32_at(entry, 0) as usize) else { continue };
        if u16_at(entry, 6) == 0 {
            if name.contains("aux") {
                imported.insert(name.to_owned());
            }
        } else if name.starts_with("rk") && matches!(entry[4] & 15, 0 | 2 | 10) {
            defined.insert(name.to_owned());
        }
        if defined.len() + imported.len() > MOST_NAMES {
            return Err(malformed("more functions than any runtime has"));
        }
    }
    Ok([defined, imported])
}

/// The number of symbols that a DT_GNU_HASH table at `address` speaks of.
fn gnu_count(data: &[u8], segments: &[Segment], address: u64) -> Option<u64> {
    let table = mapped_from(data, segments, address)?;
    let header = table.get(..16)?;
    let [buckets, first, bloom] = [0, 4, 8].map(|at| u32_at(header, at) as usize);
    let (buckets, chains) = table
        .get(bloom.checked_mul(8)?.checked_add(16)?..)?
        .split_at_checked(buckets.checked_mul(4)?)?;
    let last = buckets.chunks_exact(4).map(|bucket| u32_at(bucket, 0) as usize).max().unwrap_or(0);
    let Some(index) = last.checked_sub(first) else { return Some(first as u64) };
    // The last chain ends with an odd hash.
    let rest = chains.get(index.checked_mul(4)?..)?;
    let length = rest.chunks_exact(4).position(|hash| hash[0] & 1 == 1)?;
    Some((last + length + 1) as u64)
}

/// The bytes of the file that will lie at `address` in memory.
fn mapped<'a>(data: &'a [u8], segments: &[Segment], address: u64, size: u64) -> Option<&'a [u8]> {
    mapped_from(data, segments, address)?.get(..usize::try_from(size).ok()?)
}

/// The same, to the end of the segment.
fn mapped_from<'a>(data: &'a [u8], segments: &[Segment], address: u64) -> Option<&'a [u8]> {
    segments.iter().filter(|s| s.kind == PT_LOAD).find_map(|segment| {
        let start = segment.file.start.checked_add(address.checked_sub(segment.address)?)?;
        if start > segment.file.end { None } else { slice(data, &(start..segment.file.end)) }
    })
}

fn name(names: &[u8], at: usize) -> Option<&str> {
    let rest = names.get(at..)?;
    let rest = &rest[..rest.len().min(LONGEST_NAME)];
    let end = rest.iter().position(|b| *b == 0)?;
    std::str::from_utf8(&rest[..end]).ok().filter(|name| !name.is_empty())
}

fn truncated(data: &[u8], needed: u64) -> Fault {
    Fault::Truncated { needed, found: data.len() as u64 }
}

fn range(start: u64, size: u64) -> Result<Range<u64>, Fault> {
    let end = start.checked_add(size);
    end.map(|end| start..end).ok_or_else(|| Fault::Malformed("an offset beyond 64 bits".into()))
}

fn slice<'a>(data: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    data.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

// The callers have checked the length; a table's entry is a whole one.
fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([data[at], data[at + 1]])
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
pub(crate) mod tests;
