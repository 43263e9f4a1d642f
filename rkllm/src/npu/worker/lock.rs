//! One NPU process at a time, on the whole machine.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind, Result};

/// The variable that names the directory of the lock.
pub const LOCK_DIR: &str = "RKLLM_LOCK_DIR";
/// Its file.
const NAME: &str = "rkllm-npu.lock";
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);
/// Attempts to open a file whose maker has not opened it to others yet.
const ATTEMPTS: usize = 20;

/// What to do while another process has the NPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockPolicy {
    /// Wait for so long at most.
    Wait(Duration),
    /// Fail at once.
    Fail,
    /// Do not ask. Two processes on one NPU have been reported to panic the kernel.
    None,
}

impl Default for LockPolicy {
    /// Ten seconds.
    fn default() -> Self {
        Self::Wait(Duration::from_secs(10))
    }
}

/// The right to use the NPU, which one process of the machine has at a time; given back when this is
/// dropped, and by the kernel when the process dies in whatever way.
///
/// Every [`Worker`](super::Worker) holds it. A program that loads an
/// [`NpuModel`](crate::npu::NpuModel) in its own process takes it by [`NpuLock::acquire`]:
///
/// ```no_run
/// use rkllm::npu::NpuOptions;
/// use rkllm::npu::worker::{LockPolicy, NpuLock};
///
/// let lock = NpuLock::acquire(LockPolicy::Fail)?;
/// let model = NpuOptions::default().load("qwen3-0.6b.rkllm")?;
/// # drop(model);
/// drop(lock);
/// # Ok::<(), rkllm::Error>(())
/// ```
///
/// It is an advisory lock (`flock`) on `rkllm-npu.lock` in the directory of `RKLLM_LOCK_DIR`; else in
/// `/run/lock` where everybody may write there; else in `/tmp`. So all users find the same file, which
/// anybody may lock. Programs that do not ask are not held, and a container sees the lock only if that
/// directory is shared with it.
#[derive(Debug)]
pub struct NpuLock {
    file: File,
    path: PathBuf,
}

/// A file, however its path is spelt: device and inode.
type FileId = (u64, u64);

/// What this process has locked. The number in a file does not tell: another container has the same ones.
static HELD: Mutex<Vec<FileId>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<FileId>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(about: io::Result<Metadata>) -> Option<FileId> {
    about.ok().map(|about| (about.dev(), about.ino()))
}

fn is_held(path: &Path) -> bool {
    id(std::fs::metadata(path)).is_some_and(|id| held().contains(&id))
}

/// A worker's error, if the program that started it holds what it waited for.
pub(super) fn own(error: Error) -> Error {
    let is_own = error.subject().is_some_and(|path| is_held(Path::new(path)));
    if error.kind() == ErrorKind::Busy && is_own {
        return error.with_hint(
            "this program holds an NpuLock: drop it, or load the worker with LockPolicy::None under it",
        );
    }
    error
}

impl NpuLock {
    /// Takes the lock; `None` where `policy` is not to ask.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] naming the process that has it, [`ErrorKind::Io`] for a file that cannot be
    /// opened, [`ErrorKind::Format`] for something else in its place.
    pub fn acquire(policy: LockPolicy) -> Result<Option<Self>> {
        if policy == LockPolicy::None {
            return Ok(None);
        }
        Self::acquire_in(&directory(), policy).map(Some)
    }

    fn acquire_in(directory: &Path, policy: LockPolicy) -> Result<Self> {
        let path = directory.join(NAME);
        let until = match policy {
            LockPolicy::Wait(most) => Instant::now().checked_add(most),
            _ => Some(Instant::now()),
        };
        let file = open(&path)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    if until.is_some_and(|until| Instant::now() >= until) {
                        return Err(busy(&path, policy));
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::Error(error)) => return Err(Error::io(&path, "lock", error)),
            }
        }
        held().extend(id(file.metadata()));
        let lock = Self { file, path };
        // For whoever finds it taken. One that was opened for reading only is locked all the same.
        let _ = lock.sign();
        Ok(lock)
    }

    fn sign(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).write_all(format!("{}\n", std::process::id()).as_bytes())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for NpuLock {
    fn drop(&mut self) {
        // A number that is left could be another process's by the time it is read.
        let _ = self.file.set_len(0);
        let own = id(self.file.metadata());
        held().retain(|id| Some(*id) != own);
    }
}

