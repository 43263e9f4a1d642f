//! This process, others that have the NPU open, and the container around them.

use std::collections::BTreeMap;

use super::Reading;
use super::driver::Node;
use super::overlay::Entry;
use super::root::{Miss, Root, clean};

/// Processes that are looked at.
const MOST_PROCESSES: usize = 1 << 15;
/// Open files that are looked at, of all processes together.
const MOST_FILES: usize = 1 << 20;

/// A user and the groups it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    uid: u32,
    gids: Vec<u32>,
}

impl Identity {
    /// Of the process that reads, from `proc/self/status`.
    pub(super) fn read(root: &Root) -> Option<Self> {
        let status = root.text("proc/self/status").ok()?;
        let numbers = |key: &str| -> Option<Vec<u32>> {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().map(|word| word.parse().ok()).collect()
        };
        // Real, effective, saved, file system: the second decides.
        let uid = *numbers("Uid:")?.get(1)?;
        let mut gids = numbers("Groups:").unwrap_or_default();
        gids.extend(numbers("Gid:")?.get(1));
        Some(Self { uid, gids })
    }

    /// True if the mode grants `bits` (4 read, 2 write, 1 search).
    pub(super) fn may(&self, entry: &Entry, bits: u32) -> bool {
        let shift = if self.uid == entry.uid {
            6
        } else if self.gids.contains(&entry.gid) {
            3
        } else {
            0
        };
        self.uid == 0 || (entry.mode >> shift) & bits == bits
    }
}

/// The limit on open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OpenFiles {
    /// What holds now; `None`: unlimited.
    pub soft: Option<u64>,
    /// What a process may raise it to; `None`: unlimited.
    pub hard: Option<u64>,
}

/// Who runs this and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Process {
    /// Number of the user.
    pub uid: Option<u32>,
    /// Name of the user, where the system has one for it.
    pub user: Option<String>,
    /// Groups of this process: its number and, where there is one, its name.
    pub groups: BTreeMap<u32, Option<String>>,
    /// Limit on open files.
    pub open_files: Reading<OpenFiles>,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) identity: Option<Identity>,
}

impl Process {
    pub(super) fn probe(root: &Root) -> Self {
        let identity = Identity::read(root);
        let names = names_by_id(root, "etc/group");
        let path = "proc/self/limits";
        Self {
            uid: identity.as_ref().map(|who| who.uid),
            user: identity
                .as_ref()
                .and_then(|who| names_by_id(root, "etc/passwd").remove(&who.uid)),
            groups: identity
                .iter()
                .flat_map(|who| &who.gids)
                .map(|gid| (*gid, names.get(gid).cloned()))
                .collect(),
            open_files: Reading::of(path, root.text(path))
                .parse("proc/self/limits", |text| open_files(text)),
            identity,
        }
    }

    /// What to call the user in a command.
    pub(super) fn user_name(&self) -> &str {
        self.user.as_deref().unwrap_or("$USER")
    }
}

fn open_files(text: &str) -> Option<OpenFiles> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let limit = |word: &str| match word {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    };
    let mut words = line.split_whitespace();
    Some(OpenFiles { soft: limit(words.next()?)?, hard: limit(words.next()?)? })
}

/// The third field of each line by which the first is known: `/etc/passwd` and `/etc/group`.
pub(super) fn names_by_id(root: &Root, path: &str) -> BTreeMap<u32, String> {
    let text = root.text(path).unwrap_or_default();
    let named = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = clean(fields.next()?);
        Some((fields.nth(1)?.parse().ok()?, name))
    });
    named.collect()
}

/// A process that has the NPU open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NpuUser {
    /// Number of the process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// The device file it has open.
    pub node: String,
}

/// Processes other than this one that have the NPU open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Users {
    /// Those found.
    pub processes: Vec<NpuUser>,
    /// How many processes were looked at.
    pub seen: usize,
    /// How many of them did not let their open files be seen.
    pub hidden: usize,
}

impl Users {
    pub(super) fn probe(root: &Root, nodes: &[Node]) -> Self {
        // The allocator of shared buffers is open in every video player.
        let devices: Vec<&str> =
            nodes.iter().filter(|node| node.is_npu()).map(|node| node.path.as_str()).collect();
        let own = root.link("proc/self").ok();
        let mut users = Self::default();
        let mut left = MOST_FILES;
        for name in root.names("proc").unwrap_or_default() {
            let Ok(pid) = name.parse::<u32>() else { continue };
            if own.as_deref() == Some(&name) || users.seen == MOST_PROCESSES {
                continue;
            }
            users.seen += 1;
            match open_device(root, pid, &devices, &mut left) {
                Ok(Some(node)) => {
                    let name = root.line(&format!("proc/{pid}/comm")).unwrap_or_default();
                    users.processes.push(NpuUser { pid, name, node });
                }
                Ok(None) => {}
                Err(Miss::Absent) => users.seen -= 1,
                Err(_) => users.hidden += 1,
            }
        }
        users.processes.sort_by_key(|user| user.pid);
        users
    }
}

/// The first of `devices` that process `pid` has open. A process that ends meanwhile is absent.
fn open_device(
    root: &Root,
    pid: u32,
    devices: &[&str],
    left: &mut usize,
) -> Result<Option<String>, Miss> {
    let dir = format!("proc/{pid}/fd");
    for name in root.names(&dir)? {
        *left = left.checked_sub(1).ok_or_else(|| Miss::Unusable("too many files".into()))?;
        let Ok(target) = root.link(&format!("{dir}/{name}")) else { continue };
        if devices.contains(&target.as_str()) {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

/// What kind of container this is.
pub(super) fn container(root: &Root) -> Option<String> {
    if root.has(".dockerenv") {
        return Some("docker".into());
    }
    if root.has("run/.containerenv") {
        return Some("podman".into());
    }
    if let Ok(kind) = root.line("run/systemd/container")
        && !kind.is_empty()
    {
        return Some(kind);
    }
    let groups = root.text("proc/1/cgroup").unwrap_or_default();
    ["kubepods", "docker", "containerd", "lxc", "libpod"]
        .into_iter()
        .find(|mark| groups.contains(mark))
        .map(str::to_owned)
}
