//! The judgement on files made up for each case.

use super::*;
use crate::elf::tests::Made;
use crate::load::Stamp;

const BOARD: Host = Host { machine: Some(Machine::AARCH64), sve: false };
const LAPTOP: Host = Host { machine: Some(Machine::X86_64), sve: false };
const NEXT_BOARD: Host = Host { machine: Some(Machine::AARCH64), sve: true };

/// `ptrue p0.s` and `ret`.
const PTRUE: u32 = 0x2598_e3e0;
const RET: u32 = 0xd65f_03c0;

fn file(made: &Made<'_>) -> LibraryFile {
    let stamp = Stamp::of(&std::fs::metadata("/").unwrap());
    LibraryFile::parse(Path::new("/lib/librkllmrt.so"), &made.bytes(), stamp).unwrap()
}

fn fifteen() -> Vec<&'static str> {
    v1_3::Functions::REQUIRED.to_vec()
}

fn library(text: &str, functions: &[&str]) -> LibraryFile {
    file(&Made { text: text.as_bytes(), defined: functions, ..Made::default() })
}

fn judge(text: &str, options: OpenOptions) -> Result<Abi, ErrorKind> {
    rkllm(&library(text, &fifteen()), &options, BOARD).map_err(|error| {
        assert!(error.advice().is_some(), "{error}");
        error.kind()
    })
}

const ANY: OpenOptions = OpenOptions { assume_abi: None, require_abi: None, allow_sve: false };

#[test]
fn releases_are_told_apart() {
    for (version, outcome) in [
        ("1.2.1", Ok(Abi::V1_2)),
        ("1.2.2", Ok(Abi::V1_2)),
        ("1.2.3", Ok(Abi::V1_2)),
        ("1.3.0", Ok(Abi::V1_3)),
        ("1.0.0", Err(ErrorKind::TooOld)),
        ("1.1.4", Err(ErrorKind::TooOld)),
        ("1.2.0", Err(ErrorKind::TooOld)),
        ("1.2.1b1", Err(ErrorKind::TooOld)),
        ("1.2.2b1", Err(ErrorKind::UnknownVersion)),
        ("1.2.4", Err(ErrorKind::UnknownVersion)),
        ("1.3.1", Err(ErrorKind::UnknownVersion)),
        ("1.3.0b1", Err(ErrorKind::UnknownVersion)),
        ("2.0.0", Err(ErrorKind::UnknownVersion)),
        ("none", Err(ErrorKind::NoVersion)),
    ] {
        let text = format!("RKLLM SDK (version: {version} | target: Linux)");
        assert_eq!(judge(&text, ANY), outcome, "{version}");
    }
}

#[test]
fn assuming_helps_where_nothing_is_known() {
    let assume = OpenOptions { assume_abi: Some(Abi::V1_3), ..ANY };
    assert_eq!(judge("RKLLM SDK (version: 1.3.1)", assume), Ok(Abi::V1_3));
    assert_eq!(judge("", assume), Ok(Abi::V1_3));
    // What is known is not overruled.
    assert_eq!(judge("RKLLM SDK (version: 1.2.3)", assume), Ok(Abi::V1_2));
    assert_eq!(judge("RKLLM SDK (version: 1.1.4)", assume), Err(ErrorKind::TooOld));
}

#[test]
fn the_other_abi_has_its_own_kind() {
    for (version, wanted) in [("1.2.3", Abi::V1_3), ("1.3.0", Abi::V1_2)] {
        let text = format!("RKLLM SDK (version: {version})");
        let options = OpenOptions { require_abi: Some(wanted), ..ANY };
        assert_eq!(judge(&text, options), Err(ErrorKind::OtherAbi));
        let error = rkllm(&library(&text, &fifteen()), &options, BOARD).unwrap_err();
        assert_eq!(error.what_was_expected(), Some(wanted.to_string().as_str()));
        assert!(error.advice().unwrap().contains(if wanted == Abi::V1_3 {
            "1.3.0"
        } else {
            "1.2.1"
        }));
    }
}