/// The same for every user: what only one of them may write to would be another lock for the others.
fn directory() -> PathBuf {
    if let Some(named) = std::env::var_os(LOCK_DIR).filter(|named| !named.is_empty()) {
        return PathBuf::from(named);
    }
    let run = Path::new("/run/lock");
    let is_open = std::fs::metadata(run)
        .is_ok_and(|found| found.is_dir() && found.permissions().mode() & 0o002 != 0);
    if is_open {
        return run.to_owned();
    }
    match Path::new("/tmp") {
        tmp if tmp.is_dir() => tmp.to_owned(),
        _ => std::env::temp_dir(),
    }
}

/// Opens the file or makes it, for all users.
fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    // A link could lead anywhere, and a pipe would make us wait.
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut refused = None;
    for _ in 0..ATTEMPTS {
        // In a directory for everybody the kernel refuses to open another user's file with O_CREAT, so
        // opening and making are two steps. To read is enough to lock.
        let found = match options.clone().write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.open(path),
            other => other,
        };
        let made = match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&options, path),
            other => other,
        };
        match made {
            Ok(file) => return checked(file, path),
            Err(error) => {
                let again = matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::AlreadyExists
                );
                refused = Some(error);
                if !again {
                    break;
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
    let error = refused.unwrap_or_else(|| io::ErrorKind::PermissionDenied.into());
    Err(Error::io(path, "open the lock of the NPU", error)
        .with_hint(format!("name a directory that all its users may write to in {LOCK_DIR}")))
}

fn make(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.clone().write(true).create_new(true).mode(0o666).open(path)?;
    // The mode above is cut by the umask.
    file.set_permissions(Permissions::from_mode(0o666))?;
    Ok(file)
}

fn checked(file: File, path: &Path) -> Result<File> {
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(file),
        _ => Err(Error::new(ErrorKind::Format, "not a regular file")
            .about(path.display().to_string())
            .with_hint("remove it: the lock of the NPU belongs there")),
    }
}

fn busy(path: &Path, policy: LockPolicy) -> Error {
    let waited = match policy {
        LockPolicy::Wait(most) => format!(" after {:.1} s of waiting", most.as_secs_f64()),
        _ => String::new(),
    };
    let (who, what) = match holder(path) {
        _ if is_held(path) => ("this process, which holds an NpuLock".into(), "drop it".into()),
        Some(pid) => (format!("process {pid}"), format!("end process {pid}, or wait longer")),
        None => ("another process".into(), "end it, or wait longer".into()),
    };
    Error::new(ErrorKind::Busy, format!("the NPU is in use by {who}{waited}"))
        .about(path.display().to_string())
        .with_hint(format!("{what}: two at once can panic the kernel"))
}

/// Who signed it, if that is a process that is there.
fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    let options =
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    options.ok()?.take(32).read_to_string(&mut text).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    Path::new("/proc").join(pid.to_string()).exists().then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_or_fails_and_names_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let take = |policy| NpuLock::acquire_in(dir.path(), policy);
        let first = take(LockPolicy::Fail).unwrap();
        assert_eq!(first.path().metadata().unwrap().permissions().mode() & 0o777, 0o666);
        for policy in [LockPolicy::Fail, LockPolicy::Wait(Duration::from_millis(30))] {
            let error = take(policy).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy);
            assert!(error.to_string().contains("this process"), "{error}");
            assert!(error.hint().unwrap().starts_with("drop it"), "{error}");
        }
        std::thread::scope(|scope| {
            let second = scope.spawn(|| take(LockPolicy::Wait(Duration::from_secs(60))));
            std::thread::sleep(Duration::from_millis(30));
            drop(first);
            drop(second.join().unwrap().unwrap());
        });
        // Nobody's number stays.
        assert_eq!(std::fs::read(dir.path().join(NAME)).unwrap(), b"");
    }

    /// As of a container that shares the directory: its numbers are the same as ours.
    #[test]
    fn another_process_of_our_own_number_is_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        std::fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        let other = File::open(&path).unwrap();
        other.lock().unwrap();
        let error = NpuLock::acquire_in(dir.path(), LockPolicy::Fail).unwrap_err();
        assert!(!error.to_string().contains("NpuLock"), "{error}");
        assert!(error.hint().unwrap().contains("wait longer"), "{error}");
    }

    #[test]
    fn what_cannot_be_the_lock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(NAME)).unwrap();
        let error = NpuLock::acquire_in(dir.path(), LockPolicy::Fail).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"precious");
        let missing = NpuLock::acquire_in(&dir.path().join("none"), LockPolicy::Fail).unwrap_err();
        assert!(missing.hint().unwrap().contains(LOCK_DIR), "{missing}");
    }

    /// One user's file that another may only read.
    #[test]
    fn reading_is_enough_to_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let lock = NpuLock::acquire_in(dir.path(), LockPolicy::Fail).unwrap();
        let second = NpuLock::acquire_in(dir.path(), LockPolicy::Fail).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Busy);
        drop(lock);
    }
}
