//! `rkllm host-runtime`: the stand-ins for Rockchip's libraries, put where programs look.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Settings;
use crate::output;

/// How the version text of librkllmrt begins. NULs follow it, as room for a longer one.
const MARK: &[u8] = b"RKLLM SDK (version: ";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Copy librkllmrt.so, 1.2/librkllmrt.so and librknnrt.so to a directory, to run programs written for
    /// the board on this computer
    Install(Install),
}

#[derive(Debug, Args)]
struct Install {
    /// Where to put them; made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where cargo built them [default: the directory of this program]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Let librkllmrt.so say it is another release, to see a program refuse it: 1.3.1, or a whole text
    #[arg(long, value_name = "VERSION")]
    version_string: Option<String>,
}

/// A stand-in: the file cargo builds, the package, where it goes.
struct Library {
    built: &'static str,
    package: &'static str,
    installed: &'static str,
}

const LIBRARIES: [Library; 3] = [
    Library { built: "librkllmrt.so", package: "host-rkllmrt-1-3", installed: "librkllmrt.so" },
    Library {
        built: "librkllmrt_1_2.so",
        package: "host-rkllmrt-1-2",
        installed: "1.2/librkllmrt.so",
    },
    Library { built: "librknnrt.so", package: "host-rknnrt", installed: "librknnrt.so" },
];

#[derive(Debug, Serialize)]
struct Report {
    installed: Vec<PathBuf>,
    environment: Vec<String>,
}

pub(crate) fn run(options: &Options, settings: &Settings) -> anyhow::Result<()> {
    let Action::Install(options) = &options.action;
    let from = match &options.from {
        Some(dir) => dir.clone(),
        None => {
            let own = std::env::current_exe().context("cannot tell where this program is")?;
            own.parent().map(Path::to_path_buf).unwrap_or_default()
        }
    };
    // All are read before one is written.
    let mut files = Vec::new();
    for library in &LIBRARIES {
        let bytes = fs::read(from.join(library.built)).with_context(|| missing(&from, library))?;
        files.push(bytes);
    }
    if let Some(version) = &options.version_string {
        rename_release(&mut files[0], version)?;
    }
    let mut installed = Vec::new();
    for (library, bytes) in LIBRARIES.iter().zip(&files) {
        let to = options.dir.join(library.installed);
        write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
        installed.push(to);
    }
    let dir = fs::canonicalize(&options.dir).unwrap_or_else(|_| options.dir.clone());
    let environment = vec![
        format!("LD_LIBRARY_PATH={}", dir.display()),
        format!("RKLLM_LIB_DIR={}", dir.display()),
    ];
    let report = Report { installed, environment };
    if settings.json { output::json(&report) } else { output::print(&describe(&report, &dir)) }
}

fn describe(report: &Report, dir: &Path) -> String {
    let mut text = String::new();
    for path in &report.installed {
        text += &format!("installed {}\n", path.display());
    }
    let dir = dir.display();
    text + &format!(
        "\nPrograms that link or dlopen librkllmrt.so (1.3.0):\n  export LD_LIBRARY_PATH={dir}\n\
         The same for programs of 1.2.1 to 1.2.3:\n  export LD_LIBRARY_PATH={dir}/1.2:{dir}\n\
         Programs that use the rkllm crate, and rkllm itself:\n  export RKLLM_LIB_DIR={dir}\n\
         Their model path is a checkpoint or artifact directory, or a file that points to one.\n"
    )
}

fn missing(from: &Path, library: &Library) -> String {
    format!(
        "{}: not there; build it with `cargo build -p {}`, or name cargo's directory by --from DIR",
        from.join(library.built).display(),
        library.package
    )
}

/// Whole or not at all: a program may be loading the file that is there.
fn write(to: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let part = dir.join(format!(".librk-{}.part", std::process::id()));
    fs::write(&part, bytes).and_then(|()| fs::rename(&part, to)).inspect_err(|_| {
        let _ = fs::remove_file(&part);
    })
}

/// Overwrites the version text, in the room it has.
fn rename_release(library: &mut [u8], version: &str) -> anyhow::Result<()> {
    let at = library.windows(MARK.len()).position(|window| window == MARK);
    let Some(at) = at else { bail!("librkllmrt.so has no version text to change") };
    let is_text = |byte: &u8| *byte != 0;
    let old = library[at..].iter().take_while(|byte| is_text(byte)).count();
    let room = old + library[at + old..].iter().take_while(|byte| !is_text(byte)).count() - 1;
    let room = room.min(159);
    let text = match version.as_bytes().starts_with(MARK) {
        true => version.to_owned(),
        false => {
            let old = String::from_utf8_lossy(&library[at + MARK.len()..at + old]).into_owned();
            let rest = old.find([' ', ')']).map_or(")", |end| &old[end..]);
            format!("{}{version}{rest}", String::from_utf8_lossy(MARK))
        }
    };
    if text.len() > room || text.contains('\0') {
        bail!("the version text may have {room} bytes, {:?} has {}", text, text.len());
    }
    library[at..at + room].fill(0);
    library[at..at + text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library() -> Vec<u8> {
        let text = b"RKLLM SDK (version: 1.3.0 | target: host)\0\0\0\0\0\0\0\0\0\0\0\0";
        [&b"\x7fELF head "[..], text, b"tail"].concat()
    }

    #[test]
    fn a_release_is_renamed_in_the_room_it_has() {
        let mut bytes = library();
        rename_release(&mut bytes, "1.3.1b12").unwrap();
        let text = b"RKLLM SDK (version: 1.3.1b12 | target: host)\0";
        assert!(bytes.windows(text.len()).any(|window| window == text));
        assert!(bytes.ends_with(b"tail") && bytes.len() == library().len());
        rename_release(&mut bytes, "RKLLM SDK (version: 9)").unwrap();
        assert!(bytes.windows(24).any(|window| window == b"RKLLM SDK (version: 9)\0\0"));
        assert!(rename_release(&mut bytes, &"1".repeat(200)).is_err());
        assert!(rename_release(&mut b"none".to_vec(), "1.3.1").is_err());
    }
}