#[test]
fn two_texts_of_different_abis_are_one_too_many() {
    let text = "RKLLM SDK (version: 1.3.0) RKLLM SDK (version: 1.2.3)";
    assert_eq!(judge(text, ANY), Err(ErrorKind::AbiMismatch));
    assert_eq!(judge("RKLLM SDK (version: 1.2.3) RKLLM SDK (version: 1.2.2)", ANY), Ok(Abi::V1_2));
}

#[test]
fn functions_have_to_be_those_of_the_release() {
    let text = "RKLLM SDK (version: 1.3.0)";
    for rung in 1..LADDER.len() {
        let older: Vec<&str> =
            LADDER[..rung].iter().flat_map(|(_, names)| *names).copied().collect();
        let error = rkllm(&library(text, &older), &ANY, BOARD).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AbiMismatch);
        assert_eq!(
            error.what_was_found(),
            Some(format!("those of {}", LADDER[rung - 1].0).as_str())
        );
    }
    // Any other gap is a missing function, by name.
    for missing in fifteen() {
        let rest: Vec<&str> = fifteen().into_iter().filter(|name| *name != missing).collect();
        let error = rkllm(&library(text, &rest), &ANY, BOARD).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingSymbol, "{missing}");
        assert!(error.to_string().contains(missing), "{error}");
    }
    assert_eq!(
        rkllm(&library(text, &[]), &ANY, BOARD).unwrap_err().kind(),
        ErrorKind::MissingSymbol
    );
    // The ladder names each of the fifteen once.
    let mut names: Vec<&str> = LADDER.iter().flat_map(|(_, names)| *names).copied().collect();
    let mut wanted = fifteen();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    assert_eq!(v1_2::Functions::REQUIRED, v1_3::Functions::REQUIRED);
}

#[test]
fn the_machine_comes_first() {
    for (machine, host) in
        [(Machine::X86_64, BOARD), (Machine::AARCH64, LAPTOP), (Machine(243), BOARD)]
    {
        let file = file(&Made { machine, ..Made::default() });
        let error = rkllm(&file, &ANY, host).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongMachine);
        assert_eq!(error.what_was_found(), Some(machine.to_string().as_str()));
    }
}

