//! Made-up files: the real format is closed, and no real file is redistributed here.

use std::io::{SeekFrom, Write};
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// The path of the file and what `inspect` says of it.
fn plain(path: PathBuf) -> VendorFile {
    inspect(path, &InspectOptions::default()).unwrap()
}

/// Bytes that are no text and hold no string.
fn noise(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 37 % 31) as u8 | 0x80).collect()
}

/// A file of 2 MiB with these strings at its front, each behind a length and followed by a zero.
fn model(strings: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0xf1, 0x02, 0x03, 0x04, 0, 0, 0, 1];
    for text in strings {
        bytes.extend(u64::to_le_bytes(text.len() as u64));
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    bytes.extend(noise(2 << 20));
    bytes
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn inspect(&self, name: &str, bytes: &[u8]) -> VendorFile {
        std::fs::write(self.path(name), bytes).unwrap();
        plain(self.path(name))
    }
}

fn ids(found: &VendorFile) -> Vec<&'static str> {
    found.problems.iter().map(|problem| problem.id).collect()
}

#[test]
fn strings_with_keys_are_inferred_facts() {
    let folder = Folder::new();
    let found = folder.inspect(
        "some.rkllm",
        &model(&[
            "rkllm-toolkit version: 1.2.3",
            "max_context_limit",
            "4096",
            "npu_core_num: 3",
            "target_platform",
            "RK3588",
            "model_dtype",
            "W8A8_G128",
            "blk.0.attn_q.weight",
            "blk.27.ffn_down.weight_rkllm_spilt_0",
            "{% for message in messages %}{{ message.content }}{% endfor %}",
        ]),
    );
    assert_eq!(found.content, Content::Opaque);
    assert_eq!(found.verdict(), Verdict::Plausible, "{:?}", found.problems);
    for (name, expected) in [
        ("toolkit", "1.2.3"),
        ("context", "4096"),
        ("npu_cores", "3"),
        ("platform", "rk3588"),
        ("dtype", "w8a8_g128"),
        ("layers", "28"),
        ("origin", "rkllm-toolkit"),
        ("chat_template", "embedded"),
    ] {
        assert_eq!(found.value(name), Some(expected), "{name}");
    }
    assert!(found.items.iter().all(|item| item.certainty == Certainty::Inferred));
    assert!(found.magic.starts_with("f1020304"));
    assert!(found.strings.iter().any(|text| text == "blk.0.attn_q.weight"), "{:?}", found.strings);
}

#[test]
fn the_name_fills_in_and_may_contradict() {
    let folder = Folder::new();
    let name = "Tiny-2m_w4a16_g64_rk3576_v1.2.1.rkllm";
    let found = folder.inspect(name, &model(&["unrelated text"]));
    assert_eq!(found.value("platform"), Some("rk3576"));
    assert_eq!(found.value("dtype"), Some("w4a16_g64"));
    assert_eq!(found.value("toolkit"), Some("1.2.1"));
    assert!(found.items.iter().all(|item| item.from == "file name"));
    assert_eq!(found.verdict(), Verdict::Unrecognized);
    assert!(found.problems.is_empty(), "{:?}", found.problems);

    let found = folder.inspect(name, &model(&["target_platform", "RK3588"]));
    let problem = found.problem("name_contradicts").unwrap();
    assert!(problem.message.contains("platform rk3576") && problem.message.contains("rk3588"));
    // And that chip takes no w4a16.
    let problem = found.problem("dtype_not_taken").unwrap();
    assert!(problem.message.contains("no w4a16_g64 on RK3588"), "{problem:?}");
    assert!(problem.advice.contains("w8a8_g128"), "{problem:?}");
    assert_eq!(found.verdict(), Verdict::Suspect);
    assert!(found.problems.iter().all(|p| p.certainty == Certainty::Inferred));
}

