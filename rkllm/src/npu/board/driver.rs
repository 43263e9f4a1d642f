//! The NPU's kernel driver and the device files it makes.

use std::collections::BTreeMap;
use std::fmt;

use super::Reading;
use super::overlay::{Entry, Kind};
use super::process::{Process, names_by_id};
use super::root::{Miss, Root, clean};

/// The name of Rockchip's driver on the platform bus.
const VENDOR: &str = "RKNPU";
/// The name of the mainline kernel's.
const ROCKET: &str = "rocket";
/// Said of a device file that nothing tells the driver of.
const UNKNOWN: &str = "unknown";
/// Groups and devices that are looked at; a board has some dozens.
const MOST_GROUPS: usize = 1024;

/// Which driver runs the NPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum DriverKind {
    /// Rockchip's `rknpu`, which librkllmrt and librknnrt need.
    Vendor,
    /// `rocket` of the mainline kernel, which they cannot use.
    Rocket,
    /// Neither.
    None,
    /// `/sys` could not be read.
    Unknown,
}

/// A release of Rockchip's driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl DriverVersion {
    /// From `0.9.8` or `RKNPU driver: v0.9.8`.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.trim().rsplit(char::is_whitespace).next()?;
        let mut parts =
            word.strip_prefix('v').unwrap_or(word).split('.').map(|part| part.parse().ok());
        let version = Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for DriverVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The NPU's kernel driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Driver {
    /// Which one.
    pub kind: DriverKind,
    /// Devices it drives, such as `fdab0000.npu`.
    pub devices: Vec<String>,
    /// Its version; the mainline driver has none.
    pub version: Reading<DriverVersion>,
    /// What each core does now, in the driver's words.
    pub load: Reading<String>,
    /// Groups of devices that share the NPU's address translation; none where it has no IOMMU.
    pub iommu_groups: Reading<Vec<String>>,
}

impl Driver {
    pub(super) fn probe(root: &Root) -> Self {
        let (vendor, rocket) = (devices(root, VENDOR), devices(root, ROCKET));
        let kind = if !vendor.is_empty() || root.has("sys/module/rknpu") || root.has("proc/rknpu") {
            DriverKind::Vendor
        } else if !rocket.is_empty() || root.has("sys/module/rocket") {
            DriverKind::Rocket
        } else if root.has("sys/module") || root.has("sys/bus") {
            DriverKind::None
        } else {
            DriverKind::Unknown
        };
        let devices = if kind == DriverKind::Rocket { rocket } else { vendor };
        Self { kind, version: version(root), load: load(root), iommu_groups: groups(root), devices }
    }
}

/// Devices bound to a platform driver; its other entries (`bind`, `uevent`) have no dot.
fn devices(root: &Root, driver: &str) -> Vec<String> {
    let names = root.names(&format!("sys/bus/platform/drivers/{driver}")).unwrap_or_default();
    names.into_iter().filter(|name| name.ends_with(".npu")).collect()
}

/// The version of the module, which everyone may read; else that of debugfs or `/proc`.
fn version(root: &Root) -> Reading<DriverVersion> {
    let read = |path: &str| {
        Reading::of(path, root.line(path)).parse(path, |text| DriverVersion::parse(text))
    };
    read("sys/module/rknpu/version")
        .or_else(|| read("sys/kernel/debug/rknpu/version"))
        .or_else(|| read("proc/rknpu/version"))
}

fn load(root: &Root) -> Reading<String> {
    let read = |path: &str| {
        let told = |text: &String| (!text.is_empty()).then(|| text.clone());
        Reading::of(path, root.line(path)).parse(path, told)
    };
    read("sys/kernel/debug/rknpu/load").or_else(|| read("proc/rknpu/load"))
}

/// IOMMU groups with an NPU in them.
fn groups(root: &Root) -> Reading<Vec<String>> {
    let dir = "sys/kernel/iommu_groups";
    let mut groups = match root.names(dir) {
        Ok(groups) => groups,
        // A kernel without any IOMMU has no such directory; one that hides its own has nothing beside it.
        Err(Miss::Absent) if root.has("sys/kernel") => return Reading::Is(Vec::new()),
        Err(miss) => return Reading::of(dir, Err(miss)),
    };
    groups.truncate(MOST_GROUPS);
    groups.retain(|group| {
        let devices = root.names(&format!("{dir}/{group}/devices")).unwrap_or_default();
        devices.iter().any(|device| device.ends_with(".npu"))
    });
    Reading::Is(groups)
}

/// Whether this user may open a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Access {
    /// It may.
    Yes,
    /// It may not.
    No,
    /// Not known, because the user is not, or because opening failed for another reason.
    Unknown,
}

/// A device file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Node {
    /// Where it is: `/dev/dri/card1`.
    pub path: String,
    /// The driver behind it: `RKNPU`, `rocket`, `unknown` where `/sys` hides it, or `dma_heap` for the
    /// allocator of shared buffers.
    pub driver: String,
    /// False if `/sys` names it and `/dev` does not have it.
    pub exists: bool,
    /// Where it points, if it is a symbolic link.
    pub link: Option<String>,
    /// Its permissions, such as 0o660.
    pub mode: Option<u32>,
    /// Its owner, by name where there is one.
    pub owner: Option<String>,
    /// Its group, by name where there is one.
    pub group: Option<String>,
    /// Whether this user may open it for reading and writing.
    pub access: Access,
    /// Why it could not be opened although it may.
    pub problem: Option<String>,
}