#[test]
fn sve_without_a_question_is_refused_where_there_is_none() {
    let names = fifteen();
    let made = |code: &'static [u32], imported: &'static [&'static str], text: &'static str| Made {
        defined: &[],
        code,
        imported,
        text: text.as_bytes(),
        ..Made::default()
    };
    const SVE: &[u32] = &[PTRUE; 9];
    // mrs x3, ID_AA64PFR0_EL1
    const READS: &[u32] =
        &[PTRUE, PTRUE, PTRUE, PTRUE, PTRUE, PTRUE, PTRUE, PTRUE, PTRUE, 0xd538_0403];
    let text = "RKLLM SDK (version: 1.3.0)";
    let cpuinfo = "RKLLM SDK (version: 1.3.0)\0/proc/cpuinfo\0";
    for (made, sve) in [
        (made(SVE, &["malloc"], text), SveUse::Unasked),
        (made(SVE, &["getauxval"], text), SveUse::Asked),
        (made(READS, &[], text), SveUse::Asked),
        (made(SVE, &[], cpuinfo), SveUse::Asked),
        (made(&[PTRUE, RET], &[], text), SveUse::None),
        (made(&[RET; 100], &[], text), SveUse::None),
    ] {
        let file = file(&Made { defined: &names, ..made });
        assert_eq!(file.sve, sve);
        let refused = sve == SveUse::Unasked;
        let kind = |options: OpenOptions, host| rkllm(&file, &options, host).map_err(|e| e.kind());
        let expected = if refused { Err(ErrorKind::NeedsSve) } else { Ok(Abi::V1_3) };
        assert_eq!(kind(ANY, BOARD), expected);
        assert_eq!(kind(ANY, NEXT_BOARD), Ok(Abi::V1_3));
        assert_eq!(kind(OpenOptions { allow_sve: true, ..ANY }, BOARD), Ok(Abi::V1_3));
    }
    // On another processor the same bytes are other instructions.
    let file =
        file(&Made { machine: Machine::X86_64, defined: &names, code: SVE, ..Made::default() });
    assert_eq!(file.sve, SveUse::None);
}

#[test]
fn librknnrt_is_judged_by_its_own_text() {
    const DEFAULT: RknnOptions = RknnOptions { assume_2_3: false, allow_sve: false };
    let judge = |text: &str, functions: &[&str], options: RknnOptions| {
        rknn(&library(text, functions), &options, BOARD).map_err(|error| {
            assert!(error.advice().is_some(), "{error}");
            error.kind()
        })
    };
    let all = rknn::Functions::REQUIRED;
    for (version, outcome) in [
        ("2.3.0", Ok(())),
        ("2.3.2", Ok(())),
        ("2.2.0", Err(ErrorKind::TooOld)),
        ("1.6.0", Err(ErrorKind::TooOld)),
        ("2.3.3b0", Err(ErrorKind::UnknownVersion)),
        ("2.4.0", Err(ErrorKind::UnknownVersion)),
        ("?", Err(ErrorKind::NoVersion)),
    ] {
        assert_eq!(judge(&format!("librknnrt version: {version} (x)"), all, DEFAULT), outcome);
    }
    let assume = RknnOptions { assume_2_3: true, ..DEFAULT };
    assert_eq!(judge("librknnrt version: 2.4.0", all, assume), Ok(()));
    assert_eq!(judge("", all, assume), Ok(()));
    assert_eq!(judge("librknnrt version: 2.2.0", all, assume), Err(ErrorKind::TooOld));
    let text = "librknnrt version: 2.3.2";
    let old = ["rknn_matmul_create", "rknn_matmul_create_dyn_shape"];
    assert_eq!(judge(text, &old, DEFAULT), Err(ErrorKind::AbiMismatch));
    assert_eq!(judge(text, &old[..1], DEFAULT), Err(ErrorKind::AbiMismatch));
    for missing in all.iter().filter(|name| **name != "rknn_matmul_create_dynamic_shape") {
        let rest: Vec<&str> = all.iter().copied().filter(|name| name != missing).collect();
        assert_eq!(judge(text, &rest, DEFAULT), Err(ErrorKind::MissingSymbol), "{missing}");
    }
}

#[test]
fn one_library_in_place_of_the_other_is_recognised() {
    let error = rkllm(&library("librknnrt version: 2.3.2", &[]), &ANY, BOARD).unwrap_err();
    assert_eq!(
        (error.kind(), error.what_was_found()),
        (ErrorKind::NoVersion, Some("librknnrt 2.3.2"))
    );
}

/// A laptop reads a board's file and hears what the board would.
#[test]
fn a_file_is_judged_for_its_own_machine() {
    let text = |version| format!("RKLLM SDK (version: {version} | target: Linux)");
    let sve = [PTRUE; 32];
    let made = |text: &[u8], code: &[u32]| {
        file(&Made { text, code, imported: &[], defined: &fifteen(), ..Made::default() })
    };
    assert_eq!(made(text("1.3.0").as_bytes(), &sve).rkllm_abi().unwrap(), Abi::V1_3);
    let old = made(text("1.1.4").as_bytes(), &[RET]).rkllm_abi().unwrap_err();
    assert_eq!(old.kind(), ErrorKind::TooOld);
    assert!(old.message().contains("other structs") && !old.message().contains("/lib"));
    let other = made(text("1.3.0").as_bytes(), &[RET]).check_rknn().unwrap_err();
    assert_eq!(
        (other.kind(), other.what_was_found()),
        (ErrorKind::NoVersion, Some("librkllmrt 1.3.0"))
    );
}
