//! A directory that appears under its final name whole, or not at all.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rkllm::{Error, ErrorKind, Result};
use tempfile::TempDir;

use crate::manifest::MANIFEST;

/// A temporary directory beside the final one. Dropped before [`Staging::publish`], by an error, a panic or
/// a cancellation, it is removed with everything in it.
#[derive(Debug)]
pub(crate) struct Staging {
    dir: TempDir,
    target: PathBuf,
    parent: PathBuf,
    overwrite: bool,
}

impl Staging {
    /// Prepares to write `target`. With `overwrite` an artifact or an empty folder of that name will
    /// be replaced at the end, and nothing else ever is.
    pub(crate) fn begin(target: &Path, overwrite: bool) -> Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(Error::new(ErrorKind::Input, "not a name for a new folder")
                .about(target.display().to_string()));
        };
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        if !parent.is_dir() {
            return Err(Error::new(ErrorKind::Missing, "no such folder")
                .about(parent.display().to_string())
                .with_hint("create it first"));
        }
        check_target(target, overwrite)?;
        let mut prefix = OsStr::new(".").to_owned();
        prefix.push(name);
        prefix.push(".partial-");
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new folder: the caller's umask decides, not tempfile's 0700.
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let dir = builder
            .prefix(&prefix)
            .tempdir_in(&parent)
            .map_err(|e| write_error(&parent, "create a folder in", e))?;
        Ok(Self { dir, target: target.to_owned(), parent, overwrite })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Refuses if the file system has less than `bytes` free.
    pub(crate) fn require_space(&self, bytes: u64) -> Result<()> {
        match free_space(self.path())? {
            Some(free) if free < bytes => Err(no_space(&self.parent, bytes, free)),
            _ => Ok(()),
        }
    }

    /// Gives the directory its final name. Files in it must have been synced by whoever wrote them.
    pub(crate) fn publish(self) -> Result<()> {
        sync_dir(self.path())?;
        let (from, to) = (self.dir.path(), self.target.as_path());
        // Checked again: the conversion may have taken an hour.
        check_target(to, self.overwrite)?;
        match fs::symlink_metadata(to) {
            Ok(_) => exchange(from, to)?,
            Err(_) => rename_new(from, to)?,
        }
        // After an exchange the old artifact has the temporary name, and goes with it.
        if from.exists() {
            self.dir
                .close()
                .map_err(|e| Error::io(&self.parent, "remove the old artifact in", e))?;
        } else {
            let _ = self.dir.keep();
        }
        sync_dir(&self.parent)
    }
}

/// Refuses a target that exists, unless it may be replaced.
fn check_target(target: &Path, overwrite: bool) -> Result<()> {
    let about = |error: Error| Err(error.about(target.display().to_string()));
    let metadata = match fs::symlink_metadata(target) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(target, "look at", e)),
    };
    if !overwrite {
        return about(
            Error::new(ErrorKind::Input, "already exists")
                .with_hint("choose another name or overwrite it with --force"),
        );
    }
    // --force must never cost anybody a folder that is not ours.
    let replaceable = metadata.is_dir()
        && (target.join(MANIFEST).is_file()
            || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none()));
    if !replaceable {
        return about(
            Error::new(
                ErrorKind::Input,
                format!("neither an empty folder nor an artifact with {MANIFEST}"),
            )
            .with_hint("remove it yourself or choose another name"),
        );
    }
    Ok(())
}

