//! Rockchip's runtime libraries on disk, told apart without loading them.

use rkllm_sys::{Abi, Error, ErrorKind, LibraryFile, Machine, SveUse};

use super::root::{Miss, Root, clean};

/// The file that lists the loader's directories.
const CONF: &str = "etc/ld.so.conf";
/// It includes others, which may include others; so many files at most.
const MOST_CONF: usize = 64;
/// Directories that are looked into.
const MOST_DIRS: usize = 256;
/// What the loader knows by itself on the boards' distributions.
const DIRS: [&str; 6] =
    ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib"];
/// The longest library that is read, in bytes; the real ones have some ten megabytes.
const LONGEST: u64 = 64 << 20;

/// Which runtime a library is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum RuntimeKind {
    /// `librkllmrt.so`: whole models.
    Rkllm,
    /// `librknnrt.so`: networks and matrix products.
    Rknn,
}

impl RuntimeKind {
    /// The library's file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Rkllm => "librkllmrt.so",
            Self::Rknn => "librknnrt.so",
        }
    }
}

/// A runtime library that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RuntimeFile {
    /// Which one.
    pub kind: RuntimeKind,
    /// Where it is.
    pub path: String,
    /// The processor it is for: `aarch64`, `x86_64`; `None` if its headers do not tell.
    pub machine: Option<String>,
    /// The release it says it is.
    pub version: Option<String>,
    /// Of a librkllmrt that rkllm can drive: the releases whose structs it has, `1.2` or `1.3`.
    pub abi: Option<&'static str>,
    /// Whether it needs SVE instructions; inferred, and `None` where that was not possible.
    pub needs_sve: Option<bool>,
    /// The host stand-in by rkllm, which computes on the processor, not Rockchip's library.
    pub stand_in: bool,
    /// Why rkllm would not load it on a board.
    pub refusal: Option<Refusal>,
}

/// Why a runtime library is not to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Refusal {
    /// What is wrong with the file.
    pub what: String,
    /// What to do.
    pub advice: Option<String>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) kind: ErrorKind,
}

impl Refusal {
    fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { what: what.into(), advice: None, kind }
    }

    fn other_machine(found: &str) -> Self {
        let mut refusal =
            Self::new(ErrorKind::WrongMachine, format!("for {found}, not for aarch64"));
        refusal.advice = Some("install the aarch64 build in its place".into());
        refusal
    }
}

/// What a library's error says, without the path on this machine.
impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        if error.kind() == ErrorKind::WrongMachine {
            return Self::other_machine(error.what_was_found().unwrap_or("another processor"));
        }
        let mut what = error.message().to_owned();
        if let Some(expected) = error.what_was_expected() {
            what += &format!("; expected {expected}");
        }
        if let Some(found) = error.what_was_found() {
            what += &format!("; found {found}");
        }
        Self { what: clean(&what), advice: error.advice().map(clean), kind: error.kind() }
    }
}

/// Every runtime in the directories given, in those of `ld.so.conf` and in the loader's own, in the
/// order in which they would be found.
pub(super) fn probe(root: &Root) -> Vec<RuntimeFile> {
    let mut dirs: Vec<String> = root.library_dirs().to_vec();
    configured(root, CONF, &mut Vec::new(), &mut dirs);
    dirs.extend(DIRS.map(str::to_owned));
    dirs.truncate(MOST_DIRS);
    let mut seen: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for dir in dirs {
        for kind in [RuntimeKind::Rkllm, RuntimeKind::Rknn] {
            let path = format!("{}/{}", dir.trim_matches('/'), kind.file_name());
            let Ok(place) = root.resolve(&path, true) else { continue };
            // On merged systems /lib is /usr/lib.
            if seen.contains(&place) || !root.has(&path) {
                continue;
            }
            seen.push(place);
            found.push(look(root, kind, &path));
        }
    }
    found
}

/// Adds the directories that a file like `/etc/ld.so.conf` and those it includes list, in their order.
/// A file counts once: some include each other.
fn configured(root: &Root, path: &str, read: &mut Vec<String>, dirs: &mut Vec<String>) {
    let Ok(place) = root.resolve(path, true) else { return };
    if read.len() == MOST_CONF || read.contains(&place) {
        return;
    }
    read.push(place);
    for line in root.text(path).unwrap_or_default().lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
            Some(pattern) => {
                for file in matching(root, path, pattern.trim()) {
                    configured(root, &file, read, dirs);
                }
            }
            // `libc6` and the like may follow an equals sign.
            None => dirs.extend(
                line.split('=').next().filter(|dir| dir.starts_with('/')).map(str::to_owned),
            ),
        }
    }
}

/// The files that a pattern with at most one `*`, in its last part, stands for.
fn matching(root: &Root, conf: &str, pattern: &str) -> Vec<String> {
    let parent = |path: &str| path.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
    let pattern = match pattern.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        None => format!("{}/{pattern}", parent(conf)),
    };
    let name = pattern.rsplit('/').next().unwrap_or_default();
    let Some((start, end)) = name.split_once('*') else { return vec![pattern] };
    let dir = parent(&pattern);
    let names = root.names(&dir).unwrap_or_default().into_iter();
    names
        .filter(|name| {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        })
        .take(MOST_CONF)
        .map(|name| format!("{dir}/{name}"))
        .collect()
}

