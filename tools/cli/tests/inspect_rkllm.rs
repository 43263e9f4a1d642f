//! `rkllm inspect FILE`: vendor files, and files that are called so.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{failure_of, json_of, rkllm};
use serde_json::Value;

/// The line that runtimes print of a model they load.
const LINE: &str = "rkllm-toolkit version: 1.2.3, max_context_limit: 4096, npu_core_num: 3, target_platform: RK3588, model_dtype: W8A8";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Two MiB with these strings in them. The real format is closed, and no real file is kept here.
fn model(strings: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0xf1, 2, 3, 4, 0, 0, 0, 1];
    for text in strings {
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    bytes.extend((0..2usize << 20).map(|i| (i * 37 % 31) as u8 | 0x80));
    bytes
}

/// Standard output and exit code.
fn said(arguments: &[&str], path: &PathBuf) -> (String, Option<i32>) {
    let output = rkllm().arg("inspect").arg(path).args(arguments).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

fn value<'a>(found: &'a Value, name: &str) -> &'a Value {
    let items = found["items"].as_array().unwrap();
    items.iter().find(|item| item["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn a_plausible_file_says_what_is_inferred() {
    let folder = Folder::new();
    let path = folder.file("m.rkllm", &model(&[LINE]));
    let (text, code) = said(&[], &path);
    assert_eq!(code, Some(0), "{text}");
    for line in ["toolkit", "platform", "dtype", "context"] {
        let found = text.lines().find(|l| l.trim_start().starts_with(line)).unwrap_or_default();
        assert!(found.contains("inferred"), "{line} in {text}");
    }
    let magic = text.lines().find(|l| l.contains("first bytes")).unwrap();
    assert!(magic.contains("f1020304") && magic.contains(" read"), "{text}");
    let found = json_of(rkllm().arg("inspect").arg(&path));
    let mut keys: Vec<&String> = found.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "content",
            "fits_target",
            "items",
            "kind",
            "magic",
            "path",
            "problems",
            "searched",
            "size",
            "strings",
            "target",
            "verdict"
        ]
    );
    assert_eq!((&found["kind"], &found["verdict"]), (&"vendor_file".into(), &"plausible".into()));
    assert_eq!((&found["content"], &found["problems"]), (&"opaque".into(), &Value::Array(vec![])));
    assert_eq!(found["size"], fs::metadata(&path).unwrap().len());
    for (name, expected) in [
        ("toolkit", "1.2.3"),
        ("context", "4096"),
        ("npu_cores", "3"),
        ("platform", "rk3588"),
        ("dtype", "w8a8"),
    ] {
        let item = value(&found, name);
        assert_eq!((&item["value"], &item["certainty"]), (&expected.into(), &"inferred".into()));
    }
}

#[test]
fn a_target_is_an_exit_code() {
    let folder = Folder::new();
    let path = folder.file("m.rkllm", &model(&[LINE]));
    assert!(said(&["--target", "rk3588"], &path).0.contains("runs on rk3588? yes"));
    let (text, code) = said(&["--against", "rk3576"], &path);
    assert!(code == Some(1) && text.contains("made for rk3588, not for rk3576"), "{text}");
    let path = folder.file("n.rkllm", &model(&[]));
    let (text, code) = said(&["--target", "rk3576"], &path);
    assert!(code == Some(0) && text.contains("unknown: no platform"), "{text}");
    assert!(text.contains("nothing that rkllm-toolkit is known to write"), "{text}");
    assert_eq!(json_of(rkllm().arg("inspect").arg(&path))["verdict"], "unrecognized");
}

#[test]
fn what_is_no_model_is_named_with_what_to_do() {
    let folder = Folder::new();
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 1693413512\n";
    for (id, bytes, advice) in [
        ("lfs_pointer", lfs.as_bytes(), "git lfs pull"),
        ("empty", b"", "download it again"),
        ("web_page", b"<!doctype html><title>Sign in</title>", "/resolve/"),
        ("text", b"Entry not found", "\"Entry not found\""),
        ("gguf", b"GGUF\x03\0\0\0", "llama.cpp"),
        ("safetensors", b"\x40\0\0\0\0\0\0\0{\"a\":{}}", "directory"),
        ("rknn", b"RKNN\0\0\0\0\x06\0\0\0", "librknnrt"),
        ("zip", b"PK\x03\x04\x14\0", "unpack"),
        ("zeros", &[0; 9000], "download it again"),
        ("too_small", b"\x01\x02\x83", "too few"),
    ] {
        let path = folder.file("model.rkllm", bytes);
        let (text, code) = said(&[], &path);
        assert!(code == Some(1) && text.contains(advice), "{id}: {text}");
        assert!(text.contains("problem (read)"), "{id}: {text}");
        let output = rkllm().arg("inspect").arg(&path).arg("--json").output().unwrap();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{id}");
        assert_eq!(
            (&found["verdict"], &found["problems"][0]["id"]),
            (&"not_a_model".into(), &id.into())
        );
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "), "{id}");
    }
}

#[test]
fn a_download_that_was_cut_off_is_suspect() {
    let folder = Folder::new();
    let mut bytes = model(&[LINE]);
    bytes.resize(bytes.len() + (1 << 20), 0);
    let path = folder.file("Qwen2.5-1.5B-w8a8.rkllm", &bytes);
    folder.file("Qwen2.5-1.5B-w8a8.rkllm.aria2", b"");
    let found = json_of(rkllm().arg("inspect").arg(&path));
    let ids: Vec<&str> =
        found["problems"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["zero_tail", "too_small_for_name", "unfinished_download"]);
    assert_eq!(found["verdict"], "suspect");
    let (text, code) = said(&[], &path);
    assert!(code == Some(0) && text.contains("problem (inferred)"), "{text}");
}

#[test]
fn options_of_one_kind_are_refused_for_the_other() {
    let folder = Folder::new();
    let path = folder.file("m.rkllm", &model(&[]));
    let said = failure_of(rkllm().arg("inspect").arg(&path).arg("--tensors"), 2);
    assert!(said.contains("directories"), "{said}");
    let dir = folder.0.path();
    let said = failure_of(rkllm().arg("inspect").arg(dir).args(["--target", "rk3588"]), 2);
    assert!(said.contains(".rkllm files"), "{said}");
    failure_of(rkllm().arg("inspect").arg(&path).args(["--target", "rk3399"]), 2);
    let said = failure_of(rkllm().arg("inspect").arg(dir.join("absent.rkllm")), 1);
    assert!(said.contains("absent.rkllm"), "{said}");
}
