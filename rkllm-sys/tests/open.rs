//! Runtimes that are good, wrong, damaged or missing: opened, or refused by kind and with advice.

mod common;

use std::fs;

use common::{Placed, RKLLM_1_2, RKLLM_1_3, RKNN, bytes, replaced};
use rkllm_sys::{
    Abi, Error, ErrorKind, LibraryFile, OpenOptions, Rkllm, Rknn, RknnOptions, Search, SveUse,
};

const FILE: &str = "librkllmrt.so";

fn open(bytes: &[u8], options: &OpenOptions) -> Result<Rkllm, Error> {
    let placed = Placed::new(FILE, bytes);
    let outcome = Rkllm::open(&placed.search(), options);
    if let Err(error) = &outcome {
        assert!(error.advice().is_some(), "{error}");
        assert!(error.to_string().contains(FILE), "{error}");
    }
    outcome
}

fn kind(bytes: &[u8]) -> ErrorKind {
    open(bytes, &OpenOptions::default()).unwrap_err().kind()
}

/// A fake that says it is another release.
fn says(name: &str, version: &str) -> Vec<u8> {
    let (own, padded) = match name {
        RKLLM_1_2 => ("version: 1.2.3 | target", format!("version: {version} ")),
        _ => ("version: 1.3.0 | target", format!("version: {version} ")),
    };
    replaced(bytes(name), own, &format!("{padded:<23}"))
}

#[test]
fn both_abis_open_as_what_they_are() {
    for (name, abi, version) in [(RKLLM_1_2, Abi::V1_2, "1.2.3"), (RKLLM_1_3, Abi::V1_3, "1.3.0")] {
        let placed = Placed::new(FILE, &bytes(name));
        let rkllm = Rkllm::open(&placed.search(), &OpenOptions::default()).unwrap();
        assert_eq!(rkllm.abi(), abi);
        assert_eq!(rkllm.version().unwrap().to_string(), version);
        assert_eq!(rkllm.path(), placed.file.canonicalize().unwrap());
        let file = LibraryFile::open(&placed.file).unwrap();
        assert_eq!(file.rkllm, rkllm.version());
        assert_eq!(file.sve, SveUse::None);
        assert!(file.functions.contains("rkllm_fake_report"));
    }
    let placed = Placed::new("librknnrt.so", &bytes(RKNN));
    let rknn = Rknn::open(&placed.search(), &RknnOptions::default()).unwrap();
    assert_eq!(rknn.version().unwrap().to_string(), "2.3.2");
    assert!(rknn.functions().rknn_create_mem2.is_some());
    assert!(rknn.functions().rknn_create_mem_from_mb_blk.is_none());
}

#[test]
fn the_abi_the_caller_cannot_use_is_refused() {
    for (name, required) in [(RKLLM_1_2, Abi::V1_3), (RKLLM_1_3, Abi::V1_2)] {
        let options = OpenOptions { require_abi: Some(required), ..OpenOptions::default() };
        assert_eq!(open(&bytes(name), &options).unwrap_err().kind(), ErrorKind::OtherAbi);
    }
}

#[test]
fn a_library_that_lies_about_its_release_is_found_out_by_its_first_struct() {
    // 208 bytes where 184 are expected, and the reverse.
    for (name, version) in [(RKLLM_1_2, "1.3.0"), (RKLLM_1_3, "1.2.1")] {
        assert_eq!(kind(&says(name, version)), ErrorKind::PoisonMismatch, "{name}");
    }
    // The same for an ABI that was only assumed.
    for (name, assumed) in [(RKLLM_1_2, Abi::V1_3), (RKLLM_1_3, Abi::V1_2)] {
        let options = OpenOptions { assume_abi: Some(assumed), ..OpenOptions::default() };
        let error = open(&says(name, "1.9.9"), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PoisonMismatch, "{error}");
    }
}

#[test]
fn releases_without_known_layouts_are_refused() {
    let error = open(&says(RKLLM_1_2, "1.1.4"), &OpenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooOld);
    assert!(error.advice().unwrap().contains("1.2.3"), "{error}");
    assert_eq!(kind(&says(RKLLM_1_2, "1.2.0")), ErrorKind::TooOld);
    assert_eq!(kind(&says(RKLLM_1_2, "1.2.1b1")), ErrorKind::TooOld);
    let newer = says(RKLLM_1_3, "1.3.1");
    let error = open(&newer, &OpenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownVersion);
    assert!(error.advice().unwrap().contains("assume_abi"), "{error}");
    let options = OpenOptions { assume_abi: Some(Abi::V1_3), ..OpenOptions::default() };
    assert_eq!(open(&newer, &options).unwrap().version().unwrap().to_string(), "1.3.1");
    let silent = replaced(bytes(RKLLM_1_3), "RKLLM SDK (version", "RKLLM SDK (Version");
    assert_eq!(kind(&silent), ErrorKind::NoVersion);
    assert_eq!(open(&silent, &options).unwrap().version(), None);
}