/// Lines that runtimes print of what they load, as one string.
#[test]
fn a_line_as_the_log_has_it() {
    let folder = Folder::new();
    let line = "rkllm-toolkit version: 1.2.1b1, max_context_limit: 4096, npu_core_num: 2, target_platform: RK3576, model_dtype: W4A16";
    let found = folder.inspect("m.rkllm", &model(&[line]));
    for (name, expected) in [
        ("toolkit", "1.2.1b1"),
        ("context", "4096"),
        ("npu_cores", "2"),
        ("platform", "rk3576"),
        ("dtype", "w4a16"),
    ] {
        assert_eq!(found.value(name), Some(expected), "{name}");
    }
    let json = r#"{"target_platform": "rk3562", "max_context": 16384, "quantized_dtype": "w4a8_g32", "num_npu_core": 1}"#;
    let found = folder.inspect("m.rkllm", &model(&[json]));
    assert_eq!((found.value("context"), found.value("npu_cores")), (Some("16384"), Some("1")));
    assert_eq!((found.value("dtype"), ids(&found).len()), (Some("w4a8_g32"), 0));
}

/// Wherever a key falls in a long text, it is found.
#[test]
fn keys_in_long_texts() {
    let line = "target_platform: rk3562, max_context_limit: 16384";
    for before in (0..9000).step_by(97).chain(3990..4110) {
        let mut strings = scan::Strings::new(1 << 40);
        let text = format!("{}{line}{}", "x ".repeat(before / 2 + 1), " y".repeat(3000));
        strings.feed(text.as_bytes(), 1 << 30);
        strings.end();
        let facts: Vec<_> =
            strings.facts().into_iter().map(|(name, value, _)| (name, value)).collect();
        assert_eq!(facts, [("context", "16384".into()), ("platform", "rk3562".into())], "{before}");
    }
}

#[test]
fn chance_strings_are_no_facts() {
    let folder = Folder::new();
    // A vocabulary, a version of something else, a value too far from its key.
    let far = format!("target_platform{}rk3588", " ".repeat(40));
    let found = folder.inspect("m.rkllm", &model(&["fp16", "CUDA toolkit 12.4.1", "xrk3588y"]));
    assert_eq!((found.items.len(), found.verdict()), (0, Verdict::Unrecognized));
    let found = folder.inspect("m.rkllm", &model(&[&far]));
    assert_eq!(found.item("platform").unwrap().from, "1 string");
}

#[test]
fn the_end_mark_is_read_where_it_is() {
    let folder = Folder::new();
    let mut bytes = model(&["x"]);
    bytes.extend(b"\x81rkllm-toolkit version: 1.1.4\0");
    let found = folder.inspect("m.rkllm", &bytes);
    assert_eq!(found.item("end_mark").unwrap().certainty, Certainty::Read);
    assert_eq!(found.value("toolkit"), Some("1.1.4"));
    bytes.extend(b"more");
    let found = folder.inspect("m.rkllm", &bytes);
    assert_eq!((found.value("end_mark"), found.value("toolkit")), (None, Some("1.1.4")));
}

#[test]
fn an_old_toolkit_and_too_many_cores() {
    let folder = Folder::new();
    let bytes =
        model(&["rkllm-toolkit version: 1.0.1", "npu_core_num: 3", "target_platform: RK3562"]);
    assert_eq!(ids(&folder.inspect("m.rkllm", &bytes)), ["old_toolkit", "too_many_cores"]);
}

#[test]
fn a_target_is_held_against_the_platform() {
    let folder = Folder::new();
    folder.inspect("m.rkllm", &model(&["target_platform", "RK3576"]));
    let ask = |soc| {
        let options = InspectOptions { target: Some(soc), ..Default::default() };
        inspect(folder.path("m.rkllm"), &options).unwrap()
    };
    assert_eq!((ask(Soc::Rk3576).fits_target, ids(&ask(Soc::Rk3576)).len()), (Some(true), 0));
    let found = ask(Soc::Rk3588);
    assert_eq!((found.fits_target, ids(&found)), (Some(false), vec!["wrong_platform"]));
    folder.inspect("m.rkllm", &model(&["nothing"]));
    assert_eq!(ask(Soc::Rk3588).fits_target, None);
}

