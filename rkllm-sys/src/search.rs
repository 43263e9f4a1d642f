//! Where a runtime library is looked for.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// The variable that names directories to look in, separated by colons.
pub const LIB_DIR: &str = "RKLLM_LIB_DIR";

/// Files that list the system loader's directories include others; so deep at most.
const INCLUDES: usize = 4;
/// The longest of them that is read, in bytes.
const LONGEST_CONF: u64 = 1 << 20;

/// Where to look: one file, or the directories of `RKLLM_LIB_DIR` and then the system loader's.
///
/// Never the current directory: a bare file name, an empty entry and a relative directory are
/// errors, and the empty and relative entries that `LD_LIBRARY_PATH` may hold are left out.
#[derive(Debug, Clone)]
pub struct Search {
    path: Option<PathBuf>,
    dirs: Option<OsString>,
    system: Vec<PathBuf>,
}

impl Search {
    /// `RKLLM_LIB_DIR`, then the system loader's directories.
    pub fn from_env() -> Self {
        let system = system_dirs(env::var_os("LD_LIBRARY_PATH"), Path::new("/etc/ld.so.conf"));
        Self { path: None, dirs: env::var_os(LIB_DIR), system }
    }

    /// This file and no other. With a directory in it (`./librkllmrt.so`) it may be relative.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), dirs: None, system: Vec::new() }
    }

    /// These directories, separated by colons, in place of those of `RKLLM_LIB_DIR`.
    #[must_use]
    pub fn with_dirs(mut self, dirs: impl Into<OsString>) -> Self {
        self.dirs = Some(dirs.into());
        self
    }

    /// Without the system loader's directories.
    #[must_use]
    pub fn without_system(mut self) -> Self {
        self.system.clear();
        self
    }

    /// The files to try for `name`, best first, and from which place on they are the system's.
    pub(crate) fn candidates(&self, name: &str) -> Result<Candidates, Error> {
        if let Some(path) = &self.path {
            if path.is_relative() && path.components().count() < 2 && !starts_with_dot(path) {
                return Err(Error::new(
                    ErrorKind::RelativePath,
                    path,
                    "a bare file name would be searched for",
                )
                .hint("name the whole path, or write ./ before it for the current directory"));
            }
            return Ok(Candidates { files: vec![path.clone()], system_from: 1 });
        }
        let mut files = Vec::new();
        if let Some(dirs) = self.dirs.as_ref().filter(|dirs| !dirs.is_empty()) {
            for dir in env::split_paths(dirs) {
                if !dir.is_absolute() {
                    return Err(Error::new(
                        ErrorKind::RelativePath,
                        &dir,
                        format!("an empty or relative directory in {LIB_DIR}"),
                    )
                    .expected("absolute paths with colons between them")
                    .hint(format!("correct {LIB_DIR}")));
                }
                files.push(dir.join(name));
            }
        }
        let system_from = files.len();
        files.extend(self.system.iter().map(|dir| dir.join(name)));
        Ok(Candidates { files, system_from })
    }
}

/// See [`Search::candidates`].
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(crate) files: Vec<PathBuf>,
    /// As the loader does, a system directory's file for another processor is passed over.
    pub(crate) system_from: usize,
}

/// `Path::components` leaves out a leading `./`.
fn starts_with_dot(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.starts_with(b"./") || bytes.starts_with(b"../")
}

/// What the loader of glibc would search, but for the `RUNPATH` of the program: absolute entries of
/// `LD_LIBRARY_PATH`, what `ld.so.conf` lists, the directories built into the loader.
fn system_dirs(library_path: Option<OsString>, conf: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = library_path.iter().flat_map(env::split_paths).collect();
    read_conf(conf, INCLUDES, &mut dirs);
    if let Some(triple) = multiarch() {
        dirs.extend(["/lib", "/usr/lib"].map(|dir| Path::new(dir).join(triple)));
    }
    dirs.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from));
    let mut seen = std::collections::BTreeSet::new();
    dirs.retain(|dir| dir.is_absolute() && seen.insert(dir.clone()));
    dirs
}

fn multiarch() -> Option<&'static str> {
    if cfg!(target_arch = "aarch64") {
        Some("aarch64-linux-gnu")
    } else if cfg!(target_arch = "x86_64") {
        Some("x86_64-linux-gnu")
    } else {
        None
    }
}

