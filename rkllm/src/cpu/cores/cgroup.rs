//! What control groups leave of the machine to this process: processor time and processors.
//!
//! A group is limited by itself and by every group above it, so each level up to the mount is read.

use super::CpuSet;
use super::tree::Tree;

/// Hierarchies that are looked at: one of v2 and a dozen of v1 exist.
const MOST_LINES: usize = 64;

/// Levels that are looked at.
const DEEPEST: usize = 64;

/// The limits of this process's groups.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Limits {
    /// Processors' worth of time.
    pub(super) quota: Option<f64>,
    pub(super) cpus: Option<CpuSet>,
}

/// A mounted hierarchy and this process's place in it.
struct Group {
    /// Where it is mounted, without the `/` in front.
    mount: String,
    /// The path below, parts joined by `/`.
    path: String,
}

impl Limits {
    pub(super) fn read(tree: &Tree) -> Self {
        let mut limits = Self::default();
        let groups = tree.text("proc/self/cgroup").unwrap_or_default();
        let mounts = tree.text("proc/self/mountinfo").unwrap_or_default();
        for line in groups.lines().take(MOST_LINES) {
            // Hierarchy, controllers, path: `0::/a` in version 2, `3:cpu,cpuacct:/a` in version 1.
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if controllers.is_empty() {
                let group = Group::find(&mounts, None, path);
                group.levels(|dir| {
                    limits.lower(tree.text(&format!("{dir}/cpu.max")).and_then(|t| max(&t)));
                    limits.narrow(tree.cpus(&format!("{dir}/cpuset.cpus.effective")));
                });
            }
            if controllers.split(',').any(|name| name == "cpu") {
                Group::find(&mounts, Some("cpu"), path).levels(|dir| {
                    // -1 is no limit and fails to parse.
                    let quota = tree.number(&format!("{dir}/cpu.cfs_quota_us"));
                    let period = tree.number(&format!("{dir}/cpu.cfs_period_us"));
                    limits.lower(quota.zip(period).and_then(|(q, p)| ratio(q, p)));
                });
            }
            if controllers.split(',').any(|name| name == "cpuset") {
                Group::find(&mounts, Some("cpuset"), path).levels(|dir| {
                    limits.narrow(tree.cpus(&format!("{dir}/cpuset.cpus")));
                });
            }
        }
        limits
    }

    fn lower(&mut self, quota: Option<f64>) {
        if let Some(quota) = quota {
            self.quota = Some(self.quota.map_or(quota, |known| known.min(quota)));
        }
    }

    fn narrow(&mut self, cpus: Option<CpuSet>) {
        if let Some(cpus) = cpus {
            self.cpus = Some(self.cpus.map_or(cpus, |known| known.and(&cpus)));
        }
    }
}

impl Group {
    /// The hierarchy of `controller`, or version 2's, by `/proc/self/mountinfo`; where that does not say, at
    /// its usual place.
    fn find(mounts: &str, controller: Option<&str>, path: &str) -> Self {
        for line in mounts.lines() {
            // 36 35 98:0 /root /mount/point options [tags] - type source super-options
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let mut left = left.split(' ').skip(3);
            let (Some(root), Some(mount)) = (left.next(), left.next()) else { continue };
            let mut right = right.split(' ');
            let kind = right.next().unwrap_or_default();
            let options = right.nth(1).unwrap_or_default();
            let found = match controller {
                None => kind == "cgroup2",
                Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
            };
            if found {
                // A container sees its own group as the root of the mount.
                let path = path.strip_prefix(root).unwrap_or(path);
                return Self::new(mount, path);
            }
        }
        match controller {
            None => Self::new("sys/fs/cgroup", path),
            Some(name) => Self::new(&format!("sys/fs/cgroup/{name}"), path),
        }
    }

    fn new(mount: &str, path: &str) -> Self {
        // A group outside of the namespace reads `/../name`: what limits it cannot be seen from here.
        let parts: Vec<&str> =
            path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
        let inside =
            |path: &str| path.split('/').filter(|part| *part != "..").collect::<Vec<_>>().join("/");
        Self { mount: inside(mount.trim_start_matches('/')), path: parts.join("/") }
    }

    /// Calls `read` with the directory of the group and of each above it.
    fn levels(&self, mut read: impl FnMut(&str)) {
        let mut path = self.path.as_str();
        for _ in 0..DEEPEST {
            if path.is_empty() {
                break;
            }
            read(&format!("{}/{path}", self.mount));
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
        }
        read(&self.mount);
    }
}

/// `150000 100000` is 1.5 processors; `max 100000` no limit.
fn max(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    ratio(words.next()?.parse().ok()?, words.next().map_or(Some(100_000), |p| p.parse().ok())?)
}

fn ratio(quota: u64, period: u64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}