#[test]
fn files_that_are_something_else() {
    let folder = Folder::new();
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 1693413512\n";
    let found = folder.inspect("model.rkllm", lfs.as_bytes());
    assert_eq!(found.content, Content::LfsPointer);
    assert_eq!(found.value("model_bytes"), Some("1693413512"));
    assert_eq!(found.items[0].certainty, Certainty::Read);
    assert!(found.problems[0].advice.contains("git lfs pull"));
    let mut safetensors = 100u64.to_le_bytes().to_vec();
    safetensors.extend(b"{\"a\":{}}\x01");
    let mut tar = vec![b'x'; 3000];
    tar[5..257].fill(0);
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, content, id, says) in [
        (&b""[..], Content::Empty, "empty", "download it again"),
        (b"\n <!DOCTYPE html><title>404</title>", Content::Html, "web_page", "/resolve/"),
        ("Entr\u{e9}e non trouv\u{e9}e".as_bytes(), Content::Text, "text", "trouv\u{e9}e"),
        (b"# ours\nmodel = models/nano\n", Content::Text, "host_pointer", "models/nano"),
        (b"dtype = w8a8\nmodel = nano", Content::Text, "host_pointer", "nano"),
        (b"./\ncontext_limit = 64\n", Content::Text, "host_pointer", "/./"),
        (b"no/such/directory\n", Content::Text, "text", "no/such"),
        (b"name = resnet\nmodel = resnet50\n", Content::Text, "text", "resnet"),
        (b"Error: not found\nmodel = nano\n", Content::Text, "text", "not found"),
        (b"model =\n", Content::Text, "text", "model ="),
        (b"\x0cEntry \x1b[2J", Content::Opaque, "too_small", "few"),
        (b"GGUF\x03\0\0\0", Content::Gguf, "gguf", "rkllm-toolkit"),
        (b"RKNN\0\0\0\0\x06", Content::Rknn, "rknn", "librknnrt"),
        (&safetensors, Content::Safetensors, "safetensors", "directory"),
        (b"PK\x03\x04\0\0", Content::Zip, "zip", "unpack"),
        (b"\x1f\x8b\x08\0", Content::Archive, "archive", "unpack"),
        (&tar, Content::Archive, "archive", "unpack"),
        (b"\x7fELF\x02\x01", Content::Elf, "elf", "doctor"),
        (&[0; 5000], Content::Zeros, "zeros", "reserved"),
        (&[0x81, 0x82, 0x83], Content::Opaque, "too_small", "few"),
    ] {
        let found = folder.inspect("model.rkllm", bytes);
        assert_eq!(found.content, content, "{id}");
        assert_eq!((found.verdict(), ids(&found)), (Verdict::NotAModel, vec![id]));
        let problem = &found.problems[0];
        assert_eq!(problem.certainty, Certainty::Read, "{id}");
        assert!(format!("{} {}", problem.message, problem.advice).contains(says), "{problem:?}");
    }
    let options = InspectOptions::default();
    assert_eq!(inspect(folder.path("absent"), &options).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(inspect(folder.0.path(), &options).unwrap_err().kind(), ErrorKind::Input);
}

/// A file may begin with text; only one that is text throughout is a text.
#[test]
fn a_text_at_the_front_makes_no_text() {
    let folder = Folder::new();
    let mut bytes = "{\"model_dtype\": \"w8a8\"} ".repeat(400).into_bytes();
    assert_eq!(folder.inspect("m.rkllm", &bytes).content, Content::Text);
    bytes.extend(model(&[]));
    let found = folder.inspect("m.rkllm", &bytes);
    assert_eq!((found.content, found.value("dtype")), (Content::Opaque, Some("w8a8")));
}

#[test]
fn truncation_is_inferred() {
    let folder = Folder::new();
    let mut bytes = model(&["x"]);
    bytes.resize(bytes.len() + judge::ZEROS as usize - 1, 0);
    assert_eq!(ids(&folder.inspect("cut.rkllm", &bytes)).len(), 0);
    bytes.push(0);
    assert_eq!(ids(&folder.inspect("cut.rkllm", &bytes)), ["zero_tail"]);

    let found = folder.inspect("Qwen2.5-1.5B-w8a8-rk3588.rkllm", &model(&["x"]));
    let problem = found.problem("too_small_for_name").unwrap();
    assert!(problem.message.contains("1.50 billion"), "{problem:?}");

    std::fs::write(folder.path("half.rkllm.part"), "").unwrap();
    let found = folder.inspect("half.rkllm", &model(&["x"]));
    assert!(found.problem("unfinished_download").unwrap().message.contains("half.rkllm.part"));
    for name in ["m.rkllm.aria2", "m.rkllm.INCOMPLETE"] {
        assert_eq!(ids(&folder.inspect(name, &model(&["x"]))), ["unfinished_download"], "{name}");
    }
    assert_eq!(ids(&folder.inspect("m.rkllm.part", b"")), ["empty", "unfinished_download"]);
}

