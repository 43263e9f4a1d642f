//! Whether a file's own words, functions and instructions fit together and fit this machine.

use std::path::Path;

use crate::elf::Machine;
use crate::error::{Error, ErrorKind};
use crate::library::{LibraryFile, wrong_machine};
use crate::load::{OpenOptions, RknnOptions};
use crate::sve::{self, SveUse};
use crate::version::{Abi, RuntimeVersion};
use crate::{rknn, v1_2, v1_3};

/// The functions each release of librkllmrt added to those before it.
const LADDER: [(&str, &[&str]); 5] = [
    ("1.0.0", &["rkllm_createDefaultParam", "rkllm_init", "rkllm_run", "rkllm_destroy"]),
    ("1.0.1", &["rkllm_abort"]),
    (
        "1.1",
        &[
            "rkllm_run_async",
            "rkllm_is_running",
            "rkllm_load_lora",
            "rkllm_load_prompt_cache",
            "rkllm_release_prompt_cache",
        ],
    ),
    ("1.2.0", &["rkllm_clear_kv_cache", "rkllm_set_chat_template"]),
    (
        "1.2.1",
        &["rkllm_get_kv_cache_size", "rkllm_set_function_tools", "rkllm_set_cross_attn_params"],
    ),
];

/// The machine a library is to run on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    pub(crate) machine: Option<Machine>,
    pub(crate) sve: bool,
}

impl Host {
    pub(crate) fn this() -> Self {
        Self { machine: Machine::this(), sve: sve::processor_has_it() }
    }
}

/// The ABI of a librkllmrt file, or why it is not to be loaded.
pub(crate) fn rkllm(file: &LibraryFile, options: &OpenOptions, host: Host) -> Result<Abi, Error> {
    machine(file, host)?;
    let abi = rkllm_abi(file, options)?;
    if let Some(wanted) = options.require_abi.filter(|wanted| *wanted != abi) {
        let release = match wanted {
            Abi::V1_2 => "1.2.1, 1.2.2 or 1.2.3",
            Abi::V1_3 => "1.3.0",
        };
        return Err(Error::new(ErrorKind::OtherAbi, &file.path, "a runtime of another ABI")
            .expected(wanted.to_string())
            .found(abi.to_string())
            .hint(format!("install librkllmrt {release}, or use the program built for this one")));
    }
    ladder(file)?;
    let wanted = match abi {
        Abi::V1_2 => v1_2::Functions::REQUIRED,
        Abi::V1_3 => v1_3::Functions::REQUIRED,
    };
    missing(file, wanted)?;
    needs_sve(file, options.allow_sve, host)?;
    Ok(abi)
}

fn machine(file: &LibraryFile, host: Host) -> Result<(), Error> {
    if host.machine == Some(file.machine) {
        return Ok(());
    }
    Err(wrong_machine(&file.path, &file.machine.to_string()))
}

fn rkllm_abi(file: &LibraryFile, options: &OpenOptions) -> Result<Abi, Error> {
    let path = &file.path;
    let known = "1.2.1, 1.2.2, 1.2.3 and 1.3.0 are known";
    if file.abis.len() > 1 {
        return Err(Error::new(ErrorKind::AbiMismatch, path, "version texts of two ABIs")
            .expected("one")
            .found("those of 1.2 and of 1.3")
            .hint("take the library from the SDK itself"));
    }
    let Some(version) = file.rkllm else {
        return options.assume_abi.ok_or_else(|| {
            let error = Error::new(ErrorKind::NoVersion, path, "no version text inside")
                .expected("`RKLLM SDK (version: X.Y.Z`");
            match file.rknn {
                Some(rknn) => error.found(format!("librknnrt {rknn}")).hint(
                    "that is the runtime for .rknn models; name librkllmrt.so, which comes with \
                     the RKLLM SDK",
                ),
                None => error.hint(format!(
                    "is it librkllmrt.so? {known}; say assume_abi if you know its layouts"
                )),
            }
        });
    };
    if version < RuntimeVersion::OLDEST_RKLLM {
        return Err(Error::new(ErrorKind::TooOld, path, "this release has other structs")
            .expected("1.2.1 or newer")
            .found(version.to_string())
            .hint("install librkllmrt 1.2.3 (or 1.3.0) from airockchip/rknn-llm"));
    }
    match (version.abi(), options.assume_abi) {
        (Some(abi), _) => Ok(abi),
        (None, Some(assumed)) => Ok(assumed),
        (None, None) => Err(Error::new(
            ErrorKind::UnknownVersion,
            path,
            "the layouts of this release are unknown",
        )
        .expected("1.2.1 to 1.2.3, or 1.3.0")
        .found(version.to_string())
        .hint(
            "install one of those, or say assume_abi if you know that it keeps the layouts \
                     of one",
        )),
    }
}