impl Node {
    /// True of the NPU itself, false of what is opened beside it and of what nothing is known of.
    pub fn is_npu(&self) -> bool {
        self.driver == VENDOR || self.driver == ROCKET
    }
}

/// Device files of the NPU, as `/sys/class` and the fixed names say.
pub(super) fn nodes(root: &Root, process: &Process) -> Vec<Node> {
    let groups = names_by_id(root, "etc/group");
    let users = names_by_id(root, "etc/passwd");
    let name = |names: &BTreeMap<u32, String>, id: u32| {
        names.get(&id).cloned().unwrap_or_else(|| id.to_string())
    };
    let node = |(path, driver): (String, &str)| {
        let stat = root.stat(&path[1..]);
        let entry = stat.as_ref().ok().filter(|entry| entry.kind == Kind::Device);
        let denied = stat == Err(Miss::Denied);
        let (access, problem) = match entry {
            Some(entry) => access(root, process, &path[1..], entry, driver),
            None if denied => (Access::No, None),
            None => (Access::Unknown, None),
        };
        Node {
            exists: entry.is_some() || denied,
            link: root.link(&path[1..]).ok(),
            mode: entry.map(|entry| entry.mode),
            owner: entry.map(|entry| name(&users, entry.uid)),
            group: entry.map(|entry| name(&groups, entry.gid)),
            access,
            problem,
            driver: driver.to_owned(),
            path,
        }
    };
    paths(root).into_iter().map(node).collect()
}

/// Where device files of the NPU are or should be, each with the driver behind it.
fn paths(root: &Root) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    let mut told = false;
    for (class, dir) in [("drm", "dri"), ("accel", "accel")] {
        let names = root.names(&format!("sys/class/{class}"));
        told |= names.is_ok();
        for name in names.unwrap_or_default().into_iter().take(MOST_GROUPS) {
            let driver = behind(root, &format!("sys/class/{class}/{name}/device/uevent"));
            // Connectors (`card0-HDMI-A-1`) have no device file.
            if let Some(driver) = driver
                && !name.contains('-')
            {
                found.push((format!("/dev/{dir}/{name}"), driver));
            }
        }
    }
    if !told {
        // Without /sys nobody says which of them is the NPU's.
        for dir in ["dri", "accel"] {
            let names = root.names(&format!("dev/{dir}")).unwrap_or_default().into_iter();
            let files = names.map(|name| format!("/dev/{dir}/{name}"));
            let devices = files
                .filter(|path| root.stat(&path[1..]).is_ok_and(|entry| entry.kind == Kind::Device));
            found.extend(devices.take(MOST_GROUPS).map(|path| (clean(&path), UNKNOWN)));
        }
    }
    for (path, driver) in [("/dev/rknpu", VENDOR), ("/dev/dma_heap/system", "dma_heap")] {
        if root.has(&path[1..]) || root.link(&path[1..]).is_ok() {
            found.push((path.into(), driver));
        }
    }
    found
}

/// Whether a device file may be opened: by trying on the running system, by its mode in a recorded one.
fn access(
    root: &Root,
    process: &Process,
    path: &str,
    entry: &Entry,
    driver: &str,
) -> (Access, Option<String>) {
    // One that may be a screen's is left alone.
    let opened = if driver == UNKNOWN { None } else { root.opens(path) };
    match (opened, &process.identity) {
        (Some(Ok(())), _) => (Access::Yes, None),
        (Some(Err(Miss::Denied)), _) => (Access::No, None),
        (Some(Err(Miss::Unusable(why))), _) => (Access::Unknown, Some(why)),
        (Some(Err(Miss::Absent)), _) => (Access::Unknown, Some("no such device".into())),
        (None, Some(who)) if who.may(entry, 6) => (Access::Yes, None),
        (None, Some(_)) => (Access::No, None),
        (None, None) => (Access::Unknown, None),
    }
}

/// The NPU driver that a `uevent` file names.
fn behind(root: &Root, path: &str) -> Option<&'static str> {
    let text = root.text(path).ok()?;
    let driver = text.lines().find_map(|line| line.strip_prefix("DRIVER="))?;
    [VENDOR, ROCKET].into_iter().find(|name| name.eq_ignore_ascii_case(driver.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_either_file() {
        let version = DriverVersion { major: 0, minor: 9, patch: 8 };
        for text in ["0.9.8", "RKNPU driver: v0.9.8", " v0.9.8\n"] {
            assert_eq!(DriverVersion::parse(text), Some(version), "{text:?}");
        }
        for text in ["", "RKNPU driver", "0.9", "0.9.8.1", "v0.9.x", "99999999999.0.0"] {
            assert_eq!(DriverVersion::parse(text), None, "{text:?}");
        }
        assert!(DriverVersion::parse("0.8.12") < Some(version));
        assert!(DriverVersion::parse("0.10.0") > Some(version));
    }
}