/// Adds the directories a file like `/etc/ld.so.conf` lists. What cannot be read lists none.
fn read_conf(conf: &Path, depth: usize, dirs: &mut Vec<PathBuf>) {
    if !fs::metadata(conf).is_ok_and(|file| file.is_file() && file.len() <= LONGEST_CONF) {
        return;
    }
    let Ok(text) = fs::read_to_string(conf) else { return };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
            Some(pattern) if depth > 0 => {
                for file in matching(conf, Path::new(pattern.trim())) {
                    read_conf(&file, depth - 1, dirs);
                }
            }
            Some(_) => {}
            None => dirs.extend(line.split('=').next().map(PathBuf::from)),
        }
    }
}

/// The files a pattern with at most one `*`, in its last part, stands for, in order of name.
fn matching(conf: &Path, pattern: &Path) -> Vec<PathBuf> {
    let pattern = conf.parent().unwrap_or(Path::new("/")).join(pattern);
    let (Some(dir), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|n| n.to_str()))
    else {
        return Vec::new();
    };
    let Some((start, end)) = name.split_once('*') else { return vec![pattern] };
    let mut files: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(search: &Search) -> ErrorKind {
        search.candidates("librkllmrt.so").unwrap_err().kind()
    }

    fn files(search: &Search) -> Vec<PathBuf> {
        search.candidates("librkllmrt.so").unwrap().files
    }

    #[test]
    fn nothing_means_the_current_directory() {
        assert_eq!(kind(&Search::file("librkllmrt.so")), ErrorKind::RelativePath);
        assert_eq!(kind(&Search::file("")), ErrorKind::RelativePath);
        for dirs in ["/a:", ":/a", "/a::/b", "lib", ".", "/a:lib", "./lib"] {
            let search = Search::from_env().with_dirs(dirs);
            assert_eq!(kind(&search), ErrorKind::RelativePath, "{dirs:?}");
        }
        let system = system_dirs(Some(":/a::b:./c:/d:".into()), Path::new("/nonexistent"));
        assert_eq!(system[..2], [PathBuf::from("/a"), PathBuf::from("/d")]);
        assert!(system.iter().all(|dir| dir.is_absolute()), "{system:?}");
    }

    #[test]
    fn an_explicit_file_is_the_only_one() {
        for path in ["/x/lib.so", "./librkllmrt.so", "../librkllmrt.so", "sub/librkllmrt.so"] {
            let search = Search::file(path).with_dirs("/a");
            assert_eq!(files(&search), [PathBuf::from(path)]);
        }
    }

    #[test]
    fn named_directories_come_before_the_systems() {
        let search = Search::from_env().with_dirs("/a:/b");
        let found = search.candidates("librknnrt.so").unwrap();
        assert_eq!(found.system_from, 2);
        assert_eq!(found.files[0], PathBuf::from("/a/librknnrt.so"));
        assert_eq!(found.files[1], PathBuf::from("/b/librknnrt.so"));
        assert!(found.files.contains(&PathBuf::from("/usr/lib/librknnrt.so")));
        assert_eq!(files(&search.without_system()).len(), 2);
        // Set but empty is not set.
        assert_eq!(Search::from_env().with_dirs("").candidates("x").unwrap().system_from, 0);
    }

    #[test]
    fn the_loaders_lists_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("ld.so.conf");
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(&conf, "# list\ninclude d/*.conf\n/opt/one # c\nrelative\ninclude\tnone/*\n")
            .unwrap();
        fs::write(dir.path().join("d/b.conf"), "/opt/b=libc6\n").unwrap();
        fs::write(dir.path().join("d/a.conf"), "/opt/a\ninclude ../ld.so.conf\n").unwrap();
        fs::write(dir.path().join("d/c.txt"), "/opt/c\n").unwrap();
        let dirs = system_dirs(None, &conf);
        let expected = ["/opt/a", "/opt/b", "/opt/one"].map(PathBuf::from);
        let mut found = dirs[..3].to_vec();
        found.sort();
        assert_eq!(found, expected);
        assert!(!dirs.contains(&PathBuf::from("/opt/c")));
    }
}