#[test]
fn missing_functions_are_named() {
    let without = replaced(bytes(RKLLM_1_3), "rkllm_abort\0", "rkllm_aborn\0");
    let error = open(&without, &OpenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingSymbol);
    assert!(error.to_string().contains("rkllm_abort"), "{error}");
    let mut of_1_2_0 = bytes(RKLLM_1_3);
    for name in
        ["rkllm_get_kv_cache_size", "rkllm_set_function_tools", "rkllm_set_cross_attn_params"]
    {
        let other = format!("{}_", &name[..name.len() - 1]);
        of_1_2_0 = replaced(of_1_2_0, &format!("{name}\0"), &format!("{other}\0"));
    }
    assert_eq!(kind(&of_1_2_0), ErrorKind::AbiMismatch);
}

#[test]
fn what_is_no_library_is_named_for_what_it_is() {
    assert_eq!(kind(b"#!/bin/sh\necho hello\n"), ErrorKind::NotElf);
    assert_eq!(kind(b"<!DOCTYPE html><html>"), ErrorKind::NotElf);
    assert_eq!(kind(b"\x1f\x8b\x08\0\0\0\0\0"), ErrorKind::NotElf);
    assert_eq!(kind(b""), ErrorKind::Truncated);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7553024\n";
    assert_eq!(kind(pointer.as_bytes()), ErrorKind::LfsPointer);
}

#[test]
fn a_library_for_another_processor_is_refused() {
    let mut other = bytes(RKLLM_1_3);
    let foreign: u16 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    other[18..20].copy_from_slice(&foreign.to_le_bytes());
    assert_eq!(kind(&other), ErrorKind::WrongMachine);
    let mut arm = bytes(RKLLM_1_3);
    (arm[4], arm[18]) = (1, 40);
    let error = open(&arm, &OpenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongMachine);
    assert!(error.to_string().contains("arm (32-bit)"), "{error}");
}

#[test]
fn every_kind_of_cut_is_a_truncation() {
    let whole = bytes(RKLLM_1_3);
    let ends =
        (0..4096).chain((4096..whole.len()).step_by(9973)).chain(whole.len() - 64..whole.len());
    let placed = Placed::new(FILE, &whole);
    let file = fs::OpenOptions::new().write(true).open(&placed.file).unwrap();
    // Ever shorter, so that one file serves.
    let mut ends: Vec<usize> = ends.collect();
    ends.sort_unstable_by(|a, b| b.cmp(a));
    for end in ends {
        file.set_len(end as u64).unwrap();
        let error = Rkllm::open(&placed.search(), &OpenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{end}: {error}");
    }
}

#[test]
fn the_first_place_that_has_it_counts() {
    let (old, new) = (Placed::new(FILE, &bytes(RKLLM_1_2)), Placed::new(FILE, &bytes(RKLLM_1_3)));
    let empty = tempfile::tempdir().unwrap();
    let path = std::env::join_paths([empty.path(), old.dir(), new.dir()]).unwrap();
    let search = Search::from_env().with_dirs(&path).without_system();
    let rkllm = Rkllm::open(&search, &OpenOptions::default()).unwrap();
    assert_eq!(rkllm.abi(), Abi::V1_2);
    let search = Search::from_env().with_dirs(empty.path()).without_system();
    let error = Rkllm::open(&search, &OpenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.advice().unwrap().contains("RKLLM_LIB_DIR"), "{error}");
}

#[test]
fn the_current_directory_is_never_searched() {
    for search in [
        Search::file(FILE),
        Search::from_env().with_dirs(":/tmp"),
        Search::from_env().with_dirs("."),
    ] {
        let error = Rkllm::open(&search, &OpenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RelativePath, "{error}");
    }
}

#[test]
fn directories_and_pipes_are_no_files() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    let search = Search::from_env().with_dirs(dir.path()).without_system();
    let error = Rkllm::open(&search, &OpenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