/// An I/O error while writing under `path`, with what helps where we know it.
pub(crate) fn write_error(path: &Path, action: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space or write to another disk; nothing was kept")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose a folder you may write to")
        }
        _ => None,
    };
    let error = Error::io(path, action, error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn no_space(path: &Path, needed: u64, free: u64) -> Error {
    Error::new(ErrorKind::Io, format!("not enough space: {needed} bytes needed, {free} free"))
        .about(path.display().to_string())
        .with_hint("free some space or write to another disk")
}

/// Makes the entries of a directory durable.
fn sync_dir(path: &Path) -> Result<()> {
    // Windows cannot open a directory as a file and orders metadata itself.
    if cfg!(unix) {
        let synced = File::open(path).and_then(|dir| dir.sync_all());
        synced.map_err(|e| write_error(path, "sync", e))?;
    }
    Ok(())
}

#[cfg(unix)]
fn free_space(path: &Path) -> Result<Option<u64>> {
    let stat = rustix::fs::statvfs(path).map_err(|e| Error::io(path, "look at", e.into()))?;
    Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

#[cfg(not(unix))]
fn free_space(_path: &Path) -> Result<Option<u64>> {
    Ok(None) // a full disk is then found by the write itself
}

/// Renames to a name that must still be free.
fn rename_new(from: &Path, to: &Path) -> Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems know no flags; their plain rename replaces only an empty folder.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            renamed => return renamed.map_err(|e| write_error(to, "rename to", e.into())),
        }
    }
    fs::rename(from, to).map_err(|e| write_error(to, "rename to", e))
}

/// Swaps the two directories, in one step where the system can.
fn exchange(from: &Path, to: &Path) -> Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            renamed => return renamed.map_err(|e| write_error(to, "replace", e.into())),
        }
    }
    let mut aside = from.as_os_str().to_owned();
    aside.push("-old");
    let aside = PathBuf::from(aside);
    let failed = |e| write_error(to, "replace", e);
    fs::rename(to, &aside).map_err(failed)?;
    if let Err(e) = fs::rename(from, to) {
        // Put the old one back; if that fails too, the message names where it lies.
        return Err(match fs::rename(&aside, to) {
            Ok(()) => failed(e),
            Err(_) => failed(e).with_hint(format!("the old folder is at {}", aside.display())),
        });
    }
    fs::rename(&aside, from).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn appears_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        let staging = Staging::begin(&target, false).unwrap();
        fs::write(staging.path().join("a"), "1").unwrap();
        drop(staging);
        assert_eq!(names(root.path()), [""; 0]);

        let staging = Staging::begin(&target, false).unwrap();
        fs::write(staging.path().join("a"), "1").unwrap();
        assert!(!target.exists());
        staging.publish().unwrap();
        assert_eq!(names(root.path()), ["out"]);
        assert_eq!(names(&target), ["a"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let plain = root.path().join("plain");
            fs::create_dir(&plain).unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode(&target), mode(&plain));
        }
    }

    #[test]
    fn a_panic_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        let caught = std::panic::catch_unwind(|| {
            let _staging = Staging::begin(&target, false).unwrap();
            panic!("on purpose");
        });
        assert!(caught.is_err());
        assert_eq!(names(root.path()), [""; 0]);
    }

    #[test]
    fn only_artifacts_and_empty_folders_are_replaced() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        fs::create_dir(&target).unwrap();
        let error = Staging::begin(&target, false).unwrap_err().to_string();
        assert!(error.contains("already exists") && error.contains("--force"), "{error}");

        fs::write(target.join("thesis.tex"), "years of work").unwrap();
        assert!(Staging::begin(&target, true).is_err());
        fs::write(target.join(MANIFEST), "{}").unwrap();
        let staging = Staging::begin(&target, true).unwrap();
        fs::write(staging.path().join("new"), "1").unwrap();
        staging.publish().unwrap();
        assert_eq!(names(&target), ["new"]);
        assert_eq!(names(root.path()), ["out"]);

        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(Staging::begin(&file, true).is_err());
    }

    #[test]
    fn a_name_taken_meanwhile_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        let staging = Staging::begin(&target, false).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("theirs"), "1").unwrap();
        assert!(staging.publish().is_err());
        assert_eq!(names(&target), ["theirs"]);
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn space_is_checked() {
        let root = tempfile::tempdir().unwrap();
        let staging = Staging::begin(&root.path().join("out"), false).unwrap();
        staging.require_space(1).unwrap();
        if cfg!(unix) {
            let error = staging.require_space(u64::MAX).unwrap_err();
            assert!(error.to_string().contains("not enough space"), "{error}");
        }
    }

    #[test]
    fn a_missing_parent_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = Staging::begin(&root.path().join("a/b"), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(Staging::begin(Path::new("/"), false).is_err());
    }
}
