//! What the strings, the name and the size of a file come to.

use std::fs::Metadata;
use std::path::Path;

use super::Certainty::{Inferred, Read};
use super::VendorFile;
use super::content::AGAIN;
use super::read::Seen;
use super::scan;
use crate::quant::QuantScheme;
use crate::soc::Soc;

/// What downloads in progress are called.
const PARTS: [&str; 8] =
    ["part", "partial", "aria2", "incomplete", "crdownload", "download", "downloading", "!qb"];
/// The source of what a name says.
pub(super) const FILE_NAME: &str = "file name";
/// A file's end of nothing but zeros is suspect from this length on, bytes.
pub(super) const ZEROS: u64 = 64 << 10;
/// Where holes begin to count, bytes: file systems round.
const HOLES: u64 = 1 << 20;

/// What the strings say, and what the name says where they do not.
pub(super) fn facts(found: &mut VendorFile, seen: &Seen, name: &str) {
    for (name, value, from) in seen.strings.facts() {
        found.push(name, value, Inferred, &from);
    }
    // Of a file by toolkit 1.1.4 it was reported that its last bytes are this string. Where a file has it
    // there, its end has probably arrived; where not, nothing follows.
    let end = String::from_utf8_lossy(&seen.end).to_ascii_lowercase();
    let end = end.trim_end_matches(|c: char| c.is_whitespace() || c == '\0');
    if let Some((_, version)) = end.rsplit_once("rkllm-toolkit version:")
        && scan::version(version).is_some_and(|v| version.trim() == v)
    {
        found.push("end_mark", "present", Read, "the last bytes");
    }
    let lower = name.to_ascii_lowercase();
    for (item, value) in [
        ("platform", scan::platform(&lower)),
        ("dtype", scan::dtype(&lower)),
        ("toolkit", scan::version(&lower)),
    ] {
        let Some(value) = value else { continue };
        match found.value(item).map(str::to_owned) {
            None => found.push(item, value, Inferred, FILE_NAME),
            Some(known) if item != "toolkit" && !known.split(", ").any(|v| v == value) => {
                found.against(
                    "name_contradicts",
                    Inferred,
                    format!("its name says {item} {value}, its strings say {known}"),
                    "trust the strings, or ask whoever converted it",
                );
            }
            Some(_) => {}
        }
    }
}

/// What does not fit together.
pub(super) fn doubts(found: &mut VendorFile, seen: &Seen, name: &str) {
    if seen.zeros >= ZEROS {
        found.against(
            "zero_tail",
            Inferred,
            format!(
                "its last {} bytes and more are zeros: probably cut off while it was downloaded",
                seen.zeros
            ),
            AGAIN,
        );
    }
    unfinished(found, name);
    too_small_for_its_name(found, name);
    if let Some((major, minor)) = found.value("toolkit").and_then(release)
        && (major, minor) < (1, 1)
    {
        found.against(
            "old_toolkit",
            Inferred,
            format!(
                "made by rkllm-toolkit {major}.{minor}, whose files no runtime since 1.1 loads"
            ),
            "convert the model again, or upgrade the file with rkllm-toolkit's update_rkllm",
        );
    }
    runs_where_it_is_for(found);
}

/// A name that downloads in progress have.
pub(super) fn unfinished(found: &mut VendorFile, name: &str) {
    let extension = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    if extension.is_some_and(|end| PARTS.contains(&end.as_str())) {
        found.against(
            "unfinished_download",
            Inferred,
            format!("{name} is what a download in progress is called"),
            "let the download finish, or start it again",
        );
    }
}

/// What lies beside a file and how it lies on the disk.
pub(super) fn beside(found: &mut VendorFile, path: &Path, about: &Metadata) {
    let name = super::file_name(path);
    for part in PARTS {
        let other = format!("{name}.{part}");
        if path.with_file_name(&other).exists() {
            found.against(
                "unfinished_download",
                Inferred,
                format!("{other} lies beside it: its download has not ended"),
                "let the download finish, or start it again",
            );
        }
    }
    let stored = stored_bytes(about);
    if stored.is_some_and(|stored| stored.saturating_add(HOLES) < about.len()) {
        found.against(
            "holes",
            Inferred,
            format!(
                "only {} of its {} bytes are on the disk: parts of it never came, or the file system compresses",
                stored.unwrap_or_default(),
                about.len()
            ),
            AGAIN,
        );
    }
}

#[cfg(unix)]
fn stored_bytes(about: &Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    about.blocks().checked_mul(512)
}

#[cfg(not(unix))]
fn stored_bytes(_: &Metadata) -> Option<u64> {
    None
}

fn too_small_for_its_name(found: &mut VendorFile, name: &str) {
    let dtype = found.value("dtype").unwrap_or_default();
    let parameters = scan::parameters(&name.to_ascii_lowercase());
    let (Some(parameters), Some(bits)) = (parameters, scan::bits(dtype)) else { return };
    // Embeddings shared with the head, and names that round up: half of it is surely too little.
    if (found.size as f64) < parameters / 8.0 * bits / 2.0 {
        let message = format!(
            "{:.1} MB are too few for what its name says ({:.2} billion parameters in {dtype}): probably cut off",
            found.size as f64 / 1e6,
            parameters / 1e9,
        );
        found.against("too_small_for_name", Inferred, message, AGAIN);
    }
}

/// What the vendor's runtime takes on the platform the file is for.
fn runs_where_it_is_for(found: &mut VendorFile) {
    let Some(soc) = found.value("platform").and_then(|name| name.parse::<Soc>().ok()) else {
        return;
    };
    let about = soc.facts();
    let dtype = found.value("dtype").unwrap_or_default().to_owned();
    let taken = match dtype.as_str() {
        // Not one of our schemes; the toolkit has it for this chip only.
        "w4a8_g32" => soc == Soc::Rk3562,
        "fp16" => soc.vendor_runtime_takes(QuantScheme::F16),
        name => name.parse().map_or(true, |scheme| soc.vendor_runtime_takes(scheme)),
    };
    if !taken {
        let schemes: Vec<String> = about.vendor_schemes.iter().map(ToString::to_string).collect();
        found.against(
            "dtype_not_taken",
            Inferred,
            format!("the vendor's runtime takes no {dtype} on {}", about.name),
            format!("convert the model again for {} in {}", about.name, schemes.join(", ")),
        );
    }
    let cores = found.value("npu_cores").and_then(|cores| cores.parse::<u32>().ok());
    if let Some(cores) = cores.filter(|cores| *cores > about.npu_cores) {
        found.against(
            "too_many_cores",
            Inferred,
            format!("it asks for {cores} NPU cores, {} has {}", about.name, about.npu_cores),
            format!("convert the model again with num_npu_core {} or less", about.npu_cores),
        );
    }
}

/// Whether it is for the chip that was asked about.
pub(super) fn target(found: &mut VendorFile, target: Option<Soc>) {
    let Some(target) = target else { return };
    let Some(platforms) = found.value("platform").map(str::to_owned) else { return };
    let wanted = target.to_string();
    let fits = platforms.split(", ").any(|name| name == wanted);
    found.fits_target = Some(fits);
    if !fits {
        found.against(
            "wrong_platform",
            Inferred,
            format!("made for {platforms}, not for {wanted}"),
            format!(
                "convert the checkpoint with target_platform {wanted}, or download that conversion"
            ),
        );
    }
}

/// Major and minor number of a version.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
