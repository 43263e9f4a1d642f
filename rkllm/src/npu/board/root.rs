//! Files below a root directory, read with bounds and without ever leaving it.

use std::fs::{self, File};
use std::io::{ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};

use super::overlay::{Entry, Kind, Overlay};
use super::process::Identity;
use crate::{Error, ErrorKind, Result};

/// The longest text that is read of one file; the files of `/proc` and `/sys` are shorter.
const LONGEST_TEXT: u64 = 256 << 10;
/// Symbolic links followed for one path, as in Linux.
const MOST_LINKS: usize = 40;
/// The deepest path that is followed, in parts.
const DEEPEST: usize = 512;
/// Names read of one directory.
const MOST_NAMES: usize = 1 << 16;
/// Characters kept of a line.
const LONGEST_LINE: usize = 200;

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Miss {
    Absent,
    Denied,
    /// It is there, but is a directory, a device, a loop of links, or the kernel refuses to read it.
    Unusable(String),
}

impl From<std::io::Error> for Miss {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            IoKind::NotFound | IoKind::NotADirectory => Self::Absent,
            IoKind::PermissionDenied => Self::Denied,
            _ => Self::Unusable(error.to_string()),
        }
    }
}

/// Where a board is read from: the running system, or a tree that holds copies of `proc`, `sys`, `dev`
/// and `usr`.
///
/// Symbolic links are followed inside the tree only: an absolute one starts at the tree's top, and `..`
/// stops there. In a recorded tree a file `.modes` says what an archive loses, one line each:
///
/// ```text
/// c 0660 0 44 dev/dri/card1                      a device file: mode, owner and group by number
/// d 0700 0 0 sys/kernel/debug                    a directory that not everyone may enter
/// f 0600 0 0 proc/812/environ                    a file that lies in the tree
/// l 0777 0 0 dev/rknpu -> dri/renderD129         a symbolic link
/// t 0444 0 0 sys/module/rknpu/version = 0.9.8    a short file; \n, \t and \0 stand for those characters
/// ```
///
/// What it names wins over what lies in the tree, and need not lie there. Permissions are judged for the
/// user whose `proc/self/status` was recorded.
#[derive(Debug, Clone)]
pub struct Root {
    dir: PathBuf,
    overlay: Overlay,
    recorded: bool,
    identity: Option<Identity>,
    library_dirs: Vec<String>,
}

impl Root {
    /// The running system.
    pub fn system() -> Self {
        Self {
            dir: PathBuf::from("/"),
            overlay: Overlay::default(),
            recorded: false,
            identity: None,
            library_dirs: Vec::new(),
        }
    }