fn look(root: &Root, kind: RuntimeKind, path: &str) -> RuntimeFile {
    let mut file = RuntimeFile {
        kind,
        path: clean(&format!("/{path}")),
        machine: None,
        version: None,
        abi: None,
        needs_sve: None,
        stand_in: false,
        refusal: None,
    };
    match open(root, path) {
        Ok(library) => judge(&mut file, &library),
        Err(refusal) => file.refusal = Some(refusal),
    }
    file
}

/// Reads a library. What could block, or is larger than any runtime, is not opened.
fn open(root: &Root, path: &str) -> Result<LibraryFile, Refusal> {
    let unreadable = |miss| match miss {
        Miss::Absent => Refusal::new(ErrorKind::NotFound, "it is gone"),
        Miss::Denied => Refusal::new(ErrorKind::Io, "permission denied"),
        Miss::Unusable(why) => Refusal::new(ErrorKind::Io, why),
    };
    let size = root.file(path).and_then(|file| Ok(file.metadata()?.len())).map_err(unreadable)?;
    if size > LONGEST {
        return Err(Refusal::new(
            ErrorKind::Malformed,
            format!("larger than any runtime; expected at most {LONGEST} bytes; found {size}"),
        ));
    }
    let host = root.host(path).ok_or_else(|| Refusal::new(ErrorKind::NotFound, "it is gone"))?;
    LibraryFile::open(&host).map_err(|error| Refusal::from(&error))
}

fn judge(file: &mut RuntimeFile, library: &LibraryFile) {
    let release = match file.kind {
        RuntimeKind::Rkllm => library.rkllm,
        RuntimeKind::Rknn => library.rknn,
    };
    file.version = release.map(|version| version.to_string());
    file.machine = Some(library.machine.to_string());
    file.stand_in = library.stand_in;
    if library.machine != Machine::AARCH64 {
        file.refusal = Some(Refusal::other_machine(&library.machine.to_string()));
        return;
    }
    file.needs_sve = match library.sve {
        SveUse::None | SveUse::Asked => Some(false),
        SveUse::Unasked => Some(true),
        _ => None,
    };
    let judged = match file.kind {
        RuntimeKind::Rkllm => library.rkllm_abi().map(Some),
        RuntimeKind::Rknn => library.check_rknn().map(|()| None),
    };
    match judged {
        Ok(abi) => {
            file.abi = abi.map(|abi| match abi {
                Abi::V1_2 => "1.2",
                Abi::V1_3 => "1.3",
                _ => "unknown",
            });
        }
        Err(error) => file.refusal = Some(Refusal::from(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn the_loaders_directories_are_searched_in_its_order() {
        let none: &[u8] = b"no library";
        let (_dir, root) = tree(&[
            ("etc/ld.so.conf", b"# list\ninclude ld.so.conf.d/*.conf\n/opt/last # why\nrelative\n"),
            ("etc/ld.so.conf.d/b.conf", b"/opt/b=libc6\n"),
            ("etc/ld.so.conf.d/a.conf", b"/opt/a\ninclude ../ld.so.conf\n"),
            ("etc/ld.so.conf.d/c.txt", b"/opt/c\n"),
            ("opt/a/librkllmrt.so", none),
            ("opt/b/librkllmrt.so", none),
            ("opt/c/librkllmrt.so", none),
            ("opt/last/librknnrt.so", none),
            ("usr/lib/librkllmrt.so", none),
            ("relative/librkllmrt.so", none),
            ("mine/librkllmrt.so", none),
        ]);
        let found: Vec<String> =
            probe(&root.with_library_dir("/mine")).into_iter().map(|file| file.path).collect();
        assert_eq!(
            found[..1],
            ["/mine/librkllmrt.so"],
            "what the caller names comes first: {found:?}"
        );
        let place = |path: &str| found.iter().position(|found| found == path);
        assert!(place("/opt/a/librkllmrt.so") < place("/opt/b/librkllmrt.so"), "{found:?}");
        assert!(place("/opt/b/librkllmrt.so") < place("/usr/lib/librkllmrt.so"), "{found:?}");
        assert!(place("/opt/last/librknnrt.so").is_some(), "{found:?}");
        assert!(!found.iter().any(|path| path.contains("/c/") || path.contains("relative")));
    }

    #[test]
    fn what_is_no_library_says_so_without_this_machines_paths() {
        let lfs: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
        let mut arm = b"\x7fELF\x01\x01\x01".to_vec();
        arm.resize(64, 0);
        arm[18] = 40;
        for (contents, what, advice) in [
            (lfs, "git-LFS pointer", "git lfs pull"),
            (b"<html>", "not a shared library", "copy the library again"),
            (b"\x7fELF\x02\x01\x01", "cut off", "copy the library again"),
            (&arm, "for arm (32-bit)", "aarch64"),
        ] {
            let (dir, root) = tree(&[("usr/lib/librkllmrt.so", contents)]);
            let found = probe(&root);
            let refusal = found[0].refusal.as_ref().expect(what);
            assert!(refusal.what.contains(what), "{refusal:?}");
            assert!(refusal.advice.as_ref().unwrap().contains(advice), "{refusal:?}");
            let tree = dir.path().to_str().unwrap();
            assert!(!format!("{found:?}").contains(tree), "{found:?}");
        }
        let (dir, root) = tree(&[("usr/lib/x", b"")]);
        let huge = std::fs::File::create(dir.path().join("usr/lib/librknnrt.so")).unwrap();
        huge.set_len(1 << 40).unwrap();
        let found = probe(&root);
        assert!(found[0].refusal.as_ref().unwrap().what.contains("larger than any runtime"));
    }
}
