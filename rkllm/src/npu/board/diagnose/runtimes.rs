//! Rockchip's libraries.

use rkllm_sys::ErrorKind;

use super::Advice;
use crate::npu::board::{Board, Refusal, RuntimeFile, RuntimeKind};

const RKLLM: &str =
    "https://github.com/airockchip/rknn-llm/tree/main/rkllm-runtime/Linux/librkllm_api/aarch64";
const RKNN: &str = "https://github.com/airockchip/rknn-toolkit2/tree/master/rknpu2/runtime/Linux/librknn_api/aarch64";
const ABI: &str = "https://github.com/airockchip/rknn-llm/issues/509";

/// The library that a program would get: as the loader does, files for another processor are passed
/// over where there is a better one.
pub(super) fn first(board: &Board, kind: RuntimeKind) -> Option<&RuntimeFile> {
    let mut files = board.runtimes.iter().filter(|file| file.kind == kind);
    let wrong = |file: &&RuntimeFile| {
        file.refusal.as_ref().is_some_and(|r| r.kind == ErrorKind::WrongMachine)
    };
    files.clone().find(|file| !wrong(file)).or_else(|| files.next())
}

/// What a refused file means and what to do, for its kind of refusal.
fn refused(file: &RuntimeFile, refusal: &Refusal) -> (String, &'static str, String) {
    let name = file.kind.file_name();
    let again =
        || refusal.advice.clone().unwrap_or(format!("install {name} for aarch64 Linux anew"));
    let releases = match file.kind {
        RuntimeKind::Rkllm => {
            "install librkllmrt 1.2.1, 1.2.2, 1.2.3 or 1.3.0 of rknn-llm, the releases whose ABI rkllm knows"
        }
        RuntimeKind::Rknn => "install librknnrt 2.3.2 of rknn-toolkit2",
    };
    let version = file.version.as_deref().unwrap_or("of unknown version");
    let named = format!("{} {version} ({})", name.trim_end_matches(".so"), file.path);
    let what = format!("{}: {}", file.path, refusal.what);
    match refusal.kind {
        ErrorKind::WrongMachine => (
            format!("{} is {}", file.path, refusal.what),
            "the loader refuses a library of another processor",
            again(),
        ),
        ErrorKind::NotElf | ErrorKind::LfsPointer => {
            (what, "often a web page or a git-lfs pointer saved under that name", again())
        }
        ErrorKind::Truncated => (what, "the download or the copy of it broke off", again()),
        ErrorKind::TooOld => (
            format!("{named} is too old: {}", refusal.what),
            "its structs are others under the same names; calling it would corrupt memory",
            releases.into(),
        ),
        ErrorKind::UnknownVersion => (
            format!("{named} is not known: {}", refusal.what),
            "structs changed between releases without a sign; calling it with others corrupts memory",
            releases.into(),
        ),
        ErrorKind::NoVersion | ErrorKind::AbiMismatch | ErrorKind::MissingSymbol => (
            what,
            "it is not the vendor's build, or another library under that name",
            releases.into(),
        ),
        ErrorKind::Io | ErrorKind::NotFound => (what, "the file cannot be read", again()),
        _ => (what, "the file is damaged", again()),
    }
}

/// Programs run by it, and the NPU rests.
fn stand_in(file: &RuntimeFile) -> Advice {
    let (name, url) = match file.kind {
        RuntimeKind::Rkllm => ("librkllmrt", RKLLM),
        RuntimeKind::Rknn => ("librknnrt", RKNN),
    };
    Advice::warning(
        format!("{} is rkllm's host stand-in for {name}: it computes on the processor", file.path),
        "it is for programs in development, and was found before Rockchip's, or in its place; speeds and numbers \
         taken with it say nothing of the NPU",
        format!(
            "install Rockchip's {name}.so, or take the stand-in out of RKLLM_LIB_DIR and LD_LIBRARY_PATH"
        ),
        url,
    )
}

pub(super) fn rkllm(board: &Board) -> Option<Advice> {
    let Some(file) = first(board, RuntimeKind::Rkllm) else {
        return Some(Advice::error(
            "librkllmrt.so not found",
            "Rockchip's LLM runtime does not come with the system; looked in RKLLM_LIB_DIR, LD_LIBRARY_PATH, the \
             directories of /etc/ld.so.conf, /lib, /usr/lib, their aarch64-linux-gnu and lib64",
            "sudo install -m 644 librkllmrt.so /usr/lib/ (release 1.2.1 to 1.3.0 of rknn-llm), or set RKLLM_LIB_DIR to \
             its directory",
            RKLLM,
        ));
    };
    if let Some(refusal) = &file.refusal {
        let (what, cause, fix) = refused(file, refusal);
        return Some(Advice::error(what, cause, fix, ABI));
    }
    if file.stand_in {
        return Some(stand_in(file));
    }
    let version = file.version.as_deref().unwrap_or_default();
    let abi = file.abi.unwrap_or_default();
    Some(Advice::ok(format!("librkllmrt {version} ({}), ABI {abi}", file.path)))
}

/// Nothing of librknnrt keeps a language model from running.
pub(super) fn rknn(board: &Board) -> Option<Advice> {
    let Some(file) = first(board, RuntimeKind::Rknn) else {
        return Some(Advice::info(
            "librknnrt.so not found",
            "only rkllm's own matrix products on the NPU and vision models need it",
            "sudo install -m 644 librknnrt.so /usr/lib/ (release 2.3.2 of rknn-toolkit2)",
            RKNN,
        ));
    };
    if let Some(refusal) = &file.refusal {
        let (what, cause, fix) = refused(file, refusal);
        let cause = format!(
            "{cause}; only matrix products of rkllm's own on the NPU and vision models need it"
        );
        return Some(Advice::warning(what, cause, fix, RKNN));
    }
    if file.stand_in {
        return Some(stand_in(file));
    }
    let version = file.version.as_deref().unwrap_or_default();
    Some(Advice::ok(format!("librknnrt {version} ({})", file.path)))
}

pub(super) fn several(board: &Board) -> Option<Advice> {
    let files = board.runtimes.iter().filter(|file| file.kind == RuntimeKind::Rkllm);
    let found: Vec<String> = files
        .clone()
        .map(|file| format!("{} ({})", file.path, file.version.as_deref().unwrap_or("no version")))
        .collect();
    let mut versions: Vec<_> = files.map(|file| &file.version).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() < 2 {
        return None;
    }
    Some(Advice::warning(
        format!("librkllmrt.so of several releases: {}", found.join(", ")),
        "which one a program gets depends on its search path, and their structs differ",
        "keep one, or set RKLLM_LIB_DIR",
        ABI,
    ))
}