/// Functions that are exactly those of an older release: then the version text is not this file's.
fn ladder(file: &LibraryFile) -> Result<(), Error> {
    let has =
        |(_, names): &&(&str, &[&str])| names.iter().all(|name| file.functions.contains(*name));
    let lacks =
        |(_, names): &(&str, &[&str])| !names.iter().any(|name| file.functions.contains(*name));
    for rung in 1..LADDER.len() {
        let (older, newer) = LADDER.split_at(rung);
        if older.iter().all(|step| has(&step)) && newer.iter().all(lacks) {
            let release = older[rung - 1].0;
            return Err(Error::new(
                ErrorKind::AbiMismatch,
                &file.path,
                "its functions are not those of the release it says it is",
            )
            .expected("the fifteen functions since 1.2.1")
            .found(format!("those of {release}"))
            .hint("take librkllmrt.so from the SDK itself"));
        }
    }
    Ok(())
}

fn missing(file: &LibraryFile, wanted: &[&str]) -> Result<(), Error> {
    let missing: Vec<&str> =
        wanted.iter().filter(|name| !file.functions.contains(**name)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(missing_symbol(&file.path, &missing.join(", ")))
}

pub(crate) fn missing_symbol(path: &Path, names: &str) -> Error {
    Error::new(ErrorKind::MissingSymbol, path, format!("does not export {names}"))
        .hint("the file is not the vendor's build; take it from the SDK itself")
}

fn needs_sve(file: &LibraryFile, allowed: bool, host: Host) -> Result<(), Error> {
    if file.sve != SveUse::Unasked || host.sve || allowed {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NeedsSve, &file.path, "would stop with an illegal instruction")
        .expected("instructions of this processor, which has no SVE")
        .found("SVE instructions and no question whether they exist (inferred from the file)")
        .hint(
            "a build of 1.3.0 is known for it (airockchip/rknn-llm issue 518): install 1.2.3 or a \
             later build of 1.3.0, or say allow_sve to try",
        ))
}

/// Whether a librknnrt file has the declared layouts.
pub(crate) fn rknn(file: &LibraryFile, options: &RknnOptions, host: Host) -> Result<(), Error> {
    machine(file, host)?;
    let path = &file.path;
    let hint = "install librknnrt 2.3.2 from airockchip/rknn-toolkit2";
    match file.rknn {
        Some(RuntimeVersion { major: 2, minor: 3, beta: None, .. }) => {}
        Some(version) if (version.major, version.minor) < (2, 3) => {
            return Err(Error::new(ErrorKind::TooOld, path, "this release has other structs")
                .expected("2.3")
                .found(version.to_string())
                .hint(hint));
        }
        _ if options.assume_2_3 => {}
        Some(version) => {
            return Err(Error::new(
                ErrorKind::UnknownVersion,
                path,
                "the layouts of this release are unknown",
            )
            .expected("2.3")
            .found(version.to_string())
            .hint(format!("{hint}, or say assume_2_3 if you know that it keeps the layouts")));
        }
        None => {
            let error = Error::new(ErrorKind::NoVersion, path, "no version text inside")
                .expected("`librknnrt version: X.Y.Z`")
                .hint(hint);
            return Err(match file.rkllm {
                Some(rkllm) => error.found(format!("librkllmrt {rkllm}")),
                None => error,
            });
        }
    }
    let has = |name: &str| file.functions.contains(name);
    if has("rknn_matmul_create") && !has("rknn_matmul_create_dynamic_shape") {
        let found = match has("rknn_matmul_create_dyn_shape") {
            true => "those of the 2.0.0 betas",
            false => "those of 1.x",
        };
        return Err(Error::new(
            ErrorKind::AbiMismatch,
            path,
            "its functions are not those of the release it says it is",
        )
        .expected("the matmul functions since 2.1.0")
        .found(found)
        .hint(hint));
    }
    missing(file, rknn::Functions::REQUIRED)?;
    needs_sve(file, options.allow_sve, host)
}

#[cfg(test)]
mod tests;