/// A sparse file of 100 GB is searched at both ends only, and its end is found; that most of it is not on
/// the disk is found, too.
#[cfg(unix)]
#[test]
fn searching_is_bounded() {
    let folder = Folder::new();
    let path = folder.path("huge.rkllm");
    let mut file = File::create(&path).unwrap();
    file.write_all(&model(&["target_platform", "rk3576"])).unwrap();
    if file.set_len(100 << 30).is_err() {
        println!("skipped: no sparse files here");
        return;
    }
    file.seek(SeekFrom::End(-9)).unwrap();
    file.write_all(b"\x01W4A16\x01\x01\x01").unwrap();
    drop(file);
    let mut last = (0, 0);
    let found = inspect_with_progress(&path, &InspectOptions::default(), &mut |done, total| {
        assert!(done > last.0 && done <= total);
        last = (done, total);
        ControlFlow::Continue(())
    });
    let found = found.unwrap();
    assert_eq!((found.searched, last), (2 * REACH, (2 * REACH, 2 * REACH)));
    assert_eq!((found.value("platform"), found.value("dtype")), (Some("rk3576"), Some("w4a16")));
    assert_eq!(ids(&found), ["holes"]);
    let deep = InspectOptions { deep: true, ..Default::default() };
    let stopped = inspect_with_progress(&path, &deep, &mut |done, total| {
        assert_eq!(total, 100 << 30);
        if done < 100 << 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
}

/// What lies between the ends is found by searching all of it.
#[test]
fn deep_finds_what_lies_between() {
    let mut bytes = vec![0x81u8; 2 * REACH as usize + (1 << 20)];
    let at = REACH as usize + 4096;
    bytes[at..at + 23].copy_from_slice(b"target_platform: rk3562");
    let ask = |deep| {
        let options = InspectOptions { deep, ..Default::default() };
        let reader = std::io::Cursor::new(&bytes);
        inspect_reader(reader, bytes.len() as u64, "m.rkllm", &options).unwrap()
    };
    let (plain, deep) = (ask(false), ask(true));
    assert_eq!((plain.searched, plain.value("platform")), (2 * REACH, None));
    assert_eq!((deep.searched, deep.value("platform")), (bytes.len() as u64, Some("rk3562")));
}

#[test]
fn words_need_edges() {
    assert_eq!(scan::platform("model-rk3588s-w8a8"), Some("rk3588".into()));
    assert_eq!(scan::platform("xrk3588"), None);
    assert_eq!(scan::platform("rk35880"), None);
    assert_eq!(scan::dtype("w8a8"), Some("w8a8".into()));
    assert_eq!(scan::dtype("_w8a8_g128-"), Some("w8a8_g128".into()));
    assert_eq!(scan::dtype("w8a8_g64"), None);
    assert_eq!(scan::version("v1.2.1b1, 2025"), Some("1.2.1b1".into()));
    assert_eq!(scan::version("1.2 3.4.5.6 b2 2025.10.1"), None);
    assert_eq!(scan::parameters("qwen2.5-1.5b-x"), Some(1.5e9));
    assert_eq!(scan::parameters("smollm-135m"), Some(135e6));
    assert_eq!(scan::parameters("nan-b-infb-1e9b"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Whatever a file holds and however its strings fall, nothing panics and the same comes out.
    #[test]
    fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..6000), at in any::<prop::sample::Index>(), keep in any::<bool>()) {
        let keys: &[u8] = "max_context_limit\0target_platform: rk3588\0model_dtype w4a16_g\u{301}toolkit1.2.blk.9.".as_bytes();
        if keep && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes.splice(at..at, keys.iter().copied());
        }
        let folder = Folder::new();
        let first = folder.inspect("f-0.1b.rkllm", &bytes);
        prop_assert_eq!(&first, &plain(folder.path("f-0.1b.rkllm")));
        prop_assert_eq!(first.searched, bytes.len() as u64);
    }
}