    /// The tree in `dir`; the running system if that is `/`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if `dir` is no readable directory, [`ErrorKind::Format`] if its `.modes` is
    /// malformed.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let dir = fs::canonicalize(dir).map_err(|error| Error::io(dir, "open", error))?;
        if dir == Path::new("/") {
            return Ok(Self::system());
        }
        fs::read_dir(&dir).map_err(|error| Error::io(&dir, "open", error))?;
        let mut root = Self { dir, recorded: true, ..Self::system() };
        match root.text(".modes") {
            Ok(text) => {
                let about = root.dir.join(".modes").display().to_string();
                root.overlay = Overlay::parse(&text).map_err(|error| error.about(about))?;
            }
            Err(Miss::Absent) => {}
            Err(why) => {
                return Err(Error::new(ErrorKind::Io, format!("cannot be read: {why:?}"))
                    .about(root.dir.join(".modes").display().to_string()));
            }
        }
        // Until it is known who asks nobody is denied anything.
        root.identity = Identity::read(&root);
        Ok(root)
    }

    /// Looks for runtime libraries in `dir` before the system's directories.
    #[must_use]
    pub fn with_library_dir(mut self, dir: impl Into<String>) -> Self {
        self.library_dirs.push(dir.into());
        self
    }

    /// True if there is a `proc` or a `sys`, without which nothing can be said of a board.
    pub fn is_board(&self) -> bool {
        self.has("proc") || self.has("sys")
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.recorded
    }

    pub(super) fn library_dirs(&self) -> &[String] {
        &self.library_dirs
    }

    /// The path with its links followed, as parts joined by `/` and without one at its front.
    pub(super) fn resolve(&self, path: &str, follow_last: bool) -> Result<String, Miss> {
        let mut pending: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = pending.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => {}
            }
            self.search(&at.join("/"))?;
            at.push(part);
            if at.len() + pending.len() > DEEPEST {
                return Err(Miss::Unusable("the path is too long".into()));
            }
            if pending.is_empty() && !follow_last {
                break;
            }
            let here = at.join("/");
            let Some(target) = self.target(&here)? else { continue };
            links += 1;
            if links > MOST_LINKS {
                return Err(Miss::Unusable("a loop of symbolic links".into()));
            }
            at.pop();
            if target.starts_with('/') {
                at.clear();
            }
            pending.extend(target.rsplit('/').map(str::to_owned));
        }
        Ok(at.join("/"))
    }

    /// What a path without links in it points to, if it is a link itself.
    fn target(&self, at: &str) -> Result<Option<String>, Miss> {
        match self.overlay.get(at) {
            Some(Entry { kind: Kind::Link(target), .. }) => return Ok(Some(target.clone())),
            Some(_) => return Ok(None),
            None if self.overlay.has_below(at) => return Ok(None),
            None => {}
        }
        let host = self.dir.join(at);
        if !fs::symlink_metadata(&host)?.is_symlink() {
            return Ok(None);
        }
        let target = fs::read_link(&host)?;
        let target =
            target.to_str().ok_or_else(|| Miss::Unusable("a link that is no text".into()))?;
        Ok(Some(target.to_owned()))
    }

    /// Whether names in the directory `at` may be looked up.
    fn search(&self, at: &str) -> Result<(), Miss> {
        match self.overlay.get(at) {
            Some(entry) if !self.allows(entry, 1) => Err(Miss::Denied),
            _ => Ok(()),
        }
    }

    fn allows(&self, entry: &Entry, bits: u32) -> bool {
        self.identity.as_ref().is_none_or(|who| who.may(entry, bits))
    }

    /// The first `limit` bytes of a file.
    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Miss> {
        let at = self.resolve(path, true)?;
        if let Some(Entry { kind: Kind::Text(text), .. }) = self.overlay.get(&at) {
            self.readable(&at)?;
            return Ok(text.bytes().take(limit.try_into().unwrap_or(usize::MAX)).collect());
        }
        let mut contents = Vec::new();
        self.file_at(&at)?.take(limit).read_to_end(&mut contents)?;
        Ok(contents)
    }

    /// A regular file, open for reading: opening anything else could block or wake a device.
    pub(super) fn file(&self, path: &str) -> Result<File, Miss> {
        self.file_at(&self.resolve(path, true)?)
    }

    /// The same of a path without links in it.
    fn file_at(&self, at: &str) -> Result<File, Miss> {
        self.readable(at)?;
        let host = self.dir.join(at);
        if !fs::symlink_metadata(&host)?.is_file() {
            return Err(Miss::Unusable("not a regular file".into()));
        }
        Ok(File::open(&host)?)
    }

    /// Whether the overlay lets a file be read.
    fn readable(&self, at: &str) -> Result<(), Miss> {
        match self.overlay.get(at) {
            None => Ok(()),
            Some(entry) if !matches!(entry.kind, Kind::File | Kind::Text(_)) => {
                Err(Miss::Unusable("not a regular file".into()))
            }
            Some(entry) if self.allows(entry, 4) => Ok(()),
            Some(_) => Err(Miss::Denied),
        }
    }

    /// Where a path lies on this machine, every link followed inside the tree.
    pub(super) fn host(&self, path: &str) -> Option<PathBuf> {
        Some(self.dir.join(self.resolve(path, true).ok()?))
    }

    /// The text of a file, without white space at its end; what is no UTF-8 is replaced.
    pub(super) fn text(&self, path: &str) -> Result<String, Miss> {
        let text = String::from_utf8_lossy(&self.read(path, LONGEST_TEXT)?).into_owned();
        Ok(text.trim_end().to_owned())
    }

    /// The first line of a file, fit for a terminal.
    pub(super) fn line(&self, path: &str) -> Result<String, Miss> {
        Ok(clean(self.text(path)?.lines().next().unwrap_or_default()))
    }

    /// Names in a directory, in order; those that are no text are left out.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>, Miss> {
        let at = self.resolve(path, true)?;
        let named = self.overlay.get(&at);
        if named.is_some_and(|entry| !self.allows(entry, 4)) {
            return Err(Miss::Denied);
        }
        let mut names: Vec<String> = self.overlay.children(&at).map(str::to_owned).collect();
        match fs::read_dir(self.dir.join(&at)) {
            Ok(entries) => {
                let entries = entries.take(MOST_NAMES).filter_map(|entry| entry.ok());
                names.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()));
            }
            Err(_) if named.is_some() || !names.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Where a symbolic link points, as it is written; never followed.
    pub(super) fn link(&self, path: &str) -> Result<String, Miss> {
        let at = self.resolve(path, false)?;
        match self.target(&at)? {
            Some(target) => Ok(clean(&target)),
            None => Err(Miss::Unusable("not a symbolic link".into())),
        }
    }

    /// What a path is, links followed.
    pub(super) fn stat(&self, path: &str) -> Result<Entry, Miss> {
        let at = self.resolve(path, true)?;
        if let Some(entry) = self.overlay.get(&at) {
            return Ok(entry.clone());
        }
        if self.overlay.has_below(&at) {
            return Ok(Entry { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 });
        }
        Ok(entry(&fs::symlink_metadata(self.dir.join(&at))?))
    }

    /// True if there is something at `path`, whatever it is.
    pub(super) fn has(&self, path: &str) -> bool {
        self.stat(path).is_ok()
    }

    /// Whether the running system lets this process open the device at `path`: neither access lists nor
    /// a container's rules show in a mode. `None` of a recorded tree.
    pub(super) fn opens(&self, path: &str) -> Option<Result<(), Miss>> {
        if self.recorded {
            return None;
        }
        let opened = File::options().read(true).write(true).open(self.host(path)?);
        Some(opened.map(drop).map_err(Miss::from))
    }
}

#[cfg(unix)]
fn entry(metadata: &fs::Metadata) -> Entry {
    use std::os::unix::fs::MetadataExt;

    Entry {
        kind: kind(metadata),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    }
}

#[cfg(not(unix))]
fn entry(metadata: &fs::Metadata) -> Entry {
    Entry { kind: kind(metadata), mode: 0o644, uid: 0, gid: 0 }
}

fn kind(metadata: &fs::Metadata) -> Kind {
    if metadata.is_dir() {
        Kind::Directory
    } else if metadata.is_file() {
        Kind::File
    } else {
        Kind::Device
    }
}

/// One line without control characters, cut where nobody reads on.
pub(super) fn clean(text: &str) -> String {
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.trim().chars().take(LONGEST_LINE).map(printable).collect()
}

#[cfg(test)]
mod tests;
