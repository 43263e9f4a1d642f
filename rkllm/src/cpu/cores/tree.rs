//! Files of `/sys` and `/proc` below a root, read with bounds.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use super::CpuSet;

/// The longest file that is read: `/proc/cpuinfo` of a large server.
const LONGEST: u64 = 4 << 20;

/// The running system, or a tree with copies of its files.
#[derive(Debug, Clone)]
pub(super) struct Tree(pub(super) PathBuf);

impl Tree {
    /// The text of a file, without white space around it. Nothing where there is none, or where it is no
    /// regular file: opening anything else could block.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let path = self.0.join(path);
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// A list of processors that names at least one.
    pub(super) fn cpus(&self, path: &str) -> Option<CpuSet> {
        CpuSet::parse(&self.text(path)?).filter(|set| !set.is_empty())
    }

    /// The processors that have a directory.
    pub(super) fn cpu_directories(&self) -> Option<CpuSet> {
        let entries = fs::read_dir(self.0.join("sys/devices/system/cpu")).ok()?;
        let number = |name: &str| name.strip_prefix("cpu")?.parse().ok();
        let cpus = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?));
        Some(cpus.collect()).filter(|set: &CpuSet| !set.is_empty())
    }
}
